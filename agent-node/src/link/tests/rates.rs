//! Links with a rate: what they are told when, what wakes their stream, and that they end with what the others have.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

/// A stream with a clock of its own.
struct Stream {
    links: Links,
    began: Instant,
}

impl Stream {
    fn new(serving: &Serving) -> Stream {
        Stream { links: Links::new(serving), began: Instant::now() }
    }

    fn open(&self, link: u32, agent: &str, lane: &str, rate: u32) {
        self.links.open(link, agent, lane, None, None);
        self.links.pace(link, Rate::new(rate).unwrap());
    }

    /// What is told at this time, and in how many milliseconds since the beginning more is.
    fn at(&self, ms: u64) -> (String, Option<u128>) {
        let (mut out, now) = (Vec::new(), self.began + Duration::from_millis(ms));
        let turn = self.links.next_events(&mut out, || now);
        let turn = turn.map(|at| (at - self.began).as_millis());
        (out.iter().map(line).collect::<Vec<_>>().concat(), turn)
    }

    fn check(&self, ms: u64, expected: &Expect, turn: Option<u128>) {
        let (told, next) = self.at(ms);
        expected.assert_eq(&told);
        assert_eq!(next, turn, "after {ms} ms");
    }
}

#[test]
fn a_value_is_told_at_once_and_then_the_latest_at_its_turn() {
    let (node, serving) = Node::start();
    let stream = Stream::new(&serving);
    stream.open(1, "/a", "value", 4);
    let attachment = node.attachment();
    whole(&serving, attachment, 5, vec![set(2, 7)]);
    stream.check(
        0,
        &expect![[r"
        1: Set 7
        1: Synced id 5
    "]],
        None,
    );
    stream.check(10, &expect![""], None);
    for n in 6..=20 {
        change(&serving, attachment, vec![set(n, n as i64)]);
        stream.check(100, &expect![""], Some(250));
    }
    stream.check(249, &expect![""], Some(250));
    stream.check(
        251,
        &expect![[r"
        1: Set 20 id 20
    "]],
        None,
    );
    stream.check(600, &expect![""], None);
    // After a silence nothing waits.
    change(&serving, attachment, vec![set(21, 21)]);
    stream.check(
        700,
        &expect![[r"
        1: Set 21 id 21
    "]],
        None,
    );
    change(&serving, attachment, vec![set(22, 22)]);
    stream.check(701, &expect![""], Some(950));
    // Who has ended is told so at once.
    serving.update(&mut vec![(attachment, Err(Refusal::not_found("there is no such lane", "/a")))]);
    stream.check(
        702,
        &expect![[r"
        1: closed Some(404)
    "]],
        None,
    );
    assert_eq!(serving.open_links(), 0);
}

#[test]
fn a_map_is_told_the_latest_of_each_key_at_its_turn() {
    let (node, serving) = Node::start();
    let stream = Stream::new(&serving);
    stream.open(1, "/a", "map", 1);
    let attachment = node.attachment();
    whole(&serving, attachment, 3, vec![put(1, 1, "a"), put(2, 2, "b")]);
    assert_eq!(stream.at(0).0.lines().count(), 3);
    for n in 4..=30 {
        change(&serving, attachment, vec![put(n, 1, &n.to_string()), put(n, 3, "c")]);
    }
    change(&serving, attachment, vec![at(31, Change::Remove(Value::Int(2)))]);
    stream.check(500, &expect![""], Some(1_000));
    stream.check(
        1_000,
        &expect![[r#"
        1: Update 1 "30"
        1: Update 3 "c"
        1: Remove 2 id 31
    "#]],
        None,
    );
    // A large flush is told to its end, however many calls that takes.
    let many = (1..=500).map(|key| put(32, key, "x")).collect();
    change(&serving, attachment, many);
    let mut events = 0;
    assert_eq!(stream.at(1_999), (String::new(), Some(2_000)));
    for ms in 2_000..2_010 {
        let (told, turn) = stream.at(ms);
        assert_eq!(turn, None);
        events += told.lines().count();
    }
    assert_eq!(events, 500);
}

#[test]
fn links_of_one_lane_go_each_at_its_own_rate() {
    let (node, serving) = Node::start();
    let stream = Stream::new(&serving);
    stream.open(1, "/a", "value", 1);
    stream.open(2, "/a", "value", 2);
    stream.links.open(3, "/a", "value", None, None);
    let attachment = node.attachment();
    whole(&serving, attachment, 5, vec![set(2, 7)]);
    stream.at(0);
    change(&serving, attachment, vec![set(6, 8)]);
    stream.check(
        1,
        &expect![[r"
        3: Set 8 id 6
    "]],
        Some(500),
    );
    stream.check(
        500,
        &expect![[r"
        2: Set 8 id 6
    "]],
        Some(1_000),
    );
    stream.links.close(1);
    stream.check(
        501,
        &expect![[r"
        1: closed None
    "]],
        None,
    );
    change(&serving, attachment, vec![set(7, 9)]);
    stream.check(
        502,
        &expect![[r"
        3: Set 9 id 7
    "]],
        Some(1_000),
    );
    stream.links.close(2);
    stream.links.close(3);
    stream.check(
        503,
        &expect![[r"
        2: closed None
        3: closed None
    "]],
        None,
    );
}

#[test]
fn items_wait_for_their_turn_in_the_queue_of_their_lane() {
    let (node, serving) = Node::start();
    let stream = Stream::new(&serving);
    for (link, lane) in [(1, "supply"), (2, "closing"), (3, "blocking")] {
        stream.open(link, "/a", lane, 1);
    }
    let attachments: Vec<u64> = node.asked().into_iter().map(|(_, attachment, _)| attachment).collect();
    for attachment in &attachments {
        whole(&serving, *attachment, 2, vec![]);
    }
    node.limits();
    assert_eq!(stream.at(0).0.lines().count(), 3, "`synced`");
    for n in 3..=5 {
        for attachment in &attachments {
            change(&serving, *attachment, vec![event(n, n as i64)]);
        }
    }
    stream.check(1, &expect![""], Some(1_000));
    assert_eq!(node.limits(), [], "nobody has passed what waits");
    for n in 6..=8 {
        for attachment in &attachments[..2] {
            change(&serving, *attachment, vec![event(n, n as i64)]);
        }
    }
    stream.check(999, &expect![""], Some(1_000));
    stream.check(
        1_000,
        &expect![[r"
        1: Gap 3-4
        1: Event 5
        1: Event 6
        1: Event 7
        1: Event 8 id 8
        3: Event 3
        3: Event 4
        3: Event 5 id 5
        2: closed Some(429)
    "]],
        None,
    );
    assert_eq!(node.limits(), [(attachments[2], Some(7))]);
}

#[test]
fn a_state_that_begins_anew_is_told_at_the_next_turn_and_then_as_fast_as_it_is_taken() {
    let (node, serving) = Node::start();
    let stream = Stream::new(&serving);
    stream.open(1, "/a", "value", 1);
    let first = node.attachment();
    whole(&serving, first, 5, vec![set(2, 7)]);
    stream.at(0);
    // Versions of another history.
    serving.lost(&[1]);
    let other = (1 << 40) + 9;
    let anew = node.asked().last().map(|(_, attachment, _)| *attachment).unwrap();
    whole(&serving, anew, other, vec![set(other, 1)]);
    stream.check(10, &expect![""], Some(1_000));
    let (told, turn) = stream.at(1_000);
    assert_eq!((told.lines().count(), turn), (3, None), "{told}");
    assert!(told.starts_with("1: Reset\n1: Set 1\n1: Synced"), "{told}");
}

#[test]
fn ten_thousand_links_that_wait_are_one_time() {
    const LINKS: u64 = 10_000;
    let (node, serving) = Node::start();
    let stream = Stream::new(&serving);
    for link in 0..LINKS {
        stream.open(link as u32, &format!("/{link}"), "value", 2);
    }
    let attachments: Vec<u64> = node.asked().into_iter().map(|(_, attachment, _)| attachment).collect();
    let all = |ms: u64| {
        let (mut told, mut turn) = (0, None);
        loop {
            let (lines, next) = stream.at(ms);
            turn = next.or(turn);
            if lines.is_empty() {
                return (told, next);
            }
            told += lines.lines().count() as u64;
        }
    };
    for attachment in &attachments {
        whole(&serving, *attachment, 1, vec![set(1, 0)]);
    }
    assert_eq!(all(0), (2 * LINKS, None), "nothing waits, and there is no time to look again");
    for n in 2..=50 {
        for attachment in &attachments {
            change(&serving, *attachment, vec![set(n, n as i64)]);
        }
    }
    assert_eq!(all(10), (0, Some(500)));
    assert_eq!(all(500), (LINKS, None));
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn changes_of_a_lane_whose_links_all_wait_wake_nobody() {
    let (node, serving) = Node::start();
    let links = Links::new(&serving);
    links.open(1, "/a", "value", None, None);
    links.pace(1, Rate::new(1).unwrap());
    let attachment = node.attachment();
    whole(&serving, attachment, 5, vec![set(2, 7)]);
    let mut out = Vec::new();
    links.next(&mut out, async || {}).await;
    assert_eq!(out.len(), 2);
    let (told, wakes) = (Instant::now(), Arc::<Wakes>::default());
    let waker = Waker::from(wakes.clone());
    let woken = || wakes.0.load(Ordering::Relaxed);
    {
        let mut next = pin!(links.next(&mut out, async || {}));
        while next.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {}
        // It looks once, since something is new, and knows then when it looks again.
        change(&serving, attachment, vec![set(6, 6)]);
        assert_eq!(woken(), 1);
        assert_eq!(next.as_mut().poll(&mut Context::from_waker(&waker)), Poll::Pending);
        for n in 7..=1_000 {
            change(&serving, attachment, vec![set(n, n as i64)]);
        }
        assert!(woken() == 1 || told.elapsed() > Duration::from_millis(900), "{}", woken());
        next.await;
    }
    assert!(told.elapsed() >= Duration::from_millis(990), "{:?}", told.elapsed());
    assert_eq!(line(&out[2]), "1: Set 1000 id 1000\n");
    assert_eq!(out.len(), 3);
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, u8),
    Remove(u8),
    Clear,
    Look,
    Passes(u64),
    Credit(u8),
    Anew,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..12_u8, any::<u8>()).prop_map(|(key, value)| Step::Put(key, value)),
        2 => (0..12_u8).prop_map(Step::Remove),
        1 => Just(Step::Clear),
        6 => Just(Step::Look),
        4 => (0..400_u64).prop_map(Step::Passes),
        2 => (0..4_u8).prop_map(Step::Credit),
        1 => Just(Step::Anew),
    ];
    proptest::collection::vec(step, 1..150)
}

/// One of several links of a stream to one lane.
#[derive(Default)]
struct Told {
    state: BTreeMap<String, String>,
    synced: bool,
    id: Option<u64>,
    in_flush: bool,
    flushes: Vec<u64>,
}

impl Told {
    fn hear(&mut self, ms: u64, event: Event) {
        let Event { kind, key, value, id, .. } = event;
        let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        if self.synced && !self.in_flush && kind != EventKind::Reset {
            self.flushes.push(ms);
        }
        match kind {
            EventKind::Update => drop(self.state.insert(text(key), text(value))),
            EventKind::Remove => drop(self.state.remove(&text(key))),
            EventKind::Clear => self.state.clear(),
            EventKind::Reset => {
                *self = Told { flushes: std::mem::take(&mut self.flushes), ..Told::default() }
            }
            EventKind::Synced => self.synced = true,
            other => panic!("{other:?}"),
        }
        self.in_flush = id.is_none();
        if let Some(id) = id {
            assert!(self.id.is_none_or(|before| before <= id), "a watermark falls: {id}");
            self.id = Some(id);
        }
    }
}

proptest! {
    #[test]
    fn whatever_the_rate_a_link_ends_with_what_the_others_have(
        steps in steps(),
        rates in proptest::collection::vec(proptest::option::weighted(0.7, 1..20_u32), 1..4),
        credit in proptest::option::weighted(0.3, 0..3_u32),
    ) {
        let (node, serving) = Node::start();
        let stream = Stream::new(&serving);
        for (link, rate) in rates.iter().enumerate() {
            stream.links.open(link as u32, "/a", "map", None, credit);
            if let Some(rate) = rate {
                stream.links.pace(link as u32, Rate::new(*rate).unwrap());
            }
        }
        let mut attachment = node.attachment();
        let (mut now, mut version, mut state) = (0, 1, BTreeMap::<i64, (u64, String)>::new());
        let mut told: Vec<Told> = rates.iter().map(|_| Told::default()).collect();
        whole(&serving, attachment, version, vec![]);
        let look = |told: &mut Vec<Told>, ms: u64| {
            let (mut out, now) = (Vec::new(), stream.began + Duration::from_millis(ms));
            let turn = stream.links.next_events(&mut out, || now);
            let some = !out.is_empty();
            for output in out {
                let LinkOutput::Event { link, event } = output else { panic!("{output:?}") };
                told[link as usize].hear(ms, event);
            }
            (some, turn.map(|at| (at - stream.began).as_millis() as u64 + 1))
        };
        for step in steps {
            version += 1;
            match step {
                Step::Put(key, value) => {
                    let value = format!("{value} of {version}");
                    change(&serving, attachment, vec![put(version, key.into(), &value)]);
                    state.insert(key.into(), (version, value));
                }
                Step::Remove(key) => {
                    if state.remove(&key.into()).is_some() {
                        change(&serving, attachment, vec![at(version, Change::Remove(Value::Int(key.into())))]);
                    }
                }
                Step::Clear => {
                    change(&serving, attachment, vec![at(version, Change::Clear)]);
                    state.clear();
                }
                Step::Look => drop(look(&mut told, now)),
                Step::Passes(ms) => now += ms,
                Step::Credit(link) => stream.links.credit(link.into(), 2),
                Step::Anew => {
                    serving.lost(&[1]);
                    attachment = node.asked().last().map(|(_, attachment, _)| *attachment).unwrap();
                    // Another history, at every second one.
                    version += if version.is_multiple_of(2) { 1 << 40 } else { 0 };
                    let entries =
                        state.iter().map(|(key, (version, value))| put(*version, *key, value)).collect();
                    whole(&serving, attachment, version, entries);
                }
            }
        }
        // Only what the stream itself says of time moves it on.
        (0..4).for_each(|link| stream.links.credit(link, 10_000));
        let mut times = BTreeSet::new();
        loop {
            match look(&mut told, now) {
                (true, _) => {}
                (false, Some(turn)) => {
                    prop_assert!(turn > now && turn <= now + 1_001, "{turn} at {now}");
                    prop_assert!(times.insert(turn));
                    now = turn;
                }
                (false, None) => break,
            }
        }
        let state: BTreeMap<String, String> =
            state.into_iter().map(|(key, (_, value))| (key.to_string(), format!("\"{value}\""))).collect();
        for (told, rate) in told.iter().zip(&rates) {
            prop_assert!(told.synced && told.id.is_some());
            prop_assert_eq!(&told.state, &state);
            let Some(rate) = rate else { continue };
            for two in told.flushes.windows(2) {
                prop_assert!(two[1] - two[0] >= u64::from(1_000 / rate), "{:?}", told.flushes);
            }
        }
    }
}
