//! What a node counts, and port 7779, where `/metrics`, `/livez` and `/readyz` are read.
//!
//! Metrics are fields, so that each is registered once and a misspelt one does not compile. No label ever carries an
//! agent's or a client's name.

mod timers;

use crate::{
    connections::{self, Counted, Port, RequestBody},
    done::End,
    lock::lock,
    log::Progress,
    logging,
    node::{LogMeasured, Measured, Node, SnapshotsMeasured, Status},
    refusal::Fate,
    shard::RouteCounts,
    ways::{latency::Latency, site},
};
use axum::body::Body;
use hyper::{Method, Request, Response, StatusCode, header};
use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge, info::Info},
    registry::{Metric, Registry},
};
use std::sync::{
    Arc, Mutex, OnceLock,
    atomic::{AtomicU64, Ordering::Relaxed},
};
use timers::TimerGauges;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

type Label = [(&'static str, &'static str); 1];

/// Everything that a node counts. Clones of a field count into the same number.
pub struct Metrics {
    /// Clients' commands and changes, counted by the public port.
    pub commands: Outcomes,
    /// Clients' `GET`s, counted by the public port.
    pub reads: Counter,
    /// How long both took.
    pub latency: Latencies,
    /// What the public port counts of its connections.
    pub port: Counted,
    state: NodeGauges,
    routes: Routes,
    registry: Registry,
    /// One is written after the other.
    writing: Mutex<()>,
}

/// How long commands and reads took on each way in, from when all of one had come until its answer was there.
pub struct Latencies {
    pub http: Latency,
    /// gRPC `Send`.
    pub unary: Latency,
    /// gRPC `SendAll`.
    pub stream: Latency,
    pub http_read: Latency,
    pub grpc_read: Latency,
}

impl Latencies {
    fn register(registry: &mut Registry) -> Self {
        let family = Family::<Label, Latency>::default();
        let text = "Time from when all of a client's command had come until it was answered";
        registry.register("command_seconds", text, family.clone());
        let way = |name| family.get_or_create(&[("way", name)]).clone();
        let reads = Family::<Label, Latency>::default();
        let text = "Time from when a client had asked for a state until it was found";
        registry.register("read_seconds", text, reads.clone());
        let read = |name| reads.get_or_create(&[("way", name)]).clone();
        Self {
            http: way("http"),
            unary: way("grpc_unary"),
            stream: way("grpc_stream"),
            http_read: read("http"),
            grpc_read: read("grpc"),
        }
    }
}

