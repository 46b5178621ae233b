//! Port 7778 of a real process: who is let in, who is told why not, and what those cost who do not finish what they
//! begin.

use agent_node::peer::certificates::{now_s, write};
use agent_node::peer::transport::dial;
use anyhow::{Context as _, ensure};
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http_body_util::StreamBody;
use hyper::body::Frame as BodyFrame;
use proto::trust::{self, Authority, Credentials, LIFE_S, Pair, Pems, Role};
use proto::wire::peer::control_client::ControlClient;
use proto::wire::peer::peers_client::PeersClient;
use proto::wire::peer::{ConfigureRequest, Frame, ReportRequest};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tests::cluster::eventually;
use tests::dev::{free_ports, program};
use tonic::transport::Channel;
use tonic::{Code, Status};
use tower::ServiceExt as _;

const UID: &str = "3f0e1c52-9a40-4d0b-8e57-4a1c7a1a6f10";
const ANOTHER: &str = "another-plan";

/// One node of a plan in a process of its own, and the plan's CA.
struct Node {
    child: Child,
    folder: TempDir,
    port: u16,
    authority: Pair,
    /// The certificate of another plan, whose CA is in the node's bundle too: only the names in it keep it out.
    another: Pair,
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn issue(uid: &str, authority: &Pair, role: Role, now_s: u64) -> Pair {
    Authority::load(uid, authority).unwrap().issue(role, now_s).unwrap()
}

impl Node {
    async fn start() -> Node {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::make(UID, now_s()).unwrap();
        let another = Authority::make(ANOTHER, now_s()).unwrap();
        let certificates = folder.path().join("certificates");
        fs::create_dir(&certificates).unwrap();
        let pair = issue(UID, &authority, Role::Node, now_s());
        write(&certificates, &Pems { pair, bundle: authority.certificate.clone() + &another.certificate })
            .unwrap();
        let port = free_ports(3).unwrap();
        let child = Command::new(program("agent-node"))
            .args(["serve", "--plan-uid", UID, "--pod-name", "flights-0", "--data"])
            .arg(folder.path().join("data"))
            .arg("--certificates")
            .arg(&certificates)
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .args(["--peer-listen", &format!("127.0.0.1:{}", port + 1)])
            .args(["--metrics-listen", &format!("127.0.0.1:{}", port + 2)])
            .stderr(File::create(folder.path().join("log")).unwrap())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("agent-node is built");
        let node = Node { child, folder, port, authority, another };
        eventually("the node to answer", 20, async || {
            TcpStream::connect(node.at()).context("nobody there")?;
            Ok(())
        })
        .await;
        node
    }

    fn at(&self) -> String {
        format!("127.0.0.1:{}", self.port + 1)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
    }

    fn metric(&self, name: &str) -> u64 {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port + 2)).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }

    /// With a certificate, or none. It trusts the plan's CA as any TLS client does.
    async fn call(&self, pair: Option<&Pair>) -> Result<Channel, String> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.certificate.as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
        let mut client = match pair {
            None => builder.with_no_client_auth(),
            Some(Pair { certificate, key }) => {
                let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![certificate], key).unwrap()
            }
        };
        client.alpn_protocols = vec![b"h2".to_vec()];
        let name: ServerName<'static> = Role::Node.name(UID).unwrap();
        dial(&self.at(), Arc::new(client), name, |_| ()).await.map_err(|error| trust::told(&error))
    }

    /// Waits until so many handshakes are counted as refused: each is a moment after its end. How many there are then.
    async fn refuses(&self, count: u64) -> u64 {
        let mut refused = 0;
        eventually("refused handshakes to be counted", 10, async || {
            refused = self.metric("shoal_peer_handshakes_refused_total");
            ensure!(refused >= count, "{refused}");
            Ok(())
        })
        .await;
        refused
    }

    async fn as_role(&self, role: Role) -> Channel {
        self.call(Some(&issue(UID, &self.authority, role, now_s()))).await.unwrap()
    }
}

async fn report(channel: Channel) -> Result<(), Status> {
    ControlClient::new(channel).report(ReportRequest::default()).await.map(|_| ())
}

