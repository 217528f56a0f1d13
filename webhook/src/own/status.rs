//! What the controller says became of a Remediation: each attempt on record has to be true when it is recorded, because
//! it is the warrant by which it may be written afterwards. What never changes and which phase follows which is the
//! schema's.

mod claims;
mod planned;
mod shown;

use jiff::{SignedDuration, Timestamp};
use smartops_common::action::{ActionType, BoundsIntent, Intent};
use smartops_common::config::Approval;
use smartops_common::remediation::{
    Attempt, AttemptKind, AttemptResult, AttemptTarget, Bounds, FormerState, Proposal, Remediation,
    intent_hash,
};
use smartops_guard::policy::Flaw;

pub(super) use self::claims::{claimed, disproved};
use self::planned::Present;
use super::answer::{Checked, flaw};
use super::beside::{Astray, Beside, Values};
use super::target::Target;

/// How far the controller's clock may be from this one.
const SKEW: SignedDuration = SignedDuration::from_secs(60);
/// The longest an attempt may be open.
const LONGEST: SignedDuration = SignedDuration::from_mins(10);

/// That only the controller writes what became of a Remediation.
pub(super) fn not_the_controllers() -> Flaw {
    flaw(
        "status",
        "is the record of what the controller did, and written by it alone; to have it end, delete the Remediation, or \
         reject it with a RemediationApproval while it waits for one",
    )
}

/// What is wrong with it whatever the target is now.
pub(super) fn flaws(
    old: &Remediation,
    new: &Remediation,
    approval: &Approval,
    now: Timestamp,
) -> Vec<Flaw> {
    let (before, after) = (attempts(old), attempts(new));
    let mut flaws = Vec::new();
    if after.len() > before.len() + 1 {
        let reason =
            format!("has {} more; record one attempt at a time", after.len() - before.len());
        flaws.push(flaw("status.attempts", reason));
    } else if after.len() > before.len()
        && let Some(added) = after.last()
    {
        flaws.extend(added_attempt(new, after, added, now));
    }
    flaws.extend(before.iter().zip(after).filter_map(|(was, attempt)| {
        Some(flaw(field(attempt, "inverse"), inverted(was, attempt)?))
    }));
    if let Some(proposal) = put_forward(old, new) {
        flaws.extend(proposed(new, proposal, approval, now));
    }
    flaws.extend(ended(old, new, now));
    flaws
}

/// That it says to have ended at another time than now: what ended a while ago may be deleted.
fn ended(old: &Remediation, new: &Remediation, now: Timestamp) -> Option<Flaw> {
    let end = |of: &Remediation| Some(of.status.as_ref()?.outcome.as_ref()?.finished_at.0);
    let finished = end(new).filter(|finished| end(old) != Some(*finished))?;
    let is_now = finished.duration_since(now).abs() <= SKEW;
    (!is_now).then(|| {
        let skew = SKEW.as_secs();
        let reason = format!(
            "is {finished} and it is {now}; at most {skew} s may lie between, set the clock"
        );
        flaw("status.outcome.finishedAt", reason)
    })
}

/// Why what takes an attempt back may not be said of it now.
fn inverted(was: &Attempt, attempt: &Attempt) -> Option<&'static str> {
    if attempt.inverse.is_none() || was.inverse == attempt.inverse {
        return None;
    }
    let is_sent_now = was.sent_at.is_none() && attempt.sent_at.is_some();
    if attempt.intent.type_ != ActionType::Patch {
        Some("is there, and only a patch has one: of every other action former says all")
    } else if !is_sent_now {
        Some("comes with sentAt: it is worked out of the dry run just before the write")
    } else {
        None
    }
}

/// The proposal that has to be compared with the target: one that is put forward, for the first time or anew.
pub(super) fn put_forward<'a>(old: &Remediation, new: &'a Remediation) -> Option<&'a Proposal> {
    proposal(new).filter(|new| proposal(old) != Some(new))
}

