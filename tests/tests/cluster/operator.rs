//! The operator: it writes nothing at rest, begins no ring anew over stores that had one, and may do no more than it
//! needs.

use crate::plan;
use crate::tools::ended;
use anyhow::ensure;
use k8s_openapi::ByteString;
use operator::access;
use proto::ring::Ring;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};
use tests::cluster::{Installed, OPERATOR, OPERATOR_NAMESPACE, Scene, eventually};
use tests::lanes::{Feed, get, nothing_is_missing, send};

const AT_REST: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn at_rest_the_operator_asks_for_nothing_but_its_lease() {
    let scene = Scene::with_plan("rest", &plan("counters", 1)).await;
    scene.alone().await;
    scene.settled().await;
    let before = eventually("a quiet beginning", 60, async || {
        let seen = scene.cluster.operator_requests()?.len();
        tokio::time::sleep(Duration::from_secs(3)).await;
        let requests = scene.cluster.operator_requests()?;
        ensure!(
            requests[seen..].iter().all(is_of_rest),
            "{:?}",
            requests[seen..].iter().map(told).collect::<Vec<_>>()
        );
        Ok(requests.len())
    })
    .await;
    // Silence can't be awaited, only listened to.
    tokio::time::sleep(AT_REST).await;
    let requests = scene.cluster.operator_requests().unwrap();
    let others: Vec<_> = requests[before..].iter().filter(|request| !is_of_rest(request)).map(told).collect();
    assert!(others.is_empty(), "{others:#?}");
    assert!(requests[before..].iter().any(|request| request["verb"] == "update"), "the Lease was renewed");
}

/// GET, WATCH, the renewal of the Lease, or the list of one plan that `/readyz` needs.
fn is_of_rest(request: &Value) -> bool {
    let resource = request["objectRef"]["resource"].as_str();
    match request["verb"].as_str() {
        Some("get" | "watch") => true,
        Some("update") => resource == Some("leases"),
        Some("list") => {
            let is_of_one = request["requestURI"].as_str().is_some_and(|uri| uri.ends_with("limit=1"));
            resource == Some("agentplans") && is_of_one
        }
        _ => false,
    }
}

