//! Which pods of a plan are asked, and in which order.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use proto::shown::Output;
use std::time::Duration;

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

/// The pods of one node, or of all.
pub fn of_node(names: Vec<String>, node: Option<u16>) -> Vec<String> {
    names.into_iter().filter(|name| node.is_none_or(|node| ordinal(name) == u32::from(node))).collect()
}

/// A line of a node's log, led by its node.
pub fn logged(output: Output, name: &str, line: &str) -> String {
    match output {
        Output::Text => format!("{name}: {line}"),
        Output::Json => serde_json::json!({"pod": name, "node": ordinal(name), "line": line}).to_string(),
    }
}

/// `90s`, `5m`, `2h` or `3d`.
pub fn since(text: &str) -> Result<Duration, String> {
    let form = || "a time is expected such as 90s, 5m, 2h or 3d".to_owned();
    let unit = match text.chars().last().ok_or_else(form)? {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(form()),
    };
    let digits = &text[..text.len() - 1];
    let number = Some(digits).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let seconds = number.and_then(|digits| digits.parse::<u64>().ok()?.checked_mul(unit));
    seconds
        .filter(|seconds| (1..=u64::from(u32::MAX)).contains(seconds))
        .map(Duration::from_secs)
        .ok_or_else(form)
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
    fn logs_are_of_one_node_or_of_all_and_each_line_names_it() {
        let names = || vec!["p-1".to_owned(), "p-11".to_owned()];
        assert_eq!(of_node(names(), Some(1)), ["p-1"]);
        assert_eq!(of_node(names(), None), names());
        assert_eq!(logged(Output::Text, "p-1", "a: b"), "p-1: a: b");
        assert_eq!(logged(Output::Json, "p-1", "\"x\""), r#"{"line":"\"x\"","node":1,"pod":"p-1"}"#);
    }

    #[test]
    fn how_long_ago_is_a_number_and_a_unit() {
        for (text, seconds) in [("90s", 90), ("5m", 300), ("2h", 7200), ("3d", 259_200)] {
            assert_eq!(since(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "5", "m", "-5m", "5 m", "0s", "1.5h", "5é", "99999999999999999999d"] {
            assert!(since(text).is_err(), "{text}");
        }
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