/// Whether a proposal is of the target as it is, and is what was asked for of that.
pub(super) fn meant(
    old: &Remediation,
    new: &Remediation,
    put_forward: &Proposal,
    target: Option<&Target>,
    beside: &Beside,
) -> Checked {
    let AttemptTarget { uid, generation, .. } = &put_forward.target;
    let same =
        |target: &&Target| (&target.metadata.uid, &target.metadata.generation) == (uid, generation);
    let Some(target) = target.filter(same) else {
        let reason = "does not agree with the target; read it again and plan anew";
        return moved(vec![flaw("status.proposal.target", reason)]);
    };
    if put_forward.intent.bounds.is_some()
        && let Some(flaw) = misnamed(new, put_forward, beside.bounds())
    {
        // The bounds it was taken of may have moved since.
        return moved(vec![flaw]);
    }
    let first = attempts(new).first().map(|attempt| &attempt.intent);
    let recorded = proposal(old).map(|proposal| &proposal.intent).or(first);
    let (action, intent) = (&new.spec.action, &put_forward.intent);
    let present = Present { replicas: target.spec.replicas, bounds: beside.bounds() };
    if let Some(reason) = planned::strays(action, intent, recorded, present) {
        return vec![flaw("status.proposal.intent", reason)].into();
    }
    let values = if recorded.is_none() { Values::New } else { Values::Recorded };
    belongs("status.proposal.intent", beside.astray(intent, &new.spec.target, values))
}

/// That an intent is of what belongs to the target.
fn belongs(field: &str, astray: Option<Astray>) -> Checked {
    match astray {
        None => Checked::default(),
        Some(Astray::Wrong(reason)) => vec![flaw(field, reason)].into(),
        Some(Astray::Moved(reason)) => {
            moved(vec![flaw(field, format!("{reason}; read it again and plan anew"))])
        }
    }
}

/// The attempt that has to be compared with the target: one that is added, or depends on another version than before.
pub(super) fn to_compare<'a>(old: &Remediation, new: &'a Remediation) -> Option<&'a Attempt> {
    let (before, last) = (attempts(old), attempts(new).last()?);
    let was = before.get(attempts(new).len() - 1);
    was.is_none_or(|was| was.target != last.target).then_some(last)
}

/// Whether an attempt is true of the target, and of what it is of beside that.
pub(super) fn compared(
    remediation: &Remediation,
    attempt: &Attempt,
    target: Option<&Target>,
    beside: &Beside,
) -> Checked {
    let Some(target) = target else {
        let reason = "the target is gone; read it again";
        return moved(vec![flaw(field(attempt, "target.uid"), reason)]);
    };
    let AttemptTarget { uid, generation, resource_version } = &attempt.target;
    let live = &target.metadata;
    let differs = |part: &str, said: &str, is: &str| {
        // What the target is, nobody learns from a sentence.
        let reason = format!(
            "says {said}, which does not agree with the target; read it again and plan anew"
        );
        (said != is).then(|| flaw(field(attempt, part), reason))
    };
    let versions = [
        differs("target.uid", uid, &live.uid),
        differs("target.generation", &generation.to_string(), &live.generation.to_string()),
        differs("target.resourceVersion", resource_version, &live.resource_version),
    ];
    let versions: Vec<Flaw> = versions.into_iter().flatten().collect();
    if !versions.is_empty() {
        return moved(versions);
    }
    let is_first = attempt.kind == AttemptKind::Apply && attempt.number == 1;
    let is_new = is_first && proposal(remediation).is_none();
    let values = if is_new { Values::New } else { Values::Recorded };
    let astray = beside.astray(&attempt.intent, &remediation.spec.target, values);
    if astray.is_some() {
        return belongs(&field(attempt, "intent"), astray);
    }
    if attempt.former.bounds != beside.bounds() {
        let reason =
            "does not agree with the autoscaler whose bounds are to move, or is there and none are";
        return vec![flaw(field(attempt, "former.bounds"), reason)].into();
    }
    let FormerState { replicas, template, .. } = &attempt.former;
    let live = &target.spec;
    let digest = live.template.to_string();
    let said = template.as_deref().unwrap_or(&digest);
    let former = [
        differs("former.replicas", &replicas.to_string(), &live.replicas.to_string()),
        differs("former.template", said, &digest),
    ];
    former.into_iter().flatten().collect::<Vec<Flaw>>().into()
}

