//! Names that come, go idle and are forgotten: what memory they take, who waits, and who goes first.

use super::*;
use proptest::prelude::*;

const SLOT: Slot = 7;
const MIB: usize = 1 << 20;

fn names(new: usize) -> Names {
    Names::new(Room { new, growth: 2 * new, ended: new, ..Room::OF_NODE })
}

/// As the shard does it: looks, and settles what may run.
fn send(names: &mut Names, slot: Slot, name: &str, sequence: u64, now_ms: u64) -> Look {
    let version = (1 << 40) + now_ms;
    let look = names.look(slot, name, sequence, version, now_ms);
    if look == Look::Known(Known::New) {
        names.settle(slot, &name.into(), sequence, (version, None), now_ms);
    }
    look
}

/// One turn: what is due is forgotten.
fn turn(names: &mut Names, now_ms: u64, bytes: usize) -> BTreeMap<Slot, Piece> {
    let due = names.due(now_ms, bytes, |_| true);
    for (slot, piece) in &due {
        names.forget(*slot, &piece.idle, &piece.gone);
    }
    due
}

fn turns(names: &mut Names, now_ms: u64) -> usize {
    let mut count = 0;
    while !turn(names, now_ms, 64 << 10).is_empty() {
        count += 1;
    }
    count
}

const NEW: Look = Look::Known(Known::New);

fn done(version: u64) -> Look {
    Look::Known(Known::Done { version, is_said: false })
}

#[test]
fn a_name_keeps_one_number_after_an_hour_and_nothing_after_a_week() {
    let mut names = names(MIB);
    let first = done((1 << 40) + 1_000);
    assert_eq!(send(&mut names, SLOT, "a", 5, 1_000), NEW);
    assert_eq!(send(&mut names, SLOT, "a", 9, 2_000), NEW);
    assert_eq!(
        turns(&mut names, 1_999 + IDLE_MS),
        0,
        "it was listed at its first command, and has come since"
    );
    assert_eq!(send(&mut names, SLOT, "a", 5, 1_999 + IDLE_MS), first);
    assert!(!names.is_due(1_999 + IDLE_MS));
    assert!(names.is_due(2_000 + IDLE_MS));
    assert_eq!(turns(&mut names, 2_000 + IDLE_MS), 1);
    let held = Held { names: 1, bytes: NAME as u64 + 1 };
    assert_eq!(names.clients(), held);
    for sequence in [5, 7, 9] {
        assert_eq!(send(&mut names, SLOT, "a", sequence, 3_000 + IDLE_MS), Look::Known(Known::DoneBefore));
    }
    assert_eq!(send(&mut names, SLOT, "a", 10, 3_000 + IDLE_MS), NEW);
    let silent_ms = 3_000 + IDLE_MS;
    assert_eq!(turns(&mut names, silent_ms + IDLE_MS), 1, "and again");
    assert!(!names.is_due(silent_ms + REMEMBER_MS - 1));
    assert_eq!(turns(&mut names, silent_ms + REMEMBER_MS), 1);
    assert_eq!((names.clients(), names.slots.len()), (Held::default(), 0));
    assert_eq!(send(&mut names, SLOT, "a", 5, silent_ms + REMEMBER_MS), NEW);
}

#[test]
fn a_full_room_refuses_new_names_until_the_one_that_was_silent_for_longest_may_go() {
    let mut names = names(MIB);
    let mut count = 0;
    while send(&mut names, (count % 3) as Slot, &format!("name {count}"), 1, 1_000 + count) == NEW {
        count += 1;
    }
    assert!((2_000..4_000).contains(&count), "{count} names");
    assert!(names.clients().bytes as usize <= MIB);
    let full = |seconds: u32| Look::Full(seconds);
    assert_eq!(send(&mut names, SLOT, "new", 1, 10_000), full(3_591));
    assert_eq!(send(&mut names, SLOT, "new", 1, 999 + IDLE_MS), full(1));
    // Those that are there go on, and grow.
    for sequence in 2..2_000 {
        assert_eq!(send(&mut names, 0, "name 0", sequence, 20_000 + sequence), NEW);
    }
    assert_eq!(send(&mut names, SLOT, "new", 1, 999 + IDLE_MS), full(1), "the second one, now");
    assert_eq!(turns(&mut names, 1_000 + IDLE_MS), 0, "the first one has come since");
    // An hour after the tenth, ten keep one number. That is no room yet: they go, the longest silent first.
    let now_ms = 1_010 + IDLE_MS;
    let shrunk = turn(&mut names, now_ms, 64 << 10);
    assert_eq!(shrunk.values().map(|piece| piece.idle.len()).sum::<usize>(), 10);
    assert_eq!(send(&mut names, SLOT, "new", 1, now_ms), full(1));
    let gone = turn(&mut names, now_ms, RECORD + 3 * (IN_RECORD + 6));
    let expected = Piece { idle: vec![], gone: vec!["name 1".into()] };
    assert_eq!(gone.get(&1), Some(&expected), "{gone:?}");
    turns(&mut names, now_ms);
    assert_eq!(names.clients().names, count - 10);
    // Those that came within the hour are there.
    assert_eq!(send(&mut names, 11 % 3, "name 11", 1, now_ms), done((1 << 40) + 1_011));
    turns(&mut names, 2_000 + IDLE_MS + count);
    assert_eq!(send(&mut names, SLOT, "new", 1, 2_000 + IDLE_MS + count), NEW);
    assert!(names.clients().bytes as usize <= MIB - MIB / 8);
}

