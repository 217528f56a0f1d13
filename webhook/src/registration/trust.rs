//! Whether those who read a bundle of CA certificates trust what is presented under the current CA. Certificates are
//! compared, not text: others write bundles too. Pure.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// What callers must trust: a bundle whose first certificate is the current CA's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Authority {
    bundle: Arc<str>,
    current: CertificateDer<'static>,
}

impl Authority {
    /// Reads a bundle, PEM; the error is a sentence.
    pub(super) fn read(bundle: &Arc<str>) -> Result<Self, String> {
        let current = CertificateDer::from_pem_slice(bundle.as_bytes())
            .map_err(|error| format!("the CA of the certificate is not PEM: {error}"))?;
        Ok(Self { bundle: Arc::clone(bundle), current })
    }

    /// The whole bundle.
    pub(super) fn bundle(&self) -> &Arc<str> {
        &self.bundle
    }

    /// Whether the current CA is among these.
    pub(super) fn is_in(&self, bundle: &[u8]) -> bool {
        CertificateDer::pem_slice_iter(bundle)
            .any(|certificate| certificate.is_ok_and(|certificate| certificate == self.current))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A certificate, which this bench need not understand.
    pub(in super::super) fn pem(body: &str) -> String {
        format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
    }

    #[test]
    fn the_current_authority_counts_wherever_it_stands_and_however_it_is_written() {
        let (current, former, other) = (pem("AAAA"), pem("BBBB"), pem("CCCC"));
        let authority = Authority::read(&Arc::from(format!("{current}{former}"))).unwrap();
        let spelled = format!("# ours\r\n{}", current.replace('\n', "\r\n"));
        for (bundle, expected) in [
            (current.clone(), true),
            (format!("{former}{current}"), true),
            (spelled, true),
            (former, false),
            (other, false),
            (String::new(), false),
            ("no PEM".to_owned(), false),
        ] {
            assert_eq!(authority.is_in(bundle.as_bytes()), expected, "{bundle:?}");
        }
        assert!(Authority::read(&Arc::from("no PEM")).is_err());
    }
}
