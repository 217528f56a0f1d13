//! What is in a Secret of certificates, and whose it is: ours by a mark, ours from a release that did not mark, or
//! somebody else's, which is never written. Pure; reading and writing it is `store`'s.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use smartops_common::names;

use crate::bundle::Bundle;
use crate::inspect;
use crate::issue::{AUTHORITY_NAME, FORMER_AUTHORITY_NAME};
use crate::pem;

/// The type of the Secret.
pub const TYPE: &str = names::CERTIFICATE_SECRET_TYPE;
/// The annotation by which a Secret is known as ours.
pub const MARK: &str = "smartops.dev/certificate";
/// What it says.
pub const MARKED: &str = "self-managed";
/// The annotation that says when the last leaf under a former CA ends.
pub const FORMER_UNTIL: &str = "smartops.dev/former-certificates-end";

const KEYS: [&str; 4] = ["ca.crt", "ca.key", "tls.crt", "tls.key"];

/// What is in the Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Nothing, or there is no Secret.
    Empty,
    /// What somebody else keeps there. Why it is taken for that, and what to do.
    Foreign(String),
    /// It is ours, and not all of it is there or can be read.
    Damaged(String),
    /// Certificates of ours; whether they are good is another question.
    Ours(Kept),
}

/// Certificates of ours, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The certificates.
    pub bundle: Bundle,
    /// Whether the Secret is marked as ours.
    pub is_marked: bool,
    /// When the last leaf under a former CA ends, where that is told.
    pub former_until: Option<Timestamp>,
}

/// A certificate somebody else keeps, PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Foreign {
    /// The CAs one of which vouches for it.
    pub authorities: String,
    /// The certificate and whatever leads to its CA.
    pub chain: String,
    /// Its key.
    pub key: String,
}

impl std::fmt::Debug for Foreign {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Foreign").field("chain", &self.chain).finish_non_exhaustive()
    }
}

/// Reads a Secret for whoever issues certificates himself.
pub fn read(secret: &Secret) -> Content {
    let annotations = secret.metadata.annotations.as_ref();
    let told = |key: &str| annotations.and_then(|all| all.get(key)).map(String::as_str);
    let filled: Vec<&str> = filled(secret).collect();
    let is_marked = told(MARK) == Some(MARKED);
    if let Some(other) = secret.type_.as_deref().filter(|type_| *type_ != TYPE) {
        return Content::Foreign(foreign(&format!("is of the type {other}, not {TYPE}")));
    }
    if filled.is_empty() {
        return Content::Empty;
    }
    if !is_marked && !is_of_a_former_release(secret) {
        return Content::Foreign(foreign(&format!(
            "holds {} and was not made by SmartOps",
            filled.join(", ")
        )));
    }
    match bundle(secret) {
        Ok(bundle) => {
            let former_until = told(FORMER_UNTIL).and_then(|text| text.parse().ok());
            Content::Ours(Kept { bundle, is_marked, former_until })
        }
        Err(damage) => Content::Damaged(damage),
    }
}

/// Reads a Secret that somebody else keeps.
pub fn read_foreign(secret: &Secret) -> Result<Foreign, String> {
    Ok(Foreign {
        authorities: part(secret, "ca.crt")?,
        chain: part(secret, "tls.crt")?,
        key: part(secret, "tls.key")?,
    })
}

/// Writes certificates of ours into a Secret; what else is in it stays.
pub fn write(secret: &mut Secret, bundle: &Bundle, former_until: Option<Timestamp>) {
    let parts = [&bundle.trusted(), &bundle.authority_key, &bundle.certificate, &bundle.key]
        .map(Clone::clone);
    let parts = KEYS.into_iter().map(str::to_owned).zip(parts.map(|s| ByteString(s.into_bytes())));
    secret.data.get_or_insert_default().extend(parts);
    let annotations: &mut BTreeMap<_, _> = secret.metadata.annotations.get_or_insert_default();
    annotations.insert(MARK.to_owned(), MARKED.to_owned());
    match former_until.filter(|_| !bundle.former.is_empty()) {
        Some(until) => annotations.insert(FORMER_UNTIL.to_owned(), until.to_string()),
        None => annotations.remove(FORMER_UNTIL),
    };
}

fn foreign(what: &str) -> String {
    format!(
        "the Secret {what}: it is left as it is. Delete it to have one made, or serve by it as it is: the webhook with \
         --certificate-source=secret, the controller with --tls=files"
    )
}

/// The keys under which there is anything at all.
fn filled(secret: &Secret) -> impl Iterator<Item = &str> {
    let data = secret.data.iter().flatten();
    data.filter(|(_, bytes)| !bytes.0.is_empty()).map(|(key, _)| key.as_str())
}

/// Whether a Secret without a mark is of a release that did not mark: four parts, and a CA of the name it gave.
fn is_of_a_former_release(secret: &Secret) -> bool {
    let is_whole = KEYS.iter().all(|key| filled(secret).any(|filled| filled == *key));
    let authority = part(secret, "ca.crt").and_then(|text| pem::first(text.as_bytes()));
    let is_ours = |subject: &str| {
        [AUTHORITY_NAME, FORMER_AUTHORITY_NAME].iter().any(|name| subject == format!("CN={name}"))
    };
    is_whole
        && authority
            .and_then(|authority| inspect::read(&authority))
            .is_ok_and(|read| is_ours(&read.subject))
}

fn part(secret: &Secret, key: &str) -> Result<String, String> {
    let bytes = secret.data.as_ref().and_then(|data| data.get(key)).filter(|b| !b.0.is_empty());
    let bytes = bytes.ok_or_else(|| format!("the Secret has no {key}"))?;
    String::from_utf8(bytes.0.clone()).map_err(|_| format!("{key} in the Secret is no text"))
}

