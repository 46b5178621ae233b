//! A copy-on-write B+tree: entries in key order, in leaves of up to 64.
//!
//! A clone takes the root and costs one count; it never changes, and shares all nodes that have not been changed since.
//! A change copies the nodes on its path that a clone shares, at most one for each level, and none where no clone lives.
//! Each branch knows the least and the greatest stamp below each of its children, so that the entry that was changed
//! longest ago, and those that were changed since a moment, are found without an index of their own.
//!
//! *Guarantees.* All leaves lie at one depth. No node but the root is empty, and two neighbours of one branch that would
//! fit into three quarters of a node after a removal become one.

#[cfg(test)]
mod tests;

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::sync::Arc;

/// When something was changed: versions of one lane never fall, and the index counts the changes of one version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    pub version: u64,
    pub index: u32,
}

impl Stamp {
    /// The next one of the same version.
    #[must_use]
    pub fn next(self) -> Stamp {
        Stamp { version: self.version, index: self.index + 1 }
    }

    /// No change of this version has a higher one.
    pub fn end_of(version: u64) -> Stamp {
        Stamp { version, index: u32::MAX }
    }
}

/// What knows when it was changed.
pub trait Stamped {
    fn stamp(&self) -> Stamp;
}

impl Stamped for Stamp {
    fn stamp(&self) -> Stamp {
        *self
    }
}

/// At most this many entries are in a leaf, and children under a branch.
pub const WIDTH: usize = 64;
/// A full node grows by so many places, so that few stand empty.
const GROWTH: usize = 8;

#[derive(Clone, Debug)]
pub struct Tree<K, V, const N: usize = WIDTH> {
    root: Arc<Node<K, V, N>>,
    len: usize,
}

#[derive(Clone, Debug)]
enum Node<K, V, const N: usize> {
    Leaf(Vec<(K, V)>),
    Branch(Vec<Child<K, V, N>>),
}

#[derive(Clone, Debug)]
struct Child<K, V, const N: usize> {
    /// No key below is lower, and none before this child is as high. Of a branch's first child it means nothing.
    least: K,
    span: Span,
    node: Arc<Node<K, V, N>>,
}

/// Between which stamps all below a node are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    oldest: Stamp,
    newest: Stamp,
}

impl Span {
    fn of(stamps: impl Iterator<Item = Span>) -> Span {
        let join = |one: Span, other: Span| Span {
            oldest: one.oldest.min(other.oldest),
            newest: one.newest.max(other.newest),
        };
        stamps.reduce(join).unwrap_or(Span { oldest: Stamp::default(), newest: Stamp::default() })
    }
}

impl From<Stamp> for Span {
    fn from(stamp: Stamp) -> Span {
        Span { oldest: stamp, newest: stamp }
    }
}

impl<K, V, const N: usize> Default for Tree<K, V, N> {
    fn default() -> Self {
        Tree { root: Arc::new(Node::Leaf(Vec::new())), len: 0 }
    }
}

impl<K, V, const N: usize> Tree<K, V, N> {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Equal for two trees only if they are clones of one state.
    pub fn identity(&self) -> usize {
        Arc::as_ptr(&self.root).addr()
    }

    pub fn first(&self) -> Option<(&K, &V)> {
        let mut node = &*self.root;
        loop {
            match node {
                Node::Leaf(entries) => return entries.first().map(|(key, value)| (key, value)),
                Node::Branch(children) => node = &children.first()?.node,
            }
        }
    }

    pub fn last(&self) -> Option<(&K, &V)> {
        let mut node = &*self.root;
        loop {
            match node {
                Node::Leaf(entries) => return entries.last().map(|(key, value)| (key, value)),
                Node::Branch(children) => node = &children.last()?.node,
            }
        }
    }

    /// All entries, in key order.
    pub fn entries(&self) -> Iter<'_, K, V, N> {
        let mut iter = Iter { branches: Vec::new(), leaf: [].iter() };
        iter.descend(&self.root, |_| 0, |_| 0);
        iter
    }
}

impl<K: Ord, V, const N: usize> Tree<K, V, N> {
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let mut node = &*self.root;
        loop {
            match node {
                Node::Leaf(entries) => {
                    let place = entries.binary_search_by(|(other, _)| other.borrow().cmp(key)).ok()?;
                    return Some(&entries[place].1);
                }
                Node::Branch(children) => node = &children[child_of(children, key)].node,
            }
        }
    }

    /// The entries with higher keys, in key order.
    pub fn after(&self, key: &K) -> Iter<'_, K, V, N> {
        let mut iter = Iter { branches: Vec::new(), leaf: [].iter() };
        iter.descend(
            &self.root,
            |children| child_of(children, key),
            |entries| entries.partition_point(|(other, _)| other <= key),
        );
        iter
    }

    /// The entries with higher keys than `key`, or all, that were changed after `since`, in key order; `None`: whenever that
    /// was.
    pub fn changed(&self, key: Option<&K>, since: Option<Stamp>) -> Changed<'_, K, V, N>
    where
        V: Stamped,
    {
        let from = key.map_or_else(|| self.entries(), |key| self.after(key));
        Changed { from, since }
    }
}

