//! By what was observed of the object itself.

use super::*;
use crate::verdict::Effect;

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
        let judged = restarted(&sample::automation(), Watched::Seen(&record), Revisions::NotAsked);
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
    assert!(sample::verdict_with(&sample::restart(), &sample::person(), &facts).denial().is_some());
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
    let Judgement::Final(verdict) = judge(Revisions::Unavailable) else { panic!("asked twice") };
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
    let judged = restarted(&sample::automation(), Watched::Seen(&record), Revisions::Unavailable);
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
