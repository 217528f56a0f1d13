//! The names a certificate is for, and what is kept of certificates: a CA, those before it, and a serving certificate,
//! all PEM. What can be read from them is `inspect`'s.

use std::collections::BTreeSet;
use std::net::IpAddr;

use rustls::pki_types::ServerName;

/// A CA with its key, former CAs that are still needed, a serving certificate and its key, all PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The CA's certificate.
    pub authority: String,
    /// The CA's key.
    pub authority_key: String,
    /// Certificates of former CAs under which a leaf may still be served. Their keys are gone.
    pub former: Vec<String>,
    /// The serving certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl Bundle {
    /// What callers must trust: the current CA first, then former ones still needed.
    pub fn trusted(&self) -> String {
        trusted(&self.authority, &self.former)
    }
}

/// A bundle of these CAs: the current one first.
pub fn trusted(authority: &str, former: &[String]) -> String {
    let mut bundle = String::new();
    for pem in std::iter::once(authority).chain(former.iter().map(String::as_str)) {
        bundle.push_str(pem.trim_end());
        bundle.push('\n');
    }
    bundle
}

impl std::fmt::Debug for Bundle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bundle")
            .field("authority", &self.authority)
            .field("former", &self.former)
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

impl std::fmt::Display for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.iter().collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_spelled_one_way_and_bad_ones_are_all_told() {
        let names = Names::new(["A.svc", "::0001", "127.0.0.1"]).unwrap();
        assert_eq!(names.to_string(), "127.0.0.1, ::1, a.svc");
        assert_eq!(Names::new(["a b", "c d", "ok"]).unwrap_err().len(), 2);
        assert!(Names::new([] as [&str; 0]).is_err());
    }

    #[test]
    fn what_callers_trust_begins_with_the_current_authority() {
        assert_eq!(trusted("new\n", &["old".into(), "older\n".into()]), "new\nold\nolder\n");
    }
}
