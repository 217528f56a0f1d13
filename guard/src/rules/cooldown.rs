//! How long to wait between two restarts and between two changes of the number, from what was observed to be
//! committed. A restart is whatever ends the pods: another template, a number that falls to zero, the end of a pod or
//! of a ReplicaSet that has some, an object made anew under a name that was deleted.

use jiff::Timestamp;
use kube_derive::KubeSchema;
use serde::{Deserialize, Serialize};
use smartops_change::{Kind, Operation};
use smartops_common::denial::Rule;

use super::Case;
use super::evidence::{Evidence, seconds_up, unknown};
use crate::facts::{Related, Relation, Revisions};
use crate::findings::Finding;
use crate::history::{Record, Rolled, rolled_by_revisions};
use crate::judge::Needs;
use crate::policy::{Flaw, ends_a_pod};

/// How long to wait between two restarts, and between two changes of the number.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[x_kube(
    crates(kube_core = "::kube_core"),
    validation = kube_core::Rule::new("has(self.restartSeconds) || has(self.scaleSeconds)").message("give restartSeconds, scaleSeconds or both")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CooldownSpec {
    /// Seconds after the pods were last restarted, whoever did it, before they may be again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub restart_seconds: Option<i32>,
    /// Seconds after the number of replicas last changed, whoever changed it, before it may again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub scale_seconds: Option<i32>,
}

/// The rule, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cooldown {
    restart: Option<u32>,
    scale: Option<u32>,
}

const TEMPLATE: &str = "spec.template";

impl Cooldown {
    pub(super) fn compile(spec: &CooldownSpec, flaws: &mut Vec<Flaw>) -> Self {
        if spec.restart_seconds.is_none() && spec.scale_seconds.is_none() {
            let reason = "says nothing; give restartSeconds, scaleSeconds or both";
            flaws.push(Flaw::new("spec.rules.cooldown", reason));
        }
        let mut seconds = |field: &str, given: Option<i32>| {
            let given = given?;
            let seconds = u32::try_from(given).unwrap_or(0);
            if !(1..=86_400).contains(&seconds) {
                let reason = format!("is {given}; it must be 1 to 86400 seconds");
                flaws.push(Flaw::new(format!("spec.rules.cooldown.{field}"), reason));
            }
            Some(seconds)
        };
        Self {
            restart: seconds("restartSeconds", spec.restart_seconds),
            scale: seconds("scaleSeconds", spec.scale_seconds),
        }
    }

    pub(super) fn judge(self, case: &Case<'_>, found: &mut Vec<Finding>) -> Result<(), Needs> {
        let restart = self.restart.filter(|_| restarts(case));
        let scale = self.scale.filter(|_| scales(case));
        if restart.is_none() && scale.is_none() {
            return Ok(());
        }
        let path = if restart.is_some() { TEMPLATE } else { number(case) };
        let evidence = case.evidence()?;
        if matches!(evidence, Evidence::Unknown) {
            found.push(unknown(path, "what the object belongs to"));
            return Ok(());
        }
        let (record, before) = (evidence.record(), found.len());
        if let Some(seconds) = restart {
            match last_restart(case, record)? {
                Ok(Some((at, what))) => found.extend(too_soon(case, seconds, at, TEMPLATE, what)),
                Ok(None) => {}
                Err(finding) => found.push(finding),
            }
        }
        if let (Some(seconds), Some(Rolled::At(at))) = (scale, record.map(|r| r.scaled)) {
            found.extend(too_soon(case, seconds, at, number(case), SCALED));
        }
        if matches!(evidence, Evidence::Behind(_)) && found.len() == before {
            found.push(case.just_now(Rule::Cooldown, path));
        }
        Ok(())
    }
}

/// What happened too recently, and what must wait.
type Sentence = (&'static str, &'static str);

const RESTARTED: Sentence = ("the pod template last changed (restarted)", "may change again");
const SCALED: Sentence = ("the number of replicas last changed", "may change again");
const STARTED: Sentence = ("a pod of this workload last started", "the next may end");

