//! Commands on one `SendAll` stream into one node with one rule: `cargo bench --workspace --bench commands`.
//!
//! With 256 in flight: how many a second. With one in flight: how long until it is acknowledged, beside the bare disk
//! and the same round trip with the log in memory (`/dev/shm`).

use proto::wire::v1::{Command, SendAllRequest, SendAllResponse, lanes_client::LanesClient};
use std::path::Path;
use std::time::{Duration, Instant};
use tests::dev::Dev;
use tests::measure::{Table, beside_the_disk, folder, percentile, whole};
use tests::plans;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Endpoint;

const AGENTS: u64 = 1000;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (rounds, time) = if whole() { (7, Duration::from_secs(3)) } else { (1, Duration::from_millis(300)) };
    let mut table = Table::new();
    for _ in 0..rounds {
        let disk = folder();
        let memory = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
        let on = |folder: &Path, flight| runtime.block_on(run(&node(folder), flight, time));
        let ((many, one), bare) = beside_the_disk(disk.path(), || (on(disk.path(), 256), on(disk.path(), 1)));
        let in_memory = on(memory.path(), 1);
        table.bare(bare);
        table.add("256 in flight: acknowledged", "/s", many.per_second);
        table.add("256 in flight: CPU of the node per command", "us", many.cpu_us);
        table.add("1 in flight: acknowledgement p50", "us", one.p50_us);
        table.add("1 in flight, log in memory: p50", "us", in_memory.p50_us);
        let ratio = one.p50_us / (bare.p50 + in_memory.p50_us);
        table.add("p50 / (bare p50 + p50 with the log in memory)", "", ratio);
    }
    table.print("one node, one rule, one SendAll stream");
}

fn node(folder: &Path) -> Dev {
    let plan = plans::write(folder, plans::COUNTER).expect("a plan");
    let data = tempfile::tempdir_in(folder).expect("a data folder").keep();
    Dev::start(&plan, 1, &data).expect("a node")
}

struct Run {
    per_second: f64,
    p50_us: f64,
    cpu_us: f64,
}

async fn run(dev: &Dev, flight: u64, time: Duration) -> Run {
    let endpoint = Endpoint::from_shared(format!("http://{}", dev.at(0))).expect("an address");
    let endpoint = endpoint.initial_connection_window_size(16 << 20).tcp_nodelay(true);
    let mut client = LanesClient::new(endpoint.connect().await.expect("the node answers"));
    let (commands, sent) = mpsc::channel(16);
    let mut answers = client.send_all(ReceiverStream::new(sent)).await.expect("a stream").into_inner();
    // The first ones pay for what is made once.
    let mut stream = Stream { commands, answers: &mut answers, next: 0 };
    stream.drive(flight, Duration::from_millis(200)).await;
    let (cpu, began, first) = (dev.cpu_us(), Instant::now(), stream.next);
    let mut took = stream.drive(flight, time).await;
    let done = (stream.next - first) as f64;
    Run {
        per_second: done / began.elapsed().as_secs_f64(),
        p50_us: percentile(&mut took, 0.5),
        cpu_us: (dev.cpu_us() - cpu) / done,
    }
}

struct Stream<'a> {
    commands: mpsc::Sender<SendAllRequest>,
    answers: &'a mut Streaming<SendAllResponse>,
    next: u64,
}

impl Stream<'_> {
    /// Keeps so many unanswered, then waits for the rest. How long each answer took, in us, with one in flight.
    async fn drive(&mut self, flight: u64, time: Duration) -> Vec<f64> {
        let (started, mut took, mut unanswered) = (Instant::now(), Vec::new(), 0);
        loop {
            let began = Instant::now();
            if started.elapsed() < time {
                self.send(flight - unanswered).await;
                unanswered = flight;
            }
            if unanswered == 0 {
                return took;
            }
            let answered = self.answers.message().await.expect("an answer").expect("the stream goes on");
            assert!(answered.answers.iter().all(|answer| answer.refusal.is_none()), "{answered:?}");
            unanswered -= answered.answers.len() as u64;
            took.push(began.elapsed().as_secs_f64() * 1e6);
        }
    }

    async fn send(&mut self, count: u64) {
        let command = |id: u64| Command {
            id,
            agent: format!("/counter/{}", id % AGENTS),
            lane: "add".into(),
            body:
                (&b"{\"n\":1,\"note\":\"a body of about a hundred bytes, as commands have it in the field\"}"
                    [..])
                    .into(),
            sequence: 0,
        };
        let commands = (self.next..self.next + count).map(command).collect();
        self.next += count;
        let message = SendAllRequest { client: String::new(), commands };
        self.commands.send(message).await.expect("the stream goes on");
    }
}
