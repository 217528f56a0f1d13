//! What a keeper remembers between looks.

use jiff::{SignedDuration, Timestamp};

use crate::overlap::{Former, Sightings, Trust, Turn, turn};
use crate::served::Served;

/// How often a Secret is read that somebody else keeps: nobody tells when he changes it.
pub(super) const FOREIGN_INTERVAL: SignedDuration = SignedDuration::from_secs(2);

/// What a keeper remembers.
#[derive(Debug)]
pub(super) struct Memory {
    /// What is presented.
    pub(super) presented: Option<Served>,
    /// What callers trust.
    pub(super) trust: Trust,
    /// What was seen of the places they come out at.
    pub(super) sightings: Sightings,
    /// What the last look failed by.
    pub(super) failure: Option<String>,
    /// CAs under which this replica presented before, of which a Secret of somebody else tells nothing.
    former: Former,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self {
            presented: None,
            trust: Trust::default(),
            sightings: Sightings::default(),
            failure: None,
            former: Former::default(),
        }
    }

    /// When what is stored is presented.
    pub(super) fn turn(&self, stored: &Served, has_callers: bool, now: Timestamp) -> Turn {
        let trust = has_callers.then_some(&self.trust);
        turn(stored, self.presented.as_ref(), trust, now)
    }

    /// The CAs to hand out beside that of what somebody else stored.
    pub(super) fn remember(&mut self, stored: &Served, now: Timestamp) -> Former {
        let current = stored.authority.as_str();
        let is_seen = self.sightings.are_enough(current);
        let life = (stored.validity.until.duration_since(now), now);
        let former = std::mem::take(&mut self.former);
        self.former = former.beside(Some(current), self.presented.as_ref(), is_seen, life);
        self.former.clone()
    }
}
