//! Which pods of a plan are asked, and in which order.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

/// The names of those that are ready, so that the one after the last that was asked comes first.
pub fn ready(pods: &[Pod], last: Option<&str>) -> Vec<String> {
    let mut names: Vec<String> = pods.iter().filter(|pod| is_ready(pod)).map(ResourceExt::name_any).collect();
    names.sort_by_key(|name| (ordinal(name), name.clone()));
    let first = last.and_then(|last| names.iter().position(|name| name == last)).map_or(0, |place| place + 1);
    let count = names.len();
    names.rotate_left(first.min(count) % count.max(1));
    names
}

/// Why there is none to ask.
pub fn none(plan: &str, namespace: &str, pods: &[Pod]) -> String {
    match pods.len() {
        0 => format!("there is no pod of a plan `{plan}` in namespace `{namespace}`"),
        1 => format!("the pod of plan `{plan}` is not ready"),
        count => format!("none of the {count} pods of plan `{plan}` is ready"),
    }
}

fn ordinal(name: &str) -> u32 {
    name.rsplit('-').next().and_then(|digits| digits.parse().ok()).unwrap_or(u32::MAX)
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    pod.metadata.deletion_timestamp.is_none()
        && conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, ready: &str, deleted: bool) -> Pod {
        let time = deleted.then_some("2026-01-01T00:00:00Z");
        serde_json::from_value(json!({
            "metadata": {"name": name, "deletionTimestamp": time},
            "status": {"conditions": [{"type": "Ready", "status": ready}]},
        }))
        .unwrap()
    }

    #[test]
    fn ready_pods_take_turns_by_ordinal() {
        let pods = [
            pod("p-10", "True", false),
            pod("p-2", "True", false),
            pod("p-0", "False", false),
            pod("p-1", "True", true),
            pod("p-3", "True", false),
        ];
        for (last, expected) in [
            (None, ["p-2", "p-3", "p-10"]),
            (Some("p-2"), ["p-3", "p-10", "p-2"]),
            (Some("p-10"), ["p-2", "p-3", "p-10"]),
            (Some("gone-1"), ["p-2", "p-3", "p-10"]),
        ] {
            assert_eq!(ready(&pods, last), expected, "{last:?}");
        }
        assert!(ready(&pods[2..4], Some("p-1")).is_empty());
    }

    #[test]
    fn it_is_said_whether_there_are_pods_at_all() {
        assert!(none("p", "n", &[]).contains("no pod of a plan `p` in namespace `n`"));
        assert!(none("p", "n", &[pod("p-0", "False", false)]).contains("not ready"));
        assert!(
            none("p", "n", &[pod("p-0", "False", false), pod("p-1", "False", false)])
                .contains("none of the 2")
        );
    }
}
