//! Where the pods of other nodes can be reached just now, as the operator sees them: decides what is taken of that.
//!
//! *Guarantees.* Hints are no part of a plan or a ring, and nothing keeps them. There is one address at most for each
//! ordinal that a plan can have. *Assumptions.* Whoever answers at one shows that it is the node that was called, as
//! everywhere: a wrong hint costs a try.

use proto::ring::MEMBERS_MAX;
use std::net::SocketAddr;

/// The most characters of something wrong that are repeated.
const SHOWN: usize = 64;

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// Tells them from others; 0: none were given.
    pub digest: u64,
    /// By ordinal.
    at: Vec<Option<SocketAddr>>,
}

impl Hints {
    /// Those that can be used, and what is to be said of the others. Empty ones are not known.
    pub fn read(digest: u64, given: &[String]) -> (Hints, Option<String>) {
        let at = given.iter().take(MEMBERS_MAX).map(|at| at.parse().ok()).collect();
        let hints = Hints { digest, at };
        let is_wrong = |(ordinal, at): &(usize, &String)| {
            !at.is_empty() && hints.at.get(*ordinal).is_none_or(Option::is_none)
        };
        let mut wrong = given.iter().enumerate().filter(is_wrong);
        let first = wrong.next().map(|(ordinal, at)| {
            let (shown, more) = (at.chars().take(SHOWN).collect::<String>(), wrong.count());
            let more = if more > 0 { format!(", and {more} more are wrong") } else { String::new() };
            format!(
                "{shown:?} of node {ordinal} is not an IP address with a port for one of {MEMBERS_MAX} nodes{more}"
            )
        });
        (hints, first)
    }

    pub fn of(&self, ordinal: u16) -> Option<SocketAddr> {
        self.at.get(usize::from(ordinal)).copied().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::accepting::REPORT_BYTES;
    use prost::Message as _;
    use proto::wire::peer;

    fn read(at: &[&str]) -> (Hints, Option<String>) {
        Hints::read(5, &at.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn only_addresses_with_a_port_are_taken_and_the_rest_is_told() {
        for (given, taken) in [
            ("198.18.0.7:7778", Some("198.18.0.7:7778")),
            ("[2001:db8::7]:7778", Some("[2001:db8::7]:7778")),
            ("", None),
        ] {
            let (hints, wrong) = read(&["", given]);
            assert_eq!((hints.digest, hints.of(0)), (5, None));
            assert_eq!(hints.of(1), taken.map(|at| at.parse().unwrap()), "{given}");
            assert_eq!((hints.of(2), wrong), (None, None));
        }
        for given in
            ["flights-1.flights-nodes.default.svc:7778", "198.18.0.7", "2001:db8::7", "2001:db8::7:7778", " "]
        {
            let (hints, wrong) = read(&["198.18.0.6:7778", given, "198.18.0.8:7778"]);
            assert!(hints.of(0).is_some() && hints.of(1).is_none() && hints.of(2).is_some(), "{given}");
            let wrong = wrong.expect("it is told");
            assert!(
                wrong.starts_with(&format!("{given:?} of node 1 is not an IP address with a port")),
                "{wrong}"
            );
        }
        let (_, wrong) = read(&["x\ny", "x", &"long".repeat(99)]);
        assert!(wrong.as_ref().unwrap().contains(r#""x\ny" of node 0"#), "{wrong:?}");
        assert!(wrong.unwrap().ends_with(", and 2 more are wrong"));
    }

    #[test]
    fn no_more_are_taken_than_a_plan_has_nodes_and_so_many_find_room() {
        let longest = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535".to_owned();
        let mut at = vec![longest; MEMBERS_MAX];
        let (hints, wrong) = Hints::read(u64::MAX, &at);
        assert!(hints.of(255).is_some() && hints.of(256).is_none() && wrong.is_none());
        let request = peer::ReportRequest {
            hints: Some(peer::Hints { digest: u64::MAX, at: at.clone() }),
            ring: Some(peer::RingName { revision: u64::MAX, nonce: u64::MAX }),
        };
        // The head of a gRPC message has 5 bytes.
        assert!(request.encoded_len() + 5 <= REPORT_BYTES, "{}", request.encoded_len());
        at.push(at[0].clone());
        let (hints, wrong) = Hints::read(1, &at);
        assert!(hints.of(256).is_none() && wrong.unwrap().contains("of node 256 is not"));
    }
}
