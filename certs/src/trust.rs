//! Whom a caller trusts: certain CAs and nobody else, whatever the system it runs on trusts. Where it calls, and what
//! follows from the certificate shown there, is the caller's business.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

/// A client that trusts these CAs alone; the error is a sentence.
pub fn connector(
    authorities: impl IntoIterator<Item = CertificateDer<'static>>,
) -> Result<TlsConnector, String> {
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?
        .with_root_certificates(roots(authorities)?)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// These CAs alone; the error is a sentence.
pub(crate) fn roots(
    authorities: impl IntoIterator<Item = CertificateDer<'static>>,
) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority).map_err(|error| format!("the CA is no root: {error}"))?;
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use smartops_process::clock::Clock;
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::bundle::Names;
    use crate::issue::{self, Lifetimes};
    use crate::pem;
    use crate::resolver::Resolver;

    #[tokio::test]
    async fn a_caller_trusts_what_any_of_these_cas_vouches_for_and_nothing_else() {
        let names = Names::new(["web.example"]).unwrap();
        let issue = || issue::all(&names, Lifetimes::default(), Clock.now()).unwrap();
        let (served, other) = (issue(), issue());
        let resolver = Resolver::new();
        resolver.present_chain(served.certificate.as_bytes(), served.key.as_bytes()).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(resolver.server_config().unwrap()));
        for (bundle, is_trusted) in [
            (served.authority.clone(), true),
            (format!("{}{}", other.authority, served.authority), true),
            (other.authority.clone(), false),
            (String::new(), false),
        ] {
            let connector = connector(pem::certificates(bundle.as_bytes()).unwrap()).unwrap();
            let (near, far) = tokio::io::duplex(16 << 10);
            let accepted = acceptor.accept(far);
            let connected = connector.connect("web.example".try_into().unwrap(), near);
            let (shaken, _ended) = tokio::join!(connected, accepted);
            assert_eq!(shaken.is_ok(), is_trusted, "{bundle}");
        }
    }

    #[test]
    fn what_is_no_certificate_is_no_root() {
        let error = connector([CertificateDer::from(vec![0; 8])]).map(drop).unwrap_err();
        assert!(error.starts_with("the CA is no root"), "{error}");
    }
}