#[test]
fn windows_grow_as_far_as_there_is_room_and_full_ones_need_none() {
    let mut names = names(MIB);
    let (mut ends, mut grown) = ([1; 1_000], 0);
    'all: for _ in 0..1_024 {
        for (client, sequence) in ends.iter_mut().enumerate() {
            match send(&mut names, SLOT, &format!("client {client}"), *sequence, 1_000) {
                NEW => *sequence += 1,
                Look::Full(3_600) => break 'all,
                other => panic!("{other:?}"),
            }
        }
        grown += 1;
    }
    assert!(grown > 100, "{grown}");
    assert!(names.clients().bytes as usize <= 2 * MIB);
    // Whoever has a full window goes on as before.
    let mut names = super::Names::new(Room { new: 12 << 10, growth: 24 << 10, ended: 0, ..Room::OF_NODE });
    for sequence in 1..2_000 {
        assert_eq!(send(&mut names, SLOT, "old", sequence, 1_000), NEW);
    }
    let mut young = 0;
    while send(&mut names, SLOT, &format!("young {young}"), 1, 2_000) == NEW {
        young += 1;
    }
    for sequence in 2_000..4_000 {
        assert_eq!(send(&mut names, SLOT, "old", sequence, 3_000), NEW);
    }
}

#[test]
fn nodes_are_let_in_when_the_room_is_full_and_their_earlier_starts_keep_one_number_for_an_hour() {
    let mut names = names(2_000);
    let mut count = 0;
    while send(&mut names, SLOT, &format!("name {count}"), 1, 1_000) == NEW {
        count += 1;
    }
    let store = StoreId(0xabc);
    let (first, second) = (of_node(store, 3), of_node(store, 4));
    for sequence in 1..3_000 {
        assert_eq!(send(&mut names, SLOT, &first, sequence, 1_000), NEW);
    }
    names.started(store, 3);
    names.started(StoreId(0xabd), 9);
    assert!(!names.is_due(1_000 + IDLE_MS - 1));
    names.started(store, 4);
    assert!(names.is_due(2_000));
    let piece = Piece { idle: vec![first.as_str().into()], gone: vec![] };
    assert_eq!(turn(&mut names, 2_000, 1_000), BTreeMap::from([(SLOT, piece)]));
    assert_eq!(names.nodes(), Held { names: 1, bytes: (NAME + first.len()) as u64 });
    assert_eq!(send(&mut names, SLOT, &first, 2_999, 2_000), Look::Known(Known::DoneBefore));
    assert_eq!(send(&mut names, SLOT, &second, 1, 2_000), NEW);
    turns(&mut names, 1_000 + IDLE_MS);
    assert_eq!(names.nodes().names, 1, "an hour after it was heard of last");
    // A command that was still on its way is done, and is none of the new start's.
    assert_eq!(send(&mut names, SLOT, &first, 3_000, 3_000 + IDLE_MS), NEW);
    turns(&mut names, 3_000 + 2 * IDLE_MS);
    assert_eq!(names.nodes().names, 1);
    assert_eq!((node(&first), node("node 1 2"), node("node")), (Some((store, 3)), None, None));
}

#[test]
fn starts_that_follow_each_other_fast_do_not_pile_up() {
    let mut names = names(MIB);
    let store = StoreId(1);
    for start in 1..40_000 {
        names.started(store, start);
        assert_eq!(send(&mut names, SLOT, &of_node(store, start), 1, start), NEW);
        if start % 50 == 0 {
            turn(&mut names, start, 64 << 10);
        }
    }
    assert!(names.nodes().bytes as usize <= MIB + 100_000, "{:?}", names.nodes());
}