fn told(request: &Value) -> String {
    format!("{} {}", request["verb"], request["requestURI"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ring_that_is_gone_is_written_again_as_nodes_have_it() {
    let scene = Scene::with_plan("ring", &plan("counters", 1)).await;
    let mut clients = scene.clients().await;
    send(&mut clients[0], "/counter/1", "add", &json!({"id": "a", "n": 5})).await.unwrap();
    let ring = scene.get("configmap", "counters-ring").unwrap();
    scene.kubectl(&["delete", "configmap", "counters-ring"]).unwrap();
    eventually("the ring to be back", 60, async || {
        let again = scene.get("configmap", "counters-ring")?;
        ensure!(again["metadata"]["uid"] != ring["metadata"]["uid"], "it is the one that was deleted");
        ensure!(again["binaryData"] == ring["binaryData"], "it is another ring");
        Ok(())
    })
    .await;
    scene.becomes("Degraded", "False", "").await;
    // Another ring in its place is not in force.
    let bytes: ByteString = serde_json::from_value(ring["binaryData"]["ring"].clone()).unwrap();
    let other = Ring::decode(&bytes.0).map(|ring| Ring { nonce: !ring.nonce, ..ring }).unwrap();
    let patch = json!({"binaryData": {"ring": ByteString(other.encode())}}).to_string();
    scene.kubectl(&["patch", "configmap", "counters-ring", "--type", "merge", "--patch", &patch]).unwrap();
    eventually("the ring to be in its place again", 60, async || {
        let again = scene.get("configmap", "counters-ring")?;
        ensure!(again["binaryData"] == ring["binaryData"], "it is another ring");
        Ok(())
    })
    .await;
    // A node that starts anew meanwhile goes on by itself, and has to report before the ring is written.
    scene.kubectl(&["delete", "pod", "counters-0", "--wait=false"]).unwrap();
    scene.kubectl(&["delete", "configmap", "counters-ring"]).unwrap();
    eventually("the ring to be back", 60, async || {
        let again = scene.get("configmap", "counters-ring")?;
        ensure!(again["binaryData"] == ring["binaryData"], "it is another ring");
        ensure!(scene.pod(0)?.ready);
        Ok(())
    })
    .await;
    scene.settled().await;
    for client in &mut scene.clients().await {
        assert_eq!(get(client, "/counter/1", "total").await.unwrap(), 5);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_made_again_has_the_data_of_the_one_before_only_when_it_adopts_its_volumes() {
    let scene = Scene::with_plan("again", &plan("counters", 1)).await;
    let feed = Feed::begin(&scene.addresses());
    feed.goes_on(200).await;
    let sent = feed.end().await;
    deleted(&scene).await;
    let claims = || scene.kubectl(&["get", "pvc", "--output", "jsonpath={.items[*].metadata.uid}"]).unwrap();
    let (before, files) = (claims(), volumes(&scene));
    assert!(before.split_whitespace().count() == 3 && files.len() >= 3, "{before} {files:?}");
    scene.apply(&plan("counters", 1)).unwrap();
    let seen = scene.becomes("Degraded", "True", "VolumesOfAnotherPlan").await;
    for said in ["data-counters-0", "kubectl shoal adopt counters", "kubectl delete pvc"] {
        assert!(seen.message.contains(said), "{seen:?}");
    }
    scene.becomes("Ready", "False", "VolumesOfAnotherPlan").await;
    assert_eq!((claims(), volumes(&scene)), (before.clone(), files), "no data was touched");
    assert!(scene.pods().unwrap().is_empty());
    // What the condition says helps.
    let (code, out, err) = ended(&scene, &["adopt"]);
    assert!(code == 0 && out.contains("data-counters-0, data-counters-1, data-counters-2"), "{out}{err}");
    scene.settled().await;
    assert_eq!(claims(), before);
    nothing_is_missing(&scene.clients().await, &sent).await;
    let (code, _, err) = ended(&scene, &["adopt"]);
    assert!(code == 1 && err.contains("has a ring"), "{code} {err}");
    // And so does the other that it says.
    deleted(&scene).await;
    scene.apply(&plan("counters", 1)).unwrap();
    scene.becomes("Degraded", "True", "VolumesOfAnotherPlan").await;
    scene.kubectl(&["delete", "pvc", "--selector", "shoal.dev/plan=counters"]).unwrap();
    scene.settled().await;
    for client in &mut scene.clients().await {
        assert_eq!(get(client, "/counter/1", "total").await.unwrap(), 0);
    }
}

/// The plan is deleted, and its pods are gone.
async fn deleted(scene: &Scene) {
    scene.kubectl(&["delete", "aplan", "counters"]).unwrap();
    eventually("the pods to go", 60, async || {
        let pods = scene.pods()?;
        ensure!(pods.is_empty(), "{pods:?}");
        Ok(())
    })
    .await;
}

/// Every file of the plan's volumes, as this machine has them: its path, length and time.
fn volumes(scene: &Scene) -> Vec<(String, u64, SystemTime)> {
    let volumes = scene.cluster.kubectl(&["get", "pv", "--output", "json"]).unwrap();
    let volumes: Value = serde_json::from_str(&volumes).unwrap();
    let ours = |volume: &&Value| volume["spec"]["claimRef"]["namespace"] == scene.namespace.as_str();
    let mut files = Vec::new();
    for volume in volumes["items"].as_array().unwrap().iter().filter(ours) {
        list(Path::new(volume["spec"]["hostPath"]["path"].as_str().unwrap()), &mut files);
    }
    files.sort();
    files
}

fn list(folder: &Path, files: &mut Vec<(String, u64, SystemTime)>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let meta = entry.metadata().unwrap();
        if meta.is_dir() {
            list(&entry.path(), files);
        } else {
            files.push((entry.path().display().to_string(), meta.len(), meta.modified().unwrap()));
        }
    }
}

/// Whether one of the cluster's users may do this in the scene's namespace; `resource` may end in `/subresource`.
fn may(scene: &Scene, user: &str, verb: &str, resource: &str) -> bool {
    let user = format!("--as=system:serviceaccount:{user}");
    let (resource, part) = resource.split_once('/').unwrap_or((resource, ""));
    let part = format!("--subresource={part}");
    scene.kubectl(&["auth", "can-i", verb, resource, &part, &user]).is_ok_and(|said| said.trim() == "yes")
}

#[tokio::test(flavor = "multi_thread")]
async fn operator_and_nodes_may_do_no_more_than_they_need() {
    let mut scene = Scene::begin("rights").await;
    let before = scene.cluster.operator_requests().unwrap().len();
    // What happens again is an event that is told again.
    for _ in 0..2 {
        scene
            .change(&plan("counters", 1).replace("size: 1Gi", "size: 1Gi, retention: {whenDeleted: Delete}"));
        scene.settled().await;
        scene.change(&plan("counters", 1).replace("total + event.n", "total + evnt.n"));
        scene.becomes("Accepted", "False", "InvalidPlan").await;
    }
    let operator = format!("{OPERATOR_NAMESPACE}:{OPERATOR}");
    for (verb, resource, allowed) in [
        ("list", "agentplans.shoal.dev", true),
        ("patch", "agentplans.shoal.dev/status", true),
        ("patch", "statefulsets.apps", true),
        ("patch", "agentplans.shoal.dev", false),
        ("delete", "agentplans.shoal.dev", false),
        ("list", "secrets", false),
        ("delete", "pods", false),
        ("delete", "persistentvolumeclaims", false),
        ("create", "pods", false),
        ("create", "deployments.apps", false),
        ("create", "rolebindings.rbac.authorization.k8s.io", false),
        ("list", "nodes", false),
    ] {
        assert_eq!(may(&scene, &operator, verb, resource), allowed, "{verb} {resource}");
    }
    let node = format!("{}:counters-node", scene.namespace);
    for (verb, resource) in
        [("get", "pods"), ("list", "agentplans.shoal.dev"), ("get", "configmaps"), ("get", "secrets")]
    {
        assert!(!may(&scene, &node, verb, resource), "a node may {verb} {resource}");
    }
    let pod = scene.get("pod", "counters-0").unwrap();
    assert_eq!(pod["spec"]["automountServiceAccountToken"], false);
    assert_eq!(
        scene.get("networkpolicy", "counters").unwrap()["spec"]["ingress"][1]["ports"][0]["port"],
        7778
    );
    // Whatever it has asked for, it was allowed to.
    let refused = |one: &Value| one["annotations"]["authorization.k8s.io/decision"] == "forbid";
    let mut asked = scene.cluster.operator_requests().unwrap();
    let refused: Vec<_> = asked[before..].iter().filter(|one| refused(one)).map(told).collect();
    assert!(refused.is_empty(), "{refused:?}");
    // Whatever it is allowed to, it has done, here or for an earlier test.
    asked.retain(|one| matches!(one["responseStatus"]["code"].as_u64(), Some(200..300 | 404)));
    let unused: Vec<_> = [access::PLANS, access::OWN]
        .into_iter()
        .flatten()
        .flat_map(|rule| rule.verbs.iter().map(move |verb| (rule.group, rule.resource, *verb)))
        .filter(|used| !asked.iter().any(|one| is_use(one, used)))
        .collect();
    assert!(unused.is_empty(), "{unused:?}");
}

/// Whether a request needs the right to this verb on this resource of this group.
fn is_use(request: &Value, (group, resource, verb): &(&str, &str, &str)) -> bool {
    let of = &request["objectRef"];
    let text = |name: &str| of[name].as_str().unwrap_or_default();
    let (main, part) = resource.split_once('/').unwrap_or((resource, ""));
    let made = request["verb"] == "patch" && request["responseStatus"]["code"] == 201;
    (text("apiGroup"), text("resource"), text("subresource")) == (group, main, part)
        && (request["verb"] == *verb || *verb == "create" && made)
}

#[tokio::test(flavor = "multi_thread")]
async fn with_namespaces_named_plans_elsewhere_are_left_alone() {
    let mut scene = Scene::begin("named").await;
    let named = format!("namespaces={{{}}}", scene.namespace);
    let elsewhere = Installed::with(scene.cluster, &[&named]);
    scene.change(&plan("counters", 1));
    scene.settled().await;
    let operator = format!("{OPERATOR_NAMESPACE}:{OPERATOR}");
    assert!(may(&scene, &operator, "patch", "statefulsets.apps"));
    let user = format!("--as=system:serviceaccount:{operator}");
    let there = scene.cluster.kubectl(&[
        "auth",
        "can-i",
        "list",
        "agentplans.shoal.dev",
        "--namespace",
        "default",
        &user,
    ]);
    assert!(there.is_err(), "{there:?}");
    drop(elsewhere);
    assert!(may(&scene, &operator, "patch", "statefulsets.apps"));
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_operator_that_acts_is_gone_another_one_takes_over() {
    let mut scene = Scene::with_plan("takeover", &plan("counters", 1)).await;
    let holder = || {
        let lease = ["get", "lease", OPERATOR, "--namespace", OPERATOR_NAMESPACE, "--output"];
        scene.cluster.kubectl(&[&lease[..], &["jsonpath={.spec.holderIdentity}"]].concat())
    };
    let before = eventually("an operator to act", 60, async || {
        let holder = holder()?;
        ensure!(!holder.is_empty());
        Ok(holder)
    })
    .await;
    // Nothing is said to the other one: the Lease has to run out.
    let gone = ["delete", "pod", &before, "--namespace", OPERATOR_NAMESPACE, "--force", "--grace-period=0"];
    scene.cluster.run(&["kill-pod", OPERATOR_NAMESPACE, &before], None).unwrap();
    scene.cluster.kubectl(&gone).unwrap();
    eventually("another operator to act", 60, async || {
        let holder = holder()?;
        ensure!(!holder.is_empty() && holder != before, "{holder}");
        Ok(())
    })
    .await;
    scene.change(&plan("counters", 10));
    scene.settled().await;
    let mut clients = scene.clients().await;
    send(&mut clients[0], "/counter/1", "add", &json!({"id": "a", "n": 1})).await.unwrap();
    assert_eq!(get(&mut clients[1], "/counter/1", "total").await.unwrap(), 10);
}
