//! Issuing: a CA, and serving certificates under it, ECDSA on P-256. When that is due is `rotate`'s.

use std::net::IpAddr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};

use crate::bundle::{Bundle, Names};
use crate::inspect;
use crate::pem;

/// For how long certificates are issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// A CA.
    pub authority: SignedDuration,
    /// A serving certificate.
    pub certificate: SignedDuration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            authority: SignedDuration::from_hours(24 * 3650),
            certificate: SignedDuration::from_hours(24 * 90),
        }
    }
}

/// Validity begins this much before now: clocks of callers may be behind, by an hour where one was set by local time. No
/// part of a lifetime.
pub const BACKDATE: SignedDuration = SignedDuration::from_hours(1);
/// How every CA of ours is called, and nobody else's.
pub const AUTHORITY_NAME: &str = "SmartOps CA";
/// How the CAs of releases were called that did not mark their Secrets.
pub const FORMER_AUTHORITY_NAME: &str = "SmartOps webhook CA";

/// Why nothing was issued.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Key, parameters or signature.
    #[error("the certificate could not be issued: {0}")]
    Issue(#[from] rcgen::Error),
    /// A date outside what certificates can carry.
    #[error("the certificate's dates are out of range: {0}")]
    Date(#[from] jiff::Error),
    /// The CA it should be issued under.
    #[error("the CA cannot issue: {0}")]
    Authority(String),
}

/// A new CA and a serving certificate under it.
pub fn all(names: &Names, lifetimes: Lifetimes, now: Timestamp) -> Result<Bundle, Error> {
    let key = KeyPair::generate()?;
    let mut params = params(AUTHORITY_NAME, now, now.checked_add(lifetimes.authority)?)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority = params.self_signed(&key)?.pem();
    certificate(&authority, &key.serialize_pem(), names, lifetimes, now)
}

/// A new serving certificate under this CA, which it never outlives.
pub fn certificate(
    authority: &str,
    authority_key: &str,
    names: &Names,
    lifetimes: Lifetimes,
    now: Timestamp,
) -> Result<Bundle, Error> {
    let issuer = Issuer::from_ca_cert_pem(authority, KeyPair::from_pem(authority_key)?)?;
    let issuers_end = pem::first(authority.as_bytes())
        .and_then(|der| inspect::read(&der))
        .map_err(Error::Authority)?
        .validity
        .until;
    let key = KeyPair::generate()?;
    let end = now.checked_add(lifetimes.certificate)?.min(issuers_end);
    let mut params = params("SmartOps", now, end)?;
    for name in names.iter() {
        params.subject_alt_names.push(match name.parse::<IpAddr>() {
            Ok(address) => rcgen::SanType::IpAddress(address),
            Err(_) => rcgen::SanType::DnsName(name.try_into()?),
        });
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&key, &issuer)?.pem();
    Ok(Bundle {
        authority: authority.to_owned(),
        authority_key: authority_key.to_owned(),
        former: Vec::new(),
        certificate,
        key: key.serialize_pem(),
    })
}

fn params(common_name: &str, now: Timestamp, end: Timestamp) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    params.distinguished_name = name;
    let since_1970 =
        |at: Timestamp| Duration::from_secs(u64::try_from(at.as_second()).unwrap_or_default());
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + since_1970(now.checked_sub(BACKDATE)?);
    params.not_after = epoch + since_1970(end);
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::{Flaw, inspect, verify};

    fn names() -> Names {
        Names::new(["smartops-webhook.smartops-system.svc", "127.0.0.1"]).unwrap()
    }

    fn now() -> Timestamp {
        "2026-11-21T10:00:00Z".parse().unwrap()
    }

    fn issued() -> Bundle {
        all(&names(), Lifetimes::default(), now()).unwrap()
    }

    #[test]
    fn what_is_issued_reads_back_and_verifies_under_each_of_its_names() {
        let (bundle, lifetimes) = (issued(), Lifetimes::default());
        let read = inspect(&bundle);
        assert_eq!(read.authority.unwrap().until, now() + lifetimes.authority);
        let (validity, for_names) = read.certificate.unwrap();
        assert_eq!(validity.until, now() + lifetimes.certificate);
        let behind = now() - SignedDuration::from_mins(59);
        verify(&bundle, &names(), behind).unwrap();
        assert_eq!(for_names, names());
        verify(&bundle, &names(), now()).unwrap();
    }

    #[test]
    fn it_does_not_verify_for_another_name_or_after_its_time() {
        let bundle = issued();
        assert!(verify(&bundle, &Names::new(["else.svc"]).unwrap(), now()).is_err());
        let late = now() + Lifetimes::default().certificate + SignedDuration::from_secs(1);
        assert!(verify(&bundle, &names(), late).is_err());
    }

    #[test]
    fn a_renewed_certificate_keeps_the_authority_and_changes_the_key() {
        let first = issued();
        let second = certificate(
            &first.authority,
            &first.authority_key,
            &names(),
            Lifetimes::default(),
            now(),
        )
        .unwrap();
        assert_eq!(first.authority, second.authority);
        assert_ne!(first.key, second.key);
        verify(&second, &names(), now()).unwrap();
    }

    #[test]
    fn no_certificate_outlives_its_authority() {
        let first = issued();
        let late = now() + Lifetimes::default().authority - SignedDuration::from_hours(24);
        let (authority, key) = (&first.authority, &first.authority_key);
        let last = certificate(authority, key, &names(), Lifetimes::default(), late).unwrap();
        let read = inspect(&last);
        assert_eq!(read.certificate.unwrap().0.until, read.authority.unwrap().until);
    }

    #[test]
    fn a_certificate_of_another_authority_is_told_from_a_damaged_one() {
        let (mine, other) = (issued(), issued());
        let (certificate, key) = (other.certificate.clone(), other.key.clone());
        let mixed = Bundle { certificate, key, ..mine.clone() };
        assert!(inspect(&mixed).authority.is_ok());
        assert!(matches!(inspect(&mixed).certificate, Err(Flaw::OtherAuthority(_))));
        let mixed = Bundle { key: other.key, ..mine };
        let Err(Flaw::Damaged(why)) = inspect(&mixed).certificate else { panic!("taken") };
        assert!(why.contains("key does not belong"), "{why}");
    }
}
