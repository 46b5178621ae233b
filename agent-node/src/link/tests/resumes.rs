//! Watchers that come back with tokens to a node that knows less than they: what the owner is asked for, and what it costs.

use super::*;
use crate::map::{Map, Stamp};
use crate::peer::Numbers;
use crate::peer::wire::Batch;
use prost::Message as _;

/// The owner's node and another one, on which agents' lanes are watched.
struct Two {
    near: (Arc<Node>, Serving),
    far: (Arc<Node>, Serving),
    peer: PeerLinks,
    /// The owner's lanes by attachment of its node.
    lanes: BTreeMap<String, Map>,
    version: u64,
    /// Bytes of frames from the owner's node.
    sent: usize,
}

impl Two {
    fn new() -> Two {
        let (near, far) = (Node::start(), Node::start());
        *far.0.owner.lock().unwrap() = Some(Owner::Node(0));
        let peer = PeerLinks::new(&near.1);
        Two { near, far, peer, lanes: BTreeMap::new(), version: 0, sent: 0 }
    }

    /// The serving node ends, and another start of it serves.
    fn restart(&mut self) {
        self.far = Node::start();
        *self.far.0.owner.lock().unwrap() = Some(Owner::Node(0));
        self.peer = PeerLinks::new(&self.near.1);
    }

    fn put(&mut self, agent: &str, key: i64, value: &str) {
        self.version += 1;
        let stamp = Stamp { version: self.version, index: 0 };
        self.lanes.entry(agent.into()).or_default().put(Value::Int(key), Value::text(value), stamp);
        if let Some(attachment) = self.near.1.attachment_of(agent, "map") {
            change(&self.near.1, attachment, vec![put(self.version, key, value)]);
        }
    }

    fn remove(&mut self, agent: &str, key: i64) {
        self.version += 1;
        let stamp = Stamp { version: self.version, index: 0 };
        self.lanes.entry(agent.into()).or_default().remove(&Value::Int(key), stamp);
        if let Some(attachment) = self.near.1.attachment_of(agent, "map") {
            change(&self.near.1, attachment, vec![at(self.version, Change::Remove(Value::Int(key)))]);
        }
    }

    /// Passes on what is under way between nodes and shards. Gives what the owner's node was asked for.
    fn settle(&mut self) -> Vec<Since> {
        let mut all = Vec::new();
        loop {
            let (asked, since, questions) = (self.far.0.asked(), self.far.0.since(), self.far.0.questions());
            if asked.is_empty() && questions.is_empty() {
                return all;
            }
            let mut attaches = since.iter();
            for (attach, attachment, target) in asked {
                if attach {
                    let since = *attaches.next().unwrap();
                    self.peer.open(attachment, target.agent.as_str(), "map", since, None);
                } else {
                    self.peer.close(attachment);
                }
            }
            all.extend(since);
            for question in questions {
                self.peer.ask(question);
            }
            self.shard();
            let mut updates = Vec::new();
            while self.peer.next_updates(32 << 10, &mut updates) {}
            for (attachment, said) in &updates {
                self.sent += frame_bytes(*attachment, said.clone().unwrap());
            }
            self.far.1.update(&mut updates);
        }
    }

    fn shard(&mut self) {
        for (attach, attachment, target) in self.near.0.asked() {
            if attach {
                let map = self.lanes[target.agent.as_str()].clone();
                let begin = Begin { removed: map.known_from(), horizon: map.known_from(), ..Begin::WHOLE };
                let update = Update {
                    version: self.version,
                    begin: Some(begin),
                    synced: true,
                    changes: vec![],
                    entries: Some(map),
                    answered: 1,
                };
                self.near.1.update(&mut vec![(attachment, Ok(update))]);
            }
        }
    }

    fn watch(&mut self, agent: &str, from: Option<u64>) -> Links {
        let links = Links::new(&self.far.1);
        links.open(1, agent, "map", from, None);
        links
    }

    /// What a link is told when all that it waits for has come.
    fn told(&mut self, links: &Links) -> String {
        let mut told = String::new();
        for _ in 0..4 {
            told.extend(taken(links).iter().map(line));
            self.settle();
        }
        told
    }
}

