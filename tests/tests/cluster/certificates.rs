//! Certificates are made again and the CA is exchanged while clients send: no pod restarts, and nothing is missing.

use crate::plan;
use anyhow::{Context as _, Result, ensure};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use tests::cluster::{Pod, Scene, eventually};
use tests::lanes::{Feed, nothing_is_missing};

/// Kubelets bring new files within two minutes.
const SPREAD_S: u64 = 240;

/// When the certificate ends that this node uses: those that were made at different times differ.
fn ends(pod: &Pod) -> Result<String> {
    let mut stream = TcpStream::connect((pod.ip.as_str(), 7779))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let line = text.lines().find_map(|line| line.strip_prefix("shoal_peer_certificate_ends_seconds "));
    Ok(line.context("no such metric")?.to_owned())
}

fn all_end(scene: &Scene) -> Result<Vec<String>> {
    scene.pods()?.iter().map(ends).collect()
}

/// What would be another one if a pod had been restarted.
fn lives(scene: &Scene) -> Vec<(String, u64)> {
    scene.pods().unwrap().into_iter().map(|pod| (pod.uid, pod.restarts)).collect()
}

fn member(scene: &Scene, secret: &str, member: &str) -> Result<String> {
    let secret = scene.get("secret", secret)?;
    Ok(secret["data"][member].as_str().unwrap_or_default().to_owned())
}

/// The operator looks at a plan that somebody has touched at once.
fn touch(scene: &Scene, why: &str) {
    scene.kubectl(&["annotate", "--overwrite", "aplan", "counters", &format!("ca={why}")]).unwrap();
}

async fn settles(scene: &Scene) {
    eventually("all nodes to use the newest certificates", SPREAD_S, async || {
        for (kind, status) in [("Reconciling", "False"), ("Degraded", "False"), ("Ready", "True")] {
            let seen = scene.condition(kind)?;
            ensure!(seen.status == status, "{kind}: {seen:?}");
        }
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_made_again_and_a_ca_is_exchanged_while_clients_send() {
    let scene = Scene::with_plan("certificates", &plan("counters", 1)).await;
    let (pods, before) = (lives(&scene), all_end(&scene).unwrap());
    let feed = Feed::begin(&scene.addresses());
    feed.goes_on(200).await;
    // The nodes' Secret is gone.
    scene.kubectl(&["delete", "secret", "counters-certificates"]).unwrap();
    touch(&scene, "certificates-deleted");
    eventually("new certificates on all nodes", SPREAD_S, async || {
        let now = all_end(&scene)?;
        ensure!(now.iter().zip(&before).all(|(now, before)| now != before), "{now:?} after {before:?}");
        Ok(())
    })
    .await;
    settles(&scene).await;
    feed.goes_on(200).await;
    // The CA is exchanged, as operator.md says.
    let (old, before) = (
        member(&scene, "counters-ca", "ca.crt").unwrap(),
        member(&scene, "counters-certificates", "tls.crt"),
    );
    let before = before.unwrap();
    scene.kubectl(&["delete", "secret", "counters-ca"]).unwrap();
    touch(&scene, "exchanged");
    eventually("certificates of the new CA", SPREAD_S, async || {
        ensure!(member(&scene, "counters-ca", "ca.crt")? != old, "it is the old CA");
        ensure!(member(&scene, "counters-certificates", "tls.crt")? != before, "nodes show the old one's");
        Ok(())
    })
    .await;
    settles(&scene).await;
    feed.goes_on(200).await;
    let path = r#"[{"op": "remove", "path": "/data/trusted.crt"}]"#;
    scene.kubectl(&["patch", "secret", "counters-ca", "--type=json", "-p", path]).unwrap();
    touch(&scene, "old-one-out");
    eventually("a bundle of the new CA alone", SPREAD_S, async || {
        let (bundle, own) =
            (member(&scene, "counters-certificates", "ca.crt")?, member(&scene, "counters-ca", "ca.crt")?);
        ensure!(bundle == own, "the old one is trusted");
        Ok(())
    })
    .await;
    settles(&scene).await;
    feed.goes_on(200).await;
    let sent = feed.end().await;
    nothing_is_missing(&scene.clients().await, &sent).await;
    assert_eq!(lives(&scene), pods, "no pod was restarted");
}
