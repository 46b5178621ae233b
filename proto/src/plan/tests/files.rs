//! The CRD, the chart's copy of it, and the reference of its fields are generated from the plan's types.

use super::reference;
use crate::address;
use crate::committed;
use crate::plan::{crd, reserved};
use serde_json::Value as Json;

const HEAD: &str = "# Generated from proto/src/plan. SHOAL_WRITE=1 tests/run tests writes it anew.\n";

#[test]
fn the_crd_is_as_committed() {
    committed::check("crds/agentplans.yaml", &(HEAD.to_owned() + &yaml()));
}

/// Helm must not delete it, for with it go all plans. A further release on one cluster leaves it to the first.
#[test]
fn the_charts_crd_is_as_committed() {
    let keep = "metadata:\n  annotations:\n    helm.sh/resource-policy: keep\n";
    let yaml = yaml();
    assert!(!yaml.contains("{{") && yaml.matches("\nmetadata:\n").count() == 1);
    let yaml = yaml.replacen("metadata:\n", keep, 1);
    let template = format!("{HEAD}{{{{- if .Values.crd.install }}}}\n{yaml}{{{{- end }}}}\n");
    committed::check("charts/shoal/templates/crd.yaml", &template);
}

#[test]
fn the_reference_is_as_committed() {
    committed::check("crds/reference.md", &reference::text(&crd()));
}

#[test]
fn the_document_of_the_plan_lists_the_reserved_names() {
    let document = include_str!("../../../docs/plan.md");
    for names in [&reserved::NAMES[..], &address::RESERVED[..]] {
        assert!(document.contains(&format!("`{}`", names.join(" "))), "{names:?}");
    }
}

/// The paths of fields without a description, which is what `kubectl explain` says of them.
fn unexplained(at: &str, schema: &Json, found: &mut Vec<String>) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let at = format!("{at}.{name}");
        if field["description"].as_str().is_none_or(|text| text.trim().is_empty()) {
            found.push(at.clone());
        }
        unexplained(&at, field, found);
    }
    for inner in ["items", "additionalProperties"] {
        if schema[inner].is_object() {
            unexplained(at, &schema[inner], found);
        }
    }
}

#[test]
fn every_field_has_a_text_in_kubectl_explain() {
    let crd = serde_json::to_value(crd()).unwrap();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let mut found = Vec::new();
    for root in ["spec", "status"] {
        unexplained(root, &schema["properties"][root], &mut found);
    }
    assert!(found.is_empty(), "{found:#?}");
}

fn yaml() -> String {
    serde_yaml_ng::to_string(&whole(serde_json::to_value(crd()).unwrap())).unwrap()
}

/// Kubernetes' types have bounds as doubles: `1.0` reads badly.
fn whole(json: Json) -> Json {
    match json {
        Json::Number(number) => number.as_f64().map_or(Json::Null, |number| Json::from(number as i64)),
        Json::Array(items) => items.into_iter().map(whole).collect(),
        Json::Object(members) => members.into_iter().map(|(name, member)| (name, whole(member))).collect(),
        other => other,
    }
}
