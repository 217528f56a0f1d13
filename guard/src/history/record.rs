//! What is kept of one workload, and how it follows from what is seen of it.

use jiff::Timestamp;
use smartops_change::TemplateDigest;

use super::{Move, Recent};

/// One sight of a workload in the watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sight {
    /// `metadata.generation`.
    pub generation: i64,
    /// The digest of `spec.template`.
    pub template: TemplateDigest,
    /// `spec.replicas`; `None` where the kind has no such number.
    pub replicas: Option<i64>,
}

/// How a sight came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// An event of a running watch: it happened just now.
    Event,
    /// A list, at the start or after a gap in which nobody watched.
    List,
}

/// What is kept of a workload, by its uid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The newest generation seen.
    pub generation: i64,
    /// The digest of the template at that generation.
    pub template: TemplateDigest,
    /// The number at that generation; `None` where the kind has none.
    pub replicas: Option<i64>,
    /// When its pods were last all replaced or ended: its template changed, or its number fell to zero.
    pub rolled: Rolled,
    /// When its number last changed.
    pub scaled: Rolled,
    /// Its latest changes.
    pub recent: Recent,
}

/// When something of a workload last changed. Coming into being is no change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rolled {
    /// Then, by the clock of whoever watched.
    At(Timestamp),
    /// Never since it was created, and its creation was watched.
    Never,
    /// It was there before anybody watched, and has not changed since. Of a Deployment's template its ReplicaSets can
    /// tell more; of a number nobody can, and it was long ago.
    BeforeTheWatch,
    /// It may have changed and changed back while nobody watched: its revisions tell when it last did. It was no
    /// earlier than `since`, the last time that is known.
    Unsure {
        /// `None` where none is.
        since: Option<Timestamp>,
    },
}

impl Rolled {
    /// The last time that is known for certain.
    pub const fn known(self) -> Option<Timestamp> {
        match self {
            Self::At(at) => Some(at),
            Self::Unsure { since } => since,
            Self::Never | Self::BeforeTheWatch => None,
        }
    }

    /// The same, with no time after `now`: whoever dated it had another clock.
    #[must_use]
    pub fn no_later_than(self, now: Timestamp) -> Self {
        match self {
            Self::At(at) => Self::At(at.min(now)),
            Self::Unsure { since } => Self::Unsure { since: since.map(|at| at.min(now)) },
            Self::Never | Self::BeforeTheWatch => self,
        }
    }

    /// The later of two accounts of the same; what is known beats what is not, but for a doubt, which stays.
    #[must_use]
    pub fn latest(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unsure { .. }, _) | (_, Self::Unsure { .. }) => {
                Self::Unsure { since: self.known().max(other.known()) }
            }
            (Self::At(one), Self::At(two)) => Self::At(one.max(two)),
            (Self::At(at), _) | (_, Self::At(at)) => Self::At(at),
            (Self::Never, _) | (_, Self::Never) => Self::Never,
            (Self::BeforeTheWatch, Self::BeforeTheWatch) => Self::BeforeTheWatch,
        }
    }
}

impl Record {
    /// The record after a sight of the workload. An event older than the record leaves it as it is.
    pub fn after(former: Option<&Self>, sight: Sight, via: Via, now: Timestamp) -> Self {
        let Some(former) = former else { return Self::first(sight, via) };
        match via {
            Via::Event if sight.generation < former.generation => former.clone(),
            Via::Event => {
                let (rolled, scaled) = former.differences(sight);
                former.changed(sight, rolled, scaled, now)
            }
            // Nothing of a spec changes without its generation: only the digest's own making may have.
            Via::List if sight.generation == former.generation => {
                Self { template: sight.template, ..former.clone() }
            }
            // One generation further is one write, and what it changed shows.
            Via::List if sight.generation == former.generation + 1 => {
                let (rolled, scaled) = former.differences(sight);
                former.changed(sight, rolled, scaled, now)
            }
            // Two may have changed something and changed it back. Of the template the revisions can tell; of the
            // number nobody can. Fewer is a cluster restored from a backup.
            Via::List => {
                let record = former.changed(sight, true, sight.replicas.is_some(), now);
                let is_same = former.differences(sight) == (false, false);
                if is_same && sight.generation > former.generation {
                    Self { rolled: Rolled::Unsure { since: former.rolled.known() }, ..record }
                } else {
                    record
                }
            }
        }
    }

