//! Looks at a plan that is made, refused, overtaken or gone.

use super::*;

#[tokio::test]
async fn a_plan_is_made_and_then_nothing_is_written_until_something_changes() {
    let scene = Scene::new();
    let (memory, outcome) = scene.look_anew().await;
    assert_eq!(outcome, Outcome::Waiting);
    assert_eq!(scene.api().objects.len(), 9, "{:?}", scene.api().objects.keys());
    assert!(!scene.api().objects.contains_key(RING));
    let written = scene.written();
    let (memory, _) = scene.look(Look::Nodes, memory).await;
    let (_, outcome) = scene.look(Look::All, memory).await;
    assert_eq!((outcome, scene.written()), (Outcome::Waiting, written));
    let secrets = [AUTHORITY, CERTIFICATES].map(|path| scene.api().objects[path].clone());
    scene.api().objects.remove(SET);
    scene.look_anew().await;
    // Made, and then owned as what is applied.
    assert_eq!(scene.api().written[written..], [SET.to_owned(), SET.to_owned()]);
    assert_eq!([AUTHORITY, CERTIFICATES].map(|path| scene.api().objects[path].clone()), secrets);
    scene.api().objects.remove(CERTIFICATES);
    let written = scene.written();
    scene.look_anew().await;
    assert_eq!(scene.api().written[written..], [CERTIFICATES.to_owned(), CERTIFICATES.to_owned()]);
}

#[tokio::test]
async fn what_the_api_server_will_not_have_is_said_and_the_rest_is_made() {
    let scene = Scene::new();
    scene.api().refused.insert(SET.to_owned());
    let (memory, outcome) = scene.look_anew().await;
    assert_eq!(outcome, Outcome::Obstructed);
    assert_eq!((scene.metric("Accepted"), scene.metric("Degraded")), (Some(1), Some(1)));
    let text = scene.api().condition("Degraded");
    assert_eq!(text, "True PartRefused: the API server refuses StatefulSet flights: exceeded quota: few");
    // Saying it again changes nothing.
    let written = scene.written();
    let (memory, outcome) = scene.look(Look::All, memory).await;
    assert_eq!((outcome, scene.written()), (Outcome::Obstructed, written));
    scene.api().refused.clear();
    scene.wait(1);
    scene.look(Look::All, memory).await;
    assert!(scene.api().condition("Degraded").starts_with("False Healthy"));
    assert_eq!((scene.metric("Degraded"), scene.metric("Available")), (Some(0), Some(0)));
    // What is in force already when the operator begins is shown as well.
    let anew = Scene { context: context(&scene.api), api: scene.api.clone(), since: Mutex::default() };
    anew.look_anew().await;
    assert_eq!(anew.metric("Accepted"), Some(1));
    anew.context.metrics.forget(&key());
    assert_eq!(anew.metric("Accepted"), None);
}

#[tokio::test]
async fn what_is_refused_waits_alone_and_a_wrong_expression_is_told_at_once() {
    let scene = Scene::new();
    scene.api().refused.insert(SERVICE.to_owned());
    let (mut memory, _) = scene.look_anew().await;
    // Each time it is tried once more, and later.
    for wait_s in [1, 2, 4] {
        let asked = scene.api().asked(SERVICE);
        memory = scene.look(Look::All, memory).await.0;
        assert_eq!(scene.api().asked(SERVICE), asked, "too early");
        scene.wait(wait_s);
        memory = scene.look(Look::All, memory).await.0;
        assert_eq!(scene.api().asked(SERVICE), asked + 1, "after {wait_s} s");
    }
    // What else the plan wishes for does not wait for it.
    scene.edit(|plan| plan["spec"]["pods"] = json!({"nodeSelector": {"disk": "ssd"}}));
    memory = scene.look(Look::All, memory).await.0;
    assert_eq!(scene.api().objects[SET]["spec"]["template"]["spec"]["nodeSelector"]["disk"], "ssd");
    scene.edit(|plan| plan["spec"]["agents"][0]["rules"][0]["do"][0]["set"]["to"] = "flights +".into());
    scene.look(Look::All, memory).await;
    assert!(scene.api().condition("Accepted").starts_with("False InvalidPlan"));
}

