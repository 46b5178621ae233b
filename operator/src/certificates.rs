//! The certificates of a plan's nodes: decides when the CA and they are made, and in which order a CA is exchanged.
//!
//! *Guarantees.* A certificate of another CA is given out only when every node that runs trusts that CA: so nodes reach
//! each other all the time, however slowly kubelets bring new files. A CA that is there is never made anew, and nothing
//! is written over one that cannot be read.

use crate::authority::AuthorityPems;
use crate::names;
use crate::observed::{Life, Observed, Seen};
use crate::plan::Plan;
use proto::trust::{Bundle, Credentials, Digests, Error, Pair, Pems, Role, Verifier};

/// What is to be done for the certificates.
#[derive(Debug, Clone, PartialEq)]
pub enum Due {
    Nothing,
    /// A CA, with these trusted beside it.
    Authority {
        trusted: String,
    },
    /// The Secret that pods mount: with a bundle, and a certificate that is kept or made.
    Nodes {
        authority: AuthorityPems,
        pair: Option<Pair>,
        why: &'static str,
    },
}

/// Which certificates are due, and which nodes lag behind.
#[derive(Debug)]
pub struct Renewal {
    pub due: Due,
    /// Why the CA cannot be used.
    pub unusable: Option<String>,
    /// Nodes that do not use the newest certificates yet.
    pub behind: Vec<u16>,
}

pub fn renewal(plan: &Plan, seen: &Observed, now_s: u64) -> Renewal {
    let objects = &seen.objects;
    let mounted = objects.certificates.ours();
    let idle = |unusable| Renewal { due: Due::Nothing, unusable, behind: Vec::new() };
    let authority = match &objects.authority {
        Seen::Ours(authority) => authority,
        Seen::Absent => {
            if matches!(objects.certificates, Seen::Going | Seen::Taken(_)) {
                return idle(None);
            }
            // Nodes go on trusting the one before, until all have come to the new one.
            let trusted =
                mounted.map(|pems| pems.bundle.clone()).filter(|text| Bundle::parse(text, "").is_ok());
            let due = Due::Authority { trusted: trusted.unwrap_or_default() };
            return Renewal { due, unusable: None, behind: Vec::new() };
        }
        Seen::Going | Seen::Taken(_) => return idle(None),
    };
    let current = match Current::of(plan, authority) {
        Ok(current) => current,
        Err(error) => return idle(Some(error.to_string())),
    };
    let mounted = match &objects.certificates {
        Seen::Ours(mounted) => Some(mounted),
        Seen::Absent => None,
        Seen::Going | Seen::Taken(_) => return idle(None),
    };
    let has = mounted.and_then(|pems| Credentials::load(&plan.data_uid, Role::Node, pems).ok());
    let behind = |wanted: Digests| -> Vec<u16> {
        let is_behind = |ordinal: &u16| lacks(seen, *ordinal, wanted);
        objects.pods.keys().copied().filter(is_behind).collect()
    };
    let due = current.due(authority, mounted, has.as_ref(), now_s, |bundle| {
        let has_bundle = |ordinal: &u16| lacks_bundle(seen, *ordinal, bundle);
        !objects.pods.keys().any(has_bundle)
    });
    let behind = has.map(|has| behind(has.digests)).unwrap_or_default();
    Renewal { due, unusable: None, behind }
}

/// Whether a pod runs that does not say that it has these.
fn lacks(seen: &Observed, ordinal: u16, wanted: Digests) -> bool {
    runs(seen, ordinal) && reported(seen, ordinal).is_some_and(|has| has != wanted)
}

/// The same of the bundle; one that does not answer may lack it.
fn lacks_bundle(seen: &Observed, ordinal: u16, wanted: u64) -> bool {
    runs(seen, ordinal) && reported(seen, ordinal).is_none_or(|has| has.bundle != wanted)
}

/// One that starts later reads the newest files.
fn runs(seen: &Observed, ordinal: u16) -> bool {
    let pod = seen.objects.pods.get(&ordinal);
    pod.is_some_and(|pod| pod.has_certificates && matches!(pod.life, Life::Starting | Life::Ready))
}

fn reported(seen: &Observed, ordinal: u16) -> Option<Digests> {
    seen.answers.get(&ordinal)?.as_ref().ok().map(|report| report.certificates)
}

/// The CA, read.
struct Current {
    /// Verifies certificates of the CA that makes them now.
    own: Verifier,
    /// Verifies certificates of all CAs that nodes are to trust.
    all: Verifier,
    bundle: Bundle,
}

impl Current {
    fn of(plan: &Plan, authority: &AuthorityPems) -> Result<Current, Error> {
        authority.load(&plan.data_uid)?;
        let bundle = Bundle::parse(&authority.bundle(), names::AUTHORITY_TRUSTED)?;
        Ok(Current {
            own: Verifier::new(
                &plan.data_uid,
                Bundle::parse(&authority.pair.certificate, names::AUTHORITY_CERTIFICATE)?,
            )?,
            all: Verifier::new(&plan.data_uid, bundle.clone())?,
            bundle,
        })
    }

    /// `all_trust`: whether every node that runs has this bundle.
    fn due(
        &self,
        authority: &AuthorityPems,
        mounted: Option<&Pems>,
        has: Option<&Credentials>,
        now_s: u64,
        all_trust: impl Fn(u64) -> bool,
    ) -> Due {
        let write = |pair: Option<Pair>, why| Due::Nodes { authority: authority.clone(), pair, why };
        let Some(mounted) = mounted else { return write(None, "there is none") };
        let Some(has) = has else { return write(None, "what is there cannot be used") };
        let of_own = has.is_taken_by(&self.own);
        if !of_own && !has.is_taken_by(&self.all) {
            return write(None, "it was made by a CA that is not trusted any more");
        }
        let due = has.validity.is_due(now_s);
        if has.digests.bundle != self.bundle.digest() {
            let pair = if of_own && due { None } else { Some(mounted.pair.clone()) };
            return write(pair, "other CAs are trusted");
        }
        if of_own && due {
            return write(None, "a third of its life is over");
        }
        // Until then the one of before serves, even if it has ended.
        if !of_own && all_trust(self.bundle.digest()) {
            return write(None, "all nodes trust the new CA");
        }
        Due::Nothing
    }
}

#[cfg(test)]
mod tests;
