//! Decides about the first words of a stream between two nodes. That the other side is a node of this plan, TLS has
//! settled before; here it says which one.
//!
//! *Guarantees.* A node that calls at a wrong address is turned away by whoever answers there, before its stream takes
//! the place of another one. Only what a node says inside of a stream, after its `Hello` was checked, can tell this one that its
//! store is out of date: nobody else can make a [`LaterStart`].

use super::{FORMAT, Hello, Identity, Rejection};
use proto::ring::StoreId;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    #[error("it speaks format {theirs}, and this node {FORMAT}; update the older of the two")]
    Format { theirs: u32 },
    #[error("it belongs to the plan with uid {theirs}, but this node belongs to the plan with uid {ours}")]
    Plan { theirs: String, ours: String },
    #[error("it is node {theirs}, and node {wanted} was looked for; its address is wrong")]
    Ordinal { theirs: u16, wanted: u16 },
    #[error("it is store {theirs}, and the ring has another for that node")]
    Store { theirs: StoreId },
    #[error("it calls store {called}, and this is store {ours}: it has a wrong address for that store")]
    NotMeant { called: StoreId, ours: StoreId },
    #[error(
        "store {store} was already seen with incarnation {seen}, but now has incarnation {theirs}: its process runs on \
         a copy or an earlier state of the volume, or a newer process of the same store runs"
    )]
    Older { store: StoreId, seen: u64, theirs: u64 },
}

impl Rejected {
    /// As the other side is told.
    pub fn rejection(&self) -> Rejection {
        let later_start = if let Rejected::Older { seen, .. } = self { *seen } else { 0 };
        Rejection { error: self.to_string(), later_start }
    }
}

/// The node that was called, as the ring has it.
#[derive(Clone, Copy, Debug)]
pub struct Called {
    pub ordinal: u16,
    pub store: StoreId,
}

/// What the other side is held against.
pub struct Seen<'a> {
    pub ours: &'a Identity,
    /// When it was this node that called.
    pub called: Option<Called>,
    /// The highest incarnation of that store that this node knows of.
    pub incarnation: u64,
}

/// The other side has said who it is, and may speak. Nothing but [`check`] makes one.
#[derive(Debug, PartialEq, Eq)]
pub struct Greeted(());

/// Another node has seen a later start of this node's store: this process must not go on.
#[derive(Debug, PartialEq, Eq)]
pub struct LaterStart {
    why: String,
}

impl LaterStart {
    pub fn why(&self) -> &str {
        &self.why
    }
}

impl Greeted {
    /// What it means for this node's store that the other side has rejected it.
    pub fn later_start(&self, rejection: &Rejection, ours: &Identity) -> Option<LaterStart> {
        let is_later = rejection.later_start > ours.incarnation;
        is_later.then(|| LaterStart { why: rejection.error.clone() })
    }
}

pub fn check(hello: &Hello, seen: &Seen) -> Result<Greeted, Rejected> {
    let Identity { plan_uid, ordinal, store, incarnation } = &hello.identity;
    if hello.format != FORMAT {
        return Err(Rejected::Format { theirs: hello.format });
    }
    if *plan_uid != seen.ours.plan_uid {
        return Err(Rejected::Plan { theirs: plan_uid.clone(), ours: seen.ours.plan_uid.clone() });
    }
    if let Some(called) = hello.called.filter(|called| *called != seen.ours.store) {
        return Err(Rejected::NotMeant { called, ours: seen.ours.store });
    }
    if let Some(called) = seen.called {
        if called.ordinal != *ordinal {
            return Err(Rejected::Ordinal { theirs: *ordinal, wanted: called.ordinal });
        }
        if called.store != *store {
            return Err(Rejected::Store { theirs: *store });
        }
    }
    if *incarnation < seen.incarnation {
        return Err(Rejected::Older { store: *store, seen: seen.incarnation, theirs: *incarnation });
    }
    Ok(Greeted(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(ordinal: u16, incarnation: u64) -> Identity {
        Identity { plan_uid: "uid".into(), ordinal, store: StoreId(u128::from(ordinal) + 7), incarnation }
    }

    #[test]
    fn another_node_is_told_what_is_wrong_with_it() {
        let ours = identity(0, 1);
        let good = Hello { identity: identity(1, 5), format: FORMAT, called: None };
        let calls = |store| Hello { called: Some(StoreId(store)), ..good.clone() };
        let other_plan = Identity { plan_uid: "other".into(), ..identity(1, 5) };
        let called = |ordinal, store| Some(Called { ordinal, store: StoreId(store) });
        for (hello, called, incarnation, expected) in [
            (good.clone(), None, 0, None),
            (good.clone(), called(1, 8), 5, None),
            (calls(7), None, 0, None),
            (calls(8), None, 0, Some(("it calls store 00000000000000000000000000000008, and this is", 0))),
            (calls(8), None, 6, Some(("wrong address", 0))),
            (Hello { format: 1, ..good.clone() }, None, 0, Some(("format 1", 0))),
            (Hello { identity: other_plan, ..good.clone() }, None, 0, Some(("uid other", 0))),
            (good.clone(), called(2, 9), 0, Some(("is node 1", 0))),
            (good.clone(), called(1, 9), 0, Some(("the ring has another", 0))),
            (good, None, 6, Some(("incarnation 6", 6))),
        ] {
            let seen = Seen { ours: &ours, called, incarnation };
            let rejection = check(&hello, &seen).err().map(|why| why.rejection());
            match expected {
                None => assert_eq!(rejection, None),
                Some((part, later_start)) => {
                    let rejection = rejection.expect("it is turned away");
                    assert!(rejection.error.contains(part), "{rejection:?}");
                    assert_eq!(rejection.later_start, later_start);
                }
            }
        }
    }

    #[test]
    fn only_a_start_that_is_really_later_ends_a_node() {
        let ours = identity(0, 5);
        let greeted = check(
            &Hello { identity: identity(1, 1), format: FORMAT, called: None },
            &Seen { ours: &ours, called: None, incarnation: 0 },
        );
        let greeted = greeted.unwrap();
        for (later_start, ends) in [(0, false), (4, false), (5, false), (6, true)] {
            let rejection = Rejection { error: "seen later".into(), later_start };
            assert_eq!(greeted.later_start(&rejection, &ours).is_some(), ends, "{later_start}");
        }
    }
}
