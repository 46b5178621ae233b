//! Judges a history: what clients asked of the lanes of a plan, and what they were told. It depends on nothing of Shoal,
//! so that it shares no mistake with it, and knows neither clock, file nor random source.
//!
//! A [`History`] is written as things happen, by a simulation or by clients of real nodes, and [`History::check`] says
//! what is broken in it, each [`Violation`] in a sentence. What it holds the history to:
//!
//! | | |
//! |---|---|
//! | writes | what was acknowledged is in the final state, or overwritten by a later version; a write has one effect at most, all of it at one version, and a retry gets the first answer again; what was refused is never seen, nor is what nobody wrote; of what nobody knows, it may be there or not |
//! | versions | of a slot: no two writes have one, and one that was sent when a version was known has a higher one |
//! | reads | each is the state of its lane at its version, whoever asks; none lacks what was known before it was asked, but those that are local |
//! | watches | at each id a watcher holds the state of that version; ids fall only after `reset`; who is `synced` holds what was known before the watch was opened; no event comes twice or out of order; who comes back with a token goes on from there, or is told `reset`; entries come in any order before `synced`, and in that of their versions after it |
//! | items | of a Command or Supply lane, after `synced`, come once each and in order, or in a `gap` |
//! | timers | of an acknowledged write have their effects, once each and after it; of those that somebody has cancelled, each has it once or never |
//! | messages | of an acknowledged write have their effects, once each and in order per pair of slots |
//! | the end | each watch that is there holds the final state |
//!
//! A slot that said that it is damaged is held to nothing but that nothing is seen which nobody wrote.
//!
//! It is linearizability as in Herlihy and Wing, "Linearizability: a correctness condition for concurrent objects" (1990),
//! which is expensive to check in general and is not here: answers carry the versions that order the writes of a slot, and
//! values tell which write they come from. What is left to find out is where the writes without an answer stand, by
//! bounds that each sight makes narrower. A history of n happenings takes n log n steps, beside what its states hold.

mod check;
mod facts;
mod folds;
mod history;
mod items;
mod seen;
mod states;
#[cfg(test)]
mod tests;
mod violation;

pub use history::{Change, End, Final, History, Kind, Lane, Op, Read, State, Told, Watch, Write};
pub use violation::{Rule, Violation};
