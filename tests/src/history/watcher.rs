//! Clients that watch, by `Watch`, `Links` and event streams, on any node. Some go on from the token of an earlier watch,
//! some with a rate.

use super::http::{EventStream, StreamEvent};
use super::observer::{Observer, Seat};
use super::writer;
use crate::cluster::{Client, client};
use checker::{Lane, Told, Watch};
use http_body_util::Full;
use hyper::Request;
use proto::wire::v1::{Credit, Event, EventKind, LinksRequest, LinksResponse, OpenLink, WatchRequest};
use rand::Rng as _;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Watch,
    Links,
    EventStream,
}

const WAYS: &[Way] = &[Way::Watch, Way::Links, Way::Links, Way::EventStream];
/// The rates of watches, in turn.
const RATES: &[Option<u32>] = &[None, None, Some(5), Some(100)];
/// How long a watch is kept, at most, until the run ends.
const KEPT_MS: std::ops::Range<u64> = 50..4_000;
const LINKS: usize = 4;
const LINKS_MAX: u32 = 12;
/// How often each opens one, at most.
const PACE: Duration = Duration::from_millis(50);
/// A stream that is not there by then is not waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many events a link with credit may be sent at first.
const CREDIT: u32 = 3;

/// A watch to be opened: its lane, and the earlier watch that it goes on from.
type Wish = (Lane, Option<(Watch, u64)>);

/// Watches until it is stopped.
pub async fn run(mut seat: Seat) {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ended: Vec<(Lane, Watch)> = Vec::new();
    loop {
        pace.tick().await;
        let way = WAYS[seat.random.random_range(0..WAYS.len())];
        let count = if way == Way::Links { LINKS } else { 1 };
        let wishes: Vec<Wish> = (0..count).map(|_| wish(&mut seat, &mut ended)).collect();
        let (address, other) = (seat.address(), seat.address());
        let kept = Duration::from_millis(seat.random.random_range(KEPT_MS));
        let observer = seat.observer.clone();
        let leaves = async {
            tokio::time::sleep(kept).await;
            if observer.is_ending() {
                std::future::pending::<()>().await;
            }
        };
        let mut opened = Opened { observer: &seat.observer, watches: BTreeMap::new() };
        tokio::select! {
            () = leaves => {}
            () = follow(&mut opened, way, &address, &other, &wishes) => {}
        }
        ended.extend(opened.leave());
    }
}

/// One half go on from an earlier watch.
fn wish(seat: &mut Seat, ended: &mut Vec<(Lane, Watch)>) -> Wish {
    if !ended.is_empty() && seat.random.random() {
        let (lane, watch) = ended.swap_remove(seat.random.random_range(0..ended.len()));
        let token = seat.observer.note(|history| history.token(watch));
        return (lane, token.map(|token| (watch, token)));
    }
    (seat.observer.any_lane(&mut seat.random), None)
}

/// The watches of one stream.
struct Opened<'a> {
    observer: &'a Observer,
    /// By the number of the link.
    watches: BTreeMap<u32, (Lane, Watch)>,
}

impl Opened<'_> {
    fn open(&mut self, link: u32, (lane, from): Wish) {
        let watch = self.observer.opened(lane, from);
        self.watches.insert(link, (lane, watch));
    }

    /// Opens a link of a stream.
    fn link(&mut self, link: u32, wish: Wish) -> OpenLink {
        self.open(link, wish);
        let (agent, lane) = self.observer.named(wish.0);
        let from = wish.1.map(|(_, token)| token);
        let credit = has_credit(link).then_some(CREDIT);
        let rate = RATES[self.observer.turn() % RATES.len()];
        OpenLink { link, agent, lane: lane.into(), from, credit, rate }
    }

    fn told(&self, link: u32, event: &Event) {
        let Some((lane, _)) = self.watches.get(&link) else { return };
        let text = |json: &[u8]| serde_json::from_slice::<Value>(json).expect("JSON");
        let told = match event.kind() {
            EventKind::Set => Told::Set(text(&event.value).to_string()),
            EventKind::Update => Told::Update(text(&event.key).to_string(), text(&event.value).to_string()),
            EventKind::Remove => Told::Remove(text(&event.key).to_string()),
            EventKind::Clear => Told::Clear,
            EventKind::Event => Told::Event(self.observer.item(*lane, &text(&event.value))),
            EventKind::Synced => Told::Synced,
            EventKind::Reset => Told::Reset,
            EventKind::Gap => Told::Gap { from: event.gap_from, to: event.gap_to },
            EventKind::Stale | EventKind::Unspecified => Told::Stale,
        };
        self.tell(link, told, event.id);
    }

    fn tell(&self, link: u32, told: Told, id: Option<u64>) {
        if let Some((_, watch)) = self.watches.get(&link) {
            self.observer.told(*watch, told, id);
        }
    }

    fn left(&mut self, link: u32) -> Option<(Lane, Watch)> {
        let (lane, watch) = self.watches.remove(&link)?;
        self.observer.left(watch);
        Some((lane, watch))
    }

    fn leave(&mut self) -> Vec<(Lane, Watch)> {
        let links: Vec<u32> = self.watches.keys().copied().collect();
        links.into_iter().filter_map(|link| self.left(link)).collect()
    }
}