#[test]
fn without_room_for_a_refused_number_nobody_says_that_what_is_below_was_done() {
    for (has_room, expected) in [(true, Known::New), (false, Known::Forgotten)] {
        let mut names = names(4_000);
        for sequence in 1..=100 {
            assert_eq!(send(&mut names, SLOT, "feed", sequence + 1_000, 1_000), NEW);
        }
        let bytes = names.clients().bytes;
        if !has_room {
            names.room.growth = bytes as usize;
        }
        names.refuse(SLOT, &"feed".into(), 50, 1_000);
        assert_eq!(names.clients().bytes > bytes, has_room);
        // All that was done before falls out of the window.
        for sequence in 1..=1_024_u64 {
            names.settle(SLOT, &"feed".into(), 2_000 + sequence, (7, None), 1_000);
        }
        let look = |names: &mut Names, sequence| names.look(SLOT, "feed", sequence, 7, 1_000);
        assert_eq!(look(&mut names, 50), Look::Known(expected));
        let below = if has_room { Known::DoneBefore } else { Known::Forgotten };
        assert_eq!(look(&mut names, 49), Look::Known(below));
        assert_eq!(look(&mut names, 51), Look::Known(Known::DoneBefore));
    }
}

#[test]
fn what_was_said_is_kept_while_names_leave_room_and_the_window_knows_of_it() {
    let text = |sequence: u64| Bytes::from(format!("{sequence:0>800}"));
    let mut names = names(64 << 10);
    let settle = |names: &mut Names, name: &str, sequence: u64| {
        names.settle(SLOT, &name.into(), sequence, (sequence, Some(text(sequence))), 1_000);
    };
    let kept = |names: &Names, name: &str, last: u64| -> Vec<u64> {
        (1..=last).filter(|sequence| names.said(SLOT, name, *sequence) == Some(text(*sequence))).collect()
    };
    // Three quarters of a quarter of the room, of which each takes about a kilobyte: the last dozen.
    (1..=30).for_each(|sequence| settle(&mut names, "a", sequence));
    assert_eq!(kept(&names, "a", 30), (19..=30).collect::<Vec<_>>());
    assert!(names.clients().bytes <= 64 << 10);
    for sequence in [18, 19] {
        let expected = Look::Known(Known::Done { version: sequence, is_said: true });
        assert_eq!(names.look(SLOT, "a", sequence, 99, 1_000), expected, "it says so, also of what is gone");
    }
    // A node's commands take nothing from clients.
    let node = of_node(StoreId(1), 1);
    (1_001..=1_030).for_each(|sequence| settle(&mut names, &node, sequence));
    assert_eq!(kept(&names, "a", 30).len(), 12);
    assert_eq!(kept(&names, &node, 1_030).len(), 4);
    // Names come first.
    let mut count = 0;
    while send(&mut names, SLOT + 1, &format!("name {count}"), 1, 1_000) == NEW {
        count += 1;
    }
    assert!(count > 100 && kept(&names, "a", 30).is_empty(), "{count}");
    assert!(names.clients().bytes <= 64 << 10);
    // After an hour the window knows nothing of them.
    let mut names = super::Names::new(Room::OF_NODE);
    (1..=2_000).for_each(|sequence| settle(&mut names, "a", sequence));
    assert_eq!(kept(&names, "a", 2_000), (977..=2_000).collect::<Vec<_>>(), "those of its window");
    turns(&mut names, 1_000 + IDLE_MS);
    assert_eq!(names.clients(), Held { names: 1, bytes: NAME as u64 + 1 });
}

#[derive(Debug, Clone)]
enum Turn {
    Send { slot: Slot, client: u8, sequence: u64, is_refused: bool },
    Time(u64),
    Forget(usize),
    Started(u64),
}

fn any_turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        8 => (0..3_u16, 0..40_u8, 1..30_u64, proptest::bool::weighted(0.3)).prop_map(
            |(slot, client, sequence, is_refused)| Turn::Send { slot, client, sequence, is_refused }
        ),
        2 => prop_oneof![0..5_000_u64, 0..IDLE_MS, 0..REMEMBER_MS / 4].prop_map(Turn::Time),
        3 => (0..800_usize).prop_map(Turn::Forget),
        1 => (1..5_u64).prop_map(Turn::Started),
    ]
}