    /// The same of a workload of which no revisions are kept: what only they could tell happened now.
    #[must_use]
    pub fn without_revisions(self, now: Timestamp) -> Self {
        match self.rolled {
            Rolled::Unsure { .. } => Self { rolled: Rolled::At(now), ..self },
            Rolled::At(_) | Rolled::Never | Rolled::BeforeTheWatch => self,
        }
    }

    /// The same of a workload that has ended: its revisions end with it and tell nothing any more, so what only they
    /// could tell happened when it ended, as its last pods did.
    #[must_use]
    pub fn ended(self, then: Timestamp) -> Self {
        match self.rolled {
            Rolled::Unsure { .. } | Rolled::BeforeTheWatch => {
                Self { rolled: Rolled::At(then), ..self }
            }
            Rolled::At(_) | Rolled::Never => self,
        }
    }

    /// The same, with no time after `now`. One clock that is ahead must hold up nobody for longer than its cooldown.
    #[must_use]
    pub fn no_later_than(self, now: Timestamp) -> Self {
        Self {
            rolled: self.rolled.no_later_than(now),
            scaled: self.scaled.no_later_than(now),
            recent: self.recent.no_later_than(now),
            ..self
        }
    }

    /// The record of a workload made anew under the kind, namespace and name of one that is gone: it inherits the
    /// changes of its predecessor and counts as changed now, in every respect.
    pub fn successor_of(predecessor: &Self, sight: Sight, now: Timestamp) -> Self {
        predecessor.changed(sight, true, sight.replicas.is_some(), now)
    }

    /// The record of a workload of which nothing is known but that it may have changed until now.
    pub fn unknown_until(sight: Sight, now: Timestamp) -> Self {
        Self::first(sight, Via::List).changed(sight, true, sight.replicas.is_some(), now)
    }

    /// The fuller of two accounts of the same workload, with the later of their times.
    #[must_use]
    pub fn merged(self, other: Self) -> Self {
        let (rolled, scaled) = (self.rolled.latest(other.rolled), self.scaled.latest(other.scaled));
        let weight = |record: &Self| (record.generation, record.recent.moves().len());
        let fuller = if weight(&other) > weight(&self) { other } else { self };
        Self { rolled, scaled, ..fuller }
    }

    /// How many changes of template or number there were after that moment; at least [`Recent::CAPACITY`] where more
    /// were made than are kept.
    pub fn changes_since(&self, since: Timestamp) -> usize {
        self.recent.count_since(since)
    }

    /// When the oldest of the changes after that moment was made, of those that are kept.
    pub fn oldest_change_after(&self, since: Timestamp) -> Option<Timestamp> {
        self.recent.oldest_after(since)
    }

    /// The number that stood at that moment, as far as is known: exactly where [`Record::reaches`] says so, else that
    /// before the oldest change that is kept. `None` where the kind has no number.
    pub fn replicas_at(&self, at: Timestamp) -> Option<i64> {
        self.recent.number_before(at).or(self.replicas)
    }

    /// Whether every change after that moment is kept. More than [`Recent::CAPACITY`] in so short a time are not.
    pub fn reaches(&self, since: Timestamp) -> bool {
        self.recent.reaches(since)
    }

    fn first(sight: Sight, via: Via) -> Self {
        let Sight { generation, template, replicas } = sight;
        let changed = match via {
            // Seen from its very beginning.
            Via::Event if generation <= 1 => Rolled::Never,
            Via::Event | Via::List => Rolled::BeforeTheWatch,
        };
        let recent = Recent::new();
        Self { generation, template, replicas, rolled: changed, scaled: changed, recent }
    }

    /// Whether the pods rolled and whether the number moved between this record and a sight.
    fn differences(&self, sight: Sight) -> (bool, bool) {
        let scaled = sight.replicas != self.replicas;
        let ended = scaled && sight.replicas == Some(0);
        (ended || sight.template != self.template, scaled)
    }

    fn changed(&self, sight: Sight, rolled: bool, scaled: bool, now: Timestamp) -> Self {
        let Sight { generation, template, replicas } = sight;
        let mut recent = self.recent.clone();
        if rolled || scaled {
            recent.push(Move { at: now, from: if scaled { self.replicas } else { None } });
        }
        let dated = |changed, former| if changed { Rolled::At(now) } else { former };
        Self {
            generation,
            template,
            replicas,
            rolled: dated(rolled, self.rolled),
            scaled: dated(scaled, self.scaled),
            recent,
        }
    }
}

#[cfg(test)]
mod tests;
