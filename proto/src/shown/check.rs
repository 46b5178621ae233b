//! What `check` says of a file with plans.

use super::{Exit, Output};
use crate::plan::{Checked, Plan};
use std::fmt::Write as _;

/// All that is wrong in a text with plans, and the end that comes of it.
pub fn check(output: Output, file: &str, text: &str) -> (Exit, String) {
    let found = Plan::check_yaml(text);
    let exit = if found.errors.is_empty() { Exit::Done } else { Exit::Refused };
    (exit, checked(output, file, &found))
}

/// The lines for one file: each error with its place, or the plans in which nothing is wrong.
pub fn checked(output: Output, file: &str, checked: &Checked) -> String {
    match output {
        Output::Text => text(file, checked),
        Output::Json => json(file, checked),
    }
}

/// `FILE:LINE: `, as editors and CI systems find places.
fn text(file: &str, Checked { plans, errors }: &Checked) -> String {
    let mut lines = String::new();
    for error in errors {
        let line = error.line.map(|line| format!("{line}:")).unwrap_or_default();
        let at = if error.at.is_empty() { String::new() } else { format!("{}: ", error.at) };
        let _ = writeln!(lines, "{file}:{line} {at}{}", error.error);
    }
    for plan in plans {
        let _ = writeln!(lines, "{file}: nothing is wrong in plan {plan}");
    }
    lines.truncate(lines.trim_end().len());
    lines
}

fn json(file: &str, Checked { plans, errors }: &Checked) -> String {
    let error = |error: &crate::plan::Error| serde_json::json!({"line": error.line, "at": error.at, "error": error.error, "reason": error.reason.as_str()});
    let errors: Vec<_> = errors.iter().map(error).collect();
    serde_json::json!({"file": file, "plans": plans, "errors": errors}).to_string()
}

#[cfg(test)]
#[allow(clippy::needless_raw_string_hashes)] // expect-test writes them
mod tests {
    use super::*;
    use expect_test::expect;

    const HEAD: &str = "apiVersion: shoal.dev/v1alpha1\nkind: AgentPlan\nmetadata: {name: p}\n";
    const SPEC: &str = "spec: {agents: [{route: /a, lanes: [{name: v, type: Value}]}]}\n";

    #[test]
    fn every_error_of_every_plan_has_its_line() {
        let wrong = SPEC.replace("Value}]", "Value}, {name: w, type: Value}]").replace("/a", "a");
        let rules = "spec:\n  agents:\n  - route: /a/:id\n    lanes: [{name: c, type: Command}, {name: v, type: Value}]\n    \
                     rules:\n    - command: c\n      do:\n      - set: {lane: v, to: vv}\n      - set: {lane: w, to: v}\n";
        let other = "apiVersion: v1\nkind: ConfigMap\ndata: {on: yes}\n";
        let text =
            [format!("{HEAD}{SPEC}"), other.to_owned(), format!("{HEAD}{wrong}"), format!("{HEAD}{rules}")]
                .join("---\n");
        expect![[r#"
            all.yaml:13: spec.agents[0].route: `a` is no route: each segment begins with `/` and has letters, digits and `._~-`; parameters are written `:id`
            all.yaml:25: spec.agents[0].rules[0].do[0].set.to:1: there is no `vv` here, only `event`, `agent`, `here`, `sender`, `now` and the lanes `v`; write "'vv'" if a text is meant: the quotes of YAML are not those of the expression
            all.yaml:26: spec.agents[0].rules[0].do[1].set.lane: there is no Value lane `w` here, only v
            all.yaml: nothing is wrong in plan p"#]].assert_eq(&check(Output::Text, "all.yaml", &text).1);
        expect![[r#"{"errors":[{"at":"spec.agents[0].route","error":"`a` is no route: each segment begins with `/` and has letters, digits and `._~-`; parameters are written `:id`","line":13,"reason":"InvalidPlan"},{"at":"spec.agents[0].rules[0].do[0].set.to:1","error":"there is no `vv` here, only `event`, `agent`, `here`, `sender`, `now` and the lanes `v`; write \"'vv'\" if a text is meant: the quotes of YAML are not those of the expression","line":25,"reason":"InvalidPlan"},{"at":"spec.agents[0].rules[0].do[1].set.lane","error":"there is no Value lane `w` here, only v","line":26,"reason":"InvalidPlan"}],"file":"all.yaml","plans":["p"]}"#]].assert_eq(&check(Output::Json, "all.yaml", &text).1);
    }

    #[test]
    fn what_is_no_plan_is_said() {
        let said = |text: &str| check(Output::Text, "-", text).1;
        for (text, expected) in [
            ("apiVersion: v1\nkind: Pod\n---\n", "-:1: there is no AgentPlan in it"),
            ("", "-:1: yaml: an AgentPlan is expected"),
            ("\n\na: [b: c\n", "-:4: this is no YAML, "),
            (
                "kind: AgentPlan\napiVersion: shoal.dev/v1\n",
                "-:2: apiVersion: `shoal.dev/v1alpha1` is expected",
            ),
            ("kind: AgentPla\napiVersion: shoal.dev/v1alpha1\n", "-:1: kind: `AgentPlan` is expected"),
        ] {
            assert!(said(text).contains(expected), "{text}: {}", said(text));
        }
    }
}
