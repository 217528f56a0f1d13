//! Signed requests: who knows the secret proves it without sending it, for one body, one path and a short while. The
//! signature is the hex HMAC-SHA-256 of `TIMESTAMP\nMETHOD\nPATH\n` and the body.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use axum::http::{HeaderMap, Method};
use hmac::{Hmac, Mac};
use jiff::{SignedDuration, Timestamp};
use sha2::Sha256;

/// How far a signature's time may be from this clock's, before and after.
pub const WINDOW: SignedDuration = SignedDuration::from_mins(5);
/// Signatures remembered at once. Where more come in a window, they are refused instead of forgotten.
const MOST_REMEMBERED: usize = 65_536;

/// Whose key signed.
pub const NAME_HEADER: &str = "x-smartops-key";
/// When, in seconds since 1970.
pub const TIME_HEADER: &str = "x-smartops-timestamp";
/// `sha256=` and 64 hex digits.
pub const SIGNATURE_HEADER: &str = "x-smartops-signature";

/// What the headers claim, before the body was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Whose key signed.
    pub name: String,
    timestamp: i64,
    signature: [u8; 32],
}

/// Signatures seen within the window.
#[derive(Debug, Default)]
pub struct Seen {
    until: Mutex<HashMap<[u8; 32], Timestamp>>,
}

impl Claim {
    /// Reads the headers; `None` where they claim nothing.
    pub fn read(headers: &HeaderMap, now: Timestamp) -> Result<Option<Self>, String> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let Some(signature) = headers.get(SIGNATURE_HEADER) else { return Ok(None) };
        let signature = signature
            .to_str()
            .ok()
            .and_then(|value| value.strip_prefix("sha256="))
            .and_then(super::keys::digest)
            .ok_or("X-SmartOps-Signature is not `sha256=` and 64 hex digits")?;
        let name = text(NAME_HEADER).ok_or("X-SmartOps-Key does not name the key that signed")?;
        let timestamp: i64 = text(TIME_HEADER)
            .and_then(|value| value.parse().ok())
            .ok_or("X-SmartOps-Timestamp does not say when, in seconds since 1970")?;
        let at =
            Timestamp::from_second(timestamp).map_err(|_| "X-SmartOps-Timestamp is no time")?;
        if now.duration_since(at).abs() > WINDOW {
            return Err(format!(
                "the signature's time is more than {} s from this clock's: sign anew, and see that the clocks agree",
                WINDOW.as_secs()
            ));
        }
        Ok(Some(Self { name: name.to_owned(), timestamp, signature }))
    }

    /// Whether this secret made the signature of this request. Compared in constant time.
    pub fn is_by(&self, secret: &[u8], method: &Method, path: &str, body: &[u8]) -> bool {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return false };
        mac.update(format!("{}\n{method}\n{path}\n", self.timestamp).as_bytes());
        mac.update(body);
        mac.verify_slice(&self.signature).is_ok()
    }
}

impl Seen {
    /// Takes note of a good signature; an error where it was used before, or that cannot be told any more.
    pub fn take(&self, claim: &Claim, now: Timestamp) -> Result<(), &'static str> {
        let mut seen = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.get(&claim.signature).is_some_and(|until| now <= *until) {
            return Err("the signature was used before: sign anew");
        }
        if seen.len() >= MOST_REMEMBERED {
            seen.retain(|_, until| now <= *until);
        }
        if seen.len() >= MOST_REMEMBERED {
            return Err(
                "too many signed requests in five minutes to tell them apart: come back later",
            );
        }
        let made = Timestamp::from_second(claim.timestamp).unwrap_or(now);
        seen.insert(claim.signature, made.saturating_add(WINDOW).unwrap_or(now));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;
    use crate::fixture::at;

    fn headers(time: &str, signature: &str) -> HeaderMap {
        let header = |name: &'static str, value: &str| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        HeaderMap::from_iter([
            header(NAME_HEADER, "agent"),
            header(TIME_HEADER, time),
            header(SIGNATURE_HEADER, signature),
        ])
    }

    fn signed(secret: &[u8], time: i64, path: &str, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
        mac.update(format!("{time}\nPOST\n{path}\n").as_bytes());
        mac.update(body);
        format!("sha256={:x}", mac.finalize().into_bytes())
    }

    #[test]
    fn a_signature_is_good_for_its_secret_path_body_and_time_and_no_other() {
        let signature = signed(b"secret", 1000, "/v1/k8s/scale", b"{}");
        let claim = Claim::read(&headers("1000", &signature), at(1000)).unwrap().unwrap();
        assert_eq!(claim.name, "agent");
        let is_by =
            |secret: &[u8], method, path, body: &[u8]| claim.is_by(secret, method, path, body);
        assert!(is_by(b"secret", &Method::POST, "/v1/k8s/scale", b"{}"));
        assert!(!is_by(b"other", &Method::POST, "/v1/k8s/scale", b"{}"));
        assert!(!is_by(b"secret", &Method::PATCH, "/v1/k8s/scale", b"{}"));
        assert!(!is_by(b"secret", &Method::POST, "/v1/k8s/patch", b"{}"));
        assert!(!is_by(b"secret", &Method::POST, "/v1/k8s/scale", b"{ }"));
        let later = Claim::read(&headers("1001", &signature), at(1000)).unwrap().unwrap();
        assert!(!later.is_by(b"secret", &Method::POST, "/v1/k8s/scale", b"{}"));
    }

    #[test]
    fn outside_its_window_or_used_twice_it_is_good_no_more() {
        let signature = signed(b"secret", 1000, "/", b"");
        for (now, good) in [(700, true), (699, false), (1300, true), (1301, false)] {
            assert_eq!(Claim::read(&headers("1000", &signature), at(now)).is_ok(), good, "{now}");
        }
        let claim = Claim::read(&headers("1000", &signature), at(1000)).unwrap().unwrap();
        let seen = Seen::default();
        seen.take(&claim, at(1000)).unwrap();
        seen.take(&claim, at(1299)).unwrap_err();
        let other = signed(b"secret", 1001, "/", b"");
        let other = Claim::read(&headers("1001", &other), at(1000)).unwrap().unwrap();
        seen.take(&other, at(1000)).unwrap();
    }

    #[test]
    fn headers_that_claim_nothing_or_nonsense_are_told_apart() {
        assert_eq!(Claim::read(&HeaderMap::new(), at(0)), Ok(None));
        for (time, signature) in [
            ("1000", "sha256=12"),
            ("1000", "md5=x"),
            ("soon", &*signed(b"s", 0, "/", b"")),
            ("99999999999999999", &*signed(b"s", 0, "/", b"")),
        ] {
            assert!(
                Claim::read(&headers(time, signature), at(1000)).is_err(),
                "{time} {signature}"
            );
        }
    }
}
