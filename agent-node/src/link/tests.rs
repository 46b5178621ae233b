//! Links of clients and of other nodes over a serving side whose owners are the test.

use super::mirror::ATTACHMENT;
use super::serving::LINKS_MAX;
use super::*;
use expect_test::{Expect, expect};
use proto::address::{Address, Slot};
use proto::plan::{LaneKind, Overflow, Queue};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

mod chain;
mod ended;
mod rates;
mod resumes;
mod threads;

/// Lanes are named after what they are: `value`, `map`, `supply`, `closing`, `blocking` (a queue of 4 each), `hidden`.
#[derive(Default)]
struct Node {
    owner: Mutex<Option<Owner>>,
    /// What was asked and not looked at.
    asked: Mutex<Vec<(bool, u64, Target)>>,
    queue: AtomicU64,
    /// What owners on other nodes were asked by [`Question`].
    questions: Mutex<Vec<Question>>,
    /// How many items of each attachment may come.
    limits: Mutex<Vec<(u64, Option<u64>)>>,
    /// What was asked for by each attachment.
    since: Mutex<Vec<Since>>,
    /// Runs when a lane has been found, and before it is watched.
    between: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Node {
    /// All slots are here.
    fn start() -> (Arc<Node>, Serving) {
        let node = Arc::new(Node { queue: AtomicU64::new(4), ..Node::default() });
        *node.owner.lock().unwrap() = Some(Owner::Here);
        let weak: Weak<Node> = Arc::downgrade(&node);
        (node, Serving::new(weak))
    }

    fn limits(&self) -> Vec<(u64, Option<u64>)> {
        std::mem::take(&mut self.limits.lock().unwrap())
    }

    fn asked(&self) -> Vec<(bool, u64, Target)> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    fn since(&self) -> Vec<Since> {
        std::mem::take(&mut self.since.lock().unwrap())
    }

    fn questions(&self) -> Vec<Question> {
        std::mem::take(&mut self.questions.lock().unwrap())
    }

    /// The number of the only attachment that was asked for.
    fn attachment(&self) -> u64 {
        match &self.asked()[..] {
            [(true, attachment, _)] => *attachment,
            other => panic!("{other:?}"),
        }
    }
}

impl Upstream for Node {
    fn find(&self, agent: &str, lane: &str) -> Result<Target, Refusal> {
        let (kind, overflow) = match lane {
            "value" | "hidden" => (LaneKind::Value, Overflow::DropOldest),
            "map" => (LaneKind::Map, Overflow::DropOldest),
            "supply" => (LaneKind::Supply, Overflow::DropOldest),
            "closing" => (LaneKind::Supply, Overflow::Close),
            "blocking" => (LaneKind::Supply, Overflow::Block),
            _ => return Err(Refusal::not_found("there is no such lane", agent)),
        };
        let items = self.queue.load(Ordering::Relaxed) as usize;
        let target = Target {
            agent: Address::trusted(agent),
            slot: 1,
            lane: lane.into(),
            kind,
            queue: Queue { items, overflow },
            internal: lane == "hidden",
            owner: self.owner(1),
        };
        if let Some(between) = self.between.lock().unwrap().take() {
            between();
        }
        Ok(target)
    }

    fn owner(&self, _: Slot) -> Owner {
        self.owner.lock().unwrap().unwrap_or(Owner::Nobody)
    }

    fn ask_to_attach(&self, attachment: u64, target: &Target, asked: Asked) {
        let Asked { since, limit } = asked;
        self.since.lock().unwrap().push(since);
        self.asked.lock().unwrap().push((true, attachment, target.clone()));
        self.limits.lock().unwrap().push((attachment, limit));
    }

    fn limit(&self, attachment: u64, _: &Target, limit: u64) {
        self.limits.lock().unwrap().push((attachment, Some(limit)));
    }

    fn ask(&self, question: Question, target: &Target) {
        assert!(matches!(target.owner, Owner::Node(_)), "{target:?}");
        self.questions.lock().unwrap().push(question);
    }

