//! What rules say to a command, by every way in and through a node that is not the owner: it comes again to who sends the
//! command again, whichever node is killed in between, or it is said to be gone.

use anyhow::{Context as _, Result};
use proto::wire::v1::{Answer, Command, SendAllRequest, SendRequest};
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;
use tests::cluster::{client, eventually};
use tests::serve::Nodes;
use tonic::{Code, Status};

/// Tickets that end, of which each has a number.
const TICKETS: &str = r#"
apiVersion: shoal.dev/v1alpha1
kind: AgentPlan
metadata: {name: tickets}
spec:
  agents:
  - route: /counter/:id
    lanes:
    - {name: take, type: Command}
    - {name: fill, type: Command}
    - {name: taken, type: Value, initial: 0}
    - {name: holders, type: Map}
    rules:
    - command: take
      do:
      - refuse: {with: "'only 9 are left'", code: 409, when: taken + size(event.who) > 9}
      - refuse: {with: "'not on ' + event.day", code: 429, when: has(event.day)}
      - put: {lane: holders, each: event.who, key: item, to: taken + 1}
      - set: {lane: taken, each: event.who, to: taken + 1}
      - answer: "{'from': taken - size(event.who) + 1, 'to': taken}"
    - command: fill
      do:
      - answer: event
"#;

/// What one way in says: the version with what was answered, or the code, and whether a rule has refused it.
#[derive(Debug, Clone, PartialEq)]
enum Said {
    Done(u64, Value),
    Gone(u64),
    Refused(u64, bool),
}

#[derive(Debug, Clone, Copy)]
enum Way {
    Http,
    Send,
    SendAll,
}

const WAYS: [Way; 3] = [Way::Http, Way::Send, Way::SendAll];

impl Way {
    async fn take(self, at: &str, agent: &str, body: &Value, key: (&str, u64)) -> Result<Said> {
        match self {
            Way::Http => http(at, agent, body, key),
            Way::Send => grpc(at, agent, body, key).await,
            Way::SendAll => {
                let command = Command {
                    id: 7,
                    agent: agent.into(),
                    lane: "take".into(),
                    body: body.to_string().into(),
                    sequence: key.1,
                };
                let mut answers = send_all(at, key.0, vec![command]).await?;
                let Answer { version, refusal, answer, answer_gone, .. } =
                    answers.pop().context("an answer")?;
                match refusal {
                    Some(refusal) => Ok(Said::Refused(refusal.code.into(), refusal.by_rule)),
                    None => done(version, &answer, answer_gone),
                }
            }
        }
    }
}

fn done(version: u64, answer: &[u8], gone: bool) -> Result<Said> {
    if gone { Ok(Said::Gone(version)) } else { Ok(Said::Done(version, serde_json::from_slice(answer)?)) }
}

fn http(at: &str, agent: &str, body: &Value, (client, sequence): (&str, u64)) -> Result<Said> {
    let mut stream = TcpStream::connect(at)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let body = body.to_string();
    write!(
        stream,
        "POST {agent}?lane=take HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nshoal-client: {client}\r\nshoal-sequence: {sequence}\r\n\r\n{body}",
        body.len()
    )?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").context("it is no answer")?;
    let code: u64 = head.split(' ').nth(1).context("there is no status code")?.parse()?;
    let body: Value = serde_json::from_str(body)?;
    let version = body["version"].as_u64().unwrap_or_default();
    match code {
        200 if body["answerGone"] == true => Ok(Said::Gone(version)),
        200 => Ok(Said::Done(version, body["answer"].clone())),
        503 => anyhow::bail!("not now"),
        code => Ok(Said::Refused(code, body["refusedBy"] == "rule")),
    }
}

async fn grpc(at: &str, agent: &str, body: &Value, (name, sequence): (&str, u64)) -> Result<Said> {
    let request = SendRequest {
        agent: agent.into(),
        lane: "take".into(),
        body: body.to_string().into(),
        client: name.into(),
        sequence,
    };
    match client(at).await?.send(request).await {
        Ok(response) => {
            let response = response.into_inner();
            done(response.version, &response.answer, response.answer_gone)
        }
        Err(status) if status.code() == Code::Unavailable => Err(status.into()),
        Err(status) => {
            let by_rule = status.metadata().get("shoal-refused-by").is_some_and(|by| by == "rule");
            assert_eq!(status.code() == Code::Aborted, by_rule && code(&status) == 409, "{status}");
            Ok(Said::Refused(code(&status), by_rule))
        }
    }
}

fn code(status: &Status) -> u64 {
    let code = status.metadata().get("shoal-code").and_then(|code| code.to_str().ok());
    code.and_then(|code| code.parse().ok()).unwrap_or_default()
}

async fn send_all(at: &str, name: &str, commands: Vec<Command>) -> Result<Vec<Answer>> {
    let messages: Vec<_> = commands
        .chunks(500)
        .map(|some| SendAllRequest { client: name.into(), commands: some.to_vec() })
        .collect();
    let mut answers = client(at).await?.send_all(futures::stream::iter(messages)).await?.into_inner();
    let mut all = Vec::new();
    while let Some(message) = answers.message().await? {
        all.extend(message.answers);
    }
    Ok(all)
}