fn bundle(secret: &Secret) -> Result<Bundle, String> {
    let trusted = part(secret, "ca.crt")?;
    let authorities =
        pem::certificates(trusted.as_bytes()).map_err(|error| format!("ca.crt: {error}"))?;
    let mut authorities = authorities.iter().map(pem::encode);
    Ok(Bundle {
        authority: authorities.next().ok_or("ca.crt in the Secret holds no certificate")?,
        authority_key: part(secret, "ca.key")?,
        former: authorities.collect(),
        certificate: part(secret, "tls.crt")?,
        key: part(secret, "tls.key")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::Names;
    use crate::issue::{self, Lifetimes};

    fn now() -> Timestamp {
        "2026-11-21T10:00:00Z".parse().unwrap()
    }

    fn issued() -> Bundle {
        issue::all(&Names::new(["a"]).unwrap(), Lifetimes::default(), now()).unwrap()
    }

    fn stored(bundle: &Bundle) -> Secret {
        let mut secret = Secret { type_: Some(TYPE.to_owned()), ..Secret::default() };
        write(&mut secret, bundle, Some(now()));
        secret
    }

    fn set(secret: &mut Secret, key: &str, text: &str) {
        let data = secret.data.get_or_insert_default();
        data.insert(key.to_owned(), ByteString(text.as_bytes().to_vec()));
    }

    fn unmarked(mut secret: Secret) -> Secret {
        secret.metadata.annotations = None;
        secret
    }

    #[test]
    fn what_is_written_reads_back_with_former_authorities_and_the_end_of_their_leaves() {
        let bundle = Bundle { former: vec![issued().authority, issued().authority], ..issued() };
        let Content::Ours(kept) = read(&stored(&bundle)) else { panic!("not ours") };
        let read_back = inspect::inspect(&kept.bundle);
        assert!(read_back.authority.is_ok() && read_back.certificate.is_ok(), "{read_back:?}");
        assert_eq!(kept.bundle.former.len(), 2);
        assert_eq!((kept.is_marked, kept.former_until), (true, Some(now())));
        // Without former CAs there is nothing to wait for.
        let Content::Ours(kept) = read(&stored(&issued())) else { panic!("not ours") };
        assert_eq!(kept.former_until, None);
    }

    #[test]
    fn whose_a_secret_is_shows_in_its_mark_or_in_all_its_parts_and_never_in_some() {
        let mut of_a_former_release = unmarked(stored(&issued()));
        assert!(matches!(read(&of_a_former_release), Content::Ours(Kept { is_marked: false, .. })));
        of_a_former_release.data.get_or_insert_default().remove("ca.key");
        assert!(matches!(read(&of_a_former_release), Content::Foreign(_)));

        let mut marked = stored(&issued());
        set(&mut marked, "ca.crt", "rubbish");
        assert!(matches!(read(&marked), Content::Damaged(_)));
        assert!(matches!(read(&unmarked(marked)), Content::Foreign(_)));

        let mut opaque = stored(&issued());
        opaque.type_ = Some("Opaque".to_owned());
        let Content::Foreign(why) = read(&opaque) else { panic!("taken") };
        assert!(why.contains("Opaque") && why.contains("--certificate-source=secret"), "{why}");
    }

    /// Certificates under a CA of this name, unmarked.
    fn under(authority: &str) -> Secret {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, authority);
        let authority = params.self_signed(&key).unwrap().pem();
        unmarked(stored(&Bundle { authority, authority_key: key.serialize_pem(), ..issued() }))
    }

    #[test]
    fn an_unmarked_secret_is_ours_by_the_exact_name_of_its_authority_and_with_its_key_alone() {
        for (authority, is_ours) in [
            (AUTHORITY_NAME, true),
            (FORMER_AUTHORITY_NAME, true),
            // The chart's, issued by cert-manager.
            ("SmartOps webhook CA (cert-manager)", false),
            ("SmartOps CA of mine", false),
            ("smartops CA", false),
        ] {
            let mut secret = under(authority);
            assert_eq!(!matches!(read(&secret), Content::Foreign(_)), is_ours, "{authority}");
            // As cert-manager stores it.
            secret.data.get_or_insert_default().remove("ca.key");
            assert!(matches!(read(&secret), Content::Foreign(_)), "{authority} without its key");
        }
    }

    #[test]
    fn a_secret_without_a_word_in_it_is_empty_and_one_with_a_single_word_is_somebodys() {
        let mut secret = Secret::default();
        assert_eq!(read(&secret), Content::Empty);
        set(&mut secret, "tls.crt", "");
        set(&mut secret, "tls.key", "");
        assert_eq!(read(&secret), Content::Empty);
        set(&mut secret, "tls.crt", "x");
        assert!(matches!(read(&secret), Content::Foreign(why) if why.contains("tls.crt")));
    }

    #[test]
    fn a_missing_part_of_a_marked_secret_is_named() {
        for key in KEYS {
            let mut secret = stored(&issued());
            secret.data.get_or_insert_default().remove(key);
            let Content::Damaged(damage) = read(&secret) else { panic!("{key} is not missed") };
            assert!(damage.contains(key), "{damage}");
        }
    }

    #[test]
    fn what_somebody_else_keeps_needs_no_key_of_a_ca() {
        let mut secret = unmarked(stored(&issued()));
        secret.data.get_or_insert_default().remove("ca.key");
        assert!(read_foreign(&secret).is_ok());
        secret.data.get_or_insert_default().remove("ca.crt");
        assert_eq!(read_foreign(&secret), Err("the Secret has no ca.crt".into()));
    }
}
