//! A CA that somebody gives to issue under: whether callers that trust it would trust what it signs. Issuing itself is
//! `crate::issue`'s.

use jiff::Timestamp;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::{inspect, pem};

/// Takes a CA with its key, or says what is wrong with it. Given back is its certificate and nothing else: a file may hold
/// a key beside it.
pub(super) fn taken(certificate: &str, key: &str, now: Timestamp) -> Result<String, String> {
    let der = pem::first(certificate.as_bytes()).map_err(|why| {
        format!("it holds no certificate ({why}): give a file with the CA's, as PEM")
    })?;
    let certificate = pem::encode(&der);
    let read = inspect::paired("CA certificate", &certificate, key)
        .map_err(|why| format!("{why}: give the key that was made with this certificate"))?;
    let (_, parsed) = X509Certificate::from_der(&der).map_err(|error| error.to_string())?;
    may_sign(&parsed)?;
    let validity = read.validity;
    if !validity.holds(now) {
        return Err(format!(
            "it is valid from {} until {}, and now it is {now:.0}: give one that is valid",
            validity.from, validity.until
        ));
    }
    Ok(certificate)
}

/// Whether a certificate says that it may sign others.
fn may_sign(certificate: &X509Certificate<'_>) -> Result<(), String> {
    let constraints = certificate.basic_constraints().map_err(|error| error.to_string())?;
    if !constraints.is_some_and(|extension| extension.value.ca) {
        let why = "it is no CA, its basicConstraints do not say CA:TRUE";
        return Err(format!("{why}: give the CA's own certificate, not one that it issued"));
    }
    let usage = certificate.key_usage().map_err(|error| error.to_string())?;
    if usage.is_some_and(|extension| !extension.value.key_cert_sign()) {
        return Err(
            "its keyUsage leaves out keyCertSign: give a CA that may sign certificates".into()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose};

    use super::*;
    use crate::bundle::Names;
    use crate::issue::{self, Lifetimes};

    #[test]
    fn a_ca_is_taken_with_its_key_and_within_its_time_and_nothing_else_is() {
        let now: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        let lifetimes = Lifetimes::default();
        let issued = || issue::all(&Names::new(["a"]).unwrap(), lifetimes, now).unwrap();
        let (one, other) = (issued(), issued());
        let end = now + lifetimes.authority;
        let (late, early) = (
            end + SignedDuration::from_secs(1),
            now - issue::BACKDATE - SignedDuration::from_secs(1),
        );
        for (certificate, key, at, word) in [
            (&one.authority, &one.authority_key, now, None),
            (&one.authority, &one.authority_key, end, None),
            (&one.authority, &one.authority_key, now - issue::BACKDATE, None),
            (&one.authority, &one.authority_key, late, Some("it is valid from")),
            (&one.authority, &one.authority_key, early, Some("it is valid from")),
            (&one.authority, &other.authority_key, now, Some("does not belong")),
            (&one.certificate, &one.key, now, Some("no CA")),
            (&one.authority_key, &one.authority_key, now, Some("no certificate")),
            (&one.authority, &one.authority, now, Some("the key of the CA certificate")),
        ] {
            match (taken(certificate, key, at), word) {
                (Ok(taken), None) => assert_eq!(taken.trim(), certificate.trim()),
                (Err(why), Some(word)) => assert!(why.contains(word), "{why}"),
                (other, word) => panic!("{word:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn of_a_file_that_holds_a_key_too_the_certificate_alone_is_taken() {
        let now: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        let one = issue::all(&Names::new(["a"]).unwrap(), Lifetimes::default(), now).unwrap();
        for combined in [
            format!("{}{}", one.authority, one.authority_key),
            format!("{}{}", one.authority_key, one.authority),
            format!("{}{}", one.authority, one.certificate),
        ] {
            let taken = taken(&combined, &one.authority_key, now).unwrap();
            assert_eq!(pem::certificates(taken.as_bytes()).unwrap().len(), 1);
            assert!(!taken.contains("PRIVATE"), "{taken}");
        }
    }

    #[test]
    fn a_ca_without_usages_may_sign_and_one_with_others_only_may_not() {
        for (usages, is_taken) in [
            (vec![], true),
            (vec![KeyUsagePurpose::KeyCertSign], true),
            (vec![KeyUsagePurpose::CrlSign], false),
        ] {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = usages;
            let certificate = params.self_signed(&key).unwrap().pem();
            let now = "2026-11-21T10:00:00Z".parse().unwrap();
            assert_eq!(taken(&certificate, &key.serialize_pem(), now).is_ok(), is_taken);
        }
    }
}
