//! When to issue anew: a pure decision over what was read, what is wanted, and the time.

use jiff::{SignedDuration, Timestamp};

use crate::bundle::Names;
use crate::content::Content;
use crate::inspect::{Flaw, Inspection, Validity, inspect};
use crate::issue::{BACKDATE, Lifetimes};

/// What is wanted of certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The names the serving certificate is for.
    pub names: Names,
    /// For how long is issued.
    pub lifetimes: Lifetimes,
}

/// What to do about the stored certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// They are good.
    Keep,
    /// A new serving certificate under the same CA.
    Certificate(Reason),
    /// A new CA and a serving certificate under it.
    All(Reason),
    /// They are somebody else's: nothing is written. Why.
    Refuse(String),
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
    /// A third of the lifetime wanted or less is left.
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
    /// It was issued for longer than is wanted now.
    #[error("{what} was issued for longer than is wanted now, until {until}")]
    Lifetime {
        /// The CA or the serving certificate.
        what: &'static str,
        /// Its end.
        until: Timestamp,
    },
    /// The names wanted are others.
    #[error("the names wanted are others than those it was issued for")]
    Names,
    /// The CA is another than the one that signed it.
    #[error("the CA does not vouch for it: {0}")]
    OtherAuthority(String),
    /// It would be valid after its CA no longer is.
    #[error("it would outlive its CA")]
    OutlivesAuthority,
}

impl Reason {
    /// The reason as a metric's label.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Damaged(_) => "damaged",
            Self::Expiring { .. } => "expiring",
            Self::Early { .. } => "early",
            Self::Lifetime { .. } => "lifetime",
            Self::Names => "names",
            Self::OtherAuthority(_) => "other-authority",
            Self::OutlivesAuthority => "outlives-authority",
        }
    }
}

/// Decides about what is stored.
pub fn decide(stored: &Content, wanted: &Wanted, now: Timestamp) -> Decision {
    match stored {
        Content::Empty => Decision::All(Reason::Missing),
        Content::Foreign(why) => Decision::Refuse(why.clone()),
        Content::Damaged(damage) => Decision::All(Reason::Damaged(damage.clone())),
        Content::Ours(kept) => judge(&inspect(&kept.bundle), wanted, now),
    }
}

/// When what is good now has to be issued anew, if nothing else comes before.
pub fn due(read: &Inspection, wanted: &Wanted) -> Option<Timestamp> {
    let (authority, certificate) = (read.authority.as_ref().ok()?, read.certificate.as_ref().ok()?);
    let lifetimes = wanted.lifetimes;
    let of = |validity: &Validity, lifetime: SignedDuration| validity.until - lifetime / 3;
    Some(of(authority, lifetimes.authority).min(of(&certificate.0, lifetimes.certificate)))
}

fn judge(read: &Inspection, wanted: &Wanted, now: Timestamp) -> Decision {
    let authority = match &read.authority {
        Ok(validity) => *validity,
        Err(damage) => return Decision::All(Reason::Damaged(damage.clone())),
    };
    if let Some(reason) = worn("the CA", authority, wanted.lifetimes.authority, now) {
        return Decision::All(reason);
    }
    let (validity, names) = match &read.certificate {
        Ok(read) => read,
        Err(Flaw::Damaged(damage)) => {
            return Decision::Certificate(Reason::Damaged(damage.clone()));
        }
        Err(Flaw::OtherAuthority(why)) => {
            return Decision::Certificate(Reason::OtherAuthority(why.clone()));
        }
    };
    let what = "the serving certificate";
    if let Some(reason) = worn(what, *validity, wanted.lifetimes.certificate, now) {
        return Decision::Certificate(reason);
    }
    if validity.until > authority.until {
        return Decision::Certificate(Reason::OutlivesAuthority);
    }
    if names != &wanted.names {
        return Decision::Certificate(Reason::Names);
    }
    Decision::Keep
}