impl<K: Ord + Clone, V: Clone + Stamped, const N: usize> Tree<K, V, N> {
    /// What the key had before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let Inserted { was, split } = insert(&mut self.root, key, value);
        if let Some(right) = split {
            let left = std::mem::replace(&mut self.root, Arc::new(Node::Branch(Vec::new())));
            // The least key of a first child is not looked at.
            let left = Child { least: right.least.clone(), span: left.span(), node: left };
            self.root = Arc::new(Node::Branch(vec![left, right]));
        }
        self.len += usize::from(was.is_none());
        was
    }

    /// What the key had.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        // Nothing is copied for a key that is not there.
        self.get(key)?;
        let was = remove(&mut self.root, key)?;
        while let Node::Branch(children) = &*self.root
            && let [only] = &children[..]
        {
            self.root = only.node.clone();
        }
        self.len -= 1;
        Some(was)
    }

    /// The entry that was changed longest ago.
    pub fn oldest(&self) -> Option<(&K, &V)> {
        let mut node = &*self.root;
        loop {
            match node {
                Node::Leaf(entries) => {
                    let oldest = entries.iter().min_by_key(|(_, value)| value.stamp());
                    return oldest.map(|(key, value)| (key, value));
                }
                Node::Branch(children) => node = &children.iter().min_by_key(|child| child.span.oldest)?.node,
            }
        }
    }
}

impl<K, V: Stamped, const N: usize> Node<K, V, N> {
    fn span(&self) -> Span {
        match self {
            Node::Leaf(entries) => Span::of(entries.iter().map(|(_, value)| value.stamp().into())),
            Node::Branch(children) => Span::of(children.iter().map(|child| child.span)),
        }
    }

    fn width(&self) -> usize {
        match self {
            Node::Leaf(entries) => entries.len(),
            Node::Branch(children) => children.len(),
        }
    }
}

impl<K, V, const N: usize> Child<K, V, N> {
    /// Whether an end of its span goes when `was` becomes `is`.
    fn loses(&self, was: Stamp, is: Stamp) -> bool {
        was <= self.span.oldest || was >= self.span.newest && is < was
    }
}

struct Inserted<K, V, const N: usize> {
    was: Option<V>,
    /// The upper part, where the node was full.
    split: Option<Child<K, V, N>>,
}

/// The child below which a key is, if it is anywhere.
fn child_of<K: Borrow<Q>, Q: Ord + ?Sized, V, const N: usize>(children: &[Child<K, V, N>], key: &Q) -> usize {
    children[1..].partition_point(|child| child.least.borrow().cmp(key) != Ordering::Greater)
}

fn insert<K: Ord + Clone, V: Clone + Stamped, const N: usize>(
    node: &mut Arc<Node<K, V, N>>,
    key: K,
    value: V,
) -> Inserted<K, V, N> {
    match Arc::make_mut(node) {
        Node::Leaf(entries) => match entries.binary_search_by(|(other, _)| other.cmp(&key)) {
            Ok(place) => Inserted { was: Some(std::mem::replace(&mut entries[place].1, value)), split: None },
            Err(place) => {
                let upper = add(entries, place, (key, value), N);
                let split = upper.map(|upper| {
                    let (least, node) = (upper[0].0.clone(), Node::Leaf(upper));
                    Child { least, span: node.span(), node: Arc::new(node) }
                });
                Inserted { was: None, split }
            }
        },
        Node::Branch(children) => {
            let (place, stamp) = (child_of(children, &key), value.stamp());
            let child = &mut children[place];
            let Inserted { was, split } = insert(&mut child.node, key, value);
            let loses = was.as_ref().is_some_and(|was| child.loses(was.stamp(), stamp));
            child.span = if loses || split.is_some() {
                child.node.span()
            } else {
                Span::of([child.span, stamp.into()].into_iter())
            };
            let upper = split.and_then(|split| add(children, place + 1, split, N));
            let split = upper.map(|upper| {
                let (least, node) = (upper[0].least.clone(), Node::Branch(upper));
                Child { least, span: node.span(), node: Arc::new(node) }
            });
            Inserted { was, split }
        }
    }
}

/// Adds an item to a node's. Of a full node the upper half comes back; what is added at the end leaves a full node
/// full, so that keys that come in order fill their nodes.
fn add<T>(items: &mut Vec<T>, place: usize, item: T, width: usize) -> Option<Vec<T>> {
    if items.len() < width {
        if items.len() == items.capacity() {
            items.reserve_exact(GROWTH.min(items.len().max(1)));
        }
        items.insert(place, item);
        return None;
    }
    if place == width {
        return Some(vec![item]);
    }
    let mut upper = items.split_off(width / 2);
    items.shrink_to(width / 2 + GROWTH);
    if place <= width / 2 {
        items.insert(place, item);
    } else {
        upper.reserve_exact(GROWTH);
        upper.insert(place - width / 2, item);
    }
    Some(upper)
}

