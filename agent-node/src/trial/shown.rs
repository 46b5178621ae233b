//! What is said of cases: to people, or to programs.

use super::{Case, Difference};
use proto::json;
use proto::shown::Output;
use proto::value::{Text, Value};
use std::fmt::Write as _;

/// How one case ended.
pub struct Report<'a> {
    pub file: &'a str,
    pub case: &'a Case,
    pub differences: Vec<Difference>,
}

impl Report<'_> {
    /// The lines of one case.
    pub fn shown(&self, output: Output) -> String {
        match output {
            Output::Text => self.text(),
            Output::Json => json_text(&self.value()),
        }
    }

    fn text(&self) -> String {
        let Report { file, case, differences } = self;
        let verdict = if differences.is_empty() { "ok" } else { "differs" };
        let mut lines = format!("{file}:{}: {verdict}: {}", case.line, case.name);
        for Difference { line, command, agent, lane, expected, got } in differences {
            let (expected, got) = (json_text(expected), json_text(got));
            let _ = write!(
                lines,
                "\n  {file}:{line}: command {command}: {agent} {lane}: expected {expected}, got {got}"
            );
        }
        lines
    }

    fn value(&self) -> Value {
        let Report { file, case, differences } = self;
        let difference = |difference: &Difference| {
            let Difference { line, command, agent, lane, expected, got } = difference.clone();
            record([
                ("line", Value::Int(line as i64)),
                ("command", Value::Int(command as i64)),
                ("agent", Value::text(&agent)),
                ("lane", Value::text(&lane)),
                ("expected", expected),
                ("got", got),
            ])
        };
        record([
            ("file", Value::text(file)),
            ("line", Value::Int(case.line as i64)),
            ("case", Value::text(&case.name)),
            ("ok", Value::Bool(differences.is_empty())),
            ("differences", Value::list(differences.iter().map(difference).collect::<Vec<_>>())),
        ])
    }
}

/// The last line, for people.
pub fn summary(cases: usize, differ: usize) -> String {
    let noun = if cases == 1 { "case" } else { "cases" };
    match differ {
        0 => format!("{cases} {noun}, all as expected"),
        _ => format!("{cases} {noun}, {differ} not as expected"),
    }
}

fn record<const N: usize>(members: [(&str, Value); N]) -> Value {
    Value::record(members.map(|(name, value)| (Text::new(name), value)))
}

fn json_text(value: &Value) -> String {
    let mut text = Vec::new();
    json::write(value, &mut text);
    String::from_utf8(text).unwrap_or_default()
}
