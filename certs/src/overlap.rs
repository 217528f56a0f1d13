//! How one CA follows another without a caller ever meeting a certificate it does not trust. The new CA is handed out
//! beside the former one; the new leaf is presented once every caller trusts it; the former CA goes once every place was
//! seen to serve under the new one, or the last leaf under it has ended. Pure; carried out by `keeper`.

use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::CertificateDer;

use crate::callers::Serving;
use crate::inspect;
use crate::pem;
use crate::served::Served;

/// How long callers that trust a new CA as stored may still work with what they read before: there are several API
/// servers, each with a watch of its own.
pub const SETTLE: SignedDuration = SignedDuration::from_secs(2);
/// How far apart the two sightings are that every place serves under the current CA.
pub const SIGHTING: SignedDuration = SignedDuration::from_secs(3);
/// At most so many former CAs are handed out; no more than one is under way unless something keeps making new ones.
const MOST_FORMER: usize = 8;

/// The CAs callers are known to trust, and since when each of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trust(Vec<(CertificateDer<'static>, Timestamp)>);

impl Trust {
    /// Takes note of what they trust now; none where that is nothing, or not known.
    pub fn note(&mut self, bundle: Option<&str>, now: Timestamp) {
        let before = std::mem::take(&mut self.0);
        let since = |authority: &CertificateDer<'_>| {
            before.iter().find(|(known, _)| known == authority).map_or(now, |(_, since)| *since)
        };
        let trusted = pem::certificates(bundle.unwrap_or_default().as_bytes()).unwrap_or_default();
        self.0 = trusted.into_iter().map(|known| (known.clone(), since(&known))).collect();
    }

    /// Since when they trust this CA, if they do.
    fn since(&self, authority: &str) -> Option<Timestamp> {
        let authority = pem::first(authority.as_bytes()).ok()?;
        self.0.iter().find(|(known, _)| *known == authority).map(|(_, since)| *since)
    }
}

/// When what is stored is presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It is presented already.
    Stands,
    /// Now.
    Now,
    /// Then, if nothing changes before.
    At(Timestamp),
    /// Once callers trust it.
    Waits,
}

/// When `stored` is presented in the place of `presented`. `trust`: what callers trust; none where they look it up by
/// themselves.
pub fn turn(
    stored: &Served,
    presented: Option<&Served>,
    trust: Option<&Trust>,
    now: Timestamp,
) -> Turn {
    let Some(presented) = presented else { return Turn::Now };
    if presented.chain == stored.chain && presented.key == stored.key {
        return Turn::Stands;
    }
    let Some(trust) = trust else { return Turn::Now };
    if !presented.validity.holds(now) || presented.authority == stored.authority {
        return Turn::Now;
    }
    let Some(since) = trust.since(&stored.authority) else { return Turn::Waits };
    let settled = since + SETTLE;
    // Where they no longer trust what is presented there is nothing to wait for.
    let is_refused = trust.since(&presented.authority).is_none();
    if is_refused || settled <= now { Turn::Now } else { Turn::At(settled) }
}

/// Former CAs that are still handed out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Former {
    /// Their certificates, PEM, the newest first.
    pub authorities: Vec<String>,
    /// When the last leaf under one of them ends, as far as that is known.
    pub until: Option<Timestamp>,
}

impl Former {
    /// The same with one more, of which the last leaf ends then.
    #[must_use]
    pub fn and(mut self, authority: &str, until: Option<Timestamp>) -> Self {
        if !self.authorities.iter().any(|known| is_same(known, authority)) {
            self.authorities.insert(0, authority.to_owned());
        }
        self.until = self.until.max(until);
        self
    }

    /// What has to be handed out beside `current`. `presented` is what this replica presents; `is_seen`: every place was
    /// seen to serve under the current one; `lifetime`: how long a leaf lives of which nothing is known.
    #[must_use]
    pub fn beside(
        self,
        current: Option<&str>,
        presented: Option<&Served>,
        is_seen: bool,
        (lifetime, now): (SignedDuration, Timestamp),
    ) -> Self {
        let is_current = |pem: &str| current.is_some_and(|current| is_same(current, pem));
        let presented = presented.filter(|p| p.validity.holds(now) && !is_current(&p.authority));
        let is_over = is_seen || self.until.is_some_and(|until| until <= now);
        let kept = if is_over { Self::default() } else { self };
        let kept = match presented {
            Some(presented) => kept.and(&presented.authority, Some(presented.validity.until)),
            None => kept,
        };
        let lives = |pem: &String| {
            let read = pem::first(pem.as_bytes()).and_then(|der| inspect::read(&der));
            !is_current(pem) && read.is_ok_and(|read| now < read.validity.until)
        };
        let authorities: Vec<String> =
            kept.authorities.into_iter().filter(lives).take(MOST_FORMER).collect();
        let until = kept.until.unwrap_or(now + lifetime);
        let until = (!authorities.is_empty()).then_some(until);
        Self { authorities, until }
    }
}

