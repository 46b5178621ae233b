//! A plan as nodes get it: without what is no matter of theirs, and without the fields that say only what holds anyway, by
//! the defaults of the CRD.
//!
//! *Guarantees.* What is left parses as the same plan. A field that a later CRD adds, at its default, is not there: so
//! the same plan has the same text whichever CRD has filled it in, and nodes that do not know the field read it.

use super::crd;
use super::pods::Pods;
use super::spec::{AgentPlanSpec, Recovery, Service};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use serde_json::{Map, Value};
use std::sync::LazyLock;

static SPEC: LazyLock<JSONSchemaProps> = LazyLock::new(|| {
    let schema = crd().spec.versions.remove(0).schema.and_then(|schema| schema.open_api_v3_schema);
    schema.and_then(|schema| schema.properties?.remove("spec")).expect("a plan has a spec")
});

impl AgentPlanSpec {
    /// Without what only objects in a cluster are made of: a field that is added there is none that running nodes do not
    /// know.
    #[must_use]
    pub fn for_nodes(&self) -> AgentPlanSpec {
        AgentPlanSpec {
            pods: Pods::default(),
            service: Service::default(),
            recovery: Recovery::default(),
            ..self.clone()
        }
    }

    /// As nodes get it: without what is at its default.
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = serde_json::to_value(self).expect("a plan's keys are texts");
        strip(&mut json);
        serde_json::to_vec(&json).expect("a plan's keys are texts")
    }
}

/// Takes away what `spec` has at its default.
fn strip(spec: &mut Value) {
    strip_by(&SPEC, spec);
}

fn strip_by(schema: &JSONSchemaProps, value: &mut Value) {
    match value {
        Value::Object(fields) => strip_fields(schema, fields),
        Value::Array(items) => {
            if let Some(JSONSchemaPropsOrArray::Schema(schema)) = &schema.items {
                for item in items {
                    strip_by(schema, item);
                }
            }
        }
        _ => {}
    }
}

fn strip_fields(schema: &JSONSchemaProps, fields: &mut Map<String, Value>) {
    let values = match &schema.additional_properties {
        Some(JSONSchemaPropsOrBool::Schema(values)) => Some(&**values),
        _ => None,
    };
    let of = |name: &str| schema.properties.as_ref().and_then(|all| all.get(name)).or(values);
    fields.retain(|name, value| {
        let Some(schema) = of(name) else { return true };
        strip_by(schema, value);
        !is_default(schema, value)
    });
}

/// Whether a value, stripped, is what its field has when it is not there.
fn is_default(schema: &JSONSchemaProps, value: &Value) -> bool {
    schema.default.as_ref().is_some_and(|default| {
        let mut default = default.0.clone();
        strip_by(schema, &mut default);
        default == *value
    })
}