/// Removes a key that is there.
fn remove<K: Ord + Clone + Borrow<Q>, Q: Ord + ?Sized, V: Clone + Stamped, const N: usize>(
    node: &mut Arc<Node<K, V, N>>,
    key: &Q,
) -> Option<V> {
    match Arc::make_mut(node) {
        Node::Leaf(entries) => {
            let place = entries.binary_search_by(|(other, _)| other.borrow().cmp(key)).ok()?;
            let (_, was) = entries.remove(place);
            if entries.capacity() > entries.len() + 2 * GROWTH {
                entries.shrink_to(entries.len() + GROWTH);
            }
            Some(was)
        }
        Node::Branch(children) => {
            let place = child_of(children, key);
            let child = &mut children[place];
            let was = remove(&mut child.node, key)?;
            if child.node.width() == 0 {
                children.remove(place);
                return Some(was);
            }
            if was.stamp() <= child.span.oldest || was.stamp() >= child.span.newest {
                child.span = child.node.span();
            }
            if child.node.width() < N / 4 {
                join_neighbour(children, place);
            }
            Some(was)
        }
    }
}

/// Makes one node of a thin one and a neighbour, if that is not nearly full then.
fn join_neighbour<K: Clone, V: Clone, const N: usize>(children: &mut Vec<Child<K, V, N>>, thin: usize) {
    let left = thin.saturating_sub(1);
    let [lower, upper] = children.get(left..left + 2).unwrap_or_default() else { return };
    let width = |node: &Node<K, V, N>| match node {
        Node::Leaf(entries) => entries.len(),
        Node::Branch(children) => children.len(),
    };
    if width(&lower.node) + width(&upper.node) > N / 4 * 3 {
        return;
    }
    let Child { least, span, node } = children.remove(left + 1);
    let lower = &mut children[left];
    lower.span = Span::of([lower.span, span].into_iter());
    match (Arc::make_mut(&mut lower.node), Arc::unwrap_or_clone(node)) {
        (Node::Leaf(entries), Node::Leaf(more)) => {
            entries.reserve_exact(more.len() + GROWTH);
            entries.extend(more);
        }
        (Node::Branch(children), Node::Branch(mut more)) => {
            // It is a first child no longer.
            more[0].least = least;
            children.extend(more);
        }
        _ => unreachable!("all leaves lie at one depth"),
    }
}

/// Entries in key order.
pub struct Iter<'a, K, V, const N: usize = WIDTH> {
    /// The branches above the leaf, each with its children that come after it.
    branches: Vec<std::slice::Iter<'a, Child<K, V, N>>>,
    leaf: std::slice::Iter<'a, (K, V)>,
}

impl<'a, K, V, const N: usize> Iter<'a, K, V, N> {
    /// Goes down to a leaf, by the children and from the entry that are chosen.
    fn descend(
        &mut self,
        mut node: &'a Node<K, V, N>,
        child: impl Fn(&[Child<K, V, N>]) -> usize,
        entry: impl Fn(&[(K, V)]) -> usize,
    ) {
        loop {
            match node {
                Node::Leaf(entries) => {
                    self.leaf = entries[entry(entries)..].iter();
                    return;
                }
                Node::Branch(children) => {
                    let place = child(children);
                    self.branches.push(children[place + 1..].iter());
                    node = &children[place].node;
                }
            }
        }
    }
}

impl<'a, K, V, const N: usize> Iterator for Iter<'a, K, V, N> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<(&'a K, &'a V)> {
        loop {
            if let Some((key, value)) = self.leaf.next() {
                return Some((key, value));
            }
            let next = loop {
                match self.branches.last_mut()?.next() {
                    Some(child) => break child,
                    None => drop(self.branches.pop()),
                }
            };
            self.descend(&next.node, |_| 0, |_| 0);
        }
    }
}

/// Entries that were changed after a moment, in key order. What was not is passed over a node at a time.
pub struct Changed<'a, K, V, const N: usize = WIDTH> {
    from: Iter<'a, K, V, N>,
    since: Option<Stamp>,
}

impl<'a, K, V: Stamped, const N: usize> Iterator for Changed<'a, K, V, N> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<(&'a K, &'a V)> {
        let Changed { from, since } = self;
        loop {
            if let Some((key, value)) = from.leaf.find(|(_, value)| Some(value.stamp()) > *since) {
                return Some((key, value));
            }
            let mut child = loop {
                match from.branches.last_mut()?.find(|child| Some(child.span.newest) > *since) {
                    Some(child) => break child,
                    None => drop(from.branches.pop()),
                }
            };
            loop {
                match &*child.node {
                    Node::Leaf(entries) => {
                        from.leaf = entries.iter();
                        break;
                    }
                    Node::Branch(children) => {
                        let mut below = children.iter();
                        // What is as new as its branch is below it.
                        child = below.find(|child| Some(child.span.newest) > *since)?;
                        from.branches.push(below);
                    }
                }
            }
        }
    }
}