/// The target moved between the controller's look and this one.
fn moved(flaws: Vec<Flaw>) -> Checked {
    Checked { flaws, retry_after: Some(1), ..Checked::default() }
}

/// What is wrong with an attempt by itself and beside the others.
fn added_attempt(
    remediation: &Remediation,
    all: &[Attempt],
    added: &Attempt,
    now: Timestamp,
) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    let mut refuse = |part: &str, reason: String| flaws.push(flaw(field(added, part), reason));
    if usize::try_from(added.number) != Ok(all.len()) {
        refuse("number", format!("is {} and has to be {}", added.number, all.len()));
    }
    let uid = &remediation.spec.target.uid;
    if added.target.uid != *uid {
        refuse(
            "target.uid",
            format!("is {:?} and the Remediation is for {uid:?}", added.target.uid),
        );
    }
    let written = (&added.written_at, &added.written_generation, &added.written_template);
    let is_sent = added.sent_at.is_some() || added.inverse.is_some();
    if added.result.is_some() || is_sent || written != (&None, &None, &None) {
        refuse("result", "is there already; record an attempt before it is sent".to_owned());
    }
    if added.leader.is_empty() {
        refuse("leader", "is empty; name the process that owns the attempt".to_owned());
    }
    let (started, deadline) = (added.started_at.0, added.deadline.0);
    if started.duration_since(now).abs() > SKEW {
        let skew = SKEW.as_secs();
        refuse(
            "startedAt",
            format!(
                "is {started} and it is {now}; at most {skew} s may lie between, set the clock"
            ),
        );
    }
    let open = deadline.duration_since(started);
    if open.is_negative() || open > LONGEST {
        let longest = LONGEST.as_mins();
        refuse(
            "deadline",
            format!("is {deadline}; it lies after startedAt, {started}, by at most {longest} min"),
        );
    }
    let reason = match added.kind {
        AttemptKind::Apply => applies(remediation, all, added),
        AttemptKind::Undo => undone(all).map_or_else(
            || Some("undoes nothing: no attempt before it was written".to_owned()),
            |attempt| {
                let restores = restores(attempt, &added.intent);
                (!restores).then(|| {
                    format!("does not restore what was before attempt {}, as its former or its inverse says", attempt.number)
                })
            },
        ),
    };
    if let Some(reason) = reason {
        refuse("intent", reason);
    }
    flaws
}

/// Why an attempt to apply the remedy is not what was asked for, or not what was put forward for approval.
fn applies(remediation: &Remediation, all: &[Attempt], added: &Attempt) -> Option<String> {
    let spec = &remediation.spec;
    let recorded = all.split_last().and_then(|(_, before)| before.first()).map(|a| &a.intent);
    let FormerState { replicas, bounds, .. } = added.former;
    match proposal(remediation).filter(|_| spec.require_approval) {
        Some(proposal) if is_same(&proposal.intent, &added.intent) => None,
        Some(_) => Some("is not what was put forward for approval".to_owned()),
        None => {
            planned::strays(&spec.action, &added.intent, recorded, Present { replicas, bounds })
        }
    }
}

/// Whether two intents are to write the same; an autoscaler's version moves with its status.
fn is_same(one: &Intent, other: &Intent) -> bool {
    let versionless = |intent: &Intent| {
        let mut intent = intent.clone();
        if let Some(bounds) = &mut intent.bounds {
            bounds.resource_version.clear();
        }
        intent
    };
    versionless(one) == versionless(other)
}

