//! Decides whether a certificate is one of this plan, and in which role.

use super::{Error, Role};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, SignatureScheme};
use std::time::Duration;
use webpki::{EndEntityCert, KeyUsage};
use xxhash_rust::xxh3::Xxh3Default;

/// A bundle that has been forgotten in many exchanges is no reason to try them all.
pub const AUTHORITIES_MAX: usize = 16;

/// The CAs that are trusted.
#[derive(Clone, Debug)]
pub struct Bundle {
    certificates: Vec<CertificateDer<'static>>,
    anchors: Vec<TrustAnchor<'static>>,
}

impl Bundle {
    /// From PEM; `what` names the text in errors.
    pub fn parse(pem: &str, what: &'static str) -> Result<Bundle, Error> {
        let certificates = certificates(pem, what)?;
        if certificates.len() > AUTHORITIES_MAX {
            return Err(Error::TooMany(what));
        }
        let anchor = |certificate| {
            let anchor = webpki::anchor_from_trusted_cert(certificate).map(|anchor| anchor.to_owned());
            anchor.map_err(|error| Error::Unreadable(what, error.to_string()))
        };
        let anchors = certificates.iter().map(anchor).collect::<Result<_, _>>()?;
        Ok(Bundle { certificates, anchors })
    }

    /// Tells two bundles apart.
    pub fn digest(&self) -> u64 {
        digest(&self.certificates)
    }
}

pub(super) fn certificates(pem: &str, what: &'static str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let all = all.map_err(|error| Error::Pem(what, error.to_string()))?;
    if all.is_empty() { Err(Error::NoCertificate(what)) } else { Ok(all) }
}

pub(super) fn digest(certificates: &[CertificateDer<'_>]) -> u64 {
    let mut digest = Xxh3Default::new();
    for certificate in certificates {
        digest.update(&(certificate.len() as u64).to_le_bytes());
        digest.update(certificate);
    }
    digest.digest()
}

/// From when to when a certificate is meant to be used, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    pub from_s: u64,
    pub until_s: u64,
}

impl Validity {
    /// The verifier says it when it is asked about the first and the last moment that there is.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Validity, webpki::Error> {
        let certificate = EndEntityCert::try_from(certificate)?;
        let at = |second| {
            let time = UnixTime::since_unix_epoch(Duration::from_secs(second));
            certificate
                .verify_for_usage(&[], &[], &[], time, KeyUsage::client_auth(), None, None)
                .map_or_else(|error| error, |_| webpki::Error::UnknownIssuer)
        };
        match (at(0), at(u64::MAX)) {
            (
                webpki::Error::CertNotValidYet { not_before, .. },
                webpki::Error::CertExpired { not_after, .. },
            ) => Ok(Validity { from_s: not_before.as_secs(), until_s: not_after.as_secs() }),
            (error, _) => Err(error),
        }
    }

    /// Whether it is to be made again: a third of its life is over.
    pub fn is_due(self, now_s: u64) -> bool {
        let life_s = self.until_s.saturating_sub(self.from_s);
        now_s >= self.from_s.saturating_add(life_s / 3)
    }

    pub fn has_ended(self, now_s: u64) -> bool {
        now_s > self.until_s
    }
}

/// Why the other side's certificate is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("no CA that is trusted has made it")]
    UnknownAuthority,
    #[error("it names another plan or another role")]
    OtherName,
    #[error("it ended on {}", date(*.until_s))]
    Ended { until_s: u64 },
    #[error("it begins on {}: one of the two clocks is wrong", date(*.from_s))]
    NotYet { from_s: u64 },
    #[error("it is not made for this use, or is broken")]
    Broken,
}

/// As people write it.
pub fn date(second: u64) -> String {
    let time = i64::try_from(second).ok().and_then(|second| jiff::Timestamp::from_second(second).ok());
    time.map_or_else(|| format!("second {second}"), |time| time.to_string())
}

impl From<Refused> for rustls::Error {
    fn from(refused: Refused) -> rustls::Error {
        rustls::Error::InvalidCertificate(match refused {
            Refused::UnknownAuthority => CertificateError::UnknownIssuer,
            Refused::OtherName => CertificateError::ApplicationVerificationFailure,
            Refused::Ended { .. } => CertificateError::Expired,
            Refused::NotYet { .. } => CertificateError::NotValidYet,
            Refused::Broken => CertificateError::InvalidPurpose,
        })
    }
}

/// Checks certificates of one plan, for rustls and for whoever asks.
#[derive(Debug)]
pub struct Verifier {
    bundle: Bundle,
    names: Vec<(Role, ServerName<'static>)>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    pub fn new(plan_uid: &str, bundle: Bundle) -> Result<Verifier, Error> {
        let names = Role::ALL.into_iter().map(|role| Ok((role, role.name(plan_uid)?)));
        let names = names.collect::<Result<_, Error>>()?;
        let algorithms = ring::default_provider().signature_verification_algorithms;
        Ok(Verifier { bundle, names, algorithms })
    }

    /// The role that a client's certificate gives it.
    pub fn role_of_client(&self, certificate: &CertificateDer<'_>, now_s: u64) -> Result<Role, Refused> {
        self.role(certificate, KeyUsage::client_auth(), now_s)
    }

    /// Who answers has to be a node.
    pub fn is_node(&self, certificate: &CertificateDer<'_>, now_s: u64) -> Result<(), Refused> {
        match self.role(certificate, KeyUsage::server_auth(), now_s)? {
            Role::Node => Ok(()),
            Role::Operator => Err(Refused::OtherName),
        }
    }

    /// Nobody but a CA makes certificates: what else a peer sends along is not looked at.
    fn role(&self, certificate: &CertificateDer<'_>, usage: KeyUsage, now_s: u64) -> Result<Role, Refused> {
        let certificate = EndEntityCert::try_from(certificate).map_err(|_| Refused::Broken)?;
        let (algorithms, anchors) = (self.algorithms.all, self.bundle.anchors.as_slice());
        let chain = |time| {
            certificate.verify_for_usage(algorithms, anchors, &[], time, usage, None, None).map(|_| ())
        };
        let untimely = match chain(UnixTime::since_unix_epoch(Duration::from_secs(now_s))) {
            Ok(()) => None,
            Err(webpki::Error::CertExpired { not_after, .. }) => {
                chain(not_after).map_err(|error| refused(&error))?;
                Some(Refused::Ended { until_s: not_after.as_secs() })
            }
            Err(webpki::Error::CertNotValidYet { not_before, .. }) => {
                chain(not_before).map_err(|error| refused(&error))?;
                Some(Refused::NotYet { from_s: not_before.as_secs() })
            }
            Err(error) => return Err(refused(&error)),
        };
        let named = self
            .names
            .iter()
            .find(|(_, name)| certificate.verify_is_valid_for_subject_name(name).is_ok())
            .map(|(role, _)| *role);
        match (named, untimely) {
            (None, _) => Err(Refused::OtherName),
            (Some(Role::Operator), Some(refused)) => Err(refused),
            (Some(role), _) => Ok(role),
        }
    }
}

fn refused(error: &webpki::Error) -> Refused {
    match error {
        webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey => {
            Refused::UnknownAuthority
        }
        _ => Refused::Broken,
    }
}

fn no_older_version() -> rustls::Error {
    rustls::Error::General("TLS 1.3 is spoken here, and nothing older".to_owned())
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.is_node(end_entity, now.as_secs())?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(no_older_version())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.role_of_client(end_entity, now.as_secs())?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(no_older_version())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
