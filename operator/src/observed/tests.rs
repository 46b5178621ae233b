//! What Kubernetes' objects are read as.

use super::*;
use crate::world;
use serde_json::json;

fn pod(status: &Value) -> Pod {
    let manifest = json!({
        "metadata": {"name": "flights-0", "labels": {"controller-revision-hash": "r1"}},
        "status": status,
    });
    Pod::of(&serde_json::from_value(manifest).unwrap())
}

fn container(fields: &Value) -> Life {
    let mut container =
        json!({"name": "node", "image": "i", "imageID": "", "ready": false, "restartCount": 1});
    container.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let is_ready = if container["ready"] == true { "True" } else { "False" };
    let conditions = json!([{"type": "Ready", "status": is_ready}]);
    pod(&json!({"containerStatuses": [container], "conditions": conditions})).life
}

/// Ended after so many seconds.
fn ended(seconds: u32, code: i32, message: &str) -> Value {
    let finished = format!("2026-01-01T00:{:02}:{:02}Z", seconds / 60, seconds % 60);
    json!({"terminated": {
        "exitCode": code, "message": message, "startedAt": "2026-01-01T00:00:00Z", "finishedAt": finished,
    }})
}

#[test]
fn a_pods_life_is_told_by_what_its_container_does() {
    let running = json!({"running": {}});
    let words = "0:00 INFO begins\n2026-01-01T00:00:00Z ERROR the folder belongs to another plan\n\n";
    for (fields, expected) in [
        (json!({"ready": true, "state": running}), Life::Ready),
        (json!({"state": running}), Life::Starting),
        // It ran for long, and was killed.
        (json!({"state": running, "lastState": ended(3000, 137, "")}), Life::Starting),
        (json!({"state": ended(3000, 137, "")}), Life::Starting),
        // It ends each time.
        (
            json!({"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": ended(2, 1, words)}),
            Life::Failing("the folder belongs to another plan".into()),
        ),
        (
            json!({"state": running, "lastState": ended(2, 3, "")}),
            Life::Failing("it ended with status 3".into()),
        ),
        (json!({"ready": true, "state": running, "lastState": ended(2, 3, "")}), Life::Ready),
        (json!({"state": running, "lastState": ended(2, 0, "")}), Life::Starting),
        (
            json!({"state": {"waiting": {"reason": "ImagePullBackOff"}}}),
            Life::Pending("the image i cannot be fetched".into()),
        ),
        (
            json!({"state": {"waiting": {"reason": "ErrImagePull"}}}),
            Life::Pending("the image i cannot be fetched".into()),
        ),
        (json!({"state": {"waiting": {"reason": "ContainerCreating"}}}), Life::Pending(String::new())),
    ] {
        assert_eq!(container(&fields), expected, "{fields}");
    }
}

#[test]
fn a_pod_that_no_machine_takes_says_why() {
    let condition = json!({"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"});
    assert_eq!(
        pod(&json!({"conditions": [condition]})).life,
        Life::Pending("0/3 nodes are available".into())
    );
    assert_eq!(pod(&json!({})).life, Life::Pending(String::new()));
}

#[test]
fn a_pods_address_and_template_are_read() {
    let pod = pod(&json!({"podIP": "198.18.0.7"}));
    assert_eq!((pod.ip.as_deref(), pod.revision.as_str()), (Some("198.18.0.7"), "r1"));
}

#[test]
fn an_object_is_ours_only_by_the_uid_of_its_owner() {
    let plan = world::plan(&world::flights());
    let owner = |kind: &str, name: &str, uid: &str| json!({"ownerReferences": [{"apiVersion": "v", "kind": kind, "name": name, "uid": uid}]});
    let mut going = owner("AgentPlan", "flights", world::UID);
    going["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    for (meta, expected) in [
        (owner("AgentPlan", "flights", world::UID), Seen::Ours(())),
        (owner("AgentPlan", "flights", "of-the-one-before"), Seen::Going),
        (going, Seen::Going),
        (owner("Deployment", "web", "x"), Seen::Taken("Deployment web".into())),
        (json!({}), Seen::Taken("no owner (it has no ownerReferences)".into())),
    ] {
        let meta: ObjectMeta = serde_json::from_value(meta.clone()).unwrap();
        assert_eq!(Seen::of(Some((&meta, ())), &plan), expected, "{meta:?}");
    }
    assert_eq!(Seen::<()>::of(None, &plan), Seen::Absent);
}

#[test]
fn the_newest_event_says_what_keeps_an_object() {
    let event = |type_: &str, note: &str, time: Value| {
        let mut event = json!({"metadata": {"name": "e"}, "type": type_, "note": note, "eventTime": null});
        event.as_object_mut().unwrap().extend(time.as_object().unwrap().clone());
        serde_json::from_value::<Event>(event).unwrap()
    };
    let last = |minute: u32| json!({"deprecatedLastTimestamp": format!("2026-01-01T00:{minute:02}:00Z")});
    let at = |minute: u32| json!({"eventTime": format!("2026-01-01T00:{minute:02}:00.000000Z")});
    let quota = || event("Warning", "pods is forbidden: exceeded quota", last(3));
    let made = |time| event("Normal", "create Pod flights-0 successful", time);
    for (events, expected) in [
        (vec![], None),
        (vec![quota(), made(last(2))], Some("pods is forbidden: exceeded quota")),
        (vec![quota(), made(at(4))], None),
        (vec![made(at(1)), quota()], Some("pods is forbidden: exceeded quota")),
    ] {
        assert_eq!(warning(&events).as_deref(), expected);
    }
    assert_eq!(warning(&[event("Warning", &"x".repeat(5000), last(1))]).map(|text| text.len()), Some(300));
}
