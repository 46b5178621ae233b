//! What nodes are told of each other's addresses: decides, from the pods as they were seen.

use crate::names;
use crate::observed::Pod;
use proto::ring::MEMBERS_MAX;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use xxhash_rust::xxh3::xxh3_64;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hints {
    /// Tells them from others; a node repeats it. 0 is that of a node without any.
    pub digest: u64,
    /// By ordinal; empty where it is not known.
    pub at: Vec<String>,
}

/// Where each pod can be reached by its peers, once it has an address.
pub fn of(pods: &BTreeMap<u16, Pod>) -> Hints {
    let at = |ordinal: u16| {
        let ip: IpAddr = pods.get(&ordinal)?.ip.as_ref()?.parse().ok()?;
        Some(SocketAddr::from((ip, names::PEER_PORT)).to_string())
    };
    let last = pods.keys().copied().filter(|ordinal| usize::from(*ordinal) < MEMBERS_MAX).max();
    let at: Vec<String> = last
        .map_or_else(Vec::new, |last| (0..=last).map(|ordinal| at(ordinal).unwrap_or_default()).collect());
    Hints { digest: xxh3_64(at.join(" ").as_bytes()).max(1), at }
}

/// Whether a node that has reported this digest is to be told.
pub fn are_due(reported: Option<u64>, hints: &Hints) -> bool {
    reported.is_some_and(|digest| digest != hints.digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observed::Life;

    fn pods(ips: &[(u16, Option<&str>)]) -> BTreeMap<u16, Pod> {
        let pod = |ip: Option<&str>| Pod {
            uid: String::new(),
            ip: ip.map(ToOwned::to_owned),
            revision: String::new(),
            has_certificates: true,
            life: Life::Ready,
        };
        ips.iter().map(|(ordinal, ip)| (*ordinal, pod(*ip))).collect()
    }

    #[test]
    fn each_pod_that_has_an_address_is_at_its_ordinal() {
        for (ips, expected) in [
            (&[][..], &[][..]),
            (&[(0, None)], &[""]),
            (
                &[(0, Some("198.18.0.7")), (2, Some("2001:db8::7"))],
                &["198.18.0.7:7778", "", "[2001:db8::7]:7778"],
            ),
            (&[(0, Some("none")), (1, Some("::ffff:198.18.0.7"))], &["", "[::ffff:198.18.0.7]:7778"]),
            (&[(1, Some("198.18.0.7")), (256, Some("198.18.0.8"))], &["", "198.18.0.7:7778"]),
        ] {
            assert_eq!(of(&pods(ips)).at, expected, "{ips:?}");
        }
    }

    #[test]
    fn a_node_is_told_when_it_has_others_and_knows_what_they_are() {
        let [some, same, others, none] = [
            &[(0, Some("198.18.0.7")), (1, Some("198.18.0.8"))][..],
            &[(0, Some("198.18.0.7")), (1, Some("198.18.0.8"))],
            &[(0, Some("198.18.0.8")), (1, Some("198.18.0.7"))],
            &[],
        ]
        .map(|ips| of(&pods(ips)));
        for (reported, hints, due) in [
            (None, &some, false),
            (Some(0), &some, true),
            (Some(same.digest), &some, false),
            (Some(others.digest), &some, true),
            (Some(some.digest), &none, true),
            (Some(0), &none, true),
        ] {
            assert_eq!(are_due(reported, hints), due, "{reported:?}");
        }
    }
}
