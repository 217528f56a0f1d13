//! The certificate a running server presents, swapped without touching its connections.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// Why a bundle cannot be served or TLS not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The PEM cannot be read.
    #[error("the certificate or its key is not PEM: {0}")]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// The library refuses it.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// Holds the certificate presented now; none before the first.
#[derive(Debug, Default)]
pub struct Resolver(ArcSwapOption<CertifiedKey>);

impl Resolver {
    /// Presents nothing yet: handshakes fail until [`Resolver::present_chain`].
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Presents a certificate, with whatever leads to its CA behind it, from the next handshake on. Both are PEM.
    pub fn present_chain(&self, chain: &[u8], key: &[u8]) -> Result<(), Error> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain).collect::<Result<_, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(key)?;
        let key = aws_lc_rs::sign::any_supported_type(&key)?;
        let certified = CertifiedKey::new(chain, key);
        certified.keys_match()?;
        self.0.store(Some(Arc::new(certified)));
        Ok(())
    }

    /// TLS 1.2 and 1.3 for an HTTP/1.1 server that presents whatever this resolver holds.
    pub fn server_config(self: &Arc<Self>) -> Result<ServerConfig, Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<Self>::clone(self);
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load_full()
    }
}
