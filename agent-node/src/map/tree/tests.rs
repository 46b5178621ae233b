//! Laws of the tree against the standard library's, in narrow nodes, where the tree is deep, and in those of lanes.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq)]
struct Dated(u64);

impl Stamped for Dated {
    fn stamp(&self) -> Stamp {
        Stamp { version: self.0, index: 0 }
    }
}

#[derive(Clone, Debug)]
enum Act {
    Insert(u16),
    /// Keys in order, as a log's are.
    Append(u8),
    Remove(u16),
    RemoveFrom(u16, u8),
    RemoveOldest,
    Keep,
}

fn acts(keys: u16) -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        8 => (0..keys).prop_map(Act::Insert),
        2 => any::<u8>().prop_map(Act::Append),
        5 => (0..keys).prop_map(Act::Remove),
        1 => ((0..keys), any::<u8>()).prop_map(|(key, count)| Act::RemoveFrom(key, count)),
        3 => Just(Act::RemoveOldest),
        1 => Just(Act::Keep),
    ];
    prop::collection::vec(act, 0..400)
}

/// Whether all is as it is said to be; gives back the depth and the number of entries.
fn sound<const N: usize>(node: &Node<u32, Dated, N>, root: bool) -> (usize, usize) {
    assert!(root || node.width() > 0, "an empty node");
    assert!(node.width() <= N, "a node is too wide");
    match node {
        Node::Leaf(entries) => (0, entries.len()),
        Node::Branch(children) => {
            let below: Vec<_> = children.iter().map(|child| sound(&child.node, false)).collect();
            assert!(below.iter().all(|(depth, _)| *depth == below[0].0), "leaves at several depths");
            for child in children {
                assert_eq!(child.span, child.node.span());
            }
            (below[0].0 + 1, below.iter().map(|(_, count)| count).sum())
        }
    }
}

/// What can be asked at any step.
fn check<const N: usize>(tree: &Tree<u32, Dated, N>, model: &BTreeMap<u32, Dated>, near: u32) {
    assert_eq!(tree.len(), model.len());
    assert_eq!((tree.first(), tree.last()), (model.first_key_value(), model.last_key_value()));
    assert_eq!(tree.get(&near), model.get(&near));
    assert!(tree.after(&near).take(200).eq(model.range(near + 1..).take(200)));
    let since = model.values().nth(model.len() / 2).map_or(0, |value| value.0);
    let changed = model.range(near + 1..).filter(|(_, value)| value.0 > since);
    assert!(tree.changed(Some(&near), Some(Stamp::end_of(since))).take(200).eq(changed.take(200)));
}

/// All of it.
fn check_whole<const N: usize>(tree: &Tree<u32, Dated, N>, model: &BTreeMap<u32, Dated>) {
    let (_, count) = sound(&tree.root, true);
    assert_eq!(count, model.len());
    assert!(tree.entries().eq(model.iter()));
    assert!(tree.changed(None, Some(Stamp::default())).eq(model.iter().filter(|(_, value)| value.0 > 0)));
    assert_eq!(tree.oldest(), model.iter().min_by_key(|(_, value)| value.0));
}

fn law<const N: usize>(acts: Vec<Act>) {
    let (mut tree, mut model) = (Tree::<u32, Dated, N>::default(), BTreeMap::new());
    let mut kept = Vec::new();
    let mut version = 0;
    for (step, act) in acts.into_iter().enumerate() {
        version += 1000;
        let mut near = 0;
        match act {
            Act::Insert(key) => {
                near = key.into();
                assert_eq!(tree.insert(near, Dated(version)), model.insert(near, Dated(version)));
            }
            Act::Append(count) => {
                let next = model.last_key_value().map_or(0, |(key, _)| key + 1);
                for n in 0..u32::from(count) {
                    tree.insert(next + n, Dated(version + u64::from(n)));
                    model.insert(next + n, Dated(version + u64::from(n)));
                }
            }
            Act::Remove(key) => {
                near = key.into();
                assert_eq!(tree.remove(&near), model.remove(&near));
            }
            Act::RemoveFrom(key, count) => {
                let keys: Vec<u32> =
                    model.range(u32::from(key)..).take(count.into()).map(|(key, _)| *key).collect();
                for key in keys {
                    assert_eq!(tree.remove(&key), model.remove(&key));
                }
            }
            Act::RemoveOldest => {
                if let Some(key) = tree.oldest().map(|(key, _)| *key) {
                    assert_eq!(tree.remove(&key), model.remove(&key));
                }
            }
            Act::Keep => kept.push((tree.clone(), model.clone())),
        }
        check(&tree, &model, near);
        if step % 16 == 0 {
            check_whole(&tree, &model);
        }
    }
    kept.push((tree, model));
    for (tree, model) in kept {
        check_whole(&tree, &model);
    }
}

proptest! {
    #[test]
    fn it_does_what_the_standard_map_does_and_clones_stay_as_they_were(acts in acts(300)) {
        law::<4>(acts.clone());
        law::<8>(acts.clone());
        law::<WIDTH>(acts);
    }

    #[test]
    fn the_same_with_many_keys(acts in acts(u16::MAX)) {
        law::<4>(acts.clone());
        law::<WIDTH>(acts);
    }
}

#[test]
fn keys_in_order_fill_their_nodes_and_those_in_any_order_most_of_them() {
    fn places<const N: usize>(node: &Node<u32, Dated, N>) -> usize {
        match node {
            Node::Leaf(entries) => entries.capacity(),
            Node::Branch(children) => children.iter().map(|child| places(&child.node)).sum(),
        }
    }
    let count = 100_000_u32;
    let filled = |key: fn(u32) -> u32| {
        let mut tree = Tree::<u32, Dated>::default();
        for n in 0..count {
            tree.insert(key(n), Dated(n.into()));
        }
        f64::from(count) / places(&tree.root) as f64
    };
    let (in_order, in_any) = (filled(|n| n), filled(|n| n.wrapping_mul(2_654_435_761)));
    assert!(in_order > 0.98, "{in_order}");
    assert!(in_any > 0.85, "{in_any}");
}

#[test]
fn a_change_copies_what_a_clone_shares_and_no_more() {
    let mut tree = Tree::<u32, Dated>::default();
    for n in 0..100_000 {
        tree.insert(n, Dated(n.into()));
    }
    let kept = tree.clone();
    assert_eq!(tree.identity(), kept.identity());
    assert!(tree.remove(&100_000).is_none());
    assert_eq!(tree.identity(), kept.identity(), "nothing was there to be removed");
    tree.insert(50_000, Dated(0));
    let (Node::Branch(new), Node::Branch(old)) = (&*tree.root, &*kept.root) else { panic!("it is deep") };
    let copied = new.iter().zip(old).filter(|(new, old)| !Arc::ptr_eq(&new.node, &old.node)).count();
    assert_eq!(copied, 1);
    assert_eq!((tree.get(&50_000), kept.get(&50_000)), (Some(&Dated(0)), Some(&Dated(50_000))));
}
