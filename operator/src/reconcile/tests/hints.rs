//! What nodes are told of each other's addresses.

use super::*;

#[tokio::test]
async fn nodes_hear_with_the_next_look_where_a_pod_has_gone() {
    let (scene, mut tasks) = (Scene::new(), tokio::task::JoinSet::new());
    let (nodes, pems) = with_nodes(&scene, &mut tasks, "127.0.12").await;
    let told = |node: usize| nodes[node].hints.lock().unwrap().last().cloned().unwrap_or_default();
    let at = |second: &str| ["127.0.12.1:7778", second, "127.0.12.3:7778"].map(ToOwned::to_owned);
    let (mut memory, _) = scene.look_anew().await;
    assert_eq!([told(0), told(1), told(2)], [0; 3].map(|_| at("127.0.12.2:7778")));
    let pod = scene.api().objects.remove(&pod_path(1)).unwrap();
    memory = scene.look(Look::All, memory).await.0;
    assert_eq!([told(0), told(2)], [at(""), at("")]);
    let moved = nodes::tests::start_node(&mut tasks, "127.0.12.9", &pems, 1).await;
    scene.api().objects.insert(pod_path(1), pod);
    scene.api().objects.get_mut(&pod_path(1)).unwrap()["status"]["podIP"] = "127.0.12.9".into();
    memory = scene.look(Look::All, memory).await.0;
    assert_eq!([told(0), told(2)], [at("127.0.12.9:7778"), at("127.0.12.9:7778")]);
    assert_eq!(moved.hints.lock().unwrap()[..], [at("127.0.12.9:7778")]);
    // At rest nobody is told again.
    let count = || nodes.iter().map(|node| node.hints.lock().unwrap().len()).sum::<usize>();
    let before = count();
    scene.look(Look::Nodes, memory).await;
    assert_eq!(count(), before);
}