/// Why it should no longer be used. What it was issued for is told by its dates, of which the clocks of two machines make
/// nothing else.
fn worn(
    what: &'static str,
    validity: Validity,
    lifetime: SignedDuration,
    now: Timestamp,
) -> Option<Reason> {
    let Validity { from, until } = validity;
    if now < from {
        return Some(Reason::Early { what, from });
    }
    if until.duration_since(now) <= lifetime / 3 {
        return Some(Reason::Expiring { what, until });
    }
    let issued_for = until.duration_since(from) - BACKDATE;
    (issued_for > lifetime).then_some(Reason::Lifetime { what, until })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: SignedDuration = SignedDuration::from_hours(24);

    fn at(day: i32) -> Timestamp {
        "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + DAY * day
    }

    fn second(seconds: i64) -> Timestamp {
        at(0) + SignedDuration::from_secs(seconds)
    }

    fn names(name: &str) -> Names {
        Names::new([name]).unwrap()
    }

    fn wanted() -> Wanted {
        Wanted { names: names("a"), lifetimes: Lifetimes::default() }
    }

    /// As issued on day 0 for that many days each.
    fn issued(authority: i32, certificate: i32) -> Inspection {
        let validity = |days| Validity { from: at(0) - BACKDATE, until: at(days) };
        Inspection {
            authority: Ok(validity(authority)),
            certificate: Ok((validity(certificate), names("a"))),
        }
    }

    fn good() -> Inspection {
        issued(3650, 90)
    }

    /// What is issued, and why; nothing where it is kept.
    fn told(read: &Inspection, wanted: &Wanted, now: Timestamp) -> (&'static str, &'static str) {
        match judge(read, wanted, now) {
            Decision::Keep => ("", ""),
            Decision::Certificate(reason) => ("certificate", reason.label()),
            Decision::All(reason) => ("all", reason.label()),
            Decision::Refuse(why) => panic!("{why}"),
        }
    }

    #[test]
    fn what_is_good_is_kept_until_a_third_of_its_life_is_left() {
        let table = [
            (0, ("", "")),
            (1, ("", "")),
            (59, ("", "")),
            (60, ("certificate", "expiring")),
            // Past its end as well: nobody was there to renew it.
            (91, ("certificate", "expiring")),
        ];
        for (day, expected) in table {
            assert_eq!(told(&good(), &wanted(), at(day)), expected, "day {day}");
        }
        assert_eq!(due(&good(), &wanted()), Some(at(60)));
        assert_eq!(told(&issued(89, 88), &wanted(), at(1)).0, "all");
    }

    #[test]
    fn a_life_of_a_minute_is_renewed_after_two_thirds_of_it_however_far_it_was_dated_back() {
        let lifetimes = Lifetimes {
            authority: SignedDuration::from_mins(10),
            certificate: SignedDuration::from_mins(1),
        };
        let wanted = Wanted { names: names("a"), lifetimes };
        let validity = |seconds| Validity { from: at(0) - BACKDATE, until: second(seconds) };
        let read = Inspection {
            authority: Ok(validity(600)),
            certificate: Ok((validity(60), names("a"))),
        };
        assert_eq!(told(&read, &wanted, second(39)), ("", ""));
        assert_eq!(told(&read, &wanted, second(40)), ("certificate", "expiring"));
        assert_eq!(due(&read, &wanted), Some(second(40)));
    }

    #[test]
    fn what_was_issued_for_longer_than_is_wanted_now_is_issued_anew_and_what_was_cut_short_is_not()
    {
        let table = [
            (good(), ("", "")),
            (issued(3650, 91), ("certificate", "lifetime")),
            (issued(3651, 90), ("all", "lifetime")),
            // Capped by a CA that is on its way out, as it is under every CA once.
            (issued(3650, 89), ("", "")),
        ];
        for (read, expected) in table {
            assert_eq!(told(&read, &wanted(), at(1)), expected, "{read:?}");
        }
        // A longer life wanted: what is left of the shorter one is a third of it at most, so it is renewed as well.
        assert_eq!(told(&issued(3650, 30), &wanted(), at(0)), ("certificate", "expiring"));
    }

    #[test]
    fn clocks_apart_by_less_than_certificates_are_dated_back_change_nothing() {
        let behind = |minutes| at(0) - SignedDuration::from_mins(minutes);
        assert_eq!(told(&good(), &wanted(), behind(60)), ("", ""));
        assert_eq!(told(&good(), &wanted(), behind(61)), ("all", "early"));
    }

    #[test]
    fn what_cannot_be_used_is_issued_anew_with_as_little_as_that_takes() {
        let ours = |day| Validity { from: at(0), until: at(day) };
        let table = [
            (Inspection { authority: Err("no PEM".into()), ..good() }, ("all", "damaged")),
            (
                Inspection { certificate: Err(Flaw::Damaged("no PEM".into())), ..good() },
                ("certificate", "damaged"),
            ),
            (
                Inspection { certificate: Err(Flaw::OtherAuthority("other".into())), ..good() },
                ("certificate", "other-authority"),
            ),
            (
                Inspection { certificate: Ok((ours(60), names("b"))), ..good() },
                ("certificate", "names"),
            ),
        ];
        for (read, expected) in table {
            assert_eq!(told(&read, &wanted(), at(1)), expected, "{read:?}");
        }
    }

    #[test]
    fn a_certificate_that_would_outlive_its_authority_is_issued_anew_and_then_ends_with_it() {
        let lifetimes = Lifetimes { authority: DAY * 180, certificate: DAY * 90 };
        let wanted = Wanted { names: names("a"), lifetimes };
        for (end, expected) in [(181, ("certificate", "outlives-authority")), (180, ("", ""))] {
            let mut read = issued(180, 90);
            read.certificate = Ok((Validity { from: at(100), until: at(end) }, names("a")));
            assert_eq!(told(&read, &wanted, at(101)), expected, "until day {end}");
        }
    }

    #[test]
    fn nothing_stored_is_issued_and_what_somebody_else_keeps_is_not_touched() {
        let decided = |content| decide(&content, &wanted(), at(1));
        assert_eq!(decided(Content::Empty), Decision::All(Reason::Missing));
        assert_eq!(
            decided(Content::Damaged("no tls.key".into())),
            Decision::All(Reason::Damaged("no tls.key".into()))
        );
        assert_eq!(decided(Content::Foreign("his".into())), Decision::Refuse("his".into()));
    }
}