    fn detach(&self, attachment: u64, target: &Target) {
        self.asked.lock().unwrap().push((false, attachment, target.clone()));
    }
}

fn at(version: u64, change: Change) -> Versioned {
    Versioned { change, version }
}

fn set(version: u64, value: i64) -> Versioned {
    at(version, Change::Set(Value::Int(value)))
}

fn put(version: u64, key: i64, value: &str) -> Versioned {
    at(version, Change::Put(Value::Int(key), Value::text(value)))
}

fn event(version: u64, value: i64) -> Versioned {
    at(version, Change::Event(Value::Int(value)))
}

fn whole(serving: &Serving, attachment: u64, version: u64, changes: Vec<Versioned>) {
    let update =
        Update { version, begin: Some(Begin::WHOLE), synced: true, changes, entries: None, answered: 1 };
    serving.update(&mut vec![(attachment, Ok(update))]);
}

fn change(serving: &Serving, attachment: u64, changes: Vec<Versioned>) {
    let version = changes.last().map_or(0, |last| last.version);
    let update = Update { version, begin: None, synced: false, changes, entries: None, answered: 0 };
    serving.update(&mut vec![(attachment, Ok(update))]);
}

fn taken(links: &Links) -> Vec<LinkOutput> {
    let mut out = Vec::new();
    let turn = links.next_events(&mut out, || panic!("no link has a rate"));
    assert_eq!(turn, None);
    out
}

fn line(output: &LinkOutput) -> String {
    match output {
        LinkOutput::Event { link, event: Event { kind, key, value, id, gap } } => {
            let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
            let mut line = format!("{link}: {kind:?} {} {}", text(key), text(value));
            if *gap != (0, 0) {
                line.extend([gap.0.to_string(), "-".to_owned(), gap.1.to_string()]);
            }
            let id = id.map_or_else(String::new, |id| format!(" id {id}"));
            format!("{}{id}\n", line.split_whitespace().collect::<Vec<_>>().join(" "))
        }
        LinkOutput::Closed { link, refusal } => {
            format!("{link}: closed {:?}\n", refusal.as_ref().map(|refusal| refusal.code))
        }
    }
}

fn check(links: &Links, expected: &Expect) {
    expected.assert_eq(&taken(links).iter().map(line).collect::<String>());
}

#[test]
fn many_links_to_a_lane_are_one_attachment_and_one_text() {
    let (node, serving) = Node::start();
    let (one, two) = (Links::new(&serving), Links::new(&serving));
    one.open(1, "/a", "value", None, None);
    one.open(2, "/a", "value", None, None);
    two.open(1, "/a", "value", Some(3), None);
    let attachment = node.attachment();
    check(&one, &expect![""]);
    whole(&serving, attachment, 5, vec![set(2, 7)]);
    check(
        &one,
        &expect![[r"
        1: Set 7
        1: Synced id 5
        2: Set 7
        2: Synced id 5
    "]],
    );
    check(
        &two,
        &expect![[r"
        1: Synced id 5
    "]],
    );
    change(&serving, attachment, vec![set(6, 8)]);
    change(&serving, attachment, vec![set(7, 9)]);
    let texts = [&one, &two].map(|links| match &taken(links)[0] {
        LinkOutput::Event { event: Event { value, .. }, .. } => value.as_ptr(),
        other @ LinkOutput::Closed { .. } => panic!("{other:?}"),
    });
    assert_eq!(texts[0], texts[1]);
    assert_eq!((serving.open_links(), serving.delivered()), (3, 8));
}

/// The lane's owner is found, and before it is watched the ring gives its slot to another node.
#[test]
fn a_lane_never_stays_attached_to_the_owner_before() {
    let (node, serving) = Node::start();
    *node.owner.lock().unwrap() = Some(Owner::Node(1));
    let (moves, moved) = (node.clone(), serving.clone());
    let ring = Arc::new(Mutex::new(None));
    let of_ring = ring.clone();
    *node.between.lock().unwrap() = Some(Box::new(move || {
        let (done, is_done) = std::sync::mpsc::channel();
        *of_ring.lock().unwrap() = Some(std::thread::spawn(move || {
            *moves.owner.lock().unwrap() = Some(Owner::Node(2));
            moved.lost(&[1]);
            done.send(()).ok();
        }));
        // It is done where nothing keeps it from coming between, and has to wait where something does.
        is_done.recv_timeout(Duration::from_millis(100)).ok();
    }));
    let links = Links::new(&serving);
    links.open(1, "/a", "value", None, None);
    let moving = ring.lock().unwrap().take();
    moving.unwrap().join().unwrap();
    let asked: Vec<_> = node.asked().into_iter().map(|(attach, _, target)| (attach, target.owner)).collect();
    assert_eq!(asked.last(), Some(&(true, Owner::Node(2))), "{asked:?}");
}

#[test]
fn links_that_cannot_be_are_closed_and_say_why() {
    let (node, serving) = Node::start();
    let links = Links::new(&serving);
    links.open(1, "/a", "none", None, None);
    links.open(2, "/a", "hidden", None, None);
    links.open(3, "/a", "map", None, None);
    links.open(4, "/a", "value", None, None);
    links.close(4);
    links.close(4);
    let asked = node.asked();
    let refusal = Refusal::not_found("there is no such lane", "/a");
    serving.update(&mut vec![(asked[0].1, Err(refusal))]);
    check(
        &links,
        &expect![[r"
        1: closed Some(404)
        2: closed Some(404)
        4: closed None
        3: closed Some(404)
    "]],
    );
    check(&links, &expect![""]);
    assert_eq!(serving.open_links(), 0);
}

#[test]
fn a_node_serves_so_many_links_and_no_more() {
    let (_node, serving) = Node::start();
    let (many, other) = (Links::new(&serving), Links::new(&serving));
    for link in 0..LINKS_MAX as u32 - 1 {
        many.open(link, "/a/1", "value", None, None);
    }
    other.open(0, "/a/2", "value", None, None);
    assert_eq!((serving.open_links(), taken(&other)), (LINKS_MAX, vec![]));
    other.open(1, "/a/2", "value", None, None);
    match &taken(&other)[..] {
        [LinkOutput::Closed { link: 1, refusal: Some(refusal) }] => {
            assert_eq!((refusal.code, &*refusal.at), (429, "/a/2"));
        }
        other => panic!("{other:?}"),
    }
    drop(many);
    assert_eq!(serving.open_links(), 1);
    other.open(1, "/a/2", "value", None, None);
    assert_eq!((serving.open_links(), taken(&other)), (2, vec![]));
}

#[test]
fn a_link_without_credit_is_told_at_once_that_it_has_ended() {
    for ended in [Refusal::not_found("there is no such lane", "/a"), Refusal::bad("no", "/a")] {
        let (node, serving) = Node::start();
        let links = Links::new(&serving);
        links.open(1, "/a", "map", None, Some(0));
        let attachment = node.attachment();
        // The stream has looked, and need not be told of changes.
        check(&links, &expect![""]);
        whole(&serving, attachment, 3, vec![put(1, 1, "a")]);
        check(&links, &expect![""]);
        let code = ended.code;
        serving.update(&mut vec![(attachment, Err(ended))]);
        let told: Vec<String> = taken(&links).iter().map(line).collect();
        assert_eq!(told, [format!("1: closed Some({code})\n")]);
        assert_eq!(serving.open_links(), 0);
    }
}

#[test]
fn a_lane_is_left_a_second_after_its_last_link() {
    let (node, serving) = Node::start();
    let links = Links::new(&serving);
    links.open(1, "/a", "value", None, None);
    links.open(2, "/a", "value", None, None);
    let attachment = node.attachment();
    whole(&serving, attachment, 5, vec![set(2, 7)]);
    links.close(1);
    serving.tick(10_000);
    drop(links);
    assert_eq!(serving.open_links(), 0);
    serving.tick(10_999);
    let again = Links::new(&serving);
    again.open(1, "/a", "value", None, None);
    check(
        &again,
        &expect![[r"
        1: Set 7
        1: Synced id 5
    "]],
    );
    serving.tick(20_000);
    assert_eq!(node.asked(), []);
    drop(again);
    serving.tick(21_000);
    assert!(matches!(&node.asked()[..], [(false, left, _)] if *left == attachment));
    assert_eq!(serving.mirror_of(&Address::trusted("/a"), "value"), None);
}

#[test]
fn what_an_older_attachment_says_is_dropped() {
    let (node, serving) = Node::start();
    let links = Links::new(&serving);
    links.open(1, "/a", "value", None, None);
    let first = node.attachment();
    whole(&serving, first, 5, vec![set(2, 7)]);
    taken(&links);
    serving.lost(&[1]);
    let asked = node.asked();
    assert!(matches!(&asked[..], [(false, left, _), (true, _, _)] if *left == first));
    change(&serving, first, vec![set(9, 1)]);
    check(&links, &expect![""]);
    whole(&serving, asked[1].1, 8, vec![set(8, 2)]);
    change(&serving, first, vec![set(9, 1)]);
    check(
        &links,
        &expect![[r"
        1: Set 2 id 8
    "]],
    );
    serving.lost(&[2, 3]);
    assert_eq!(node.asked(), []);
}

#[test]
fn watchers_of_a_lost_owner_are_told_stale_and_then_what_differs() {
    let (node, serving) = Node::start();
    let links = Links::new(&serving);
    links.open(1, "/a", "map", None, None);
    let first = node.attachment();
    whole(&serving, first, 3, vec![put(1, 1, "a"), put(2, 2, "b")]);
    taken(&links);
    *node.owner.lock().unwrap() = None;
    serving.lost(&[1]);
    serving.tick(4_000);
    check(&links, &expect![""]);
    serving.tick(5_000);
    check(
        &links,
        &expect![[r"
        1: Stale
    "]],
    );
    *node.owner.lock().unwrap() = Some(Owner::Node(2));
    node.asked();
    serving.tick(6_000);
    whole(&serving, node.attachment(), 9, vec![put(2, 2, "b"), put(8, 3, "c")]);
    check(
        &links,
        &expect![[r#"
        1: Update 3 "c"
        1: Remove 1
        1: Synced id 9
    "#]],
    );
}

#[test]
fn a_link_is_told_no_more_than_its_credit() {
    let (node, serving) = Node::start();
    let links = Links::new(&serving);
    links.open(1, "/a", "map", None, Some(2));
    links.open(2, "/a", "map", None, Some(0));
    let attachment = node.attachment();
    whole(&serving, attachment, 3, vec![put(1, 1, "a"), put(2, 2, "b")]);
    check(
        &links,
        &expect![[r#"
        1: Update 1 "a"
        1: Update 2 "b"
    "#]],
    );
    change(&serving, attachment, vec![put(4, 1, "c")]);
    check(&links, &expect![""]);
    links.credit(1, 1);
    links.credit(7, 1);
    check(
        &links,
        &expect![[r#"
        1: Update 1 "c"
    "#]],
    );
    links.credit(1, 1);
    check(
        &links,
        &expect![[r"
        1: Synced id 4
    "]],
    );
    links.credit(2, 10);
    check(
        &links,
        &expect![[r#"
        2: Update 2 "b"
        2: Update 1 "c"
        2: Synced id 4
    "#]],
    );
    change(&serving, attachment, vec![put(5, 1, "d")]);
    check(
        &links,
        &expect![[r#"
        2: Update 1 "d" id 5
    "#]],
    );
    links.credit(1, u32::MAX);
    links.credit(1, u32::MAX);
    check(
        &links,
        &expect![[r#"
        1: Update 1 "d" id 5
    "#]],
    );
}

#[test]
fn a_large_map_does_not_hold_up_the_others() {
    let (node, serving) = Node::start();
    let links = Links::new(&serving);
    links.open(1, "/a", "map", None, None);
    links.open(2, "/b", "value", None, None);
    let asked = node.asked();
    whole(&serving, asked[0].1, 10_000, (1..10_000).map(|n| put(n, n as i64, "x")).collect());
    whole(&serving, asked[1].1, 5, vec![set(5, 1)]);
    let (mut calls, mut events, mut early) = (0, 0, false);
    loop {
        let out = taken(&links);
        if out.is_empty() {
            break;
        }
        assert!(out.len() <= 512);
        calls += 1;
        events += out.len();
        early |= calls == 1 && out.iter().any(|output| matches!(output, LinkOutput::Event { link: 2, .. }));
    }
    assert!(early);
    assert_eq!(events, 9_999 + 1 + 2);
}

#[test]
fn a_flush_is_bounded_in_bytes_but_one_value_may_be_larger() {
    let (node, serving) = Node::start();
    let links = Links::new(&serving);
    links.open(1, "/a", "map", None, None);
    let attachment = node.attachment();
    let large = "x".repeat(200_000);
    let small = "y".repeat(1_000);
    let changes = (1..=100).map(|n| put(n, n as i64, if n == 1 { &large } else { &small })).collect();
    whole(&serving, attachment, 100, changes);
    // The large one takes a slice of the flush, whatever its size; the others share what is left.
    let first = taken(&links).len();
    assert!((40..60).contains(&first), "{first}");
    assert_eq!(taken(&links).len(), 100 + 1 - first);
}

#[test]
fn who_falls_behind_gets_a_gap_or_is_let_go_as_the_lane_says() {
    let (node, serving) = Node::start();
    let links = Links::new(&serving);
    links.open(1, "/a", "supply", None, None);
    links.open(2, "/a", "closing", None, None);
    let asked = node.asked();
    let (supply, closing) = (asked[0].1, asked[1].1);
    for attachment in [supply, closing] {
        whole(&serving, attachment, 2, vec![]);
    }
    check(
        &links,
        &expect![[r"
        1: Synced id 2
        2: Synced id 2
    "]],
    );
    for attachment in [supply, closing] {
        for n in 3..=8 {
            change(&serving, attachment, vec![event(n, n as i64)]);
        }
    }
    check(
        &links,
        &expect![[r"
        1: Gap 3-4
        1: Event 5
        1: Event 6
        1: Event 7
        1: Event 8 id 8
        2: closed Some(429)
    "]],
    );
    node.queue.store(2, Ordering::Relaxed);
    serving.planned();
    for n in 9..=12 {
        change(&serving, supply, vec![event(n, n as i64)]);
    }
    check(
        &links,
        &expect![[r"
        1: Gap 9-10
        1: Event 11
        1: Event 12 id 12
    "]],
    );
}

#[test]
fn another_node_is_told_in_values_and_only_by_the_owner() {
    let (node, serving) = Node::start();
    let peer = PeerLinks::new(&serving);
    let take = |bytes| {
        let mut out = Vec::new();
        peer.next_updates(bytes, &mut out);
        out
    };
    peer.open(70, "/a", "map", Since::default(), None);
    peer.open(71, "/a", "none", Since::default(), None);
    peer.open(72, "/a", "hidden", Since::default(), None);
    let asked = node.asked();
    assert_eq!(asked.len(), 2);
    let missing = Refusal::not_found("there is no such lane", "/a");
    assert_eq!(take(1_000), [(71, Err(missing))]);
    whole(&serving, asked[0].1, 9, vec![put(1, 1, "a"), put(2, 2, "b"), put(3, 3, "c")]);
    let update = |version, begins, synced, changes| {
        let (answered, horizon) = (u64::from(synced), 9);
        let begin = bool::then_some(begins, Begin { horizon, ..Begin::WHOLE });
        Ok(Update { version, begin, synced, changes, entries: None, answered })
    };
    assert_eq!(take(40), [(70, update(0, true, false, vec![put(1, 1, "a"), put(2, 2, "b")]))]);
    assert_eq!(take(1_000), [(70, update(9, false, true, vec![put(3, 3, "c")]))]);
    change(&serving, asked[0].1, vec![put(10, 4, "d"), put(10, 5, "e")]);
    assert_eq!(take(20), [(70, update(9, false, false, vec![put(10, 4, "d")]))]);
    assert_eq!(take(20), [(70, update(10, false, false, vec![put(10, 5, "e")]))]);
    *node.owner.lock().unwrap() = Some(Owner::Node(1));
    serving.lost(&[1]);
    let ended = take(1_000);
    assert!(ended.iter().all(|(_, said)| matches!(said, Err(refusal) if refusal.code == 421)), "{ended:?}");
    assert_eq!(ended.len(), 2);
    peer.open(73, "/a", "map", Since::default(), None);
    assert!(matches!(&take(1_000)[..], [(73, Err(refusal))] if refusal.code == 421));
}

/// A serving side whose lanes another node owns, with a link that is synced, and the attachment of its lane.
fn far(lane: &str) -> (Arc<Node>, Serving, Links, u64) {
    let (node, serving) = Node::start();
    *node.owner.lock().unwrap() = Some(Owner::Node(1));
    let links = Links::new(&serving);
    links.open(1, "/a", lane, None, None);
    let attachment = node.attachment();
    whole(&serving, attachment, 5, if lane == "value" { vec![set(2, 7)] } else { vec![] });
    taken(&links);
    (node, serving, links, attachment)
}

fn answer(serving: &Serving, attachment: u64, version: u64, number: u64) {
    let (changes, entries) = (vec![], None);
    let update = Update { version, begin: None, synced: false, changes, entries, answered: number };
    serving.update(&mut vec![(attachment, Ok(update))]);
}

#[test]
fn who_comes_to_a_mirror_is_synced_when_the_owner_has_answered() {
    let (node, serving, first, attachment) = far("value");
    assert_eq!(node.questions(), [], "an attachment is a question");
    let links = Links::new(&serving);
    links.open(1, "/a", "value", None, None);
    links.open(2, "/a", "value", Some(1), None);
    check(
        &links,
        &expect![[r"
        1: Set 7
        2: Set 7
    "]],
    );
    assert_eq!(node.questions(), [Question { attachment, number: 2 }]);
    change(&serving, attachment, vec![set(8, 8)]);
    check(
        &links,
        &expect![[r"
        1: Set 8
        2: Set 8
    "]],
    );
    check(
        &first,
        &expect![[r"
        1: Set 8 id 8
    "]],
    );
    answer(&serving, attachment, 9, 2);
    check(
        &links,
        &expect![[r"
        1: Synced id 9
    "]],
    );
    // The other came when that question was under way.
    assert_eq!(node.questions(), [Question { attachment, number: 3 }]);
    answer(&serving, attachment, 9, 3);
    check(
        &links,
        &expect![[r"
        2: Synced id 9
    "]],
    );
    check(&first, &expect![""]);
}

#[test]
fn one_question_serves_all_who_came_before_it() {
    let (node, serving, _first, attachment) = far("value");
    let come = |count: u32| {
        let links = Links::new(&serving);
        (0..count).for_each(|link| links.open(link, "/a", "value", None, None));
        links
    };
    let synced = |links: &Links| {
        let is_synced = |output: &LinkOutput| {
            matches!(output, LinkOutput::Event { event: Event { kind: EventKind::Synced, .. }, .. })
        };
        taken(links).iter().filter(|output| is_synced(output)).count()
    };
    let one = come(1);
    assert_eq!(node.questions(), [Question { attachment, number: 2 }]);
    // They come while it is under way.
    let (many, few) = (come(100), come(3));
    assert_eq!(node.questions(), []);
    answer(&serving, attachment, 5, 2);
    assert_eq!((synced(&one), synced(&many), synced(&few)), (1, 0, 0));
    assert_eq!(node.questions(), [Question { attachment, number: 3 }]);
    answer(&serving, attachment, 5, 2);
    assert_eq!((synced(&many), node.questions()), (0, vec![]), "an old answer is none");
    answer(&serving, attachment, 5, 3);
    assert_eq!((synced(&one), synced(&many), synced(&few)), (0, 100, 3));
    assert_eq!(node.questions(), []);
    // Whoever comes and goes costs no more.
    for _ in 0..100 {
        drop(come(2));
    }
    assert_eq!(node.questions(), [Question { attachment, number: 4 }]);
}

#[test]
fn an_attachment_that_begins_after_a_watcher_came_is_its_answer() {
    let (node, serving, _first, attachment) = far("value");
    let links = Links::new(&serving);
    links.open(1, "/a", "value", None, None);
    taken(&links);
    assert_eq!(node.questions().len(), 1);
    serving.lost(&[1]);
    answer(&serving, attachment, 9, 2);
    check(&links, &expect![""]);
    let anew = node.asked().last().map(|(_, attachment, _)| *attachment).unwrap();
    let late = Links::new(&serving);
    late.open(1, "/a", "value", None, None);
    whole(&serving, anew, 9, vec![set(8, 8)]);
    check(
        &links,
        &expect![[r"
        1: Set 8
        1: Synced id 9
    "]],
    );
    check(
        &late,
        &expect![[r"
        1: Set 8
    "]],
    );
    assert_eq!(node.questions(), [Question { attachment: anew, number: 2 }], "who came after it began");
    *node.owner.lock().unwrap() = None;
    serving.lost(&[1]);
    let last = Links::new(&serving);
    last.open(1, "/a", "value", None, None);
    check(
        &last,
        &expect![[r"
        1: Set 8
    "]],
    );
    *node.owner.lock().unwrap() = Some(Owner::Here);
    node.asked();
    serving.tick(60);
    let own = node.attachment();
    let here = Links::new(&serving);
    here.open(1, "/a", "value", None, None);
    check(
        &here,
        &expect![[r"
        1: Set 8
    "]],
    );
    whole(&serving, own, 12, vec![set(8, 8)]);
    for links in [&late, &last, &here] {
        check(
            links,
            &expect![[r"
            1: Synced id 12
        "]],
        );
    }
    assert_eq!(node.questions(), [], "the owner's own node has nobody to ask");
}

#[test]
fn items_that_were_under_way_when_a_watcher_came_are_not_for_it() {
    let (node, serving, first, attachment) = far("supply");
    let links = Links::new(&serving);
    links.open(1, "/a", "supply", Some(0), None);
    assert_eq!(node.questions(), [Question { attachment, number: 2 }]);
    change(&serving, attachment, vec![event(6, 6)]);
    check(&links, &expect![""]);
    check(
        &first,
        &expect![[r"
        1: Event 6 id 6
    "]],
    );
    answer(&serving, attachment, 6, 2);
    check(
        &links,
        &expect![[r"
        1: Reset
        1: Synced id 6
    "]],
    );
    change(&serving, attachment, vec![event(7, 7)]);
    check(
        &links,
        &expect![[r"
        1: Event 7 id 7
    "]],
    );
}

#[test]
fn a_link_without_credit_is_synced_when_it_has_some() {
    let (_node, serving, _first, attachment) = far("value");
    let links = Links::new(&serving);
    links.open(1, "/a", "value", None, Some(1));
    check(
        &links,
        &expect![[r"
        1: Set 7
    "]],
    );
    answer(&serving, attachment, 5, 2);
    check(&links, &expect![""]);
    links.credit(1, 1);
    check(
        &links,
        &expect![[r"
        1: Synced id 5
    "]],
    );
}

#[test]
fn an_owner_answers_another_node_behind_all_that_it_has_to_tell() {
    let (node, serving) = Node::start();
    let peer = PeerLinks::new(&serving);
    let take = |bytes| {
        let mut out = Vec::new();
        peer.next_updates(bytes, &mut out);
        let line = |(_, said): (u64, Result<Update, Refusal>)| {
            let Update { version, changes, answered, .. } = said.unwrap();
            (version, changes.len(), answered)
        };
        out.into_iter().map(line).collect::<Vec<_>>()
    };
    let ask = |number| peer.ask(Question { attachment: 70, number });
    ask(2);
    peer.open(70, "/a", "map", Since::default(), None);
    let attachment = node.attachment();
    assert_eq!(take(1_000), []);
    whole(&serving, attachment, 9, vec![put(1, 1, "a")]);
    assert_eq!(take(1_000), [(9, 1, ATTACHMENT)]);
    ask(2);
    assert_eq!(take(1_000), [(9, 0, 2)]);
    assert_eq!(take(1_000), []);
    change(&serving, attachment, vec![put(10, 1, "b"), put(10, 2, "b")]);
    ask(3);
    ask(4);
    assert_eq!(take(20), [(9, 1, 0)]);
    assert_eq!(take(20), [(10, 1, 4)]);
    // What this node has of the lane may be old: its own shard has yet to tell it anew.
    serving.lost(&[1]);
    ask(5);
    assert_eq!(take(1_000), []);
    let anew = node.asked().last().map(|(_, attachment, _)| *attachment).unwrap();
    whole(&serving, anew, 12, vec![put(10, 1, "b"), put(10, 2, "b"), put(11, 3, "c")]);
    assert_eq!(take(1_000), [(12, 1, 5)]);
    peer.close(70);
    ask(6);
    assert_eq!(take(1_000), []);
    assert_eq!(node.questions(), []);
}

#[test]
fn another_node_that_falls_behind_has_a_gap_and_goes_on() {
    let (node, serving) = Node::start();
    let peer = PeerLinks::new(&serving);
    peer.open(70, "/a", "closing", Since::default(), None);
    let attachment = node.attachment();
    whole(&serving, attachment, 2, vec![]);
    peer.next_updates(1_000, &mut Vec::new());
    for n in 3..=8 {
        change(&serving, attachment, vec![event(n, n as i64)]);
    }
    let mut out = Vec::new();
    peer.next_updates(1_000, &mut out);
    let gap = Update {
        version: 4,
        begin: Some(Begin::WHOLE),
        synced: true,
        changes: vec![],
        entries: None,
        answered: 0,
    };
    let changes = (5..=8).map(|n| event(n, n as i64)).collect();
    let rest = Update { version: 8, begin: None, synced: false, changes, entries: None, answered: 0 };
    assert_eq!(out, [(70, Ok(gap)), (70, Ok(rest))]);
}

#[test]
fn a_stream_that_is_not_read_holds_no_more_than_its_lanes() {
    let (node, serving) = Node::start();
    let (reader, stalled) = (Links::new(&serving), Links::new(&serving));
    for links in [&reader, &stalled] {
        links.open(1, "/a", "map", None, None);
        links.open(2, "/a", "supply", None, None);
    }
    let asked = node.asked();
    for (_, attachment, _) in &asked {
        whole(&serving, *attachment, 0, vec![]);
    }
    for links in [&reader, &stalled] {
        taken(links);
    }
    for n in 1..=50_000 {
        change(&serving, asked[0].1, vec![put(n, (n % 10) as i64, "x")]);
        change(&serving, asked[1].1, vec![event(n, n as i64)]);
        if n % 2 == 0 {
            taken(&reader);
        }
    }
    // Ten keys, and a gap with the queue's four.
    assert_eq!(taken(&stalled).len(), 10 + 1 + 4);
}

#[test]
fn a_queue_that_blocks_asks_for_more_when_all_have_passed() {
    let (node, serving) = Node::start();
    let (reader, slow) = (Links::new(&serving), Links::new(&serving));
    reader.open(1, "/a", "blocking", None, None);
    slow.open(1, "/a", "blocking", None, None);
    slow.open(2, "/a", "blocking", None, Some(3));
    let attachment = node.attachment();
    assert_eq!(node.limits(), [(attachment, Some(4))]);
    whole(&serving, attachment, 0, vec![]);
    assert_eq!((taken(&reader).len(), taken(&slow).len()), (1, 2), "`synced`");
    for n in 1..=4 {
        change(&serving, attachment, vec![event(n, n as i64)]);
    }
    assert_eq!(taken(&reader).len(), 4);
    assert_eq!(node.limits(), [], "the slow one has not looked");
    taken(&slow);
    assert_eq!(node.limits(), [(attachment, Some(6))], "it has taken two");
    slow.close(2);
    taken(&slow);
    assert_eq!(node.limits(), [(attachment, Some(8))], "who is gone needs nothing");
    drop((reader, slow));
    change(&serving, attachment, vec![event(5, 5), event(5, 6)]);
    assert_eq!(node.limits(), [(attachment, Some(10))], "nobody needs them");
    *node.owner.lock().unwrap() = Some(Owner::Node(1));
    serving.lost(&[1]);
    let (anew, limit) = node.limits()[0];
    assert!(anew > attachment);
    assert_eq!(limit, Some(4), "another owner counts from nothing");
}

#[test]
fn another_node_is_told_no_more_items_than_it_has_room_for() {
    let (node, serving) = Node::start();
    let peer = PeerLinks::new(&serving);
    let items = || {
        let mut out = Vec::new();
        peer.next_updates(10_000, &mut out);
        out.into_iter().map(|(_, said)| said.unwrap().changes.len()).sum::<usize>()
    };
    peer.open(70, "/a", "blocking", Since::default(), Some(2));
    let attachment = node.attachment();
    whole(&serving, attachment, 0, vec![]);
    assert_eq!(items(), 0);
    for n in 1..=4 {
        change(&serving, attachment, vec![event(n, n as i64)]);
    }
    assert_eq!(items(), 2);
    assert_eq!(items(), 0);
    peer.limit(70, 3);
    assert_eq!(items(), 1);
    peer.limit(70, 10);
    assert_eq!(items(), 1);
    assert_eq!(node.limits().last(), Some(&(attachment, Some(8))));
}
