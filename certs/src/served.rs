//! A certificate as it is served: the chain, its key, and the one CA that vouches for it.

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;

use crate::bundle::{Bundle, Names};
use crate::content::Foreign;
use crate::inspect::{self, Validity, vouches};
use crate::pem;

/// A certificate that can be presented.
#[derive(Clone, PartialEq, Eq)]
pub struct Served {
    /// The CA that vouches for it, PEM.
    pub authority: String,
    /// When that CA ends.
    pub authority_until: Timestamp,
    /// The certificate and what leads to the CA, PEM.
    pub chain: String,
    /// Its key, PEM.
    pub key: String,
    /// When it is valid.
    pub validity: Validity,
}

impl std::fmt::Debug for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Served").field("validity", &self.validity).finish_non_exhaustive()
    }
}

impl Served {
    /// The certificate of a bundle of ours, as callers see it now. For which names it is decides the leader: a replica
    /// that was told of others already serves by it all the same until it leads.
    pub fn own(bundle: &Bundle, now: Timestamp) -> Result<Self, String> {
        let authorities = [pem::first(bundle.authority.as_bytes())?];
        let leaf = inspect::read(&pem::first(bundle.certificate.as_bytes())?)?;
        let names = Names::new(&leaf.names).map_err(|bad| bad.join("; "))?;
        Self::vouched(&authorities, (&bundle.certificate, &bundle.key), &names, now)
    }

    /// The certificate somebody else keeps, as callers see it now who ask for these names; and the bundle to trust, the
    /// CA that vouches for it first.
    pub fn foreign(
        kept: &Foreign,
        names: &Names,
        now: Timestamp,
    ) -> Result<(Self, Vec<String>), String> {
        let authorities = pem::certificates(kept.authorities.as_bytes())
            .map_err(|error| format!("ca.crt: {error}"))?;
        let served = Self::vouched(&authorities, (&kept.chain, &kept.key), names, now)?;
        let others = authorities.iter().map(pem::encode).filter(|pem| *pem != served.authority);
        let others = others.collect();
        Ok((served, others))
    }

    fn vouched(
        authorities: &[CertificateDer<'_>],
        (chain, key): (&str, &str),
        names: &Names,
        now: Timestamp,
    ) -> Result<Self, String> {
        let certificates = pem::certificates(chain.as_bytes())?;
        let leaf = certificates.first().ok_or("there is no serving certificate")?;
        let validity = inspect::read(leaf)?.validity;
        let mut why = "there is no CA".to_owned();
        for authority in authorities {
            match vouches(authority, &certificates, names, now) {
                Ok(()) => {
                    return Ok(Self {
                        authority: pem::encode(authority),
                        authority_until: inspect::read(authority)?.validity.until,
                        chain: chain.to_owned(),
                        key: key.to_owned(),
                        validity,
                    });
                }
                Err(error) => why = error,
            }
        }
        Err(why)
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::issue::{self, Lifetimes};

    fn now() -> Timestamp {
        "2026-11-21T10:00:00Z".parse().unwrap()
    }

    fn names(name: &str) -> Names {
        Names::new([name]).unwrap()
    }

    fn issued() -> Bundle {
        issue::all(&names("a"), Lifetimes::default(), now()).unwrap()
    }

    #[test]
    fn of_several_authorities_the_one_that_vouches_is_told_first() {
        let (mine, other) = (issued(), issued());
        let kept = Foreign {
            authorities: format!("{}{}", other.authority, mine.authority),
            chain: mine.certificate.clone(),
            key: mine.key.clone(),
        };
        let (served, others) = Served::foreign(&kept, &names("a"), now()).unwrap();
        assert!(pem::holds_current(served.authority.as_bytes(), mine.authority.as_bytes()));
        assert_eq!(others.len(), 1);
        assert!(pem::holds_current(others[0].as_bytes(), other.authority.as_bytes()));
    }

    #[test]
    fn what_no_caller_would_take_is_not_served() {
        let mine = issued();
        let kept = |authorities: &str| Foreign {
            authorities: authorities.to_owned(),
            chain: mine.certificate.clone(),
            key: mine.key.clone(),
        };
        let foreign = |authorities: &str, name: &str| {
            Served::foreign(&kept(authorities), &names(name), now()).map(|_| ())
        };
        assert!(foreign(&mine.authority, "a").is_ok());
        assert!(foreign(&mine.authority, "b").unwrap_err().contains("not valid for b"));
        assert!(foreign(&issued().authority, "a").is_err());
        assert!(foreign("", "a").unwrap_err().contains("no CA"));
        let late = now() + Lifetimes::default().certificate + SignedDuration::from_secs(1);
        assert!(Served::own(&mine, now()).is_ok());
        assert!(Served::own(&mine, late).is_err());
    }
}
