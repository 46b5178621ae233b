//! Objects that others change on their way, or have made.

use super::*;

/// The registry is another, the requests are, and a sidecar is added; each time with another number, as some do.
fn mutate(path: &str, object: &mut Value) {
    if path != SET {
        return;
    }
    let pods = &mut object["spec"]["template"];
    let times = pods["metadata"]["annotations"]["example.org/times"].as_str().map_or(0, str::len);
    pods["metadata"]["annotations"] = json!({"example.org/times": "i".repeat(times + 1)});
    let containers = pods["spec"]["containers"].as_array_mut().unwrap();
    containers.retain(|container| container["name"] == names::CONTAINER);
    containers[0]["image"] = "mirror.example.org/shoal/agent-node:0.1.0".into();
    containers[0]["resources"]["requests"]["memory"] = "1Gi".into();
    containers.push(json!({"name": "proxy", "image": "proxy:1"}));
}

#[tokio::test]
async fn what_a_webhook_makes_of_an_object_is_taken_and_said_without_a_fight() {
    let scene = Scene::new();
    scene.api().webhook = mutate;
    let mut memory = Memory::default();
    for _ in 0..100 {
        memory = scene.look(Look::All, memory).await.0;
        scene.wait(1);
    }
    // It was made, and owned.
    assert_eq!(scene.api().asked(SET), 2);
    let path = "StatefulSet flights: spec.template.spec.containers";
    assert_eq!(
        scene.api().condition("Adjusted"),
        format!(
            "True Adjusted: StatefulSet flights: spec.template.metadata.annotations is added; {path}[node].image is \
             mirror.example.org/shoal/agent-node:0.1.0, and was applied as docker.io/shoal/agent-node:0.1.0; \
             {path}[node].resources.requests.memory is 1Gi, and was applied as 256Mi; {path}[proxy] is added"
        )
    );
    assert!(scene.api().condition("Degraded").starts_with("False Healthy"));
    // One apply after a restart of the operator.
    let mut memory = Memory::default();
    for _ in 0..100 {
        memory = scene.look(Look::All, memory).await.0;
        scene.wait(1);
    }
    assert_eq!(scene.api().asked(SET), 3);
    // Another wish goes through, and so does what somebody has changed.
    scene.edit(|plan| plan["spec"]["pods"] = json!({"nodeSelector": {"disk": "ssd"}}));
    memory = scene.look(Look::All, memory).await.0;
    assert_eq!(scene.api().objects[SET]["spec"]["template"]["spec"]["nodeSelector"]["disk"], "ssd");
    scene.api().objects.get_mut(SET).unwrap()["spec"]["replicas"] = 1.into();
    memory = scene.look(Look::All, memory).await.0;
    assert_eq!(scene.api().objects[SET]["spec"]["replicas"], 3);
    assert_eq!(scene.api().asked(SET), 5);
    scene.api().webhook = |_, _| {};
    scene.edit(|plan| plan["spec"]["pods"] = json!({}));
    scene.look(Look::All, memory).await;
    assert!(scene.api().condition("Adjusted").starts_with("False AsApplied"));
    let spec = &scene.api().objects[SET]["spec"]["template"]["spec"];
    assert_eq!((&spec["nodeSelector"], spec["containers"].as_array().unwrap().len()), (&Value::Null, 1));
}

#[tokio::test]
async fn what_a_webhook_changes_where_only_the_operator_may_is_said_and_tried_again_now_and_then() {
    let scene = Scene::new();
    scene.api().webhook = |path, object| {
        if path == SET {
            object["spec"]["template"]["spec"]["containers"][0]["args"] = json!(["serve"]);
            object["spec"]["updateStrategy"]["type"] = "RollingUpdate".into();
        }
    };
    let mut memory = Memory::default();
    for _ in 0..100 {
        memory = scene.look(Look::All, memory).await.0;
        scene.wait(1);
    }
    assert_eq!(scene.api().asked(SET), 2);
    let text = scene.api().condition("Degraded");
    for part in [
        "True PartChanged: StatefulSet flights is not as the operator applies it: ",
        "spec.template.spec.containers[node].args is [\"serve\"], and was applied as [\"serve\",\"--data\",",
        "spec.updateStrategy.type is RollingUpdate, and was applied as OnDelete",
    ] {
        assert!(text.contains(part), "{text}");
    }
    scene.api().webhook = |_, _| {};
    scene.wait(600);
    scene.look(Look::All, memory).await;
    assert_eq!(scene.api().asked(SET), 3);
    assert!(scene.api().condition("Degraded").starts_with("False Healthy"));
}

#[tokio::test]
async fn a_quantity_in_other_words_is_no_write() {
    let scene = Scene::new();
    let requests = |cpu: &str, memory: &str| {
        let resources = json!({"requests": {"cpu": cpu, "memory": memory}});
        move |plan: &mut Value| plan["spec"]["pods"] = json!({"resources": resources})
    };
    scene.edit(requests("1", "1Gi"));
    let mut memory = scene.look_anew().await.0;
    let asked = scene.api().asked(SET);
    for (cpu, amount) in [("1000m", "1024Mi"), ("1.0", "1073741824")] {
        scene.edit(requests(cpu, amount));
        memory = scene.look(Look::All, memory).await.0;
        assert_eq!(scene.api().asked(SET), asked);
    }
    scene.edit(requests("1001m", "1Gi"));
    scene.look(Look::All, memory).await;
    assert_eq!(scene.api().asked(SET), asked + 1);
}

#[tokio::test]
async fn no_write_lands_on_an_object_that_was_not_there_or_was_another_when_it_was_seen() {
    // Another plan's object comes just before ours, as when two plans come from one file.
    let theirs = |name: &str| {
        let owner =
            json!({"apiVersion": "shoal.dev/v1alpha1", "kind": "AgentPlan", "name": "other", "uid": "o"});
        json!({"metadata": {"name": name, "uid": "theirs", "resourceVersion": "1", "ownerReferences": [owner]}})
    };
    let scene = Scene::new();
    scene.look_anew().await;
    let mut paths: Vec<String> = scene.api().objects.keys().filter(|path| *path != PLAN).cloned().collect();
    paths.push(RING.to_owned());
    assert_eq!(paths.len(), 9);
    for path in paths {
        let scene = Scene::new();
        let name = path.rsplit('/').next().unwrap();
        scene.api().rival = Some((path.clone(), theirs(name)));
        let mut tasks = tokio::task::JoinSet::new();
        if path == RING {
            with_nodes(&scene, &mut tasks, "127.0.9").await;
        }
        let (memory, outcome) = scene.look_anew().await;
        assert_eq!(outcome, Outcome::Overtaken, "{path}");
        scene.look(Look::All, memory).await;
        assert_eq!(scene.api().objects[&path], theirs(name));
        let said = scene.api().condition("Degraded");
        let expected = format!("{name} exists and belongs to AgentPlan other; it is left as it is");
        assert!(said.starts_with("True NameTaken") && said.contains(&expected), "{said}");
    }
    // Deleted, and made by somebody else since it was seen.
    let scene = Scene::new();
    scene.look_anew().await;
    let plan = world::plan(&world::flights());
    let kept = scene.api().objects[SERVICE].clone();
    let mut desired = kept.clone();
    desired["metadata"]["uid"] = "another".into();
    let written = act::apply(&scene.context.client, &plan, Part::ClientService, &desired).await;
    assert!(matches!(written, Err(act::Error::Overtaken(_))), "{written:?}");
    assert_eq!(scene.api().objects[SERVICE], kept);
}