async fn exchange(channel: Channel) -> Status {
    let frames = stream::iter([Frame::default()]).chain(stream::pending());
    PeersClient::new(channel).exchange(frames).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_certificates_of_the_plan_are_let_in_and_each_only_where_its_role_is() {
    let node = Node::start().await;
    let foreign = Authority::make(UID, now_s()).unwrap();
    let ours = |role, now_s| issue(UID, &node.authority, role, now_s);
    let long_ago = now_s() - 2 * LIFE_S;
    for (who, pair, alert) in [
        ("nobody", None, "CertificateRequired"),
        ("a node of another CA", Some(issue(UID, &foreign, Role::Node, now_s())), "UnknownCA"),
        ("an operator of another CA", Some(issue(UID, &foreign, Role::Operator, now_s())), "UnknownCA"),
        ("a node of another plan", Some(issue(ANOTHER, &node.another, Role::Node, now_s())), "AccessDenied"),
        (
            "an operator of another plan",
            Some(issue(ANOTHER, &node.another, Role::Operator, now_s())),
            "AccessDenied",
        ),
        ("an operator that has ended", Some(ours(Role::Operator, long_ago)), "CertificateExpired"),
        ("an operator of the future", Some(ours(Role::Operator, now_s() + LIFE_S)), "CertificateExpired"),
    ] {
        let refused = node.call(pair.as_ref()).await.err();
        let refused = refused.unwrap_or_else(|| panic!("{who} was let in"));
        assert!(refused.contains(alert), "{who}: {refused}");
    }
    assert_eq!(node.refuses(7).await, 7);
    // Their roles open what is theirs, and nothing else.
    report(node.as_role(Role::Operator).await).await.unwrap();
    let refused = report(node.as_role(Role::Node).await).await.unwrap_err();
    assert!(
        refused.code() == Code::PermissionDenied && refused.message().contains("plan's operator"),
        "{refused:?}"
    );
    assert_eq!(exchange(node.as_role(Role::Operator).await).await.code(), Code::PermissionDenied);
    assert_eq!(exchange(node.as_role(Role::Node).await).await.code(), Code::InvalidArgument, "no Hello");
    // A node whose certificate has ended is taken, with a warning.
    let ended = node.call(Some(&ours(Role::Node, long_ago))).await.unwrap();
    assert_eq!(exchange(ended).await.code(), Code::InvalidArgument, "no Hello");
    // One that speaks no TLS.
    let plain = Channel::from_shared(format!("http://{}", node.at())).unwrap().connect_lazy();
    report(plain).await.unwrap_err();
    eventually("the last one is told", 10, async || {
        anyhow::ensure!(node.log().contains("does not speak TLS"));
        Ok(())
    })
    .await;
    let log = node.log();
    for said in [
        "shows no certificate",
        "made by a CA that is not in ca.crt",
        "of another plan, or of another role",
        "the operator's certificate has expired",
        "not valid yet",
        "does not speak TLS",
        "another node's certificate has expired",
    ] {
        assert!(log.contains(said), "{said} is not in {log}");
    }
    assert!(log.matches("not in ca.crt").count() == 1, "each kind is told once a minute: {log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_that_do_not_end_keep_nobody_out_and_are_closed() {
    let node = Node::start().await;
    report(node.as_role(Role::Operator).await).await.unwrap();
    let before = node.memory();
    let began = Instant::now();
    let mut open = Vec::new();
    for n in 0..600 {
        let mut stream = TcpStream::connect(node.at()).unwrap();
        // Silent ones, half a greeting, and a greeting that announces more than it brings.
        let said: &[u8] = [&b""[..], b"\x16\x03\x01", b"\x16\x03\x01\x3f\xff\x01\x00\xff\xff"][n % 3];
        stream.write_all(said).unwrap();
        open.push(stream);
    }
    report(node.as_role(Role::Operator).await).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}: while they are open", began.elapsed());
    let grown = node.memory().saturating_sub(before);
    assert!(grown < 24 << 20, "600 half handshakes hold {grown} bytes");
    for stream in &mut open {
        stream.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
        let mut rest = [0; 64];
        // The end, or a reset, but never silence.
        while let Ok(read @ 1..) = stream.read(&mut rest) {
            assert!(read <= 64);
        }
    }
    assert!(began.elapsed() < Duration::from_secs(8), "{:?} until all were closed", began.elapsed());
    // Those that gave way to others are counted too.
    let refused = node.refuses(600).await;
    assert!(refused >= 600, "{refused}");
    report(node.as_role(Role::Operator).await).await.unwrap();
}

/// The head of a message of 8 MiB, most of it, and then nothing more.
fn half_a_configure() -> hyper::Request<tonic::body::Body> {
    let mut head = vec![0];
    head.extend((8_u32 << 20).to_be_bytes());
    let chunk = Bytes::from(vec![0; 1 << 20]);
    let chunks = std::iter::once(Bytes::from(head)).chain(std::iter::repeat_n(chunk, 7));
    let frames = stream::iter(chunks.map(|chunk| Ok::<_, Status>(BodyFrame::data(chunk))));
    hyper::Request::post("/shoal.peer.v1.Control/Configure")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(tonic::body::Body::new(StreamBody::new(frames.chain(stream::pending()))))
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn half_sent_plans_hold_little_memory_even_with_the_operators_certificate() {
    let node = Node::start().await;
    report(node.as_role(Role::Operator).await).await.unwrap();
    let before = node.memory();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..60 {
        let channel = node.as_role(Role::Operator).await;
        calls.spawn(async move { channel.oneshot(half_a_configure()).await });
    }
    // Whoever reports is not in their way, nor they in its.
    let mut most = 0;
    loop {
        let ended = tokio::time::timeout(Duration::from_millis(50), calls.join_next()).await;
        most = most.max(node.memory().saturating_sub(before));
        report(node.as_role(Role::Operator).await).await.unwrap();
        match ended {
            Err(_) => {}
            Ok(None) => break,
            Ok(Some(ended)) => {
                let response = ended.unwrap().unwrap();
                let code = response.headers().get("grpc-status").and_then(|code| code.to_str().ok());
                assert!(matches!(code, Some("4" | "14")), "{response:?}");
            }
        }
    }
    assert!(most < 64 << 20, "60 half-sent plans hold {most} bytes");
    // And a whole one is judged.
    let mut control = ControlClient::new(node.as_role(Role::Operator).await);
    let refused = control.configure(ConfigureRequest { plan_uid: UID.into(), ..Default::default() }).await;
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_read_again_and_what_left_the_bundle_opens_nothing_any_more() {
    let node = Node::start().await;
    let channel = node.as_role(Role::Operator).await;
    report(channel.clone()).await.unwrap();
    let new = Authority::make(UID, now_s()).unwrap();
    let certificates = node.folder.path().join("certificates");
    let give = |bundle: String, from: &Pair| {
        let pems = Pems { pair: issue(UID, from, Role::Node, now_s()), bundle };
        Credentials::load(UID, Role::Node, &pems).unwrap();
        write(&certificates, &pems).unwrap();
    };
    let operator = issue(UID, &new, Role::Operator, now_s());
    assert!(node.call(Some(&operator)).await.unwrap_err().contains("UnknownCA"));
    // Both are trusted; the node still shows what the old one has made.
    give(new.certificate.clone() + &node.authority.certificate, &node.authority);
    eventually("the bundle to be read", 20, async || {
        let channel = node.call(Some(&operator)).await.map_err(anyhow::Error::msg)?;
        report(channel).await?;
        Ok(())
    })
    .await;
    // The old one goes: a connection that was made with it ends, and no new one comes about.
    let old = node.as_role(Role::Operator).await;
    report(old.clone()).await.unwrap();
    give(new.certificate.clone(), &new);
    eventually("the old CA to be out", 20, async || {
        ensure!(report(old.clone()).await.is_err(), "it is still let in");
        Ok(())
    })
    .await;
    assert!(node.log().contains("new certificates are in force"), "{}", node.log());
}
