//! Makes a plan's CA, and from it the certificates of nodes and of the operator. Keys are drawn here, and nothing else.

use super::verify::{Bundle, Verifier};
use super::{EARLY_S, Error, LIFE_S, Role};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use std::fmt;
use std::time::Duration;

/// A CA is trusted because it stands in a bundle, and ends by leaving it: the date in it is never looked at.
const AUTHORITY_LIFE_S: u64 = 100 * LIFE_S;

/// A certificate and its key, in PEM form.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

impl fmt::Debug for Pair {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Pair").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// The CA of a plan, with its key.
pub struct Authority {
    plan_uid: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A new one.
    pub fn make(plan_uid: &str, now_s: u64) -> Result<Pair, Error> {
        let key = KeyPair::generate()?;
        let mut params = authority(plan_uid);
        dates(&mut params, now_s, AUTHORITY_LIFE_S);
        let certificate = params.self_signed(&key)?;
        Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    /// One that was made earlier. What it would make is trusted by those who trust its certificate, or it is refused.
    pub fn load(plan_uid: &str, pair: &Pair) -> Result<Authority, Error> {
        let key = KeyPair::from_pem(&pair.key).map_err(|_| Error::OtherAuthority)?;
        let made = Authority { plan_uid: plan_uid.to_owned(), issuer: Issuer::new(authority(plan_uid), key) };
        let verifier = Verifier::new(plan_uid, Bundle::parse(&pair.certificate, "the CA's certificate")?)?;
        let (sample, _) = made.sign(Role::Node, 0)?;
        match verifier.role_of_client(sample.der(), 0) {
            Ok(Role::Node) => Ok(made),
            _ => Err(Error::OtherAuthority),
        }
    }

    /// A certificate of this role, for a year from now.
    pub fn issue(&self, role: Role, now_s: u64) -> Result<Pair, Error> {
        let (certificate, key) = self.sign(role, now_s)?;
        Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    fn sign(&self, role: Role, now_s: u64) -> Result<(Certificate, KeyPair), Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        let name = role.name(&self.plan_uid)?.to_str().into_owned();
        params.subject_alt_names = vec![SanType::DnsName(name.try_into()?)];
        params.distinguished_name = named(&format!("Shoal {role}"));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = match role {
            Role::Node => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
            Role::Operator => vec![ExtendedKeyUsagePurpose::ClientAuth],
        };
        params.use_authority_key_identifier_extension = true;
        dates(&mut params, now_s, LIFE_S);
        Ok((params.signed_by(&key, &self.issuer)?, key))
    }
}

fn authority(plan_uid: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(&format!("Shoal plan {plan_uid}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn named(text: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, text);
    name
}

fn dates(params: &mut CertificateParams, now_s: u64, life_s: u64) {
    let from_s = now_s.saturating_sub(EARLY_S);
    params.not_before = date_time_ymd(1970, 1, 1) + Duration::from_secs(from_s);
    params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(from_s + life_s);
}

impl From<rcgen::Error> for Error {
    fn from(error: rcgen::Error) -> Error {
        Error::Making(error.to_string())
    }
}
