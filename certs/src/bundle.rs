//! A CA and the serving certificate it signed, as PEM, and what can be read from them.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rcgen::{KeyPair, PublicKeyData};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A CA, its key, a serving certificate and its key, all PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The CA's certificate: what callers trust.
    pub authority: String,
    /// The CA's key.
    pub authority_key: String,
    /// The serving certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl std::fmt::Debug for Bundle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bundle")
            .field("authority", &self.authority)
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

/// The names a certificate is for: DNS names and IP addresses, each spelled one way only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names(BTreeSet<String>);

impl Names {
    /// Reads names; the error holds a sentence for each that is neither a DNS name nor an IP address.
    pub fn new<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Result<Self, Vec<String>> {
        let (mut good, mut bad) = (BTreeSet::new(), Vec::new());
        for name in names {
            let name = name.as_ref().trim();
            if let Ok(address) = name.parse::<IpAddr>() {
                good.insert(address.to_string());
            } else if ServerName::try_from(name).is_ok() {
                good.insert(name.to_ascii_lowercase());
            } else {
                bad.push(format!("{name:?} is neither a DNS name nor an IP address"));
            }
        }
        if good.is_empty() && bad.is_empty() {
            bad.push("a certificate needs at least one name".into());
        }
        if bad.is_empty() { Ok(Self(good)) } else { Err(bad) }
    }

    /// The names, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// From when until when a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// Not before.
    pub from: Timestamp,
    /// Not after.
    pub until: Timestamp,
}

/// What was read from a bundle. A part that cannot be used holds the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// The CA: when it is valid.
    pub authority: Result<Validity, String>,
    /// The serving certificate: when it is valid, and for which names.
    pub certificate: Result<(Validity, Names), String>,
}

impl Inspection {
    /// Nothing of it can be used, for this reason.
    pub fn unreadable(damage: &str) -> Self {
        Self { authority: Err(damage.to_owned()), certificate: Err(damage.to_owned()) }
    }
}

/// Reads a bundle and checks that keys belong to certificates and that the CA signed the serving certificate. Dates
/// are read, not judged.
pub fn inspect(bundle: &Bundle) -> Inspection {
    let authority = read("CA certificate", &bundle.authority, &bundle.authority_key);
    let certificate = read("serving certificate", &bundle.certificate, &bundle.key);
    let certificate = certificate.and_then(|(validity, names)| {
        let names = Names::new(names).map_err(|bad| bad.join("; "))?;
        verify(bundle, &names, validity.from)?;
        Ok((validity, names))
    });
    Inspection { authority: authority.map(|(validity, _)| validity), certificate }
}

/// Checks, as a caller would, that the CA vouches for the serving certificate under each of these names at `now`.
pub fn verify(bundle: &Bundle, names: &Names, now: Timestamp) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    roots.add(der(&bundle.authority)?).map_err(|error| format!("the CA is no root: {error}"))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| format!("the CA cannot be trusted: {error}"))?;
    let certificate = der(&bundle.certificate)?;
    let seconds = u64::try_from(now.as_second()).unwrap_or_default();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    for name in names.iter() {
        let server = ServerName::try_from(name).map_err(|error| format!("{name:?}: {error}"))?;
        verifier
            .verify_server_cert(&certificate, &[], &server, &[], now)
            .map_err(|error| format!("not valid for {name}: {error}"))?;
    }
    Ok(())
}

fn der(pem: &str) -> Result<CertificateDer<'static>, String> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| format!("not PEM: {error}"))
}

fn read(what: &str, certificate: &str, key: &str) -> Result<(Validity, Vec<String>), String> {
    let der = der(certificate).map_err(|error| format!("{what}: {error}"))?;
    let (_, parsed) =
        X509Certificate::from_der(&der).map_err(|error| format!("{what}: {error}"))?;
    let key = KeyPair::from_pem(key).map_err(|error| format!("the key of the {what}: {error}"))?;
    if parsed.public_key().subject_public_key.data.as_ref() != key.der_bytes() {
        return Err(format!("the key does not belong to the {what}"));
    }
    let at = |time: x509_parser::time::ASN1Time| {
        Timestamp::from_second(time.timestamp()).map_err(|error| format!("{what}: {error}"))
    };
    let validity = Validity {
        from: at(parsed.validity().not_before)?,
        until: at(parsed.validity().not_after)?,
    };
    let names = parsed
        .subject_alternative_name()
        .map_err(|error| format!("{what}: {error}"))?
        .map(|extension| extension.value.general_names.iter().filter_map(spell).collect())
        .unwrap_or_default();
    Ok((validity, names))
}

fn spell(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let address = match bytes.len() {
                4 => IpAddr::from(<[u8; 4]>::try_from(*bytes).ok()?),
                _ => IpAddr::from(<[u8; 16]>::try_from(*bytes).ok()?),
            };
            Some(address.to_string())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_spelled_one_way_and_bad_ones_are_all_told() {
        let names = Names::new(["A.svc", "::0001", "127.0.0.1"]).unwrap();
        assert_eq!(names.iter().collect::<Vec<_>>(), ["127.0.0.1", "::1", "a.svc"]);
        assert_eq!(Names::new(["a b", "c d", "ok"]).unwrap_err().len(), 2);
        assert!(Names::new([] as [&str; 0]).is_err());
    }
}