/// Until the stream breaks.
async fn follow(opened: &mut Opened<'_>, way: Way, address: &str, other: &str, wishes: &[Wish]) {
    match way {
        Way::EventStream => return by_event_stream(opened, address, wishes[0]).await,
        Way::Watch => return by_watch(opened, address, wishes[0]).await,
        Way::Links => {}
    }
    let Ok(Ok(mut client)) = timeout(PATIENCE, client(address)).await else { return };
    let (sender, receiver) = mpsc::channel(1_024);
    let open = (0..).zip(wishes).map(|(link, wish)| opened.link(link, *wish)).collect();
    if sender.send(LinksRequest { open, ..LinksRequest::default() }).await.is_err() {
        return;
    }
    let links = timeout(PATIENCE, client.links(ReceiverStream::new(receiver))).await;
    if let Ok(Ok(answer)) = links {
        let other = timeout(PATIENCE, crate::cluster::client(other)).await.ok().and_then(Result::ok);
        Links { sender, other, newest: 0, open: wishes.len() as u32 }
            .follow(opened, answer.into_inner())
            .await;
    }
}

async fn by_watch(opened: &mut Opened<'_>, address: &str, wish: Wish) {
    let Ok(Ok(mut client)) = timeout(PATIENCE, client(address)).await else { return };
    let OpenLink { agent, lane, from, rate, .. } = opened.link(0, wish);
    let answer = timeout(PATIENCE, client.watch(WatchRequest { agent, lane, from, rate })).await;
    let Ok(Ok(answer)) = answer else { return };
    let mut events = answer.into_inner();
    while let Ok(Some(message)) = events.message().await {
        message.events.iter().for_each(|event| opened.told(0, event));
    }
}

async fn by_event_stream(opened: &mut Opened<'_>, address: &str, wish: Wish) {
    let OpenLink { agent, lane, from, rate, .. } = opened.link(0, wish);
    let rate = rate.map_or_else(String::new, |rate| format!("&rate={rate}"));
    let mut request = Request::get(format!("{agent}?lane={lane}{rate}"))
        .header("host", "localhost")
        .header("accept", "text/event-stream");
    if let Some(from) = from {
        request = request.header("last-event-id", from);
    }
    let request = request.body(Full::default()).expect("a request");
    let Ok(Some(mut events)) = timeout(PATIENCE, EventStream::open(address, request)).await else { return };
    while let Some(StreamEvent { name, value, id }) = events.next().await {
        let text = |name: &str| value[name].to_string();
        let number = |name: &str| value[name].as_u64().expect("a version");
        let told = match name.as_str() {
            "set" => Told::Set(value.to_string()),
            "update" => Told::Update(text("key"), text("value")),
            "remove" => Told::Remove(text("key")),
            "clear" => Told::Clear,
            "event" => Told::Event(opened.observer.item(wish.0, &value)),
            "synced" => Told::Synced,
            "reset" => Told::Reset,
            "gap" => Told::Gap { from: number("from"), to: number("to") },
            "stale" => Told::Stale,
            _ => return,
        };
        opened.tell(0, told, id.filter(|id| *id > 0));
    }
}

/// Every other link has to be given credit.
fn has_credit(link: u32) -> bool {
    link % 2 == 1
}

/// One stream of links.
struct Links {
    sender: mpsc::Sender<LinksRequest>,
    /// Another node, or the same.
    other: Option<Client>,
    /// Whenever this link is synced, its lane is changed through the other node, and at once a link is opened to it
    /// again, which has to be told of the change before it is synced.
    newest: u32,
    /// How many links have been opened.
    open: u32,
}

impl Links {
    async fn follow(mut self, opened: &mut Opened<'_>, mut messages: Streaming<LinksResponse>) {
        while let Ok(Some(LinksResponse { events, closed })) = messages.message().await {
            let mut taken: BTreeMap<u32, u32> = BTreeMap::new();
            let mut is_synced = false;
            for told in events {
                if let Some(event) = &told.event {
                    opened.told(told.link, event);
                    is_synced |= told.link == self.newest && event.kind() == EventKind::Synced;
                }
                if has_credit(told.link) {
                    *taken.entry(told.link).or_default() += 1;
                }
            }
            for closed in closed {
                opened.left(closed.link);
            }
            let credit = taken.into_iter().map(|(link, events)| Credit { link, events }).collect();
            let open = if is_synced && self.open < LINKS_MAX { self.once_more(opened).await } else { None };
            let request = LinksRequest { open: open.into_iter().collect(), credit, close: Vec::new() };
            let is_empty = request.open.is_empty() && request.credit.is_empty();
            if !is_empty && self.sender.send(request).await.is_err() {
                return;
            }
        }
    }

    async fn once_more(&mut self, opened: &mut Opened<'_>) -> Option<OpenLink> {
        let (lane, _) = *opened.watches.get(&self.newest)?;
        if !writer::change(opened.observer, self.other.as_mut()?, lane).await {
            return None;
        }
        (self.newest, self.open) = (self.open, self.open + 1);
        Some(opened.link(self.newest, (lane, None)))
    }
}
