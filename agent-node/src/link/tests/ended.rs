//! Links that end while their lane changes.

use super::super::groups::{Groups, Teller};
use super::super::lane::WatchState;
use super::super::mirror::{Budget, Cursor, Listener, MirrorChange, Start, Told};
use super::*;

/// Changes the lane that closes while another one is told.
struct Meanwhile<'a> {
    serving: &'a Serving,
    closing: u64,
    changes: bool,
    ended: Vec<u32>,
}

struct Nothing;

impl Listener for Nothing {
    fn begin(&mut self, _: bool, _: Begin) {}

    fn change(&mut self, _: MirrorChange<'_>, _: u64, _: Option<u64>) -> usize {
        1
    }

    fn synced(&mut self, _: u64) {}

    fn stale(&mut self) {}
}

impl Teller<u32> for Meanwhile<'_> {
    fn ends(&self, _: &WatchState) -> Option<Refusal> {
        None
    }

    fn tell_link(
        &mut self,
        link: u32,
        lane: &WatchState,
        cursor: &mut Cursor,
        budget: &mut Budget,
    ) -> (Told, usize) {
        if self.changes && link == 2 {
            change(self.serving, self.closing, vec![event(50, 50)]);
        }
        (lane.mirror.tell(cursor, budget, &mut Nothing), 0)
    }

    fn overrun_ends(&self, lane: &WatchState) -> bool {
        lane.closes()
    }

    fn ended(&mut self, link: u32, _: Refusal) {
        self.ended.push(link);
    }
}

#[test]
fn a_link_ends_once_though_its_lane_is_due_again_in_the_same_flush() {
    let (node, serving) = Node::start();
    let mut groups = Groups::<u32>::default();
    let mut open = |link, lane| {
        let (watched, _) = serving.watch("/a/1", lane, Start::of_client(None), |_| None).unwrap();
        assert!(groups.open(link, watched, Cursor::begin(Start::of_client(None)), None));
        node.attachment()
    };
    let (closing, supply) = (open(1, "closing"), open(2, "supply"));
    whole(&serving, closing, 1, vec![]);
    whole(&serving, supply, 1, vec![]);
    let mut teller = Meanwhile { serving: &serving, closing, changes: false, ended: Vec::new() };
    let flush = || Budget { events: 100, bytes: 10_000 };
    assert!(groups.tell_due(None, &mut flush(), &mut teller).is_empty());
    teller.changes = true;
    change(&serving, closing, (10..20).map(|version| event(version, 1)).collect());
    change(&serving, supply, vec![event(30, 30)]);
    let ended = groups.tell_due(None, &mut flush(), &mut teller);
    assert_eq!((teller.ended, ended.len()), (vec![1], 1));
    assert!(ended[0].1.is_some() && !groups.has(1) && groups.has(2));
}