/// The attempt an undo at the end is of: the last one that was written to apply the remedy.
fn undone(all: &[Attempt]) -> Option<&Attempt> {
    let (_, before) = all.split_last()?;
    before
        .iter()
        .rfind(|a| a.kind == AttemptKind::Apply && a.result == Some(AttemptResult::Written))
}

/// Whether an intent is to bring back what was before an attempt. What a patch and a rollback come to shows when they are
/// written.
fn restores(attempt: &Attempt, intent: &Intent) -> bool {
    use ActionType::{EvictPod, HpaBounds, Patch, Pause, Restart, Resume, Rollback, Scale};
    let (applied, former) = (&attempt.intent, &attempt.former);
    let wanted = match applied.type_ {
        Scale => Intent::scale(former.replicas),
        Patch => match &attempt.inverse {
            Some(inverse) if former.template.is_some() => Intent::patch(inverse.clone()),
            _ => return false,
        },
        Rollback => {
            let to = intent
                .revision
                .as_ref()
                .filter(|to| former.template.as_ref() == Some(&to.template));
            Intent { revision: to.cloned(), ..Intent::of(Rollback) }
        }
        Pause => Intent::of(Resume),
        Resume => Intent::of(Pause),
        HpaBounds => {
            let (Some(bounds), Some(former)) = (&applied.bounds, former.bounds) else {
                return false;
            };
            let bounds = BoundsIntent {
                min_replicas: former.min_replicas,
                max_replicas: former.max_replicas,
                ..bounds.clone()
            };
            Intent { bounds: Some(bounds), ..Intent::of(HpaBounds) }
        }
        // They leave nothing to be restored.
        Restart | EvictPod => return false,
    };
    let has_revision = wanted.type_ != Rollback || wanted.revision.is_some();
    has_revision && is_same(&wanted, intent)
}

/// That a proposal does not name the digest of itself, and of the bounds there are where they are to move.
fn misnamed(
    remediation: &Remediation,
    proposal: &Proposal,
    bounds: Option<Bounds>,
) -> Option<Flaw> {
    let uid = remediation.metadata.uid.as_deref().unwrap_or_default();
    let expected = intent_hash(uid, &proposal.target, &proposal.intent, bounds);
    (proposal.hash != expected).then(|| {
        let reason = format!("is not the digest of this intent and target, {expected}");
        flaw("status.proposal.hash", reason)
    })
}

/// What is wrong with what waits for approval.
fn proposed(
    remediation: &Remediation,
    proposal: &Proposal,
    approval: &Approval,
    now: Timestamp,
) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    // Of an autoscaler it is of the bounds there are: see `meant`.
    if proposal.intent.bounds.is_none() {
        flaws.extend(misnamed(remediation, proposal, None));
    }
    let target = &remediation.spec.target.uid;
    if proposal.target.uid != *target {
        let reason = format!("is {:?} and the Remediation is for {target:?}", proposal.target.uid);
        flaws.push(flaw("status.proposal.target.uid", reason));
    }
    let (expires, seconds) = (proposal.expires_at.0, approval.expiry_seconds);
    let left = expires.duration_since(now);
    if left.is_negative() || left > SignedDuration::from_secs(seconds.into()) + SKEW {
        let reason = format!(
            "is {expires} and it is {now}; a proposal waits for {seconds} s, by spec.approval.expirySeconds of the SmartOpsConfig"
        );
        flaws.push(flaw("status.proposal.expiresAt", reason));
    }
    flaws
}

fn attempts(remediation: &Remediation) -> &[Attempt] {
    remediation.status.as_ref().map_or(&[], |status| &status.attempts)
}

fn proposal(remediation: &Remediation) -> Option<&Proposal> {
    remediation.status.as_ref()?.proposal.as_ref()
}

fn field(attempt: &Attempt, part: &str) -> String {
    format!("status.attempts[{}].{part}", attempt.number.saturating_sub(1))
}

#[cfg(test)]
mod tests;
