//! What one look at the Secret comes to: what the leader stores, and when to look again. Pure; carried out by `keeper`.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::content::{Content, Kept};
use crate::inspect::inspect;
use crate::overlap::{Former, SIGHTING, Sightings, Turn};
use crate::rotate::{self, Decision, Reason, Wanted};
use crate::served::Served;

/// How often the Secret is read at least. Reading one object costs less than the right to watch Secrets.
pub const INTERVAL: SignedDuration = SignedDuration::from_secs(10);
/// The shortest pause between two looks.
const SHORTEST: SignedDuration = SignedDuration::from_millis(100);

/// What the leader stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storing {
    /// What is new in it.
    pub anew: Anew,
    /// Former CAs handed out beside the current one.
    pub former: Former,
}

/// What is new in what the leader stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Anew {
    /// A CA and a serving certificate under it.
    All(Reason),
    /// A serving certificate.
    Certificate(Reason, Box<Kept>),
    /// What stands beside them: the mark, or former CAs.
    Nothing(Box<Kept>),
}

/// What the leader has to store, if anything; the error says why what is stored is not touched. `presented` is what this
/// replica presents; `trusted` are the CAs callers trust, where what is
/// stored is lost and does not tell.
pub fn storing(
    content: &Content,
    (presented, trusted): (Option<&Served>, &[String]),
    sightings: &Sightings,
    wanted: &Wanted,
    now: Timestamp,
) -> Result<Option<Storing>, String> {
    let life = (wanted.lifetimes.certificate, now);
    let decision = rotate::decide(content, wanted, now);
    let kept = match content {
        Content::Ours(kept) => Some(kept),
        Content::Empty | Content::Damaged(_) | Content::Foreign(_) => None,
    };
    let stored = kept.map(former).unwrap_or_default();
    let beside = |kept: &Kept| {
        let current = kept.bundle.authority.as_str();
        stored.clone().beside(Some(current), presented, sightings.are_enough(current), life)
    };
    Ok(match (decision, kept) {
        (Decision::Refuse(why), _) => return Err(why),
        (Decision::Keep, Some(kept)) => {
            let former = beside(kept);
            let is_stored = kept.is_marked && former == stored;
            (!is_stored).then(|| Storing { anew: Anew::Nothing(Box::new(kept.clone())), former })
        }
        (Decision::Certificate(reason), Some(kept)) => {
            let former = beside(kept);
            Some(Storing { anew: Anew::Certificate(reason, Box::new(kept.clone())), former })
        }
        (Decision::All(reason), kept) => {
            let stored = match kept {
                Some(kept) => {
                    let leaf = inspect(&kept.bundle).certificate.ok();
                    let until = leaf.map_or(now + wanted.lifetimes.certificate, |(v, _)| v.until);
                    stored.and(&kept.bundle.authority, Some(until))
                }
                // Of what is lost nothing else tells under which CAs other replicas present.
                None => trusted.iter().rev().fold(stored, |former, authority| {
                    former.and(authority, Some(now + wanted.lifetimes.certificate))
                }),
            };
            let former = stored.beside(None, presented, false, life);
            Some(Storing { anew: Anew::All(reason), former })
        }
        // Both are decided only about what is ours.
        (Decision::Keep | Decision::Certificate(_), None) => None,
    })
}

fn former(kept: &Kept) -> Former {
    Former { authorities: kept.bundle.former.clone(), until: kept.former_until }
}

/// What else is to come, for the pause after a look.
#[derive(Debug, Clone, Copy)]
pub struct Ahead {
    /// When what is stored is presented.
    pub turn: Turn,
    /// When this replica has to issue anew; none where it does not lead.
    pub due: Option<Timestamp>,
    /// Whether this replica looks for places that still serve under a former CA.
    pub is_sighting: bool,
    /// How long a serving certificate lives.
    pub lifetime: SignedDuration,
}

