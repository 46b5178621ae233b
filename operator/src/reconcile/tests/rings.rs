//! A ring's ConfigMap that is deleted, or replaced by an older one, while its nodes run.

use super::*;
use k8s_openapi::ByteString;
use proto::ring::Ring;

fn ring_of(scene: &Scene) -> Ring {
    let stored = scene.api().objects[RING]["binaryData"]["ring"].clone();
    Ring::decode(&serde_json::from_value::<ByteString>(stored).unwrap().0).unwrap()
}

fn put(scene: &Scene, ring: &Ring) {
    let mut api = scene.api();
    let map = api.objects.get_mut(RING).unwrap();
    map["binaryData"]["ring"] = json!(ByteString(ring.encode()));
    map["metadata"]["resourceVersion"] = format!("by hand {}", ring.revision).into();
}

#[tokio::test]
async fn nodes_get_a_ring_and_one_that_refuses_it_is_named() {
    let (scene, mut tasks) = (Scene::new(), tokio::task::JoinSet::new());
    with_nodes(&scene, &mut tasks, "127.0.8").await;
    let (memory, outcome) = scene.look_anew().await;
    assert_eq!(outcome, Outcome::Settled, "{}", scene.api().condition("Ready"));
    assert!(scene.api().objects.contains_key(RING));
    assert!(scene.api().condition("Ready").starts_with("True Serving"));
    // Their answers alone are asked for now.
    let written = scene.written();
    let (memory, outcome) = scene.look(Look::Nodes, memory).await;
    assert_eq!((outcome, scene.written()), (Outcome::Settled, written));
    scene.api().objects.get_mut(PLAN).unwrap()["metadata"]["generation"] = 13.into();
    let (memory, outcome) = scene.look(Look::All, memory).await;
    assert_eq!(outcome, Outcome::Obstructed);
    let text = scene.api().condition("Degraded");
    let expected =
        "True ConfigurationRefused: pod flights-0 refuses what it is given: no thirteenth generation";
    assert!(text.starts_with(expected), "{text}");
    let written = scene.written();
    let (_, outcome) = scene.look(Look::All, memory).await;
    assert_eq!((outcome, scene.written()), (Outcome::Obstructed, written));
}

#[tokio::test]
async fn a_ring_that_is_gone_or_older_is_written_again_as_nodes_have_it() {
    let (scene, mut tasks) = (Scene::new(), tokio::task::JoinSet::new());
    with_nodes(&scene, &mut tasks, "127.0.10").await;
    let (memory, outcome) = scene.look_anew().await;
    assert_eq!(outcome, Outcome::Settled, "{}", scene.api().condition("Ready"));
    let first = ring_of(&scene);
    // Deleted.
    scene.api().objects.remove(RING);
    let (memory, outcome) = scene.look(Look::All, memory).await;
    assert_eq!((outcome, ring_of(&scene)), (Outcome::Settled, first.clone()));
    // A newer one in force, and the older one put back.
    let newer = Ring { nonce: 5, ..first.raised(0, first.members.clone(), 0, "a later one").unwrap() };
    put(&scene, &newer);
    let (mut memory, outcome) = scene.look(Look::All, memory).await;
    assert_eq!(outcome, Outcome::Settled, "{}", scene.api().condition("Ready"));
    let written = scene.written();
    put(&scene, &first);
    (memory, _) = scene.look(Look::All, memory).await;
    assert_eq!((ring_of(&scene), scene.written() - written), (newer.clone(), 1));
    assert!(scene.api().condition("Degraded").starts_with("False Healthy"));
    assert_eq!(scene.api().events.iter().filter(|reason| *reason == "RingOlder").count(), 1);
    // Again and again.
    let mut restored = 0;
    for _ in 0..60 {
        put(&scene, &first);
        memory = scene.look(Look::All, memory).await.0;
        restored += usize::from(ring_of(&scene) == newer);
        scene.wait(1);
    }
    assert_eq!(restored, 6);
    let said = scene.api().condition("Degraded");
    assert!(said.starts_with("True RingOlder: the ConfigMap flights-ring has revision 1"), "{said}");
    // Somebody else has changed it meanwhile.
    let plan = look::plan(&scene.context.client, &key()).await.unwrap().unwrap();
    let over = Some(crate::observed::Version { uid: "another".into(), resource_version: "1".into() });
    let kept = ring_of(&scene);
    let late = crate::steps::Written { ring: Box::new(newer), over };
    let late = act::write_ring(&scene.context.client, &plan, late).await;
    assert!(matches!(late, Err(act::Error::Overtaken(_))), "{late:?}");
    assert_eq!(ring_of(&scene), kept);
    drop(memory);
}

/// It may have taken it, and its answer may be lost.
#[tokio::test]
async fn what_a_node_said_before_it_was_given_something_stands_in_for_nothing() {
    let (scene, mut tasks) = (Scene::new(), tokio::task::JoinSet::new());
    with_nodes(&scene, &mut tasks, "127.0.14").await;
    let (memory, _) = scene.look_anew().await;
    let refused = |ordinal| format!("False ConfigurationRefused: pod flights-{ordinal} refuses");
    let ready = || scene.api().condition("Ready");
    assert!(ready().starts_with("True Serving"), "{}", ready());
    scene.api().objects.get_mut(PLAN).unwrap()["metadata"]["generation"] = 13.into();
    let (memory, outcome) = scene.look(Look::All, memory).await;
    assert_eq!(outcome, Outcome::Obstructed);
    assert!(ready().starts_with(&refused(0)), "{}", ready());
    // The next question does not reach it.
    scene.api().objects.get_mut(&pod_path(0)).unwrap()["status"]["podIP"] = "127.0.14.77".into();
    scene.look(Look::All, memory).await;
    assert!(ready().starts_with(&refused(1)), "{}", ready());
}
