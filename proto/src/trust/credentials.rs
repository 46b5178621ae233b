//! What one side shows and whom it trusts, read from PEM and checked as a whole before it is used.

use super::verify::{self, Bundle, Validity, Verifier};
use super::{BUNDLE, CERTIFICATE, Error, KEY, Pair, Role};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::sync::Arc;

/// As files and Secrets hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pems {
    pub pair: Pair,
    pub bundle: String,
}

/// What tells one certificate or bundle from another. Not secret, and proof of nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digests {
    pub bundle: u64,
    pub certificate: u64,
}

/// A certificate with its key, and whom it trusts: all that a connection needs.
#[derive(Debug)]
pub struct Credentials {
    pub(super) certified: Arc<CertifiedKey>,
    pub(super) verifier: Arc<Verifier>,
    pub validity: Validity,
    pub digests: Digests,
}

impl Credentials {
    /// All three fit each other and the plan, or the error says what does not. Dates are not looked at.
    pub fn load(plan_uid: &str, role: Role, pems: &Pems) -> Result<Credentials, Error> {
        let chain = verify::certificates(&pems.pair.certificate, CERTIFICATE)?;
        let key = PrivateKeyDer::from_pem_slice(pems.pair.key.as_bytes())
            .map_err(|error| Error::Pem(KEY, error.to_string()))?;
        let bundle = Bundle::parse(&pems.bundle, BUNDLE)?;
        let validity = validity(&chain[0])?;
        let digests = Digests { bundle: bundle.digest(), certificate: verify::digest(&chain) };
        let verifier = Verifier::new(plan_uid, bundle)?;
        let refused = |why| Error::NotOurs { role, plan_uid: plan_uid.to_owned(), why };
        match verifier.role_of_client(&chain[0], validity.from_s) {
            Ok(has) if has == role => {}
            Ok(_) => return Err(refused(verify::Refused::OtherName)),
            Err(why) => return Err(refused(why)),
        }
        let certified = CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider())
            .map_err(|_| Error::OtherKey)?;
        Ok(Credentials { certified: certified.into(), verifier: verifier.into(), validity, digests })
    }

    /// Whether this certificate is one of a node for whom that verifies. Dates are not looked at.
    pub fn is_taken_by(&self, verifier: &Verifier) -> bool {
        verifier.role_of_client(&self.certified.cert[0], self.validity.from_s) == Ok(Role::Node)
    }

    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }
}

fn validity(certificate: &CertificateDer<'_>) -> Result<Validity, Error> {
    Validity::of(certificate).map_err(|error| Error::Unreadable(CERTIFICATE, error.to_string()))
}