proptest! {
    /// A command that is sent again within the hour never has a second effect, and one that was refused is never said
    /// to be done while its name is remembered; memory is what is counted, and not more than there is room for; and who replays what was written holds the same.
    #[test]
    fn nothing_is_forgotten_within_the_hour(turns in proptest::collection::vec(any_turn(), 1..300)) {
        let mut names = Names::new(Room { new: 4_000, growth: 8_000, ended: 1_000, ..Room::OF_NODE });
        let mut replayed = Names::new(Room { new: 0, growth: 8_000, ended: 0, ..Room::OF_NODE });
        let (mut now_ms, mut done) = (1_000, BTreeMap::<(Slot, String), (u64, BTreeSet<u64>)>::new());
        let (mut refused, mut version) = (BTreeSet::new(), 1 << 40);
        for turn in turns {
            match turn {
                Turn::Send { slot, client, sequence, is_refused } => {
                    let name = match client {
                        0..36 => format!("client {client}"),
                        _ => of_node(StoreId(5), u64::from(client) - 35),
                    };
                    version += 1;
                    let look = names.look(slot, &name, sequence, version, now_ms);
                    let before = done.entry((slot, name.clone())).or_default();
                    let is_client = client < 36;
                    if is_client && now_ms < before.0 + IDLE_MS && before.1.contains(&sequence) {
                        let is_known = matches!(look, Look::Known(Known::Done { .. } | Known::DoneBefore | Known::Forgotten));
                        prop_assert!(is_known, "{:?}", look);
                    }
                    match look {
                        Look::Known(Known::New) if is_client && is_refused => {
                            names.refuse(slot, &name.as_str().into(), sequence, now_ms);
                            replayed.refuse(slot, &name.as_str().into(), sequence, now_ms);
                            refused.insert((slot, name, sequence));
                        }
                        Look::Known(Known::New) => {
                            let said = (sequence % 3 > 0).then(|| Bytes::from(vec![b'x'; 4 * sequence as usize]));
                            names.settle(slot, &name.as_str().into(), sequence, (version, said.clone()), now_ms);
                            replayed.settle(slot, &name.as_str().into(), sequence, (version, said), now_ms);
                            if now_ms >= before.0 + IDLE_MS {
                                before.1.clear();
                            }
                            before.0 = now_ms;
                            before.1.insert(sequence);
                            refused.remove(&(slot, name, sequence));
                        }
                        Look::Full(seconds) => prop_assert!(is_client && (1..=3_600).contains(&seconds)),
                        Look::Known(Known::Done { .. } | Known::DoneBefore) => {
                            prop_assert!(!refused.contains(&(slot, name, sequence)), "it was refused, and never done");
                        }
                        Look::Known(Known::Forgotten) => {}
                    }
                    prop_assert!(names.clients().bytes <= 8_000);
                }
                Turn::Time(ms) => now_ms += ms,
                Turn::Forget(bytes) => {
                    for (slot, piece) in names.due(now_ms, bytes, |_| true) {
                        let taken = |names: &[Arc<str>]| names.iter().map(|name| name.len() + IN_RECORD).sum::<usize>();
                        prop_assert!(RECORD + taken(&piece.idle) + taken(&piece.gone) <= bytes);
                        names.forget(slot, &piece.idle, &piece.gone);
                        replayed.forget(slot, &piece.idle, &piece.gone);
                        refused.retain(|(of, name, _)| *of != slot || !piece.gone.iter().any(|gone| **gone == **name));
                    }
                }
                Turn::Started(start) => names.started(StoreId(5), start),
            }
            // What was said is kept for windows that know of it only, and in what names leave.
            let windows = names.slots.iter().flat_map(|(slot, clients)| clients.values().map(move |client| (*slot, client)));
            let said: BTreeSet<_> = windows.flat_map(|(slot, client)| client.window.said().map(move |version| (slot, version))).collect();
            let kept = names.said.iter().map(Kept::bytes).sum::<usize>();
            prop_assert!(names.said.iter().flat_map(Kept::all).all(|kept| said.contains(&kept)));
            prop_assert!(kept == 0 || kept <= 1_000 && names.bytes(Of::Client) + kept <= 4_000, "{}", kept);
            for of in ALL {
                let all = names.slots.values().flatten().filter(|(_, client)| client.of == of);
                let sum: usize = all.clone().map(|(name, client)| NAME + name.len() + client.window.bytes()).sum();
                let group = &names.groups[of as usize];
                prop_assert_eq!((all.count() as u64, sum as u64), (group.held.names, group.held.bytes));
                prop_assert_eq!(group.active.len() + group.floors.len(), group.held.names as usize);
            }
        }
        for (slot, clients) in &names.slots {
            for (name, client) in clients {
                prop_assert_eq!(&replayed.slots[slot][name].window, &client.window);
            }
        }
        let held = |names: &Names| {
            let [clients, nodes, ended] = &names.groups;
            (clients.held, nodes.held + ended.held)
        };
        prop_assert_eq!(held(&names), held(&replayed));
    }
}
