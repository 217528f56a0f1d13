//! When to issue anew: a pure decision over what was read, what is wanted, and the time.

use jiff::{SignedDuration, Timestamp};

use crate::bundle::{Inspection, Names, Validity};

/// What to do about the stored certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// They are good.
    Keep,
    /// A new serving certificate under the same CA.
    Certificate(Reason),
    /// A new CA and a serving certificate under it.
    All(Reason),
}

/// Why something is issued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Nothing is stored.
    #[error("nothing is stored yet")]
    Missing,
    /// What is stored cannot be used.
    #[error("what is stored cannot be used: {0}")]
    Damaged(String),
    /// A third of its life or less is left.
    #[error("{what} is valid until {until} only")]
    Expiring {
        /// The CA or the serving certificate.
        what: &'static str,
        /// Its end.
        until: Timestamp,
    },
    /// It is valid from a time still to come.
    #[error("{what} is valid from {from} only")]
    Early {
        /// The CA or the serving certificate.
        what: &'static str,
        /// Its beginning.
        from: Timestamp,
    },
    /// The names wanted are others.
    #[error("the names wanted are others than those it was issued for")]
    Names,
    /// It would be valid after its CA no longer is.
    #[error("it would outlive its CA")]
    OutlivesAuthority,
}

/// Decides about what is stored (`None`: nothing is).
pub fn decide(stored: Option<&Inspection>, wanted: &Names, now: Timestamp) -> Decision {
    let Some(stored) = stored else {
        return Decision::All(Reason::Missing);
    };
    let authority = match &stored.authority {
        Ok(validity) => *validity,
        Err(damage) => return Decision::All(Reason::Damaged(damage.clone())),
    };
    if let Some(reason) = worn("the CA", authority, now) {
        return Decision::All(reason);
    }
    let (validity, names) = match &stored.certificate {
        Ok(read) => read,
        Err(damage) => return Decision::Certificate(Reason::Damaged(damage.clone())),
    };
    if let Some(reason) = worn("the serving certificate", *validity, now) {
        return Decision::Certificate(reason);
    }
    if validity.until > authority.until {
        return Decision::All(Reason::OutlivesAuthority);
    }
    if names != wanted {
        return Decision::Certificate(Reason::Names);
    }
    Decision::Keep
}

fn worn(what: &'static str, validity: Validity, now: Timestamp) -> Option<Reason> {
    if now < validity.from {
        return Some(Reason::Early { what, from: validity.from });
    }
    let life = validity.until.duration_since(validity.from);
    let left: SignedDuration = validity.until.duration_since(now);
    (left <= life / 3).then_some(Reason::Expiring { what, until: validity.until })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: SignedDuration = SignedDuration::from_hours(24);

    fn at(day: i32) -> Timestamp {
        "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + DAY * day
    }

    fn names(name: &str) -> Names {
        Names::new([name]).unwrap()
    }

    fn good() -> Inspection {
        Inspection {
            authority: Ok(Validity { from: at(0), until: at(3650) }),
            certificate: Ok((Validity { from: at(0), until: at(90) }, names("a"))),
        }
    }

    #[test]
    fn what_is_good_is_kept_until_a_third_of_its_life_is_left() {
        let stored = good();
        assert_eq!(decide(Some(&stored), &names("a"), at(1)), Decision::Keep);
        assert_eq!(decide(Some(&stored), &names("a"), at(59)), Decision::Keep);
        assert!(matches!(
            decide(Some(&stored), &names("a"), at(60)),
            Decision::Certificate(Reason::Expiring { .. })
        ));
    }

    #[test]
    fn nothing_stored_or_a_damaged_authority_means_everything_anew() {
        assert_eq!(decide(None, &names("a"), at(1)), Decision::All(Reason::Missing));
        let stored = Inspection { authority: Err("no PEM".into()), ..good() };
        assert!(matches!(
            decide(Some(&stored), &names("a"), at(1)),
            Decision::All(Reason::Damaged(_))
        ));
    }

    #[test]
    fn a_damaged_certificate_or_other_names_keep_the_authority() {
        let stored = Inspection { certificate: Err("no PEM".into()), ..good() };
        assert!(matches!(
            decide(Some(&stored), &names("a"), at(1)),
            Decision::Certificate(Reason::Damaged(_))
        ));
        assert_eq!(decide(Some(&good()), &names("b"), at(1)), Decision::Certificate(Reason::Names));
    }

    #[test]
    fn an_authority_that_expires_or_is_outlived_is_replaced() {
        let mut stored = good();
        stored.authority = Ok(Validity { from: at(-90), until: at(40) });
        assert!(matches!(
            decide(Some(&stored), &names("a"), at(1)),
            Decision::All(Reason::Expiring { what: "the CA", .. })
        ));
        stored.authority = Ok(Validity { from: at(-10), until: at(80) });
        assert_eq!(
            decide(Some(&stored), &names("a"), at(1)),
            Decision::All(Reason::OutlivesAuthority)
        );
    }

    #[test]
    fn a_certificate_from_the_future_is_replaced() {
        assert!(matches!(
            decide(Some(&good()), &names("a"), at(-1)),
            Decision::All(Reason::Early { .. })
        ));
    }
}
