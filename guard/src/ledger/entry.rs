//! One workload in a ledger: its record as text, and back.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::{fmt, io};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smartops_change::TemplateDigest;

use crate::history::{Move, Recent, Record, Rolled, WorkloadKind};

/// One workload.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Its kind.
    pub kind: WorkloadKind,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its generation when it was last seen.
    pub generation: i64,
    /// The digest of its pod template at that generation.
    pub template: String,
    /// Its number of replicas at that generation, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i64>,
    /// When its pods were last all replaced or ended.
    pub rolled: Changed,
    /// When its number last changed.
    pub scaled: Changed,
    /// Its latest changes, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recent: Vec<MoveEntry>,
    /// When the newest change was made that is no longer among these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub forgotten_at: Option<Timestamp>,
    /// When it was deleted. Another that is made under its kind and name inherits its history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub deleted_at: Option<Timestamp>,
    /// Its labels when it was deleted: another that is made under its kind and name is meant by the policies that
    /// meant it. Those of workloads that exist are not written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
}

/// One change.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct MoveEntry {
    /// When it was observed.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// The number before it, where the number changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<i64>,
}

/// When something last changed: a time, `Never` since it was made, `Unknown` since before anybody watched, or, where its
/// revisions tell more after a gap, `Unsure` with the last time that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changed(pub Rolled);

impl Entry {
    /// The entry of a workload that exists.
    pub fn new(kind: WorkloadKind, name: &str, uid: &str, record: &Record) -> Self {
        Self {
            kind,
            name: name.to_owned(),
            uid: uid.to_owned(),
            generation: record.generation,
            template: record.template.to_string(),
            replicas: record.replicas,
            rolled: Changed(record.rolled),
            scaled: Changed(record.scaled),
            recent: record.recent.moves().map(|m| MoveEntry { at: m.at, from: m.from }).collect(),
            forgotten_at: record.recent.forgotten(),
            deleted_at: None,
            labels: None,
        }
    }

    /// The same of one that was deleted with these labels, where they are known.
    #[must_use]
    pub fn deleted(self, at: Timestamp, labels: Option<BTreeMap<String, String>>) -> Self {
        Self { deleted_at: Some(at), labels, ..self }
    }

    /// The record, with no time after `now`. A digest that cannot be read differs from every other.
    pub fn record(&self, now: Timestamp) -> Record {
        let moves = self.recent.iter().map(|one| Move { at: one.at, from: one.from });
        Record {
            generation: self.generation,
            template: self.template.parse().unwrap_or(TemplateDigest::NOTHING),
            replicas: self.replicas,
            rolled: self.rolled.0,
            scaled: self.scaled.0,
            recent: Recent::stored(moves, self.forgotten_at),
        }
        .no_later_than(now)
    }

    /// When it last changed or was deleted, as far as anything is known.
    pub(super) fn last_change(&self) -> Option<Timestamp> {
        self.rolled.0.known().max(self.scaled.0.known()).max(self.deleted_at)
    }

    /// Where it stands in a ledger.
    pub(super) fn order(&self) -> (WorkloadKind, &str, &str) {
        (self.kind, &self.name, &self.uid)
    }

    /// How many bytes of JSON it takes, with the comma behind it.
    pub(super) fn size(&self) -> usize {
        let mut counter = Counter(1);
        // Nothing of an entry fails to serialise; if it did, it would not fit.
        serde_json::to_writer(&mut counter, self).map_or(usize::MAX, |()| counter.0)
    }
}

/// Counts what is written.
struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What stands before the last time that is known, where revisions tell more.
const UNSURE: &str = "Unsure";

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Rolled::At(at) => at.fmt(f),
            Rolled::Never => f.write_str("Never"),
            Rolled::BeforeTheWatch => f.write_str("Unknown"),
            Rolled::Unsure { since: None } => f.write_str(UNSURE),
            Rolled::Unsure { since: Some(at) } => write!(f, "{UNSURE} since {at}"),
        }
    }
}

impl FromStr for Changed {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(match (text, text.strip_prefix(UNSURE)) {
            ("Never", _) => Rolled::Never,
            ("Unknown", _) => Rolled::BeforeTheWatch,
            (_, Some("")) => Rolled::Unsure { since: None },
            (_, Some(since)) => {
                let time = since.strip_prefix(" since ").unwrap_or(since);
                Rolled::Unsure { since: Some(time.parse()?) }
            }
            (time, None) => Rolled::At(time.parse()?),
        }))
    }
}

impl Serialize for Changed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Changed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error| {
            serde::de::Error::custom(format!(
                "{text:?} is no time of a change: a time as RFC 3339 writes it, Never, Unknown, or Unsure since a time ({error})"
            ))
        })
    }
}

impl JsonSchema for Changed {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Changed".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string"})
    }
}
