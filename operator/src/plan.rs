//! An `AgentPlan` as the API server has it, and whether it can be run.

use crate::names::{self, CONDITIONS};
use bytes::Bytes;
use kube::core::DynamicObject;
use proto::plan::{self, AgentPlanSpec, AgentPlanStatus};
use serde::Deserialize as _;
use serde_json::{Value, json};

/// `namespace/name`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub namespace: String,
    pub name: String,
}

impl std::fmt::Display for Key {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}/{}", self.namespace, self.name)
    }
}

#[derive(Debug, Clone)]
pub struct Plan {
    pub key: Key,
    pub uid: String,
    /// What its data are called: the uid of the plan whose volumes it has adopted, or its own.
    pub data_uid: String,
    pub generation: u64,
    pub resource_version: String,
    /// Someone has deleted it, and its objects go with it.
    pub deleting: bool,
    pub paused: bool,
    pub wish: Result<Wish, Vec<plan::Error>>,
    pub status: AgentPlanStatus,
    /// The operator that a person wants it to be run by.
    pub named_operator: Option<String>,
    /// What operators that leave it to another say.
    pub contested: Option<Contested>,
}

/// The condition of a plan that several operators look after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contested {
    pub generation: u64,
    pub text: String,
}

/// A spec that parses.
#[derive(Debug, Clone)]
pub struct Wish {
    pub spec: AgentPlanSpec,
    /// As nodes get it.
    pub json: Bytes,
}

impl Plan {
    /// Nothing in an object is so wrong that there is no plan to say so of.
    pub fn of(object: &DynamicObject) -> Plan {
        let meta = &object.metadata;
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let spec = &object.data["spec"];
        let uid = text(&meta.uid);
        let adopted = spec["recovery"]["adoptVolumesOf"].as_str().filter(|uid| !uid.is_empty());
        Plan {
            key: Key { namespace: text(&meta.namespace), name: text(&meta.name) },
            data_uid: adopted.map_or_else(|| uid.clone(), str::to_owned),
            uid,
            generation: meta.generation.unwrap_or_default().unsigned_abs(),
            resource_version: text(&meta.resource_version),
            deleting: meta.deletion_timestamp.is_some(),
            paused: spec["management"] == "Paused",
            wish: wish(spec),
            status: status(&object.data["status"]),
            named_operator: meta.annotations.as_ref().and_then(|all| all.get(names::OPERATOR).cloned()),
            contested: contested(&object.data["status"]),
        }
    }

    pub fn name(&self) -> &str {
        &self.key.name
    }

    /// Whether its data were another plan's.
    pub fn has_adopted(&self) -> bool {
        self.data_uid != self.uid
    }

    pub fn owner_reference(&self) -> Value {
        json!({
            "apiVersion": names::API_VERSION, "kind": names::KIND, "name": self.name(), "uid": self.uid,
            "controller": true,
        })
    }
}

fn wish(spec: &Value) -> Result<Wish, Vec<plan::Error>> {
    let invalid = |error: serde_json::Error| vec![plan::Error::invalid("spec", error.to_string())];
    plan::Plan::parse(&serde_json::to_vec(spec).map_err(invalid)?)?;
    let spec = AgentPlanSpec::deserialize(spec).map_err(invalid)?;
    Ok(Wish { json: spec.for_nodes().to_json().into(), spec })
}

/// A status as far as it can be read: if another version has written it, at least that there was a ring, and whose it is. Conditions
/// that others have added are theirs.
fn status(status: &Value) -> AgentPlanStatus {
    let of_another = |_| AgentPlanStatus {
        revision: status["revision"].as_i64(),
        operator: status["operator"].as_str().map(str::to_owned),
        ..AgentPlanStatus::default()
    };
    let mut read = AgentPlanStatus::deserialize(status).unwrap_or_else(of_another);
    let place = |name: &str| CONDITIONS.iter().position(|ours| *ours == name);
    read.conditions.retain(|condition| place(&condition.type_).is_some());
    read.conditions.sort_by_key(|condition| place(&condition.type_));
    read
}

fn contested(status: &Value) -> Option<Contested> {
    let conditions = status["conditions"].as_array()?;
    let found = conditions.iter().find(|condition| condition["type"] == names::CONTESTED)?;
    let generation = found["observedGeneration"].as_u64().unwrap_or_default();
    Some(Contested { generation, text: found["message"].as_str()?.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world;

    #[test]
    fn nodes_get_nothing_of_pods_and_service() {
        let given = |change: Value| {
            let mut object = world::flights();
            for (name, value) in change.as_object().unwrap() {
                object["spec"][name] = value.clone();
            }
            let json = world::plan(&object).wish.unwrap().json;
            serde_json::from_slice::<Value>(&json).unwrap()
        };
        let plain = given(json!({}));
        let more = json!({
            "service": {"type": "NodePort"},
            "pods": {"labels": {"a": "b"}, "affinity": {}, "securityContext": {}, "serviceAccountName": "theirs"},
        });
        assert_eq!(given(more), plain);
    }
}
