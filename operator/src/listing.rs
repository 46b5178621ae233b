//! Whether plans can be listed: what the tries come to, what `/readyz` says of it, and when it is tried again.

use std::fmt;
use std::time::Duration;

/// Between tries, while plans can be listed.
const WORKS_EACH: Duration = Duration::from_secs(10);
/// And while they cannot.
const FAILS_EACH: Duration = Duration::from_secs(2);

/// Why plans could not be listed in one namespace, or in all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// `None`: in all namespaces at once.
    pub namespace: Option<String>,
    /// The status code of the API server's answer; `None`: there was none.
    pub code: Option<u16>,
    pub why: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Listing {
    #[default]
    Untried,
    Works,
    /// The first of those that were refused, and how many more there are.
    Fails(Refusal, usize),
}

impl Listing {
    /// What the newest tries come to, one for each namespace: a single refusal is enough, since plans there are lost
    /// sight of.
    pub fn after(refusals: Vec<Refusal>) -> Listing {
        let more = refusals.len().saturating_sub(1);
        refusals.into_iter().next().map_or(Listing::Works, |first| Listing::Fails(first, more))
    }

    pub fn works(&self) -> bool {
        *self == Listing::Works
    }

    pub fn next_try(&self) -> Duration {
        if self.works() { WORKS_EACH } else { FAILS_EACH }
    }
}

impl fmt::Display for Listing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listing::Untried => write!(out, "it has not been tried yet whether plans can be listed"),
            Listing::Works => write!(out, "plans can be listed"),
            Listing::Fails(first, 0) => write!(out, "{first}"),
            Listing::Fails(first, more) => write!(out, "{first}; and in {more} more namespaces"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refusal { namespace, code, why } = self;
        match namespace {
            Some(namespace) => write!(out, "plans cannot be listed in the namespace {namespace}: ")?,
            None => write!(out, "plans cannot be listed: ")?,
        }
        match code {
            Some(401 | 403) => write!(
                out,
                "the API server does not allow it: {why}. Give the operator's ServiceAccount the rights in the chart's \
                 templates/rbac.yaml"
            ),
            Some(404) => write!(
                out,
                "the API server does not know the kind AgentPlan of shoal.dev/v1alpha1: {why}. Apply crds/agentplans.yaml, or \
                 install the chart with crd.install=true"
            ),
            Some(code) => write!(out, "the API server answers {code}: {why}"),
            None => write!(out, "the API server does not answer: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(namespace: Option<&str>, code: Option<u16>) -> Refusal {
        Refusal { namespace: namespace.map(str::to_owned), code, why: "no".to_owned() }
    }

    #[test]
    fn it_says_why_plans_cannot_be_listed_and_what_to_do() {
        for (refusals, said) in [
            (
                vec![refusal(None, Some(403))],
                "plans cannot be listed: the API server does not allow it: no. Give the operator's ServiceAccount the \
                 rights in the chart's templates/rbac.yaml",
            ),
            (
                vec![refusal(Some("here"), Some(404))],
                "plans cannot be listed in the namespace here: the API server does not know the kind AgentPlan of \
                 shoal.dev/v1alpha1: no. Apply crds/agentplans.yaml, or install the chart with crd.install=true",
            ),
            (
                vec![refusal(Some("a"), Some(500)), refusal(Some("b"), None), refusal(Some("c"), None)],
                "plans cannot be listed in the namespace a: the API server answers 500: no; and in 2 more namespaces",
            ),
            (vec![refusal(None, None)], "plans cannot be listed: the API server does not answer: no"),
        ] {
            let listing = Listing::after(refusals);
            assert_eq!((listing.works(), listing.to_string()), (false, said.to_owned()));
        }
    }

    #[test]
    fn it_works_only_after_a_try_without_a_refusal_and_is_tried_more_often_while_it_does_not() {
        assert!(!Listing::default().works() && Listing::after(Vec::new()).works());
        let waits = [Listing::default(), Listing::after(vec![refusal(None, None)]), Listing::Works];
        assert_eq!(waits.map(|listing| listing.next_try()), [FAILS_EACH, FAILS_EACH, WORKS_EACH]);
    }
}
