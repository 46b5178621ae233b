//! The chart, as Helm renders it.

use operator::access::{OWN, PLANS, Rule};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use tests::dev::root;

fn chart() -> PathBuf {
    root().join("charts/shoal")
}

fn helm(arguments: &[&str]) -> Output {
    Command::new(root().join("tests/cluster")).arg("helm").args(arguments).output().unwrap()
}

fn rendered(values: &[&str]) -> Vec<Value> {
    let chart = chart();
    let mut arguments = vec!["template", "shoal", chart.to_str().unwrap(), "--namespace", "shoal-system"];
    arguments.extend(values.iter().flat_map(|value| ["--set", value]));
    let done = helm(&arguments);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let text = String::from_utf8(done.stdout).unwrap();
    let documents = text.split("\n---\n").map(|one| serde_yaml_ng::from_str::<Value>(one).unwrap());
    documents.filter(|one| !one.is_null()).collect()
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

/// Group and resource -> verbs.
type Rights = BTreeMap<(String, String), BTreeSet<String>>;

fn rights(role: &Value) -> Rights {
    let texts = |list: &Value| -> Vec<String> { serde_json::from_value(list.clone()).unwrap() };
    let mut rights = Rights::new();
    for rule in role["rules"].as_array().unwrap() {
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                rights.entry((group.clone(), resource)).or_default().extend(texts(&rule["verbs"]));
            }
        }
    }
    rights
}

fn wanted(rules: &[Rule]) -> Rights {
    let verbs = |rule: &Rule| rule.verbs.iter().map(ToString::to_string).collect();
    rules.iter().map(|rule| ((rule.group.into(), rule.resource.into()), verbs(rule))).collect()
}

#[test]
fn the_operator_may_do_what_it_does_and_nothing_else() {
    let objects = rendered(&[]);
    let everywhere = of_kind(&objects, "ClusterRole");
    assert_eq!(everywhere.len(), 1);
    assert_eq!(rights(everywhere[0]), wanted(PLANS));
    let own = of_kind(&objects, "Role");
    assert_eq!(own.len(), 1);
    assert_eq!((&own[0]["metadata"]["namespace"], rights(own[0])), (&"shoal-system".into(), wanted(OWN)));
    let named = own[0]["rules"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|rule| rule["verbs"] != serde_json::json!(["create"]));
    assert!(
        named.clone().count() == 1 && named.clone().all(|rule| rule["resourceNames"][0] == "shoal-operator")
    );
}

#[test]
fn with_namespaces_named_it_may_do_nothing_elsewhere() {
    let objects = rendered(&["namespaces={here,there}"]);
    assert!(
        of_kind(&objects, "ClusterRole").is_empty() && of_kind(&objects, "ClusterRoleBinding").is_empty()
    );
    let roles = of_kind(&objects, "Role");
    for namespace in ["here", "there"] {
        let found: Vec<_> = roles.iter().filter(|role| role["metadata"]["namespace"] == namespace).collect();
        assert_eq!(found.len(), 1);
        assert_eq!(rights(found[0]), wanted(PLANS));
    }
    assert_eq!(roles.len(), 3);
    let bound = of_kind(&objects, "RoleBinding");
    assert!(bound.iter().all(|binding| binding["subjects"][0]["namespace"] == "shoal-system"));
    assert_eq!(of_kind(&objects, "AgentPlan")[0]["metadata"]["namespace"], "here", "the plan of `helm test`");
}

#[test]
fn the_crd_stays_when_the_release_goes_and_can_be_left_out() {
    let objects = rendered(&[]);
    let crds = of_kind(&objects, "CustomResourceDefinition");
    assert_eq!(crds[0]["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
    assert!(of_kind(&rendered(&["crd.install=false"]), "CustomResourceDefinition").is_empty());
}

#[test]
fn the_chart_passes_helms_strict_lint_and_refuses_values_it_does_not_know() {
    let chart = chart();
    let lint = |more: &[&str]| helm(&[&["lint", "--strict", chart.to_str().unwrap()], more].concat());
    let done = lint(&[]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    for wrong in [
        "replica=2",
        "image.name=x",
        "replicas=-1",
        "image.pullPolicy=Sometimes",
        "namespaces={Here}",
        "log.format=xml",
        "resources.claims=1",
    ] {
        assert!(!lint(&["--set", wrong]).status.success(), "{wrong} is taken");
    }
}

/// Every value stands in the schema, in the README's table, and in a template.
#[test]
fn every_value_is_described_and_used() {
    let read = |path: &str| fs::read_to_string(chart().join(path)).unwrap();
    let values: Value = serde_yaml_ng::from_str(&read("values.yaml")).unwrap();
    let schema: Value = serde_json::from_str(&read("values.schema.json")).unwrap();
    let templates: String = ["deployment", "rbac", "serviceaccount", "crd", "tests/plan"]
        .map(|name| read(&format!("templates/{name}.yaml")))
        .concat();
    let readme = read("README.md");
    for (name, value) in values.as_object().unwrap() {
        assert!(templates.contains(&format!(".Values.{name}")), "{name} is not used");
        let known = &schema["properties"][name];
        assert!(known.is_object(), "{name} is not in the schema");
        let inside = value.as_object().filter(|_| !["resources", "nodeSelector"].contains(&name.as_str()));
        match inside {
            Some(members) => members.keys().for_each(|member| {
                assert!(
                    readme.contains(&format!("`{name}.{member}`")),
                    "{name}.{member} is not in the README"
                );
            }),
            None => assert!(readme.contains(&format!("`{name}`")), "{name} is not in the README"),
        }
    }
    let known = schema["properties"].as_object().unwrap().keys().filter(|name| *name != "global");
    assert!(known.eq(values.as_object().unwrap().keys().collect::<BTreeSet<_>>()), "the schema knows more");
}
