//! What a program does that goes on over broken connections: whether it tries again, when, where, and what it says.

use crate::cli::client::retry::Retry;
use crate::refusal::Refusal;
use proto::shown::{Exit, Failure};
use std::time::Duration;

/// What comes after a connection that was lost or turned away.
#[derive(Debug, PartialEq, Eq)]
pub enum After {
    Again {
        pause: Duration,
        /// At the next node.
        elsewhere: bool,
        /// Not said before.
        say: Option<String>,
    },
    GiveUp(Failure),
}

#[derive(Debug)]
pub struct Patience {
    /// How long it is tried to reach any node again. `None`: for ever.
    limit: Option<Duration>,
    retry: Retry,
    reached: bool,
    unreached_since: Option<Duration>,
    said: String,
}

impl Patience {
    pub fn new(limit: Option<Duration>) -> Patience {
        Patience {
            limit,
            retry: Retry::default(),
            reached: false,
            unreached_since: None,
            said: String::new(),
        }
    }

    /// Whether any node was ever reached.
    pub fn has_reached(&self) -> bool {
        self.reached
    }

    /// A node takes what is asked of it.
    pub fn reached(&mut self) {
        (self.reached, self.unreached_since) = (true, None);
    }

    /// Something has come of it.
    pub fn succeeded(&mut self) {
        self.retry.succeeded();
        self.said.clear();
    }

    /// `now`: since the program's start.
    pub fn lost(&mut self, failure: Failure, now: Duration) -> After {
        let since = *self.unreached_since.get_or_insert(now);
        let never = !self.reached && failure.exit == Exit::Unreachable;
        let late = self.limit.is_some_and(|limit| now.saturating_sub(since) > limit);
        if never || late || !failure.may_pass() {
            return After::GiveUp(failure);
        }
        let say = self.say(format!("{}; trying again", failure.error));
        After::Again { pause: self.retry.pause(0), elsewhere: true, say }
    }

    /// A node takes something later, or another one does.
    pub fn put_off(&mut self, refusal: &Refusal) -> After {
        let say = self.say(format!("{}: {}; trying again", refusal.code, refusal.with_place()));
        // Too much at once is so anywhere; what this node does not reach or serve, another one may.
        After::Again { pause: self.retry.pause(refusal.retry_after_s), elsewhere: refusal.code != 429, say }
    }

    /// Once for each reason, however long it lasts.
    fn say(&mut self, what: String) -> Option<String> {
        let new = self.said != what;
        self.said.clone_from(&what);
        new.then_some(what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(patience: &mut Patience, failure: Failure, now_s: u64) -> Result<(u128, bool, bool), String> {
        match patience.lost(failure, Duration::from_secs(now_s)) {
            After::Again { pause, elsewhere, say } => Ok((pause.as_millis(), elsewhere, say.is_some())),
            After::GiveUp(failure) => Err(failure.error),
        }
    }

    #[test]
    fn who_was_reached_once_is_sought_for_as_long_as_the_limit_says() {
        let gone = || Failure::unreachable("gone");
        let mut patience = Patience::new(Some(Duration::from_mins(1)));
        assert_eq!(lost(&mut patience, gone(), 0), Err("gone".into()), "nobody was ever reached");
        patience.reached();
        assert_eq!(lost(&mut patience, gone(), 100), Ok((50, true, true)));
        assert_eq!(lost(&mut patience, gone(), 160), Ok((100, true, false)), "said once");
        assert_eq!(lost(&mut patience, gone(), 161), Err("gone".into()));
        patience.reached();
        patience.succeeded();
        assert_eq!(lost(&mut patience, gone(), 200), Ok((50, true, true)));
        let mut patience = Patience::new(None);
        patience.reached();
        lost(&mut patience, gone(), 1).unwrap();
        assert!(lost(&mut patience, gone(), 1 << 20).is_ok());
        let refused = Failure { exit: Exit::Refused, code: Some(404), ..gone() };
        assert_eq!(lost(&mut patience, refused, 2), Err("gone".into()), "it can't pass");
    }

    #[test]
    fn too_much_at_once_is_no_reason_to_go_elsewhere() {
        let mut patience = Patience::new(None);
        for (refusal, expected) in [(Refusal::full("f", "a"), false), (Refusal::unavailable("u", "a"), true)]
        {
            let After::Again { pause, elsewhere, .. } = patience.put_off(&refusal) else { panic!() };
            assert_eq!((pause, elsewhere), (Duration::from_secs(1), expected));
        }
    }
}
