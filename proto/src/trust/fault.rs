//! Why a connection to port 7778 does not come about: decides what is said of it, and what helps.

use rustls::{AlertDescription, CertificateError};
use std::error::Error;
use std::fmt;
use std::io;

/// What went wrong in a handshake; each kind is told in its own turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// What came is no TLS, or not the version that is spoken here.
    NoTls(String),
    NoCertificate,
    UnknownAuthority,
    OtherName,
    Ended,
    NotYet,
    /// The other side does not take this node's certificate.
    Refused(AlertDescription),
    /// It did not end in time, or gave way to newer ones.
    Slow,
    Other(String),
}

/// How many kinds there are.
pub const FAULTS: usize = 9;

impl Fault {
    /// The fault in an error of TLS, wherever in the chain of causes it is.
    pub fn of(error: &(dyn Error + 'static)) -> Option<Fault> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(tls) = error.downcast_ref::<rustls::Error>() {
                return Some(Fault::of_tls(tls));
            }
            let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            cause = match inner {
                Some(inner) => Some(inner),
                None => error.source(),
            };
        }
        None
    }

    fn of_tls(error: &rustls::Error) -> Fault {
        match error {
            rustls::Error::InvalidMessage(_)
            | rustls::Error::InappropriateMessage { .. }
            | rustls::Error::PeerIncompatible(_) => Fault::NoTls(error.to_string()),
            rustls::Error::NoCertificatesPresented => Fault::NoCertificate,
            rustls::Error::InvalidCertificate(why) => match why {
                CertificateError::UnknownIssuer => Fault::UnknownAuthority,
                CertificateError::ApplicationVerificationFailure => Fault::OtherName,
                CertificateError::Expired => Fault::Ended,
                CertificateError::NotValidYet => Fault::NotYet,
                _ => Fault::Other(error.to_string()),
            },
            rustls::Error::AlertReceived(alert) => Fault::Refused(*alert),
            _ => Fault::Other(error.to_string()),
        }
    }

    /// Its place among the kinds.
    pub fn kind(&self) -> usize {
        match self {
            Fault::NoTls(_) => 0,
            Fault::NoCertificate => 1,
            Fault::UnknownAuthority => 2,
            Fault::OtherName => 3,
            Fault::Ended => 4,
            Fault::NotYet => 5,
            Fault::Refused(_) => 6,
            Fault::Slow => 7,
            Fault::Other(_) => 8,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::NoTls(why) => write!(
                out,
                "the other side does not speak TLS 1.3 ({why}): it is a pod that was started by a version \
                 without certificates (delete the pod, so that it starts again), or it is not a Shoal node"
            ),
            Fault::NoCertificate => {
                write!(out, "the other side shows no certificate: it is no node of a plan")
            }
            Fault::UnknownAuthority => write!(
                out,
                "the other side's certificate was made by a CA that is not in ca.crt: it is of another plan, or the \
                 CA was exchanged and one of the two sides has not read its new files yet"
            ),
            Fault::OtherName => {
                write!(
                    out,
                    "the other side's certificate is of another plan, or of another role than is needed"
                )
            }
            Fault::Ended => write!(
                out,
                "the operator's certificate has expired: the operator makes a new one at each start, so the clock of \
                 one of the two machines is wrong"
            ),
            Fault::NotYet => {
                write!(out, "the operator's certificate is not valid yet: one of the two clocks is wrong")
            }
            Fault::Refused(alert) => write!(
                out,
                "the other side rejects the certificate of this side ({alert:?}): see the log of the other side"
            ),
            Fault::Slow => {
                write!(
                    out,
                    "the TLS handshake did not complete in time, or was dropped to make room for newer connections"
                )
            }
            Fault::Other(why) => out.write_str(why),
        }
    }
}

/// All causes of an error in one line; an error of TLS with what helps.
pub fn told(error: &(dyn Error + 'static)) -> String {
    if let Some(fault) = Fault::of(error) {
        return fault.to_string();
    }
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        let more = error.to_string();
        // Some say their cause themselves.
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::InvalidMessage;

    #[test]
    fn an_error_of_tls_is_found_wherever_it_is_and_told_with_what_helps() {
        let tls = |error: rustls::Error| io::Error::new(io::ErrorKind::InvalidData, error);
        for (error, expected) in [
            (tls(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)), "does not speak TLS"),
            (tls(rustls::Error::NoCertificatesPresented), "shows no certificate"),
            (tls(CertificateError::UnknownIssuer.into()), "not in ca.crt"),
            (tls(CertificateError::ApplicationVerificationFailure.into()), "another role"),
            (tls(CertificateError::Expired.into()), "has expired"),
            (tls(CertificateError::NotValidYet.into()), "clocks is wrong"),
            (tls(rustls::Error::AlertReceived(AlertDescription::UnknownCA)), "(UnknownCA): see the log"),
            (io::Error::other(tls(CertificateError::UnknownIssuer.into())), "not in ca.crt"),
            (io::Error::new(io::ErrorKind::ConnectionRefused, "nobody there"), "nobody there"),
        ] {
            let said = told(&error);
            assert!(said.contains(expected), "{said}: {expected}");
        }
    }
}