#[test]
fn who_comes_back_is_told_what_changed_and_the_owner_is_asked_for_no_more() {
    let mut two = Two::new();
    two.put("/a", 1, "one");
    two.put("/a", 2, "two");
    let links = two.watch("/a", None);
    assert_eq!(two.settle(), [Since::default()]);
    expect![[r#"
        1: Update 1 "one"
        1: Update 2 "two"
        1: Synced id 2
    "#]]
    .assert_eq(&two.told(&links));
    two.put("/a", 3, "three");
    two.remove("/a", 1);
    drop(links);
    two.restart();
    // What is here is what has changed since; and a later token needs no more.
    let (early, late) = (two.watch("/a", Some(2)), two.watch("/a", Some(3)));
    assert_eq!(two.settle(), [Since { changed: 2, removed: 2 }]);
    expect![[r#"
        1: Update 3 "three"
        1: Remove 1
        1: Synced id 4
    "#]]
    .assert_eq(&two.told(&early));
    expect![[r"
        1: Remove 1
        1: Synced id 4
    "]]
    .assert_eq(&two.told(&late));
    // An earlier one, and who has nothing, need one attachment, which those that follow do not notice.
    let (first, fresh) = (two.watch("/a", Some(1)), two.watch("/a", None));
    assert_eq!((taken(&first), taken(&fresh)), (vec![], vec![]));
    assert_eq!(two.settle(), [Since { changed: 1, removed: 1 }, Since { changed: 0, removed: 4 }]);
    expect![[r#"
        1: Update 2 "two"
        1: Update 3 "three"
        1: Remove 1
        1: Synced id 4
    "#]]
    .assert_eq(&two.told(&first));
    expect![[r#"
        1: Update 2 "two"
        1: Update 3 "three"
        1: Synced id 4
    "#]]
    .assert_eq(&two.told(&fresh));
    assert_eq!(two.told(&early) + &two.told(&late), "");
    // The stream breaks: what is missed is asked for, and nothing else.
    two.put("/a", 2, "2");
    two.peer = PeerLinks::new(&two.near.1);
    two.far.1.lost(&[1]);
    two.put("/a", 4, "four");
    assert_eq!(two.settle(), [Since { changed: 4, removed: 4 }]);
    expect![[r#"
        1: Update 2 "2"
        1: Update 4 "four" id 6
    "#]]
    .assert_eq(&two.told(&fresh));
}

#[test]
fn who_comes_back_with_a_token_of_nowhere_begins_anew() {
    let mut two = Two::new();
    two.put("/a", 1, "one");
    for (token, told) in [(0, "Reset"), (7, "Reset"), (5 << 40, "Reset"), (1, "Synced id 1")] {
        two.restart();
        let links = two.watch("/a", Some(token));
        two.settle();
        let said = two.told(&links);
        assert!(said.starts_with(&format!("1: {told}")), "{token}: {said}");
        assert!(said.ends_with("1: Synced id 1\n"), "{token}: {said}");
    }
}

/// 1,000 watchers of 100 Maps of 200 entries, in 100 streams, come back when the node that served them has started anew.
#[test]
fn a_thousand_that_come_back_to_a_new_start_are_sent_what_they_missed() {
    let mut two = Two::new();
    let (agents, value) = ((0..100).map(|n| format!("/a/{n}")).collect::<Vec<_>>(), "v".repeat(100));
    for agent in &agents {
        (0..200).for_each(|key| two.put(agent, key, &value));
    }
    let watch = |two: &Two, stream: usize, from: Option<u64>| {
        let links = Links::new(&two.far.1);
        let lanes = (0..10).map(|lane| &agents[(stream + lane * 10) % 100]);
        (0..).zip(lanes).for_each(|(link, agent)| links.open(link, agent, "map", from, None));
        links
    };
    let streams: Vec<Links> = (0..100).map(|stream| watch(&two, stream, None)).collect();
    two.settle();
    let told: usize = streams.iter().map(bytes).sum();
    let (whole, token) = (two.sent, two.version);
    assert!(told > 1_000 * 200 * 100 && whole > 100 * 200 * 100);
    let mut missed = 0;
    for agent in &agents {
        (0..5).for_each(|key| two.put(agent, key, &value));
        two.remove(agent, 7);
        // As one who watches all the time is told it.
        let mut changes: Vec<_> = (0..5).map(|key| put(two.version, key, &value)).collect();
        changes.push(at(two.version, Change::Remove(Value::Int(7))));
        let update =
            Update { version: two.version, begin: None, synced: false, changes, entries: None, answered: 0 };
        missed += frame_bytes(1, update);
    }
    drop(streams);
    two.restart();
    two.sent = 0;
    let streams: Vec<Links> = (0..100).map(|stream| watch(&two, stream, Some(token))).collect();
    let asked = two.settle();
    assert_eq!(asked, vec![Since { changed: token, removed: token }; 100]);
    let told: usize = streams.iter().map(bytes).sum();
    assert_eq!(two.settle(), [], "nobody lacks anything");
    // In JSON, ten watchers a lane.
    let of_keys = 5 * (1 + 102) + 1;
    assert!(told <= 1_000 * (of_keys * 110 / 100 + 64), "{told} bytes to clients");
    assert!(two.sent <= missed * 110 / 100 + 100 * 64, "{} bytes between nodes, of {missed}", two.sent);
    println!("to clients {told}, between nodes {}; before: {whole} between nodes", two.sent);
}

fn frame_bytes(attachment: u64, update: Update) -> usize {
    let mut batch = Batch::default();
    batch.update(attachment, update);
    batch.finish(Numbers::default()).encoded_len()
}

/// The texts of all that there is to tell, with the ids.
fn bytes(links: &Links) -> usize {
    let one = |output: &LinkOutput| match output {
        LinkOutput::Event { event, .. } => {
            event.key.len() + event.value.len() + event.id.map_or(0, |id| id.to_string().len())
        }
        LinkOutput::Closed { .. } => panic!("{output:?}"),
    };
    std::iter::from_fn(|| Some(taken(links)).filter(|outputs| !outputs.is_empty()))
        .flat_map(|outputs| outputs.iter().map(one).collect::<Vec<_>>())
        .sum()
}