/// How long to pause before the next look.
pub fn pause(ahead: &Ahead, now: Timestamp) -> Duration {
    let mut pause = INTERVAL.min(ahead.lifetime / 5);
    if ahead.is_sighting {
        pause = pause.min(SIGHTING);
    }
    if let Turn::At(then) = ahead.turn {
        pause = pause.min(then.duration_since(now));
    }
    if let Some(due) = ahead.due {
        pause = pause.min(due.duration_since(now));
    }
    pause.max(SHORTEST).unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::{Bundle, Names};
    use crate::callers::Serving;
    use crate::issue::{self, Lifetimes};

    fn day(days: i32) -> Timestamp {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        start + SignedDuration::from_hours(24) * days
    }

    fn wanted() -> Wanted {
        Wanted { names: Names::new(["a"]).unwrap(), lifetimes: Lifetimes::default() }
    }

    fn issued() -> Bundle {
        issue::all(&wanted().names, wanted().lifetimes, day(0)).unwrap()
    }

    fn ours(bundle: &Bundle) -> Content {
        let former_until = (!bundle.former.is_empty()).then(|| day(90));
        Content::Ours(Kept { bundle: bundle.clone(), is_marked: true, former_until })
    }

    fn served(bundle: &Bundle) -> Served {
        Served::own(bundle, day(0)).unwrap()
    }

    fn stored(content: &Content, presented: Option<&Served>, now: Timestamp) -> Option<Storing> {
        storing(content, (presented, &[]), &Sightings::default(), &wanted(), now).unwrap()
    }

    fn same(one: &str, other: &str) -> bool {
        crate::pem::holds_current(one.as_bytes(), other.as_bytes())
    }

    #[test]
    fn what_is_good_and_marked_is_left_as_it_is() {
        let bundle = issued();
        assert_eq!(stored(&ours(&bundle), Some(&served(&bundle)), day(1)), None);
        let unmarked = Kept { bundle, is_marked: false, former_until: None };
        let storing = stored(&Content::Ours(unmarked), None, day(1)).unwrap();
        assert!(matches!(storing.anew, Anew::Nothing(_)), "{storing:?}");
    }

    #[test]
    fn what_somebody_else_keeps_is_refused_with_the_reason() {
        let content = Content::Foreign("his".to_owned());
        let refused = storing(&content, (None, &[]), &Sightings::default(), &wanted(), day(1));
        assert_eq!(refused, Err("his".to_owned()));
    }

    #[test]
    fn a_new_authority_stands_before_the_former_one_until_its_last_leaf_has_ended() {
        let bundle = issued();
        // Only a third of the CA's life is left.
        let late = day(2500);
        let storing = stored(&ours(&bundle), None, late).unwrap();
        assert!(matches!(storing.anew, Anew::All(Reason::Expiring { .. })));
        assert!(storing.former.authorities.is_empty(), "no leaf under it is valid any more");

        let leaf = issue::certificate(
            &bundle.authority,
            &bundle.authority_key,
            &wanted().names,
            wanted().lifetimes,
            day(2499),
        )
        .unwrap();
        let storing = stored(&ours(&leaf), None, late).unwrap();
        assert!(matches!(storing.anew, Anew::All(Reason::Expiring { .. })));
        assert!(same(&storing.former.authorities[0], &bundle.authority));
        assert_eq!(storing.former.until, Some(day(2499 + 90)));
    }

    #[test]
    fn what_is_presented_stays_trusted_when_the_secret_is_lost_or_damaged_or_of_another_authority()
    {
        let (before, other) = (issued(), issued());
        let presented = served(&before);
        for content in [Content::Empty, Content::Damaged("no ca.key".into()), ours(&other)] {
            let storing = stored(&content, Some(&presented), day(1)).unwrap();
            let [former] = storing.former.authorities.as_slice() else { panic!("{storing:?}") };
            assert!(same(former, &before.authority), "{content:?}");
            assert_eq!(storing.former.until, Some(day(90)));
            let is_new = matches!(storing.anew, Anew::All(_));
            assert_eq!(is_new, !matches!(content, Content::Ours(_)));
        }
        // The twin: who presents nothing, or knows of nothing, hands out the new one alone.
        assert!(stored(&Content::Empty, None, day(1)).unwrap().former.authorities.is_empty());
    }

    #[test]
    fn what_callers_trust_stays_trusted_when_the_secret_is_lost_and_whoever_leads_presents_nothing()
    {
        let (newer, older) = (issued(), issued());
        let trusted = [newer.authority.clone(), older.authority.clone()];
        let presented = served(&newer);
        let told = |content: &Content, presented| {
            let known = (presented, trusted.as_slice());
            storing(content, known, &Sightings::default(), &wanted(), day(1)).unwrap()
        };
        for content in [Content::Empty, Content::Damaged("no ca.key".into())] {
            for presented in [None, Some(&presented)] {
                let former = told(&content, presented).unwrap().former;
                let [first, second] = former.authorities.as_slice() else { panic!("{former:?}") };
                assert!(same(first, &newer.authority) && same(second, &older.authority));
                assert_eq!(former.until, Some(day(1 + 90)), "when the last leaf under them ends");
            }
        }
        // The twin: where the Secret is whole it says which are still needed.
        assert_eq!(told(&ours(&newer), Some(&presented)), None);
    }

    #[test]
    fn a_former_authority_goes_once_every_place_was_seen_under_the_current_one() {
        let (before, now) = (issued(), issued());
        let bundle = Bundle { former: vec![before.authority], ..now };
        let content = ours(&bundle);
        let presented = served(&bundle);
        assert_eq!(stored(&content, Some(&presented), day(1)), None);
        let mut seen = Sightings::default();
        for at in [day(1), day(2)] {
            seen.note(&bundle.authority, &Serving::Yes, at);
        }
        let storing = storing(&content, (Some(&presented), &[]), &seen, &wanted(), day(2)).unwrap();
        let storing = storing.unwrap();
        assert!(matches!(storing.anew, Anew::Nothing(_)));
        assert_eq!(storing.former, Former::default());
    }

    #[test]
    fn the_next_look_comes_when_something_is_due_and_never_late() {
        let now = day(1);
        let after = |seconds| now + SignedDuration::from_secs(seconds);
        let ahead = |turn, due, is_sighting, lifetime| Ahead {
            turn,
            due,
            is_sighting,
            lifetime: SignedDuration::from_secs(lifetime),
        };
        let table = [
            (ahead(Turn::Stands, None, false, 7_776_000), 10_000),
            (ahead(Turn::Waits, None, false, 40), 8_000),
            (ahead(Turn::Stands, Some(after(4)), false, 60), 4_000),
            (ahead(Turn::Stands, Some(after(-4)), false, 60), 100),
            (ahead(Turn::At(after(1)), Some(after(4)), true, 60), 1_000),
            (ahead(Turn::Stands, Some(after(9)), true, 60), 3_000),
        ];
        for (ahead, expected) in table {
            let expected = Duration::from_millis(expected);
            assert_eq!(pause(&ahead, now), expected, "{ahead:?}");
        }
    }
}