/// Whether the write ends pods that run.
fn restarts(case: &Case<'_>) -> bool {
    let change = case.change;
    let number = change.replicas();
    let to_zero = number.is_some_and(|n| n.old.is_some_and(|old| old > 0) && n.new == Some(0));
    match change.kind() {
        Kind::ReplicaSet if change.operation() == Operation::Delete => {
            number.and_then(|n| n.old).is_some_and(|old| old > 0)
        }
        // What is made anew under a name that was deleted ended the pods of the former.
        _ if change.old().is_none() && case.predecessor().is_some() => true,
        Kind::Job | Kind::CronJob => false,
        _ => change.rolls_pods() || to_zero || ends_a_pod(change),
    }
}

/// Whether the write moves the number.
fn scales(case: &Case<'_>) -> bool {
    let moves =
        |n: smartops_change::ReplicasChange| n.old.is_some() && n.new.is_some() && n.old != n.new;
    !matches!(case.change.kind(), Kind::Job | Kind::CronJob)
        && case.change.replicas().is_some_and(moves)
}

fn number(case: &Case<'_>) -> &'static str {
    case.change.replicas_path().unwrap_or("spec.replicas")
}

/// When the pods were last restarted, and what tells it; an error is what is to be found instead.
fn last_restart(
    case: &Case<'_>,
    record: Option<&Record>,
) -> Result<Result<Option<(Timestamp, Sentence)>, Finding>, Needs> {
    // Where a pod is about to end, its siblings tell when one last did.
    let sibling = match case.facts.related {
        Related::Known { newest_pod, .. } => newest_pod.map(|at| (at, STARTED)),
        Related::NotAsked | Related::Unavailable => None,
    };
    let Some(record) = record else { return Ok(Ok(sibling)) };
    let known = record.rolled.known();
    let rolled = match (record.rolled, case.facts.revisions) {
        (Rolled::At(_) | Rolled::Never, _) => known,
        (_, Revisions::NotAsked) => return Err(Needs::REVISIONS),
        (_, Revisions::Listed(revisions)) => {
            known.max(rolled_by_revisions(created(case), revisions))
        }
        (_, Revisions::Unavailable) => {
            return Ok(Err(unknown(TEMPLATE, "when the pods last rolled: its revisions")));
        }
    };
    let rolled = rolled.map(|at| (at, RESTARTED));
    Ok(Ok(rolled.into_iter().chain(sibling).max_by_key(|(at, _)| *at)))
}

/// When the workload was made: the owner of what is under review, or that itself, which for a Scale says the same.
fn created(case: &Case<'_>) -> Option<Timestamp> {
    let owners = match case.facts.related {
        Related::Known { objects, .. } => objects,
        Related::NotAsked | Related::Unavailable => &[],
    };
    let mut owners = owners.iter().filter(|o| o.relation == Relation::Owner && o.record.is_some());
    let own = case.change.old().and_then(|old| old.creation_timestamp.as_deref());
    match owners.next() {
        Some(owner) => owner.created,
        None => own.and_then(|text| text.parse().ok()),
    }
}

fn too_soon(
    case: &Case<'_>,
    seconds: u32,
    at: Timestamp,
    path: &str,
    (what, waits): Sentence,
) -> Option<Finding> {
    let passed = case.passed_since(at);
    let left = i128::from(seconds) * 1000 - passed;
    (left > 0).then(|| {
        let retry = seconds_up(left);
        let passed = passed / 1000;
        Finding {
            rule: Rule::Cooldown,
            path: path.to_owned(),
            message: format!(
                "{what} {passed} s ago and {waits} after {seconds} s; retry in {retry} s"
            ),
            retry_after: Some(retry),
            refuses: true,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{Facts, RelatedObject, Watched};
    use crate::judge::{Judgement, judge};
    use crate::policy::{Applied, OperationName};
    use crate::rules::RulesSpec;
    use crate::sample::{self, Write};
    use crate::subject::Subject;
    use crate::verdict::Effect;

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

    #[test]
    fn a_restart_too_soon_is_told_the_seconds_left_rounded_up() {
        for (milliseconds, expected) in [
            (0, Some(120)),
            (33_000, Some(87)),
            (119_000, Some(1)),
            (119_999, Some(1)),
            (120_000, None),
            (-5_000, Some(120)),
        ] {
            let at = sample::now() - jiff::SignedDuration::from_millis(milliseconds);
            let record = rolled(Rolled::At(at));
            let judged =
                restarted(&sample::automation(), Watched::Seen(&record), Revisions::NotAsked);
            assert_eq!(retry_after(judged), expected, "{milliseconds}");
            let judged = restarted(&sample::person(), Watched::Seen(&record), Revisions::NotAsked);
            assert_eq!(retry_after(judged), None, "people have no cooldown by default");
        }
    }

    #[test]
    fn a_scale_during_the_cooldown_passes() {
        let record = rolled(Rolled::At(sample::now()));
        let policies = sample::shipped_policies();
        let facts = Facts { watched: Watched::Seen(&record), ..sample::facts(&policies) };
        let verdict = sample::verdict_with(&sample::scale(3, 4), &sample::automation(), &facts);
        assert_eq!(verdict.denial(), None);
    }

    #[test]
    fn a_generation_the_watch_has_not_reached_counts_as_changed_just_now() {
        let behind = Record { generation: 6, ..sample::QUIET };
        for watched in [Watched::Seen(&behind), Watched::Unseen] {
            let judged = restarted(&sample::automation(), watched, Revisions::NotAsked);
            assert_eq!(retry_after(judged), Some(1));
        }
        let ahead = Record { generation: 8, ..sample::QUIET };
        let judged = restarted(&sample::automation(), Watched::Seen(&ahead), Revisions::NotAsked);
        assert_eq!(retry_after(judged), None);
    }

    #[test]
    fn people_under_a_cooldown_of_their_own_pass_with_a_warning_where_the_watch_lags() {
        let mut spec = sample::baseline();
        spec.rules.cooldown = Some(CooldownSpec { restart_seconds: Some(60), scale_seconds: None });
        let policies = [sample::applied("mine", &spec)];
        let facts = Facts { watched: Watched::Unseen, ..sample::facts(&policies) };
        let verdict = sample::verdict_with(&sample::restart(), &sample::person(), &facts);
        assert_eq!(verdict.denial(), None);
        assert_eq!(verdict.outcomes[0].effect, Effect::Warn);
        assert!(verdict.warnings[0].starts_with("mine/cooldown: the object changed just now"));
        let record = rolled(Rolled::At(sample::now()));
        let facts = Facts { watched: Watched::Seen(&record), ..facts };
        assert!(
            sample::verdict_with(&sample::restart(), &sample::person(), &facts).denial().is_some()
        );
    }

    #[test]
    fn what_rolled_before_the_watch_is_asked_of_the_replica_sets_once() {
        let record = rolled(Rolled::BeforeTheWatch);
        let judge = |revisions| restarted(&sample::automation(), Watched::Seen(&record), revisions);
        assert_eq!(judge(Revisions::NotAsked), Judgement::Needs(Needs::REVISIONS));
        let first = "2026-01-01T00:00:01Z".parse().unwrap();
        let recent = "2026-01-01T11:59:30Z".parse().unwrap();
        let revisions = [first, recent];
        assert_eq!(retry_after(judge(Revisions::Listed(&revisions[..1]))), None);
        assert_eq!(retry_after(judge(Revisions::Listed(&revisions))), Some(90));
        let Judgement::Final(verdict) = judge(Revisions::Unavailable) else {
            panic!("asked twice")
        };
        assert_eq!(verdict.denial().unwrap().leading_rule(), Some(Rule::Undecided));
    }

    #[test]
    fn after_a_gap_the_revisions_tell_a_restart_and_never_an_earlier_one_than_was_known() {
        let first = "2026-01-01T00:00:01Z".parse().unwrap();
        let recent = "2026-01-01T11:59:30Z".parse().unwrap();
        let later = "2026-01-01T11:59:40Z".parse().unwrap();
        for (since, revisions, expected) in [
            (None, vec![first], None),
            (None, vec![first, recent], Some(90)),
            (Some(later), vec![first, recent], Some(100)),
            (Some(recent), vec![first, later], Some(100)),
            (Some(first), vec![first], None),
        ] {
            let record = rolled(Rolled::Unsure { since });
            let judge = |r| restarted(&sample::automation(), Watched::Seen(&record), r);
            assert_eq!(judge(Revisions::NotAsked), Judgement::Needs(Needs::REVISIONS));
            assert_eq!(retry_after(judge(Revisions::Listed(&revisions))), expected, "{since:?}");
        }
        let record = rolled(Rolled::Unsure { since: None });
        let judged =
            restarted(&sample::automation(), Watched::Seen(&record), Revisions::Unavailable);
        let Judgement::Final(verdict) = judged else { panic!("asked twice") };
        assert_eq!(verdict.denial().unwrap().leading_rule(), Some(Rule::Undecided));
    }

    #[test]
    fn nothing_is_asked_of_the_cluster_for_a_person_or_a_scale() {
        let record = rolled(Rolled::BeforeTheWatch);
        let policies = sample::shipped_policies();
        let facts = Facts { watched: Watched::Seen(&record), ..sample::facts(&policies) };
        for (write, subject) in
            [(sample::restart(), sample::person()), (sample::scale(3, 4), sample::automation())]
        {
            assert!(matches!(
                judge(&write.change(), &subject, &facts, sample::now()),
                Judgement::Final(_)
            ));
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

    /// The object of a Scale, as it is read.
    fn parent(record: Record, generation: i64) -> RelatedObject {
        RelatedObject {
            generation: Some(generation),
            record: Some(record),
            ..sample::relative(Relation::Parent, "apps", "Deployment")
        }
    }

    #[test]
    fn a_number_that_changed_is_left_alone_for_a_while_on_the_object_and_on_its_scale() {
        let policies = [cooling(None, Some(60))];
        for (ago, expected) in [(20, Some(40)), (61, None)] {
            let record = Record { scaled: seconds_ago(ago), ..sample::QUIET };
            let objects = [parent(record.clone(), 7)];
            let facts = Facts {
                watched: Watched::Seen(&record),
                related: Related::Known { objects: &objects, newest_pod: None },
                ..sample::facts(&policies)
            };
            for write in [sample::scale(3, 4), sample::replicas(3, 4)] {
                let judged = judge(&write.change(), &sample::person(), &facts, sample::now());
                assert_eq!(retry_after(judged), expected, "{ago} {}", write.subresource);
            }
        }
    }

    #[test]
    fn a_scale_asks_for_its_object_and_is_held_to_the_generation_it_is_based_on() {
        let policies = [cooling(None, Some(60))];
        let facts = Facts { related: Related::NotAsked, ..sample::facts(&policies) };
        let scale = sample::scale(3, 4);
        let judged = judge(&scale.change(), &sample::person(), &facts, sample::now());
        assert_eq!(judged, Judgement::Needs(Needs::RELATED));
        for (generation, warned) in [(7, false), (8, true)] {
            let objects = [parent(sample::QUIET, generation)];
            let related = Related::Known { objects: &objects, newest_pod: None };
            let facts = Facts { related, ..facts };
            let verdict = sample::verdict_with(&scale, &sample::person(), &facts);
            assert_eq!(!verdict.warnings.is_empty(), warned, "{generation}");
        }
    }

    #[test]
    fn scaling_to_zero_is_a_restart_and_scaling_up_from_zero_is_none() {
        let policies = [cooling(Some(60), None)];
        let record = Record { rolled: seconds_ago(20), ..sample::QUIET };
        let objects = [parent(record, 7)];
        let facts = Facts {
            related: Related::Known { objects: &objects, newest_pod: None },
            ..sample::facts(&policies)
        };
        for (old, new, expected) in [(3, 0, Some(40)), (0, 3, None), (3, 1, None)] {
            let write = sample::scale(old, new);
            let judged = judge(&write.change(), &sample::person(), &facts, sample::now());
            assert_eq!(retry_after(judged), expected, "{old} {new}");
        }
    }

    #[test]
    fn a_pod_that_ends_is_a_restart_of_what_owns_it() {
        let policies = [cooling(Some(60), None)];
        let mut eviction = Write::of(Operation::Create, "", "pods/eviction");
        eviction.new = Some(r#"{"metadata":{"name":"web"}}"#.to_owned());
        for write in [Write::of(Operation::Delete, "", "pods"), eviction] {
            let ends = |rolled: Rolled, newest_pod: Option<i64>| {
                let record = Record { rolled, ..sample::QUIET };
                let objects = [RelatedObject {
                    generation: Some(7),
                    record: Some(record),
                    ..sample::relative(Relation::Owner, "apps", "Deployment")
                }];
                let newest_pod =
                    newest_pod.map(|ago| sample::now() - jiff::SignedDuration::from_secs(ago));
                let related = Related::Known { objects: &objects, newest_pod };
                let facts = Facts { related, ..sample::facts(&policies) };
                retry_after(judge(&write.change(), &sample::person(), &facts, sample::now()))
            };
            assert_eq!(ends(seconds_ago(20), None), Some(40));
            assert_eq!(ends(Rolled::Never, Some(50)), Some(10));
            assert_eq!(ends(Rolled::Never, Some(61)), None);
            assert_eq!(ends(Rolled::Never, None), None);
        }
    }

    #[test]
    fn a_pod_that_started_lately_is_told_as_such_and_a_workload_made_lately_never_rolled() {
        let policies = [cooling(Some(60), None)];
        let end = Write::of(Operation::Delete, "", "pods");
        let ago = |seconds| sample::now() - jiff::SignedDuration::from_secs(seconds);
        for (rolled, newest_pod, revision, expected) in [
            (
                Rolled::Never,
                Some(50),
                40,
                Some(
                    "a pod of this workload last started 50 s ago and the next may end after 60 s; retry in 10 s",
                ),
            ),
            (seconds_ago(55), Some(50), 40, Some("a pod of this workload last started 50 s ago")),
            (
                seconds_ago(50),
                Some(55),
                40,
                Some("the pod template last changed (restarted) 50 s ago"),
            ),
            (Rolled::BeforeTheWatch, None, 40, None),
            (
                Rolled::BeforeTheWatch,
                None,
                5,
                Some("the pod template last changed (restarted) 5 s ago"),
            ),
        ] {
            let owner = RelatedObject {
                generation: Some(7),
                created: Some(ago(41)),
                record: Some(Record { rolled, ..sample::QUIET }),
                ..sample::relative(Relation::Owner, "apps", "Deployment")
            };
            let related = Related::Known { objects: &[owner], newest_pod: newest_pod.map(ago) };
            let revisions = [ago(revision)];
            let revisions = Revisions::Listed(&revisions);
            let facts = Facts { revisions, related, ..sample::facts(&policies) };
            let verdict = sample::verdict_with(&end, &sample::person(), &facts);
            let message = verdict.denial().map(|denial| denial.message.clone());
            match (&message, expected) {
                (Some(message), Some(expected)) => assert!(message.contains(expected), "{message}"),
                _ => assert_eq!(message.as_deref(), expected, "{rolled:?}"),
            }
        }
    }

    #[test]
    fn what_is_made_anew_under_the_same_name_inherits_the_cooldown_whether_creations_are_named_or_not()
     {
        use OperationName::{Create, Update};
        let create = Write::of(Operation::Create, "apps", "deployments");
        for operations in [vec![Update], vec![Create, Update]] {
            let mut spec = sample::baseline();
            let restart_seconds = Some(60);
            let cooldown = Some(CooldownSpec { restart_seconds, scale_seconds: None });
            spec.rules = RulesSpec { cooldown, ..RulesSpec::default() };
            spec.match_.kinds.truncate(1);
            spec.match_.operations = operations.clone();
            let policies = [sample::applied("calm", &spec)];
            for (watched, expected) in [
                (Watched::Replaced(&Record { rolled: seconds_ago(20), ..sample::QUIET }), Some(40)),
                (Watched::Replaced(&Record { rolled: seconds_ago(61), ..sample::QUIET }), None),
                (Watched::Unseen, None),
            ] {
                let facts = Facts { watched, ..sample::facts(&policies) };
                let judged = judge(&create.change(), &sample::person(), &facts, sample::now());
                assert_eq!(retry_after(judged), expected, "{operations:?}");
            }
        }
    }

    #[test]
    fn what_was_observed_holds_though_something_newer_was_not_observed_yet() {
        let policies = [cooling(Some(60), None)];
        for (ago, denied) in [(20, true), (61, false)] {
            // The write is based on generation 7.
            let record = Record { generation: 6, rolled: seconds_ago(ago), ..sample::QUIET };
            let facts = Facts { watched: Watched::Seen(&record), ..sample::facts(&policies) };
            let verdict = sample::verdict_with(&sample::restart(), &sample::person(), &facts);
            assert_eq!(verdict.denial().is_some(), denied, "{ago}");
            assert_eq!(verdict.warnings.is_empty(), denied, "{ago}");
        }
    }
}
