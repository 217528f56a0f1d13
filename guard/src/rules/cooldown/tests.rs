//! When a restart or a scale is too soon. The policies and the verdict they share are here.

mod related;
mod watched;

use super::*;
use crate::facts::{Facts, Watched};
use crate::judge::{Judgement, judge};
use crate::policy::{Applied, OperationName};
use crate::rules::RulesSpec;
use crate::sample::{self, Write};
use crate::subject::Subject;

/// The verdict on a restart by automation of a workload with this record.
fn restarted(subject: &Subject, record: Watched<'_>, revisions: Revisions<'_>) -> Judgement {
    let policies = sample::shipped_policies();
    let facts = Facts { watched: record, revisions, ..sample::facts(&policies) };
    judge(&sample::restart().change(), subject, &facts, sample::now())
}

fn rolled(rolled: Rolled) -> Record {
    Record { rolled, ..sample::QUIET }
}

fn retry_after(judgement: Judgement) -> Option<u32> {
    match judgement {
        Judgement::Final(verdict) => {
            verdict.denial().map(|d| d.retry_after_seconds.expect("time heals it"))
        }
        Judgement::Needs(needs) => panic!("{needs:?}"),
    }
}

/// A policy for people with this cooldown alone.
fn cooling(restart: Option<i32>, scale: Option<i32>) -> Applied {
    let mut spec = sample::baseline();
    spec.rules = RulesSpec {
        cooldown: Some(CooldownSpec { restart_seconds: restart, scale_seconds: scale }),
        ..RulesSpec::default()
    };
    spec.match_.kinds.truncate(1);
    spec.match_.operations = vec![OperationName::Update];
    sample::applied("calm", &spec)
}

fn seconds_ago(seconds: i64) -> Rolled {
    Rolled::At(sample::now() - jiff::SignedDuration::from_secs(seconds))
}
