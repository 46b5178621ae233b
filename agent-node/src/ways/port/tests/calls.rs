//! Calls as gRPC libraries make them, frame by frame: deadlines, reflection, and what ends on a connection of its own.

use super::lanes::{slot_of, start_with_plan_on};
use super::*;
use bytes::Bytes;
use http_body_util::StreamBody;
use hyper::body::Frame;
use prost::Message as _;

type Outgoing = http_body_util::combinators::UnsyncBoxBody<Bytes, std::convert::Infallible>;

/// One message behind its length, or the beginning of one.
fn framed(message: &[u8], whole: bool) -> Outgoing {
    let mut frame = vec![0];
    frame.extend((message.len() as u32).to_be_bytes());
    frame.extend(message);
    let first = Ok(Frame::data(Bytes::from(frame)));
    if whole {
        StreamBody::new(futures::stream::iter([first])).boxed_unsync()
    } else {
        let rest = futures::stream::pending();
        StreamBody::new(futures::StreamExt::chain(futures::stream::iter([first]), rest)).boxed_unsync()
    }
}

/// How a call ended, with `shoal-outcome`, and for how long it went on.
async fn called(running: &Running, path: &str, time: &str, body: Outgoing) -> (String, bool, Duration) {
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let request = hyper::Request::post(format!("http://{}{path}", running.at))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", time)
        .body(body)
        .unwrap();
    let begun = Instant::now();
    let response = timeout(Duration::from_secs(10), client.request(request)).await.unwrap().unwrap();
    let head = response.headers().clone();
    let rest = timeout(Duration::from_secs(10), response.into_body().collect()).await.unwrap().unwrap();
    let trailers = rest.trailers().cloned().unwrap_or_default();
    let said = |name: &str| {
        head.get(name).or_else(|| trailers.get(name)).map(|value| value.to_str().unwrap().to_owned())
    };
    (said("grpc-status").unwrap_or_default(), said("shoal-outcome").is_some(), begun.elapsed())
}

#[tokio::test]
async fn a_call_ends_when_its_time_is_over_and_says_what_may_have_been_done() {
    // The owner of half of the slots is another node, which is not there: what goes to it waits.
    let (running, ring) = start_with_plan_on(2).await;
    let send = |agent: &str, sequence| {
        let request = v1::SendRequest {
            agent: agent.into(),
            lane: "add".into(),
            body: Bytes::from_static(b"1"),
            client: "me".into(),
            sequence,
        };
        request.encode_to_vec()
    };
    let away = (0..1000)
        .map(|n| format!("/counter/{n}"))
        .find(|agent| ring.owner(slot_of(agent)).ordinal == 1)
        .unwrap();
    let watch = v1::WatchRequest { agent: "/counter/1".into(), lane: "n".into(), from: None, rate: None }
        .encode_to_vec();
    let command = v1::Command {
        id: 1,
        agent: away.clone(),
        lane: "add".into(),
        body: Bytes::from_static(b"1"),
        sequence: 0,
    };
    let commands = v1::SendAllRequest { client: String::new(), commands: vec![command] }.encode_to_vec();
    for (method, body, outcome_unknown) in [
        ("Send", framed(&send(&away, 1), true), true),
        ("Send", framed(&send(&away, 2), false), false),
        ("Watch", framed(&watch, true), false),
        ("Links", framed(&[], false), false),
        ("SendAll", framed(&[], false), false),
        ("SendAll", framed(&commands, false), true),
    ] {
        let path = format!("/shoal.v1.Lanes/{method}");
        let (status, unknown, took) = called(&running, &path, "300m", body).await;
        assert_eq!((status.as_str(), unknown), ("4", outcome_unknown), "{method}");
        assert!(
            took >= Duration::from_millis(300) && took < Duration::from_millis(1500),
            "{method}: {took:?}"
        );
    }
    let (status, ..) = called(&running, "/grpc.health.v1.Health/Watch", "300m", framed(&[], true)).await;
    assert_eq!(status, "4");
    let (status, ..) = called(&running, "/shoal.v1.Lanes/Get", "soon", framed(&[], true)).await;
    assert_eq!(status, "3");
    assert_eq!(running.metrics.port.under_way.get(), 0);
    assert_eq!(running.node.measured().holds, 0);
}

#[tokio::test]
async fn reflection_speaks_both_of_its_versions() {
    use tonic_reflection::pb::{v1, v1alpha};
    let running = start().await;
    let newer = v1::ServerReflectionRequest {
        message_request: Some(v1::server_reflection_request::MessageRequest::ListServices(String::new())),
        ..Default::default()
    };
    let older = v1alpha::ServerReflectionRequest {
        message_request: Some(
            v1alpha::server_reflection_request::MessageRequest::ListServices(String::new()),
        ),
        ..Default::default()
    };
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(running.channel().await);
    let mut answers =
        client.server_reflection_info(futures::stream::iter([newer])).await.unwrap().into_inner();
    let answer = format!("{:?}", answers.message().await.unwrap());
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(running.channel().await);
    let mut answers =
        client.server_reflection_info(futures::stream::iter([older])).await.unwrap().into_inner();
    for answer in [answer, format!("{:?}", answers.message().await.unwrap())] {
        assert!(answer.contains("shoal.v1.Lanes") && answer.contains("grpc.health.v1.Health"), "{answer}");
    }
}
