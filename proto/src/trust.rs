//! Who is who on port 7778: what certificates say, how they are made, when they are made again, and how they are
//! checked.
//!
//! A plan has a CA of its own. A certificate names a role and the plan's uid, never an address, so that one serves all
//! nodes of the plan wherever they run. *Guarantees.* A chain is checked before a name is. The clock refuses no node: a
//! certificate of a node that has ended is taken between nodes, so that the absence of the operator stops nothing; one
//! of the operator is not, since the operator makes its own.

mod credentials;
mod fault;
mod issue;
mod tls;
mod verify;

pub use credentials::{Credentials, Digests, Pems};
pub use fault::{FAULTS, Fault, told};
pub use issue::{Authority, Pair};
pub use tls::{client, server};
pub use verify::{Bundle, Refused, Validity, Verifier, date};

use rustls::pki_types::ServerName;
use std::fmt;

/// The names of the files that a node reads, and of the members of the Secret that its pod mounts.
pub const CERTIFICATE: &str = "tls.crt";
pub const KEY: &str = "tls.key";
pub const BUNDLE: &str = "ca.crt";

/// How long certificates last from when they are made: a year.
pub const LIFE_S: u64 = 365 * DAY_S;
/// Certificates begin a day before they are made, for clocks that are late.
const EARLY_S: u64 = DAY_S;
const DAY_S: u64 = 24 * 60 * 60;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// May open `Exchange`, and answers on port 7778.
    Node,
    /// May call `Report` and `Configure`.
    Operator,
}

impl Role {
    pub const ALL: [Role; 2] = [Role::Node, Role::Operator];

    /// The name in certificates of this role.
    pub fn name(self, plan_uid: &str) -> Result<ServerName<'static>, Error> {
        let name = format!("{self}.{plan_uid}.plan.shoal.dev");
        let is_label = !plan_uid.is_empty() && !plan_uid.contains('.');
        let name = is_label.then(|| ServerName::try_from(name).ok()).flatten();
        name.ok_or_else(|| Error::PlanUid(plan_uid.to_owned()))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Role::Node => "node",
            Role::Operator => "operator",
        })
    }
}

/// Why certificates cannot be used or made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("`{0}` is not the uid of a plan: a uid consists of 1 to 63 letters, digits and `-`")]
    PlanUid(String),
    #[error("{0} holds no certificate in PEM form")]
    NoCertificate(&'static str),
    #[error("{0} holds more than {MAX} certificates", MAX = verify::AUTHORITIES_MAX)]
    TooMany(&'static str),
    #[error("{0} is not PEM: {1}")]
    Pem(&'static str, String),
    #[error("{0} holds a certificate that cannot be read: {1}")]
    Unreadable(&'static str, String),
    #[error("{KEY} is not the key of the certificate in {CERTIFICATE}")]
    OtherKey,
    #[error("the certificate in {CERTIFICATE} is not one of a {role} of the plan {plan_uid}: {why}")]
    NotOurs { role: Role, plan_uid: String, why: Refused },
    #[error("the CA's key does not belong to the CA's certificate, or another program made them")]
    OtherAuthority,
    #[error("no certificate can be made: {0}")]
    Making(String),
}

#[cfg(test)]
mod tests;