async fn kill_and_begin(nodes: &mut Nodes, node: usize) {
    nodes.kill(node);
    nodes.begin(node).unwrap();
    nodes.serves(node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_comes_again_by_every_way_whichever_node_is_killed_in_between() {
    let data = tempfile::tempdir().unwrap();
    let mut nodes = Nodes::start(TICKETS, 2, data.path()).await.unwrap();
    let agent = nodes.agents_of(0).remove(0);
    let ask = async |nodes: &Nodes, node: usize, way: Way, body: &Value, sequence: u64| {
        let at = nodes.at(node);
        eventually("an answer", 20, async || way.take(&at, &agent, body, ("me", sequence)).await).await
    };
    let bodies = [json!({"who": ["ann", "bob"]}), json!({"who": ["eve"]}), json!({"who": ["joe", "kim"]})];
    let mut said = Vec::new();
    for ((body, way), sequence) in bodies.iter().zip(WAYS).zip(1..) {
        // Node 1 passes it on.
        said.push(ask(&nodes, 1, way, body, sequence).await);
    }
    let answers: Vec<_> = said
        .iter()
        .map(|said| if let Said::Done(_, answer) = said { answer.clone() } else { json!(null) })
        .collect();
    assert_eq!(
        answers,
        [json!({"from": 1, "to": 2}), json!({"from": 3, "to": 3}), json!({"from": 4, "to": 5})]
    );
    for killed in [0, 1] {
        kill_and_begin(&mut nodes, killed).await;
        for (place, body) in bodies.iter().enumerate() {
            for way in WAYS {
                for node in [0, 1] {
                    let again = ask(&nodes, node, way, body, place as u64 + 1).await;
                    assert_eq!(again, said[place], "{way:?} at node {node}, after node {killed} was killed");
                }
            }
        }
    }
    // Refused by the rule, and not said to be done before, however it is asked.
    for ((way, node), sequence) in WAYS.into_iter().flat_map(|way| [(way, 0), (way, 1)]).zip(10..) {
        let five = json!({"who": ["1", "2", "3", "4", "5"]});
        assert_eq!(
            ask(&nodes, node, way, &five, sequence).await,
            Said::Refused(409, true),
            "{way:?} at {node}"
        );
        let later = json!({"who": [], "day": "Sunday"});
        assert_eq!(
            ask(&nodes, node, way, &later, sequence).await,
            Said::Refused(429, true),
            "{way:?} at {node}"
        );
    }
    let wrong = ask(&nodes, 1, Way::Send, &json!({"who": 1}), 20).await;
    assert_eq!(wrong, Said::Refused(422, false), "that is no refusal of an author");
    kill_and_begin(&mut nodes, 0).await;
    let one = json!({"who": ["zoe"]});
    let Said::Done(_, answer) = ask(&nodes, 1, Way::Http, &one, 10).await else {
        panic!("it was refused only")
    };
    assert_eq!(answer, json!({"from": 6, "to": 6}));
}

/// Three clients have the node keep more than it keeps of answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_had_to_give_way_is_said_to_be_gone_after_a_kill_too() {
    let data = tempfile::tempdir().unwrap();
    let mut nodes = Nodes::start(TICKETS, 2, data.path()).await.unwrap();
    let agents = nodes.agents_of(0);
    let at = nodes.at(1);
    let one = json!({"who": ["ann"]});
    let Said::Done(version, answer) = Way::Http.take(&at, &agents[0], &one, ("me", 1)).await.unwrap() else {
        panic!("it is done")
    };
    let body = json!("x".repeat(1_022)).to_string();
    let commands: Vec<_> = (1..=15_000)
        .map(|n| Command {
            id: n,
            agent: agents[n as usize % agents.len()].clone(),
            lane: "fill".into(),
            body: body.clone().into(),
            sequence: n,
        })
        .collect();
    for name in ["a", "b", "c"] {
        let answers = send_all(&at, name, commands.clone()).await.unwrap();
        assert!(
            answers.len() == commands.len() && answers.iter().all(|answer| answer.answer == body.as_bytes())
        );
    }
    for killed in [false, true] {
        if killed {
            kill_and_begin(&mut nodes, 0).await;
        }
        for way in WAYS {
            let again =
                eventually("an answer", 20, async || way.take(&at, &agents[0], &one, ("me", 1)).await).await;
            // Which answers a start has room for again need not be those that it had room for before.
            let is_first = killed && again == Said::Done(version, answer.clone());
            assert!(is_first || again == Said::Gone(version), "{way:?}: {again:?}");
        }
        let last = send_all(&at, "c", vec![commands.last().unwrap().clone()]).await;
        assert_eq!(last.unwrap()[0].answer, body.as_bytes());
    }
}