#[tokio::test]
async fn why_pods_do_not_come_is_read_again_and_again_and_holds_nothing_up() {
    const EVENT: &str = "/apis/events.k8s.io/v1/namespaces/default/events/e";
    let scene = Scene::new();
    let event = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"}, "eventTime": null,
        "type": "Warning", "note": "exceeded quota: few", "deprecatedLastTimestamp": "2026-01-01T00:00:00Z",
    });
    scene.api().objects.insert(EVENT.to_owned(), event);
    let (mut memory, outcome) = scene.look_anew().await;
    let said = |scene: &Scene| scene.api().condition("Ready");
    assert_eq!(outcome, Outcome::Waiting);
    assert!(
        said(&scene).starts_with("False NodesStarting: starting: node 0: exceeded quota: few"),
        "{}",
        said(&scene)
    );
    // The quota was raised; what is said of it ends, though pods are not there yet.
    scene.api().objects.remove(EVENT);
    scene.wait(5);
    memory = scene.look(Look::Nodes, memory).await.0;
    assert_eq!(said(&scene), "False NodesStarting: starting: node 0, node 1, node 2");
    scene.api().hides_events = true;
    scene.wait(5);
    scene.edit(|plan| plan["spec"]["pods"] = json!({"nodeSelector": {"disk": "ssd"}}));
    assert_eq!(scene.look(Look::All, memory).await.1, Outcome::Waiting);
    assert_eq!(scene.api().objects[SET]["spec"]["template"]["spec"]["nodeSelector"]["disk"], "ssd");
}

#[tokio::test]
async fn in_a_namespace_that_is_going_nothing_is_made() {
    let scene = Scene::new();
    scene.api().namespace_is_going = true;
    let (memory, outcome) = scene.look_anew().await;
    assert_eq!((outcome, scene.api().asked(AUTHORITY)), (Outcome::Obstructed, 1));
    let asked = scene.api().refusals;
    assert_eq!(scene.look(Look::All, memory).await.1, Outcome::Obstructed);
    assert_eq!((asked, scene.api().refusals), (1, 1));
}

/// An event cannot be made either: the first that is refused says enough.
#[tokio::test]
async fn in_a_namespace_that_is_going_nothing_is_told() {
    let scene = Scene::new();
    let (memory, _) = scene.look_anew().await;
    scene.api().namespace_is_going = true;
    scene.edit(|plan| plan["spec"]["agents"][0]["rules"][0]["do"][0]["set"]["to"] = "flights +".into());
    let (memory, outcome) = scene.look(Look::All, memory).await;
    assert_eq!((outcome, scene.api().refusals), (Outcome::Obstructed, 1));
    assert!(scene.api().condition("Accepted").starts_with("False InvalidPlan"));
    scene.wait(5);
    assert_eq!(scene.look(Look::All, memory).await.1, Outcome::Obstructed);
    assert_eq!(scene.api().refusals, 1);
}

#[tokio::test]
async fn a_secret_that_the_api_server_will_not_have_is_said_too() {
    let scene = Scene::new();
    scene.api().refused.insert(AUTHORITY.to_owned());
    let (memory, outcome) = scene.look_anew().await;
    assert_eq!(outcome, Outcome::Obstructed);
    let text = scene.api().condition("Degraded");
    assert_eq!(text, "True PartRefused: the API server refuses Secret flights-ca: exceeded quota: few");
    assert!(scene.api().objects.contains_key(SERVICE), "the rest is made");
    scene.api().refused.clear();
    scene.wait(1);
    scene.look(Look::All, memory).await;
    assert!(scene.api().condition("Degraded").starts_with("False Healthy"));
}

#[tokio::test]
async fn one_who_was_overtaken_leaves_it_and_looks_again() {
    let scene = Scene::new();
    scene.api().overtaken.insert(PLAN.to_owned());
    let (memory, outcome) = scene.look_anew().await;
    assert!(memory.known.is_none() && outcome == Outcome::Overtaken, "{outcome:?}");
    assert_eq!(scene.look_anew().await.1, Outcome::Waiting);
}

#[tokio::test]
async fn a_plan_that_is_gone_is_left() {
    let scene = Scene::new();
    scene.api().objects.clear();
    let (memory, outcome) = scene.look_anew().await;
    assert!(memory.known.is_none() && outcome == Outcome::Gone, "{outcome:?}");
}
