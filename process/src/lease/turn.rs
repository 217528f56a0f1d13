//! What to do about a Lease, given how it was seen. No calls, no clock.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use tokio::time::Instant;

/// A Lease as it was seen.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Seen {
    /// Its resourceVersion: another one means that its holder is alive.
    pub(super) version: String,
    spec: LeaseSpec,
    /// Since when it has stood unchanged before our eyes.
    since: Instant,
    /// It must be read again before anything is decided.
    is_unsure: bool,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Take it: nobody holds it, or its holder let it run out.
    Take,
    /// Renew it: it is ours.
    Renew,
    /// Leave it to its holder.
    Wait,
    /// Give it up.
    Release,
}

impl Seen {
    /// A Lease seen now, given how it was seen before.
    pub(super) fn after(former: Option<Self>, lease: &Lease, now: Instant) -> Self {
        let version = lease.metadata.resource_version.clone().unwrap_or_default();
        let since = former.filter(|f| f.version == version).map_or(now, |former| former.since);
        Self { version, spec: lease.spec.clone().unwrap_or_default(), since, is_unsure: false }
    }

    /// The same, to be read again: a call failed or somebody else wrote.
    pub(super) fn unsure(self) -> Self {
        Self { is_unsure: true, ..self }
    }

    /// Whether it is ours and was so when last written: it can be renewed without reading it.
    pub(super) fn is_certain_of(&self, me: &str) -> bool {
        !self.is_unsure && self.holder() == Some(me)
    }

    fn holder(&self) -> Option<&str> {
        self.spec.holder_identity.as_deref().filter(|holder| !holder.is_empty())
    }

    fn term(&self) -> Duration {
        let seconds = self.spec.lease_duration_seconds.unwrap_or(0);
        Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
    }
}

/// What to do about a Lease that was seen so, or not found.
pub(super) fn turn(seen: Option<&Seen>, me: &str, now: Instant) -> Turn {
    let Some(seen) = seen else { return Turn::Take };
    match seen.holder() {
        None => Turn::Take,
        Some(holder) if holder == me => Turn::Renew,
        Some(_) if now.duration_since(seen.since) >= seen.term() => Turn::Take,
        Some(_) => Turn::Wait,
    }
}

impl Turn {
    /// What the Lease says after this turn. Times are for people to read; nobody judges by them.
    pub(super) fn spec(
        self,
        seen: Option<&Seen>,
        me: &str,
        term: Duration,
        now: MicroTime,
    ) -> LeaseSpec {
        let former = seen.map(|seen| seen.spec.clone()).unwrap_or_default();
        let holder = Some(me.to_owned());
        // At least a second: to none, a Lease would always have run out.
        let seconds = i32::try_from(term.as_secs().max(1)).unwrap_or(i32::MAX);
        match self {
            Self::Release => LeaseSpec { holder_identity: None, renew_time: Some(now), ..former },
            Self::Renew | Self::Wait => LeaseSpec {
                holder_identity: holder,
                lease_duration_seconds: Some(seconds),
                renew_time: Some(now),
                ..former
            },
            Self::Take => LeaseSpec {
                holder_identity: holder,
                lease_duration_seconds: Some(seconds),
                acquire_time: Some(now.clone()),
                renew_time: Some(now),
                lease_transitions: Some(former.lease_transitions.unwrap_or(0).saturating_add(1)),
                ..LeaseSpec::default()
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::api::ObjectMeta;

    use super::*;

    fn lease(version: &str, holder: &str) -> Lease {
        Lease {
            metadata: ObjectMeta {
                resource_version: Some(version.into()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(holder.into()),
                lease_duration_seconds: Some(15),
                // A clock that is a day ahead or behind says nothing.
                renew_time: Some(MicroTime("2020-01-01T00:00:00Z".parse().unwrap())),
                lease_transitions: Some(4),
                ..LeaseSpec::default()
            }),
        }
    }

    #[test]
    fn a_lease_is_taken_when_free_or_unchanged_before_our_eyes_for_its_whole_term() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let unchanged = |holder, seconds| {
            let first = Seen::after(None, &lease("1", holder), start);
            Seen::after(Some(first), &lease("1", holder), after(seconds))
        };
        let renewed = |seconds| {
            let first = Seen::after(None, &lease("1", "other"), start);
            Seen::after(Some(first), &lease("2", "other"), after(seconds))
        };
        for (seen, at, expected) in [
            (None, 0, Turn::Take),
            (Some(unchanged("", 0)), 0, Turn::Take),
            (Some(unchanged("me", 0)), 0, Turn::Renew),
            (Some(unchanged("me", 60)), 60, Turn::Renew),
            (Some(unchanged("other", 0)), 0, Turn::Wait),
            (Some(unchanged("other", 14)), 14, Turn::Wait),
            (Some(unchanged("other", 15)), 15, Turn::Take),
            (Some(renewed(15)), 15, Turn::Wait),
            (Some(renewed(15)), 29, Turn::Wait),
            (Some(renewed(15)), 30, Turn::Take),
        ] {
            assert_eq!(turn(seen.as_ref(), "me", after(at)), expected, "{seen:?} after {at} s");
        }
    }

    #[test]
    fn a_change_of_hands_is_counted_and_a_renewal_is_not() {
        let seen = Seen::after(None, &lease("1", "other"), Instant::now());
        let now = MicroTime("2026-01-01T00:00:00Z".parse().unwrap());
        let spec = |turn: Turn| turn.spec(Some(&seen), "me", Duration::from_secs(15), now.clone());
        let taken = spec(Turn::Take);
        assert_eq!((taken.lease_transitions, taken.acquire_time), (Some(5), Some(now.clone())));
        let renewed = spec(Turn::Renew);
        assert_eq!((renewed.lease_transitions, renewed.acquire_time), (Some(4), None));
        assert_eq!(spec(Turn::Release).holder_identity, None);
    }

    #[test]
    fn only_a_lease_that_was_ours_when_last_written_is_renewed_unread() {
        let seen = |holder| Seen::after(None, &lease("1", holder), Instant::now());
        assert!(seen("me").is_certain_of("me"));
        assert!(!seen("other").is_certain_of("me"));
        assert!(!seen("me").unsure().is_certain_of("me"));
    }
}
