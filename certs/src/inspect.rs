//! What can be read from certificates: dates, names, whose key it is, and whether a CA vouches for them. Dates are read
//! here, not judged; that is `rotate`'s.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rcgen::{KeyPair, PublicKeyData as _};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::bundle::{Bundle, Names};
use crate::{pem, trust};

/// From when until when a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// Not before.
    pub from: Timestamp,
    /// Not after.
    pub until: Timestamp,
}

impl Validity {
    /// Whether it is valid at that time.
    pub fn holds(&self, now: Timestamp) -> bool {
        (self.from..=self.until).contains(&now)
    }
}

/// Why a serving certificate cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flaw {
    /// It, or its key, cannot be read.
    Damaged(String),
    /// The CA does not vouch for it.
    OtherAuthority(String),
}

/// What was read from a bundle. A part that cannot be used holds the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// The CA: when it is valid.
    pub authority: Result<Validity, String>,
    /// The serving certificate: when it is valid, and for which names.
    pub certificate: Result<(Validity, Names), Flaw>,
}

/// Reads a bundle and checks that keys belong to certificates and that the CA signed the serving certificate.
pub fn inspect(bundle: &Bundle) -> Inspection {
    let authority = paired("CA certificate", &bundle.authority, &bundle.authority_key);
    let authority = authority.map(|read| read.validity);
    let certificate = paired("serving certificate", &bundle.certificate, &bundle.key);
    let certificate = certificate.map_err(Flaw::Damaged).and_then(|read| {
        let names = Names::new(&read.names).map_err(|bad| Flaw::Damaged(bad.join("; ")))?;
        // A CA that cannot be read is the graver flaw, and told by itself.
        if authority.is_ok() {
            verify(bundle, &names, read.validity.from).map_err(Flaw::OtherAuthority)?;
        }
        Ok((read.validity, names))
    });
    Inspection { authority, certificate }
}

/// Checks, as a caller would, that the CA vouches for the serving certificate under each of these names at `now`.
pub fn verify(bundle: &Bundle, names: &Names, now: Timestamp) -> Result<(), String> {
    let chain = [pem::first(bundle.certificate.as_bytes())?];
    vouches(&pem::first(bundle.authority.as_bytes())?, &chain, names, now)
}

/// Checks, as a caller would that trusts this CA and no other, that a chain, the leaf first, is valid under each of these
/// names at `now`.
pub fn vouches(
    authority: &CertificateDer<'_>,
    chain: &[CertificateDer<'_>],
    names: &Names,
    now: Timestamp,
) -> Result<(), String> {
    let roots = trust::roots([authority.clone().into_owned()])?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| format!("the CA cannot be trusted: {error}"))?;
    let (leaf, between) = chain.split_first().ok_or("there is no certificate")?;
    let seconds = u64::try_from(now.as_second()).unwrap_or_default();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    for name in names.iter() {
        let server = ServerName::try_from(name).map_err(|error| format!("{name:?}: {error}"))?;
        verifier
            .verify_server_cert(leaf, between, &server, &[], now)
            .map_err(|error| format!("not valid for {name}: {error}"))?;
    }
    Ok(())
}

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Whom it is about, in the usual spelling.
    pub subject: String,
    /// When it is valid.
    pub validity: Validity,
    /// The DNS names and IP addresses it is for.
    pub names: Vec<String>,
    key: Vec<u8>,
}

/// Reads one certificate.
pub fn read(certificate: &CertificateDer<'_>) -> Result<Reading, String> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|error| error.to_string())?;
    let at = |time: x509_parser::time::ASN1Time| {
        Timestamp::from_second(time.timestamp()).map_err(|error| error.to_string())
    };
    let validity = Validity {
        from: at(parsed.validity().not_before)?,
        until: at(parsed.validity().not_after)?,
    };
    let names = parsed
        .subject_alternative_name()
        .map_err(|error| error.to_string())?
        .map(|extension| extension.value.general_names.iter().filter_map(spell).collect())
        .unwrap_or_default();
    let key = parsed.public_key().subject_public_key.data.to_vec();
    Ok(Reading { subject: parsed.subject().to_string(), validity, names, key })
}

/// Reads a certificate to which this key belongs.
pub(crate) fn paired(what: &str, certificate: &str, key: &str) -> Result<Reading, String> {
    let read = pem::first(certificate.as_bytes()).and_then(|der| read(&der));
    let read = read.map_err(|error| format!("{what}: {error}"))?;
    let key = KeyPair::from_pem(key).map_err(|error| format!("the key of the {what}: {error}"))?;
    if read.key != key.der_bytes() {
        return Err(format!("the key does not belong to the {what}"));
    }
    Ok(read)
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