/// What the shards count for each route of the plan: there are no more labels than routes.
struct Routes {
    commands: Family<[(&'static str, String); 2], Counter>,
    messages: Family<[(&'static str, String); 1], Counter>,
}

impl Routes {
    fn register(registry: &mut Registry) -> Self {
        let routes = Self { commands: Family::default(), messages: Family::default() };
        let text =
            "Commands and changes from clients to agents in this node's slots, by route and how they ended";
        registry.register("route_commands", text, routes.commands.clone());
        let text = "Messages of agents that took effect in this node's slots, by the receiver's route";
        registry.register("route_messages", text, routes.messages.clone());
        routes
    }

    /// Those that a plan has no more are gone.
    fn set(&self, routes: &[RouteCounts]) {
        self.commands.clear();
        self.messages.clear();
        for RouteCounts { route, done, refused, declined, messages } in routes {
            let route = || ("route", route.to_string());
            for (outcome, count) in [("done", done), ("refused", refused), ("declined", declined)] {
                let counter = self.commands.get_or_create_owned(&[route(), ("outcome", outcome.to_owned())]);
                counter.inner().store(*count, Relaxed);
            }
            self.messages.get_or_create_owned(&[route()]).inner().store(*messages, Relaxed);
        }
    }
}

/// How commands ended, one counter for each end.
pub struct Outcomes {
    pub done: Counter,
    /// 409: a command with its number was executed before.
    pub repeated: Counter,
    /// 4xx but 429, and no `repeated`: sending it again changes nothing.
    pub refused: Counter,
    /// 409, 422 or 429, by the step `refuse` of a rule.
    pub declined: Counter,
    /// 429.
    pub full: Counter,
    /// 503: not done.
    pub unavailable: Counter,
    /// 503: perhaps done.
    pub unknown: Counter,
}

/// What is held for clients and for whoever reads the log.
struct HeldGauges {
    read_bytes: Gauge,
    request_bytes: Gauge,
    unread_bytes: Gauge,
    lines_dropped: Counter,
}

impl HeldGauges {
    fn register(registry: &mut Registry) -> Self {
        Self {
            read_bytes: gauge(
                registry,
                "read_bytes",
                "Memory that answers to reads hold until they are taken",
            ),
            request_bytes: gauge(
                registry,
                "request_bytes",
                "Bytes of clients' requests and messages that have begun to come and are not whole",
            ),
            unread_bytes: gauge(
                registry,
                "unread_bytes",
                "Bytes of answers and events on HTTP/2 that were made and are not taken",
            ),
            lines_dropped: counter(
                registry,
                "lines_dropped",
                "Lines that this program wanted to log and that nobody took",
            ),
        }
    }

    fn set(&self, read_bytes: u64) {
        self.read_bytes.set(read_bytes as i64);
        self.request_bytes.set(connections::request_bytes() as i64);
        self.unread_bytes.set(connections::unread_bytes() as i64);
        self.lines_dropped.inner().store(logging::dropped(), Relaxed);
    }
}

/// Taken from the node's status when it is asked for.
struct NodeGauges {
    incarnation: Gauge,
    plan_generation: Gauge,
    ring_revision: Gauge,
    ring_nodes: Gauge,
    slots_owned: Gauge,
    slots_serving: Gauge,
    agents: Gauge,
    links: Gauge,
    held: HeldGauges,
    peers_connected: Gauge,
    ready: Gauge,
    messages: Counter,
    faults: Counter,
    outbox: Gauge,
    client_names: Gauge,
    client_names_bytes: Gauge,
    node_names_bytes: Gauge,
    forwards: Gauge,
    holds: Gauge,
    timers: TimerGauges,
    updates: Counter,
    peer_handshakes_refused: Counter,
    peer_certificate_ends_seconds: Gauge,
    log: LogGauges,
}

/// What the log has done and may still take.
struct LogGauges {
    records: Counter,
    bytes: Counter,
    syncs: Counter,
    sync_seconds: Counter<f64, AtomicU64>,
    free_bytes: Gauge,
    full: Gauge,
    disk_free_bytes: Gauge,
    disk_size_bytes: Gauge,
    held_bytes: Gauge,
    snapshots: SnapshotGauges,
}

/// What snapshots have been taken, and what they take of the disk.
struct SnapshotGauges {
    taken: Counter,
    bytes: Counter,
    failed: Counter,
    failing: Gauge,
    faults: Counter,
    held_bytes: Gauge,
    whole_bytes: Gauge,
    age_seconds: Gauge,
}

impl Outcomes {
    fn register(registry: &mut Registry) -> Self {
        let family = Family::<Label, Counter>::default();
        registry.register("commands", "Commands and changes from clients, by how they ended", family.clone());
        let outcome = |name| family.get_or_create(&[("outcome", name)]).clone();
        Self {
            done: outcome("done"),
            repeated: outcome("repeated"),
            refused: outcome("refused"),
            declined: outcome("declined"),
            full: outcome("full"),
            unavailable: outcome("unavailable"),
            unknown: outcome("unknown"),
        }
    }

    pub fn count(&self, end: &End) {
        match end {
            Ok(_) => &self.done,
            Err(refusal) if refusal.outcome_unknown => &self.unknown,
            Err(refusal) if refusal.by_rule => &self.declined,
            Err(refusal) if refusal.is_of_repeat() => &self.repeated,
            Err(refusal) if refusal.code == 429 => &self.full,
            Err(refusal) if refusal.fate() == Fate::Final => &self.refused,
            Err(_) => &self.unavailable,
        }
        .inc();
    }
}

impl LogGauges {
    fn register(registry: &mut Registry) -> Self {
        Self {
            records: counter(registry, "log_records", "Records written to the log since the start"),
            bytes: counter(registry, "log_bytes", "Bytes given to the disk for the log since the start"),
            syncs: counter(registry, "log_syncs", "How often the log was brought to the disk"),
            sync_seconds: counter(registry, "log_sync_seconds", "Time that this took"),
            free_bytes: gauge(registry, "log_free_bytes", "What commands may still take of the log's room"),
            full: gauge(registry, "log_full", "1 while the disk has no room for more"),
            disk_free_bytes: gauge(
                registry,
                "disk_free_bytes",
                "What is free of the disk of the data folder",
            ),
            disk_size_bytes: gauge(registry, "disk_size_bytes", "The size of the disk of the data folder"),
            held_bytes: gauge(registry, "log_held_bytes", "Bytes of all files of the log"),
            snapshots: SnapshotGauges::register(registry),
        }
    }

    fn set(&self, log: &LogMeasured) {
        let LogMeasured {
            records,
            bytes,
            syncs,
            sync_time,
            free_bytes,
            full,
            disk_free_bytes,
            disk_size_bytes,
            held_bytes,
            snapshots,
        } = log;
        self.records.inner().store(*records, Relaxed);
        self.bytes.inner().store(*bytes, Relaxed);
        self.syncs.inner().store(*syncs, Relaxed);
        self.sync_seconds.inner().store(sync_time.as_secs_f64().to_bits(), Relaxed);
        self.free_bytes.set(*free_bytes as i64);
        self.full.set((*full).into());
        self.disk_free_bytes.set(*disk_free_bytes as i64);
        self.disk_size_bytes.set(*disk_size_bytes as i64);
        self.held_bytes.set(*held_bytes as i64);
        self.snapshots.set(snapshots);
    }
}

impl SnapshotGauges {
    fn register(registry: &mut Registry) -> Self {
        Self {
            taken: counter(registry, "snapshots", "Snapshots of slots taken since the start"),
            bytes: counter(registry, "snapshot_bytes", "Bytes given to the disk for them"),
            failed: counter(registry, "snapshot_failures", "How often they could not be taken"),
            failing: gauge(
                registry,
                "snapshots_failing",
                "1 while they can't be taken, on a full disk mostly",
            ),
            faults: counter(registry, "snapshot_faults", "Broken places found in files of snapshots"),
            held_bytes: gauge(registry, "snapshots_held_bytes", "Bytes of all files of snapshots"),
            whole_bytes: gauge(registry, "snapshots_whole_bytes", "Bytes of one snapshot of each slot"),
            age_seconds: gauge(registry, "snapshots_age_seconds", "Since snapshots were taken last"),
        }
    }

    fn set(&self, measured: &SnapshotsMeasured) {
        let SnapshotsMeasured { taken, bytes, failed, failing, faults, held_bytes, whole_bytes, age } =
            measured;
        self.taken.inner().store(*taken, Relaxed);
        self.bytes.inner().store(*bytes, Relaxed);
        self.failed.inner().store(*failed, Relaxed);
        self.failing.set((*failing).into());
        self.faults.inner().store(*faults, Relaxed);
        self.held_bytes.set(*held_bytes as i64);
        self.whole_bytes.set(*whole_bytes as i64);
        self.age_seconds.set(age.as_secs() as i64);
    }
}

impl NodeGauges {
    fn register(registry: &mut Registry) -> Self {
        Self {
            incarnation: gauge(registry, "incarnation", "How often this node's store has been started"),
            plan_generation: gauge(registry, "plan_generation", "The plan that this node runs"),
            ring_revision: gauge(registry, "ring_revision", "The ring that this node has durably"),
            ring_nodes: gauge(registry, "ring_nodes", "Nodes that this ring names, this one among them"),
            slots_owned: gauge(registry, "slots_owned", "Slots that the ring gives to this node"),
            slots_serving: gauge(registry, "slots_serving", "Slots that this node owns and serves"),
            agents: gauge(registry, "agents", "Agents in this node's slots"),
            links: gauge(registry, "links", "Links that clients have open on this node"),
            held: HeldGauges::register(registry),
            peers_connected: gauge(registry, "peers_connected", "Other nodes that this node reaches"),
            ready: gauge(registry, "ready", "1 when /readyz says so"),
            messages: counter(
                registry,
                "messages",
                "Messages of agents that took effect in this node's slots",
            ),
            faults: counter(registry, "faults", "Messages of agents that this node's slots refused"),
            outbox: gauge(
                registry,
                "outbox",
                "Messages of agents in this node's slots that wait for their receivers",
            ),
            client_names: gauge(
                registry,
                "client_names",
                "Names of clients that this node's slots remember, each counted once a slot",
            ),
            client_names_bytes: gauge(
                registry,
                "client_names_bytes",
                "Memory that they take, of the room for them",
            ),
            node_names_bytes: gauge(
                registry,
                "node_names_bytes",
                "Memory that the names of nodes which pass commands on take",
            ),
            forwards: gauge(
                registry,
                "forwards",
                "Commands of clients that were passed on to other nodes and are not answered",
            ),
            holds: gauge(
                registry,
                "holds",
                "Slots in which a stream of commands was refused and is held back",
            ),
            timers: TimerGauges::register(registry),
            updates: counter(registry, "updates", "Events given to clients' watches"),
            peer_handshakes_refused: counter(
                registry,
                "peer_handshakes_refused",
                "Connections to the port for peers whose handshake came to nothing",
            ),
            peer_certificate_ends_seconds: gauge(
                registry,
                "peer_certificate_ends_seconds",
                "When this node's certificate ends, in seconds since 1970",
            ),
            log: LogGauges::register(registry),
        }
    }

    fn set(&self, status: &Status, measured: &Measured, ready: bool) {
        let reached =
            status.nodes.iter().filter(|node| node.reached && node.ordinal != status.report.ordinal).count();
        self.incarnation.set(status.report.incarnation as i64);
        self.ring_nodes.set(status.nodes.len() as i64);
        self.plan_generation.set(status.report.generation as i64);
        self.ring_revision.set(status.report.revision as i64);
        self.slots_owned.set(status.report.slots_owned.into());
        self.slots_serving.set(status.report.slots_serving.into());
        self.agents.set(status.agents as i64);
        self.links.set(status.links as i64);
        self.peers_connected.set(reached as i64);
        self.ready.set(ready.into());
        let Measured { messages, faults, outbox, client_names, node_names, forwards, holds, .. } = measured;
        let Measured { delivered, read_bytes, handshakes_refused, certificate_ends_s, log, .. } = measured;
        self.peer_handshakes_refused.inner().store(*handshakes_refused, Relaxed);
        self.peer_certificate_ends_seconds.set(*certificate_ends_s as i64);
        self.messages.inner().store(*messages, Relaxed);
        self.faults.inner().store(*faults, Relaxed);
        self.outbox.set(*outbox as i64);
        self.held.set(*read_bytes);
        self.client_names.set(client_names.names as i64);
        self.client_names_bytes.set(client_names.bytes as i64);
        self.node_names_bytes.set(node_names.bytes as i64);
        self.forwards.set(*forwards as i64);
        self.holds.set(*holds as i64);
        self.timers.set(&measured.timers);
        self.updates.inner().store(*delivered, Relaxed);
        self.log.set(log);
    }
}

fn gauge(registry: &mut Registry, name: &str, text: &str) -> Gauge {
    let gauge = Gauge::default();
    registry.register(name, text, gauge.clone());
    gauge
}

fn port(registry: &mut Registry) -> Counted {
    Counted {
        open: gauge(registry, "connections", "Open connections of the public port"),
        refused: counter(
            registry,
            "connections_refused",
            "Connections for which the public port had no room",
        ),
        under_way: gauge(registry, "calls", "Requests and streams of clients that have not ended"),
        slow: counter(
            registry,
            "slow_clients",
            "Connections closed and streams reset because their clients took too little of what was due",
        ),
    }
}

fn counter<N, A>(registry: &mut Registry, name: &str, text: &str) -> Counter<N, A>
where
    Counter<N, A>: Clone + Default + Metric,
{
    let counter = Counter::default();
    registry.register(name, text, counter.clone());
    counter
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("shoal");
        registry.register("build", "The program", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        Self {
            commands: Outcomes::register(&mut registry),
            latency: Latencies::register(&mut registry),
            routes: Routes::register(&mut registry),
            reads: counter(&mut registry, "reads", "States that clients asked for"),
            port: port(&mut registry),
            state: NodeGauges::register(&mut registry),
            registry,
            writing: Mutex::default(),
        }
    }
}

impl Metrics {
    /// In the text format that Prometheus reads.
    pub fn text(&self, status: &Status, measured: &Measured, ready: bool) -> String {
        let _one = lock(&self.writing);
        self.state.set(status, measured, ready);
        self.routes.set(&measured.routes);
        let mut text = String::new();
        // Writing to a text cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// What the port speaks of: a node, as soon as it has read its log.
#[derive(Default)]
pub struct Subject {
    node: OnceLock<Node>,
    pub reading: Arc<Progress>,
}

impl Subject {
    pub fn has_begun(&self, node: Node) {
        let _ = self.node.set(node);
    }

    fn ready(&self) -> Result<(), String> {
        self.node.get().ok_or_else(|| self.reading.to_string())?.ready()
    }
}

/// Serves the metrics port until `stop`.
pub async fn serve(
    listener: TcpListener,
    subject: Arc<Subject>,
    metrics: Arc<Metrics>,
    hosts: site::Hosts,
    stop: CancellationToken,
) {
    let answer = move |request: Request<RequestBody>| {
        let (subject, metrics) = (subject.clone(), metrics.clone());
        async move {
            match site::admit(hosts, request.uri(), request.headers(), |_| false) {
                Ok(_) => answer(&subject, &metrics, request.method(), request.uri().path()),
                Err(refusal) => {
                    let code = StatusCode::from_u16(refusal.code).unwrap_or(StatusCode::FORBIDDEN);
                    plain(code, TEXT, format!("{refusal}\n"))
                }
            }
        }
    };
    connections::accept(listener, Port::Metrics, Counted::default(), stop, CancellationToken::new, answer)
        .await;
}

const TEXT: &str = "text/plain; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

fn answer(subject: &Subject, metrics: &Metrics, method: &Method, path: &str) -> Response<Body> {
    if method != Method::GET && method != Method::HEAD {
        return plain(StatusCode::METHOD_NOT_ALLOWED, TEXT, "GET only\n".into());
    }
    match (path, subject.ready()) {
        ("/metrics", ready) => {
            let (status, measured) =
                subject.node.get().map_or_else(Default::default, |node| (node.status(), node.measured()));
            plain(StatusCode::OK, OPEN_METRICS, metrics.text(&status, &measured, ready.is_ok()))
        }
        ("/livez", _) | ("/readyz", Ok(())) => plain(StatusCode::OK, TEXT, "ok\n".into()),
        ("/readyz", Err(why)) => plain(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{why}\n")),
        _ => plain(StatusCode::NOT_FOUND, TEXT, "/metrics, /livez, /readyz\n".into()),
    }
}

fn plain(code: StatusCode, kind: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::done::Done;
    use crate::node::{NodeStatus, Report};
    use crate::refusal::Refusal;
    use std::collections::BTreeSet;
    use std::time::Duration;

    #[test]
    fn every_end_of_a_command_has_its_counter() {
        let metrics = Metrics::default();
        for end in [
            Ok(Done::plain(1)),
            Err(Refusal::bad("no", "")),
            Err(Refusal::new(422, "no", "")),
            Err(Refusal::new(409, "executed before", "sequence")),
            Err(Refusal::full("later", "")),
            Err(Refusal::by_rule(409, "no", "spec")),
            Err(Refusal::by_rule(422, "no", "spec")),
            Err(Refusal::by_rule(429, "no", "spec")),
            Err(Refusal::unavailable("starting", "")),
            Err(Refusal::unknown("lost", "")),
        ] {
            metrics.commands.count(&end);
        }
        let text = metrics.text(&Status::default(), &Measured::default(), false);
        for line in [
            r#"shoal_commands_total{outcome="done"} 1"#,
            r#"shoal_commands_total{outcome="refused"} 2"#,
            r#"shoal_commands_total{outcome="repeated"} 1"#,
            r#"shoal_commands_total{outcome="declined"} 3"#,
            r#"shoal_commands_total{outcome="full"} 1"#,
            r#"shoal_commands_total{outcome="unavailable"} 1"#,
            r#"shoal_commands_total{outcome="unknown"} 1"#,
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    /// Names of metrics in backquotes, without labels.
    fn names_in(text: &str) -> BTreeSet<&str> {
        let quoted = text.split('`').skip(1).step_by(2).filter(|name| name.starts_with("shoal_"));
        quoted.map(|name| name.split('{').next().unwrap_or(name)).collect()
    }

    #[test]
    fn the_document_explains_every_metric_and_no_other() {
        let document = include_str!("../../docs/api.md");
        let metrics = Metrics::default();
        let routes = vec![RouteCounts { route: "/a".into(), ..RouteCounts::default() }];
        let text = metrics.text(&Status::default(), &Measured { routes, ..Measured::default() }, true);
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        let names: BTreeSet<String> = types
            .map(|(name, kind)| match kind {
                "counter" => format!("{name}_total"),
                "info" => format!("{name}_info"),
                _ => name.to_owned(),
            })
            .collect();
        assert_eq!(names.iter().map(String::as_str).collect::<BTreeSet<_>>(), names_in(document));
    }

    #[test]
    fn each_way_in_has_a_histogram_and_each_route_its_counters() {
        let metrics = Metrics::default();
        metrics.latency.http.observe(100);
        metrics.latency.stream.observe(20_000_000);
        metrics.latency.grpc_read.observe(70);
        let route = |route: &str, done, refused, messages| RouteCounts {
            route: route.into(),
            done,
            refused,
            declined: refused + 1,
            messages,
        };
        let text =
            |routes| metrics.text(&Status::default(), &Measured { routes, ..Measured::default() }, true);
        let before = text(vec![route("/a/:id", 1, 2, 3), route("/b", 4, 0, 0)]);
        for line in [
            r#"shoal_command_seconds_bucket{le="0.000128",way="http"} 1"#,
            r#"shoal_command_seconds_bucket{le="16.777216",way="grpc_stream"} 0"#,
            r#"shoal_command_seconds_bucket{le="+Inf",way="grpc_stream"} 1"#,
            r#"shoal_command_seconds_count{way="grpc_unary"} 0"#,
            r#"shoal_command_seconds_sum{way="http"} 0.0001"#,
            r#"shoal_read_seconds_count{way="http"} 0"#,
            r#"shoal_read_seconds_bucket{le="0.000128",way="grpc"} 1"#,
            r#"shoal_route_commands_total{route="/a/:id",outcome="done"} 1"#,
            r#"shoal_route_commands_total{route="/a/:id",outcome="refused"} 2"#,
            r#"shoal_route_commands_total{route="/a/:id",outcome="declined"} 3"#,
            r#"shoal_route_messages_total{route="/a/:id"} 3"#,
            r#"shoal_route_commands_total{route="/b",outcome="done"} 4"#,
        ] {
            assert!(before.contains(line), "{line} in {before}");
        }
        let after = text(vec![route("/b", 5, 0, 0)]);
        assert!(!after.contains("/a/:id") && after.contains(r#"{route="/b",outcome="done"} 5"#), "{after}");
    }

    #[test]
    fn the_state_of_the_node_is_read_when_it_is_asked_for() {
        let metrics = Metrics::default();
        let node = |ordinal, reached| NodeStatus { ordinal, reached, ..NodeStatus::default() };
        let nodes = vec![node(0, true), node(1, true), node(2, false)];
        let report = Report { slots_owned: 86, revision: 3, ..Report::default() };
        let status = Status { report, nodes, ..Status::default() };
        let log = LogMeasured { syncs: 4, sync_time: Duration::from_millis(1500), ..LogMeasured::default() };
        let measured = Measured { messages: 7, outbox: 9, read_bytes: 11, log, ..Measured::default() };
        let text = metrics.text(&status, &measured, true);
        for line in [
            "shoal_slots_owned 86",
            "shoal_ring_revision 3",
            "shoal_ring_nodes 3",
            "shoal_peers_connected 1",
            "shoal_ready 1",
            "shoal_messages_total 7",
            "shoal_outbox 9",
            "shoal_read_bytes 11",
            "shoal_log_syncs_total 4",
            "shoal_log_sync_seconds_total 1.5",
            "shoal_build_info{version=",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
