//! The settings of TLS on port 7778: version 1.3, HTTP/2, both sides show a certificate, and every handshake checks it.

use super::Credentials;
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};
use std::sync::Arc;

/// As ALPN names it.
const HTTP2: &[u8] = b"h2";

/// TLS for the side that answers.
pub fn server(credentials: &Credentials) -> ServerConfig {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("the provider speaks TLS 1.3")
        .with_client_cert_verifier(credentials.verifier.clone())
        .with_cert_resolver(shown(credentials));
    config.alpn_protocols = vec![HTTP2.to_vec()];
    // A session that is taken up again would pass by the bundle of now.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config
}

/// TLS for the side that calls.
pub fn client(credentials: &Credentials) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("the provider speaks TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(credentials.verifier.clone())
        .with_client_cert_resolver(shown(credentials));
    config.alpn_protocols = vec![HTTP2.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    config
}

fn shown(credentials: &Credentials) -> Arc<SingleCertAndKey> {
    let certified: &Arc<CertifiedKey> = &credentials.certified;
    Arc::new(SingleCertAndKey::from(certified.clone()))
}

/// AES-128 first: 256 bits would cost a third more and protect nothing better here.
fn provider() -> Arc<CryptoProvider> {
    use ring::cipher_suite::{TLS13_AES_128_GCM_SHA256, TLS13_CHACHA20_POLY1305_SHA256};
    let cipher_suites = vec![TLS13_AES_128_GCM_SHA256, TLS13_CHACHA20_POLY1305_SHA256];
    Arc::new(CryptoProvider { cipher_suites, ..ring::default_provider() })
}
