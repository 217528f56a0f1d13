//! Whether those who read a bundle of CA certificates trust what is presented under the current CA. Certificates are
//! compared, not text: others write bundles too. Pure.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use smartops_certs::pem;

/// What callers must trust: a bundle whose first certificate is the current CA's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Authority {
    bundle: Arc<str>,
    /// All of them, the current one first; there is at least one.
    certificates: Vec<CertificateDer<'static>>,
}

impl Authority {
    /// Reads a bundle, PEM; the error is a sentence.
    pub(super) fn read(bundle: &Arc<str>) -> Result<Self, String> {
        let certificates = pem::certificates(bundle.as_bytes())
            .map_err(|error| format!("the CA of the certificate is {error}"))?;
        if certificates.is_empty() {
            return Err(
                "the CA of the certificate is missing: there is no PEM certificate".to_owned()
            );
        }
        Ok(Self { bundle: Arc::clone(bundle), certificates })
    }

    /// What of the bundle all of these hold, PEM; the whole of it where there are none, and `None` where nothing is left.
    pub(super) fn shared<'b>(&self, bundles: impl Iterator<Item = &'b [u8]>) -> Option<Arc<str>> {
        let mut shared: Vec<&CertificateDer<'static>> = self.certificates.iter().collect();
        for bundle in bundles {
            shared.retain(|certificate| pem::holds(bundle, certificate));
        }
        if shared.len() == self.certificates.len() {
            return Some(Arc::clone(&self.bundle));
        }
        let text: String = shared.into_iter().map(pem::encode).collect();
        (!text.is_empty()).then(|| Arc::from(text))
    }

    /// The whole bundle.
    pub(super) fn bundle(&self) -> &Arc<str> {
        &self.bundle
    }

    /// Whether the current CA is among these.
    pub(super) fn is_in(&self, bundle: &[u8]) -> bool {
        let current = self.certificates.first();
        CertificateDer::pem_slice_iter(bundle)
            .any(|certificate| certificate.is_ok_and(|certificate| Some(&certificate) == current))
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

    #[test]
    fn what_every_caller_holds_is_told_in_the_order_of_the_bundle_and_nothing_else() {
        let (current, former, other) = (pem("AAAA"), pem("BBBB"), pem("CCCC"));
        let both = format!("{current}{former}");
        let authority = Authority::read(&Arc::from(both.as_str())).unwrap();
        let turned = format!("{former}{other}{current}");
        for (bundles, expected) in [
            (vec![], Some(&both)),
            (vec![&both, &turned], Some(&both)),
            (vec![&both, &current], Some(&current)),
            (vec![&former, &turned], Some(&former)),
            (vec![&former, &current], None),
            (vec![&other], None),
        ] {
            let found = authority.shared(bundles.iter().map(|bundle| bundle.as_bytes()));
            assert_eq!(found.as_deref(), expected.map(String::as_str), "{bundles:?}");
        }
    }
}
