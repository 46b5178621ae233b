//! Ways to break a node, for the simulation, which has to notice each of them. Only the tests of this crate can break
//! one: in every other build nothing is broken, and the compiler knows it.

/// What a node does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// What leaves a slot does not wait for the disk.
    OpenGate,
    /// A read does not wait for the disk.
    EarlyRead,
    /// A retry is answered before what it is a retry of is on the disk.
    EarlyRetry,
    /// A retry is executed again.
    IgnoredWindow,
    /// A start forgets which commands of clients were executed.
    ForgottenWindow,
    /// A start forgets which messages of other slots were executed.
    ForgottenSeen,
    /// A start forgets which messages wait for their receivers.
    ForgottenOutbox,
    /// A message is executed though those before it did not come.
    IgnoredPrevious,
    /// What was sent to a node that went away is not sent again.
    NeverResent,
    /// A command that is passed on again gets another number.
    OtherNumber,
    /// A start does not count the incarnation up.
    SameIncarnation,
    /// Sums of records are not checked.
    UncheckedSums,
    /// Batches are not synced.
    SkippedSync,
    /// A batch says that it is on the disk before it is.
    EarlyMark,
    /// What a start writes anew is not synced.
    UnsyncedStart,
    /// The names of new segments are not synced.
    UnsyncedNames,
    /// A segment goes when one snapshot has what is in it.
    EarlyDrop,
    /// A snapshot counts before the log is on the disk up to where it ends.
    EarlySnapshot,
    /// A snapshot says that it has one record more than it has.
    ShortSnapshot,
    /// Sums of pieces of snapshots are not checked.
    UncheckedPieces,
    /// A watcher on a node that is not the owner is `synced` without a question to the owner.
    UnaskedSynced,
    /// Every event of a watch has a token.
    EagerToken,
    /// A removed entry of a Map is not told to those who watch.
    UntoldRemove,
    /// Tombstones of a Map are dropped early, and nobody is told.
    EarlyTombstone,
    /// A start forgets which timers are set, and which have fired.
    ForgottenTimers,
    /// A start forgets which timers have fired.
    ForgottenFired,
    /// A timer that was cancelled fires.
    IgnoredCancel,
    /// A timer fires before its time.
    EarlyTimer,
    /// Slot time falls when the clock is set back.
    FallingTime,
    /// Each change that is told has the version of its record as token.
    EntryToken,
    /// Who goes on from a token is not told of removals that the mirror does not know.
    UnknownRemovals,
}

#[cfg(not(test))]
pub const fn is(_: Broken) -> bool {
    false
}

#[cfg(test)]
pub use simulated::is;

#[cfg(test)]
pub mod simulated {
    use super::Broken;
    use std::cell::Cell;

    thread_local! {
        static BROKEN: Cell<Option<Broken>> = const { Cell::new(None) };
    }

    pub fn is(broken: Broken) -> bool {
        BROKEN.get() == Some(broken)
    }

    /// What is broken in nodes of this thread from now on.
    pub fn set(broken: Option<Broken>) {
        BROKEN.set(broken);
    }

    /// Those that the simulation shows.
    pub const OF_NODES: [Broken; 28] = [
        Broken::OpenGate,
        Broken::EarlyRead,
        Broken::EarlyRetry,
        Broken::IgnoredWindow,
        Broken::ForgottenWindow,
        Broken::ForgottenSeen,
        Broken::ForgottenOutbox,
        Broken::IgnoredPrevious,
        Broken::NeverResent,
        Broken::OtherNumber,
        Broken::SameIncarnation,
        Broken::UncheckedSums,
        Broken::SkippedSync,
        Broken::EarlyMark,
        Broken::UnsyncedStart,
        Broken::UnsyncedNames,
        Broken::EarlyDrop,
        Broken::EarlySnapshot,
        Broken::ShortSnapshot,
        Broken::UncheckedPieces,
        Broken::UnaskedSynced,
        Broken::EagerToken,
        Broken::UntoldRemove,
        Broken::ForgottenTimers,
        Broken::ForgottenFired,
        Broken::IgnoredCancel,
        Broken::EarlyTimer,
        Broken::FallingTime,
    ];

    /// Those of watches that come back, which a law of links shows.
    pub const OF_LINKS: [Broken; 3] = [Broken::EarlyTombstone, Broken::EntryToken, Broken::UnknownRemovals];
}
