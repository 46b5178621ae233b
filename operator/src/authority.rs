//! A plan's CA: as its Secret holds it, and what the operator makes of it for itself.

use proto::trust::{Authority, Credentials, Error, Pair, Pems, Role};

/// The plan's CA as its Secret holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorityPems {
    pub pair: Pair,
    /// CAs that nodes trust beside it, until a person takes them out.
    pub trusted: String,
}

impl AuthorityPems {
    /// What nodes trust.
    pub fn bundle(&self) -> String {
        let mut bundle = self.pair.certificate.trim_end().to_owned();
        bundle.push('\n');
        bundle.push_str(&self.trusted);
        bundle
    }

    pub fn load(&self, plan_uid: &str) -> Result<Authority, Error> {
        Authority::load(plan_uid, &self.pair)
    }
}

/// The certificate with which the operator asks the nodes of a plan, made by the plan's CA and kept by nobody.
pub fn operators(plan_uid: &str, authority: &AuthorityPems, now_s: u64) -> Result<Credentials, Error> {
    let pair = authority.load(plan_uid)?.issue(Role::Operator, now_s)?;
    Credentials::load(plan_uid, Role::Operator, &Pems { pair, bundle: authority.bundle() })
}