fn is_same(one: &str, other: &str) -> bool {
    pem::holds_current(one.as_bytes(), other.as_bytes())
}

/// What was seen of the places callers come out at, as regards one CA.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sightings {
    authority: String,
    since: Option<Timestamp>,
    are_enough: bool,
}

impl Sightings {
    /// Takes note of a look.
    pub fn note(&mut self, authority: &str, serving: &Serving, now: Timestamp) {
        if self.authority != authority {
            *self = Self { authority: authority.to_owned(), ..Self::default() };
        }
        match (serving, self.since) {
            (Serving::Yes, None) => self.since = Some(now),
            (Serving::Yes, Some(since)) => self.are_enough = since + SIGHTING <= now,
            (Serving::No(_) | Serving::Unknown(_), _) => {
                (self.since, self.are_enough) = (None, false);
            }
        }
    }

    /// Whether every place was seen, twice, to serve under this CA.
    pub fn are_enough(&self, authority: &str) -> bool {
        self.are_enough && self.authority == authority
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::{Bundle, Names, trusted};
    use crate::issue::{self, Lifetimes};

    const LIFE: SignedDuration = SignedDuration::from_hours(24 * 90);

    fn second(seconds: i64) -> Timestamp {
        let start: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        start + SignedDuration::from_secs(seconds)
    }

    fn issued() -> Served {
        let names = Names::new(["a"]).unwrap();
        served(&issue::all(&names, Lifetimes::default(), second(0)).unwrap())
    }

    fn served(bundle: &Bundle) -> Served {
        Served::own(bundle, second(0)).unwrap()
    }

    /// Two leaves of one CA.
    fn renewed() -> (Served, Served) {
        let names = Names::new(["a"]).unwrap();
        let first = issue::all(&names, Lifetimes::default(), second(0)).unwrap();
        let (authority, key) = (&first.authority, &first.authority_key);
        let next =
            issue::certificate(authority, key, &names, Lifetimes::default(), second(1)).unwrap();
        (served(&first), served(&next))
    }

    fn trust(served: &[&Served]) -> Trust {
        let mut trust = Trust::default();
        let former: Vec<String> = served[1..].iter().map(|s| s.authority.clone()).collect();
        let bundle = trusted(&served[0].authority, &former);
        trust.note(Some(&bundle), second(10));
        trust
    }

    #[test]
    fn another_authority_is_presented_only_once_every_caller_has_come_to_trust_it() {
        let (old, new, other) = (issued(), issued(), issued());
        // What stands is told as it stands: first both, and a second later only the new one.
        let mut only_new = trust(&[&new, &old]);
        only_new.note(Some(&new.authority), second(11));
        let ended = second(24 * 3600 * 91);
        let table = [
            ("nothing is presented", None, Some(trust(&[&old])), second(10), Turn::Now),
            ("it stands", Some(&new), Some(trust(&[&new])), second(10), Turn::Stands),
            ("untrusted", Some(&old), Some(trust(&[&old])), second(60), Turn::Waits),
            ("nothing known", Some(&old), Some(Trust::default()), second(60), Turn::Waits),
            ("unsettled", Some(&old), Some(trust(&[&new, &old])), second(11), Turn::At(second(12))),
            ("settled", Some(&old), Some(trust(&[&new, &old])), second(12), Turn::Now),
            (
                "the old one is refused by now",
                Some(&old),
                Some(trust(&[&new])),
                second(10),
                Turn::Now,
            ),
            (
                "the old one is refused as soon as both are trusted no more",
                Some(&old),
                Some(only_new),
                second(11),
                Turn::Now,
            ),
            ("neither is trusted", Some(&old), Some(trust(&[&other])), second(60), Turn::Waits),
            ("the old one has ended", Some(&old), Some(trust(&[&old])), ended, Turn::Now),
            ("nobody waits to be told", Some(&old), None, second(10), Turn::Now),
        ];
        for (what, presented, trust, now, expected) in table {
            assert_eq!(turn(&new, presented, trust.as_ref(), now), expected, "{what}");
        }
    }

    #[test]
    fn another_leaf_of_the_same_authority_is_presented_at_once() {
        let (first, next) = renewed();
        let nothing = Trust::default();
        assert_eq!(turn(&next, Some(&first), Some(&nothing), second(1)), Turn::Now);
    }

    #[test]
    fn trust_in_an_authority_counts_from_when_it_came_whatever_else_comes_and_goes_around_it() {
        let (old, new) = (issued(), issued());
        let mut trust = trust(&[&old, &new]);
        let since = |trust: &Trust| (trust.since(&old.authority), trust.since(&new.authority));
        assert_eq!(since(&trust), (Some(second(10)), Some(second(10))));
        trust.note(Some(&new.authority), second(30));
        assert_eq!(since(&trust), (None, Some(second(10))));
        trust.note(Some(&format!("{}{}", old.authority, new.authority)), second(40));
        assert_eq!(since(&trust), (Some(second(40)), Some(second(10))));
        trust.note(None, second(50));
        assert_eq!(since(&trust), (None, None));
    }

    #[test]
    fn a_former_authority_is_handed_out_until_nothing_under_it_can_be_met_any_more() {
        let (old, new) = (issued(), issued());
        let (old_pem, new_pem) = (old.authority.clone(), new.authority.clone());
        let former = || Former::default().and(&old_pem, Some(second(600)));
        let beside = |former: Former, presented: &Served, is_seen, now| {
            let found = former.beside(Some(&new_pem), Some(presented), is_seen, (LIFE, now));
            (found.authorities.len(), found.until)
        };
        let kept = (1, Some(second(600)));
        let gone = (0, None);
        assert_eq!(beside(former(), &new, false, second(1)), kept);
        assert_eq!(beside(former(), &new, false, second(599)), kept);
        assert_eq!(beside(former(), &new, false, second(600)), gone);
        assert_eq!(beside(former(), &new, true, second(1)), gone);
        // What this replica presents itself is needed whatever was seen or remembered.
        let own = (1, Some(old.validity.until));
        assert_eq!(beside(Former::default(), &old, false, second(1)), own);
        assert_eq!(beside(former(), &old, true, second(1)), own);
        // The current one is none of the former, and of what nothing is known the longest life is assumed.
        let unknown = Former { authorities: vec![new_pem.clone(), old_pem.clone()], until: None };
        assert_eq!(beside(unknown, &new, false, second(1)), (1, Some(second(1) + LIFE)));
    }

    #[test]
    fn former_authorities_that_have_ended_go_and_never_more_than_a_few_stay() {
        let former = (0..MOST_FORMER + 2).fold(Former::default(), |former, _| {
            former.and(&issued().authority, Some(second(600)))
        });
        let found = former.beside(None, None, false, (LIFE, second(1)));
        assert_eq!(found.authorities.len(), MOST_FORMER);
        let later = second(0) + Lifetimes::default().authority;
        let former = Former { until: None, ..found };
        assert!(former.beside(None, None, false, (LIFE, later)).authorities.is_empty());
    }

    #[test]
    fn one_sighting_is_not_enough_and_a_doubt_in_between_begins_anew() {
        let yes = Serving::Yes;
        let doubts = [Serving::No("it".into()), Serving::Unknown("who knows".into())];
        let mut seen = Sightings::default();
        seen.note("a", &yes, second(0));
        seen.note("a", &yes, second(2));
        assert!(!seen.are_enough("a"), "too soon");
        seen.note("a", &yes, second(3));
        assert!(seen.are_enough("a") && !seen.are_enough("b"));
        for doubt in doubts {
            seen.note("a", &doubt, second(4));
            assert!(!seen.are_enough("a"));
            seen.note("a", &yes, second(5));
            assert!(!seen.are_enough("a"), "begun anew");
            seen.note("a", &yes, second(8));
            assert!(seen.are_enough("a"));
        }
        seen.note("b", &yes, second(9));
        assert!(!seen.are_enough("b"), "of another CA nothing is known");
    }
}
