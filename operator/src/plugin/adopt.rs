//! `kubectl shoal adopt`: which volumes a plan is to go on with.

use crate::names;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;
use proto::plan::AgentPlan;
use proto::shown::Output;
use serde_json::json;
use std::collections::BTreeMap;

/// The volumes of a plan that was deleted.
#[derive(Debug, PartialEq, Eq)]
pub struct Volumes {
    /// What their data are called.
    pub uid: String,
    pub claims: Vec<String>,
}

/// Those that are meant, or why there are none. `wanted`: a uid that was named.
pub fn choose(
    plan: &AgentPlan,
    claims: &[PersistentVolumeClaim],
    wanted: Option<&str>,
) -> Result<Volumes, String> {
    let name = plan.name_any();
    if plan.status.as_ref().is_some_and(|status| status.revision.is_some()) {
        return Err(format!(
            "plan `{name}` has a ring, and data of its own: only a plan that has not served yet can adopt volumes"
        ));
    }
    let mut found: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for claim in claims.iter().filter(|claim| claim.metadata.deletion_timestamp.is_none()) {
        if let Some(uid) = claim.labels().get(names::PLAN_UID).filter(|uid| plan.uid().as_ref() != Some(*uid))
        {
            found.entry(uid).or_default().push(claim.name_any());
        }
    }
    let uids = || found.keys().copied().collect::<Vec<_>>().join(", ");
    let uid = match (wanted, found.len()) {
        (_, 0) => {
            Err(format!("no claim of plan `{name}` holds data of another plan (label {})", names::PLAN_UID))
        }
        (Some(wanted), _) if found.contains_key(wanted) => Ok(wanted),
        (Some(wanted), _) => {
            Err(format!("no claim holds data of the plan with uid {wanted}, but of {}", uids()))
        }
        (None, 1) => Ok(*found.keys().next().expect("there is one")),
        (None, _) => {
            Err(format!("the claims hold data of several plans; name one with --volumes-of: {}", uids()))
        }
    }?
    .to_owned();
    let claims = found.remove(uid.as_str()).unwrap_or_default();
    Ok(Volumes { uid, claims })
}

pub fn told(output: Output, plan: &str, volumes: &Volumes) -> String {
    let Volumes { uid, claims } = volumes;
    match output {
        Output::Text => format!("plan `{plan}` goes on with the data of {uid}: {}", claims.join(", ")),
        Output::Json => json!({"plan": plan, "adoptVolumesOf": uid, "claims": claims}).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(revision: Option<i64>) -> AgentPlan {
        serde_json::from_value(json!({
            "apiVersion": "shoal.dev/v1alpha1", "kind": "AgentPlan", "metadata": {"name": "p", "uid": "new"},
            "spec": {"agents": []}, "status": {"revision": revision, "observedGeneration": 1},
        }))
        .unwrap()
    }

    fn claim(ordinal: u16, uid: &str) -> PersistentVolumeClaim {
        let labels = json!({"shoal.dev/plan": "p", "shoal.dev/plan-uid": uid});
        let metadata = json!({"name": format!("data-p-{ordinal}"), "labels": labels});
        serde_json::from_value(json!({"metadata": metadata})).unwrap()
    }

    fn check(
        plan: &AgentPlan,
        claims: &[PersistentVolumeClaim],
        wanted: Option<&str>,
        expected: Result<&str, &str>,
    ) {
        match (choose(plan, claims, wanted), expected) {
            (Ok(volumes), Ok(line)) => assert_eq!(told(Output::Text, "p", &volumes), line),
            (Err(error), Err(part)) => assert!(error.contains(part), "{error}"),
            (chosen, _) => panic!("{chosen:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn the_volumes_are_those_of_one_other_plan() {
        let (fresh, one) = (plan(None), [claim(0, "old"), claim(1, "old")]);
        check(&fresh, &one, None, Ok("plan `p` goes on with the data of old: data-p-0, data-p-1"));
        check(&fresh, &one, Some("old"), Ok("plan `p` goes on with the data of old: data-p-0, data-p-1"));
        check(&fresh, &one, Some("odl"), Err("of the plan with uid odl, but of old"));
        let two = [claim(0, "old"), claim(1, "older")];
        check(&fresh, &two, None, Err("--volumes-of: old, older"));
        check(&fresh, &two, Some("older"), Ok("plan `p` goes on with the data of older: data-p-1"));
        check(&fresh, &[claim(0, "new")], None, Err("no claim of plan `p` holds data of another plan"));
        check(&fresh, &[], None, Err("no claim of plan `p` holds data of another plan"));
        check(&plan(Some(1)), &one, None, Err("has a ring"));
    }
}
