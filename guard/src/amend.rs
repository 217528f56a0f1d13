//! The mutating half: a policy that clamps has the number of replicas brought to the nearest one allowed, on the
//! object and on its Scale alike. It never touches a pod template.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use smartops_change::{Change, ReplicasChange};
use smartops_common::denial::Rule;

use crate::break_glass::{self, Glass};
use crate::cel::Inputs;
use crate::exception::Lifting;
use crate::facts::Facts;
use crate::judge::Needs;
use crate::policy::{CompiledPolicy, Fit, Mode};
use crate::rules::evidence::Evidence;
use crate::rules::replicas::{OnViolation, Replicas};
use crate::rules::{Case, Readings};
use crate::subject::Subject;
use crate::verdict::{Effect, Outcome};

/// What is to be changed before the change is judged.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Amendment {
    /// A JSON Patch of the object under review; empty where nothing is to be changed.
    pub ops: Vec<PatchOp>,
    /// For whoever asked, at most 120 characters each.
    pub warnings: Vec<String>,
    /// Each policy that clamped, for metrics.
    pub outcomes: Vec<Outcome>,
}

/// One operation of a JSON Patch (RFC 6902).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PatchOp {
    /// `add`, which replaces a member that is there.
    pub op: &'static str,
    /// A JSON pointer.
    pub path: String,
    /// The number to stand there.
    pub value: i64,
}

/// A policy that says how many replicas there may be.
struct Binding<'p> {
    policy: &'p CompiledPolicy,
    rule: &'p Replicas,
}

/// What is to be amended in a change before it is judged. Nothing where any policy refuses the number asked for:
/// a clamp never turns a refusal into something smaller.
///
/// # Errors
/// What is lacking to say so.
pub fn amend(
    change: &Change<'_>,
    subject: &Subject,
    facts: &Facts<'_>,
    now: Timestamp,
) -> Result<Amendment, Needs> {
    if subject.is_control_plane() || !change.has_spec() {
        return Ok(Amendment::default());
    }
    let inputs = Inputs::new(change, subject);
    let readings = Readings::default();
    let case = Case { change, subject, facts, inputs: &inputs, readings: &readings, now };
    let (binding, number) = binding(&case)?;
    let Some((ReplicasChange { old, new: Some(asked) }, pointer)) = number else {
        return Ok(Amendment::default());
    };
    let old = old.or_else(|| case.predecessor().and_then(|record| record.replicas));
    let has_window = binding.iter().any(|b| b.rule.has_window());
    let record = if has_window { case.evidence()? } else { Evidence::Nothing };
    let violation = |rule: &Replicas, number: i64| {
        let is_automation = subject.is_automation();
        let over_time = || rule.window_violation(record.record()?, now, old, number, is_automation);
        rule.violation(old, number, is_automation).or_else(over_time)
    };
    let clamping = |b: &Binding<'_>| b.rule.on_violation() == OnViolation::Clamp;
    if binding.iter().any(|b| !clamping(b) && violation(b.rule, asked).is_some()) {
        return Ok(Amendment::default());
    }
    let mut value = asked;
    // Each pass obeys one more policy; after as many passes as policies the value stands or there is none.
    for _ in 0..binding.len() {
        for Binding { rule, .. } in &binding {
            value = violation(rule, value).map_or(value, |v| v.nearest);
        }
    }
    if value == asked || binding.iter().any(|b| violation(b.rule, value).is_some()) {
        return Ok(Amendment::default());
    }
    if let Glass::Broken(_) = break_glass::ask(&case)? {
        return Ok(Amendment::default());
    }
    let clamped = binding.iter().filter(|b| clamping(b) && violation(b.rule, asked).is_some());
    let mut names: Vec<Arc<str>> = clamped.map(|b| Arc::clone(b.policy.name())).collect();
    names.sort();
    let field = pointer.trim_start_matches('/').replace('/', ".");
    Ok(Amendment {
        ops: vec![PatchOp { op: "add", path: pointer, value }],
        warnings: names
            .iter()
            .map(|name| {
                let text = format!("{name}/replicas: {field} {asked} was set to {value}");
                crate::verdict::shortened(&text, 120)
            })
            .collect(),
        outcomes: names
            .into_iter()
            .map(|policy| Outcome { policy, rule: Rule::Replicas, effect: Effect::Clamp })
            .collect(),
    })
}

/// The policies that bind the number, and the number with its JSON pointer.
#[expect(clippy::type_complexity, reason = "a pair that is taken apart at once")]
fn binding<'p>(
    case: &Case<'p>,
) -> Result<(Vec<Binding<'p>>, Option<(ReplicasChange, String)>), Needs> {
    let Case { change, subject, facts, inputs, .. } = *case;
    let mut binding = Vec::new();
    let mut found = change.replicas().zip(change.replicas_pointer().map(str::to_owned));
    let mut needs = Needs::default();
    for policy in facts.policies.iter().map(|a| &a.policy).filter(|p| p.mode() == Mode::Enforce) {
        let wants_a_warrant = policy.rules().want_a_warrant();
        let rule = policy.rules().replicas.as_ref();
        if rule.is_none() && !wants_a_warrant {
            continue;
        }
        match policy.fit(change, subject, facts.related, inputs) {
            Fit::No => continue,
            Fit::Needs => {
                needs.related = true;
                continue;
            }
            // What was announced is written as it was announced, or not at all.
            Fit::Yes { .. } if wants_a_warrant => return Ok((Vec::new(), None)),
            Fit::Yes { reach, .. } => match Lifting::of(policy, reach, case, &[Rule::Replicas]) {
                Ok(lifting) if lifting.lift(Rule::Replicas).is_some() => continue,
                Ok(_) => {}
                Err(lacking) => {
                    needs.also(Err(lacking));
                    continue;
                }
            },
        }
        if let Some(path) = policy.number(change) {
            // What cannot be read is refused by the judgement.
            let number = change.number_at(path).ok().flatten();
            // A Scale has its own, found already.
            found = found.or_else(|| number.map(|number| (number, path.pointer())));
        }
        binding.extend(rule.map(|rule| Binding { policy, rule }));
    }
    needs.or_ok().map(|()| (binding, found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::{Judgement, judge};
    use crate::policy::Applied;
    use crate::rules::replicas::ReplicasSpec;
    use crate::sample;

    fn policy(name: &str, max: i32, on_violation: OnViolation) -> Applied {
        let mut spec = sample::baseline();
        spec.rules.replicas = Some(ReplicasSpec {
            min: Some(1),
            max: Some(max),
            on_violation,
            ..ReplicasSpec::default()
        });
        sample::applied(name, &spec)
    }

    fn amended(policies: &[Applied], old: i64, asked: i64) -> Vec<i64> {
        let scale = sample::scale(old, asked);
        let facts = sample::facts(policies);
        let person = sample::person();
        let amendment = amend(&scale.change(), &person, &facts, sample::now()).unwrap();
        amendment.ops.iter().map(|op| op.value).collect()
    }

    #[test]
    fn a_clamp_brings_the_number_to_the_nearest_allowed_one() {
        let clamp = [policy("a", 10, OnViolation::Clamp)];
        assert_eq!(amended(&clamp, 3, 50), [10]);
        assert_eq!(amended(&clamp, 3, 0), [1]);
        assert_eq!(amended(&clamp, 3, 10), [] as [i64; 0]);
    }

    #[test]
    fn the_tightest_clamp_wins_and_order_never_matters() {
        let (wide, tight) =
            (policy("a", 10, OnViolation::Clamp), policy("b", 6, OnViolation::Clamp));
        assert_eq!(amended(&[wide.clone(), tight.clone()], 3, 50), [6]);
        assert_eq!(amended(&[tight, wide], 3, 50), [6]);
    }

    #[test]
    fn nothing_is_clamped_where_a_policy_refuses_and_the_refusal_stands() {
        let both = [policy("a", 10, OnViolation::Clamp), policy("b", 20, OnViolation::Deny)];
        assert_eq!(amended(&both, 3, 50), [] as [i64; 0]);
        assert_eq!(amended(&both, 3, 15), [10]);
        let scale = sample::scale(3, 50);
        let judged =
            judge(&scale.change(), &sample::person(), &sample::facts(&both), sample::now());
        let Judgement::Final(verdict) = judged else { panic!("nothing is missing") };
        assert_eq!(verdict.denial().unwrap().causes.len(), 2);
    }

    #[test]
    fn warning_and_audit_modes_never_clamp() {
        for mode in [Mode::Warn, Mode::Audit] {
            let mut spec = sample::baseline();
            spec.mode = mode;
            spec.rules.replicas = Some(ReplicasSpec {
                max: Some(5),
                on_violation: OnViolation::Clamp,
                ..ReplicasSpec::default()
            });
            assert_eq!(amended(&[sample::applied("a", &spec)], 3, 50), [] as [i64; 0]);
        }
    }

    #[test]
    fn what_needs_a_warrant_is_never_clamped() {
        let controller = |warrant: bool| {
            let mut spec = sample::baseline();
            let include = r#"{"automation":true}"#;
            spec.match_.subjects = Some(crate::policy::SubjectMatch {
                include: Some(serde_json::from_str(include).unwrap()),
                exclude: None,
            });
            let rules = r#"{"replicas":{"max":10,"onViolation":"Clamp"}}"#;
            spec.rules = serde_json::from_str(rules).unwrap();
            let rule = crate::rules::warrant::WarrantSpec { required: true, approval: false };
            spec.rules.warrant = warrant.then_some(rule);
            sample::applied("p", &spec)
        };
        let another = policy("another", 10, OnViolation::Clamp);
        for (warrant, expected) in [(false, &[10][..]), (true, &[])] {
            let policies = [another.clone(), controller(warrant)];
            let write = sample::scale(3, 50);
            let facts = sample::facts(&policies);
            let subject = sample::controller();
            let amended = amend(&write.change(), &subject, &facts, sample::now()).unwrap();
            let values: Vec<i64> = amended.ops.iter().map(|op| op.value).collect();
            assert_eq!(values, expected);
        }
    }

    #[test]
    fn on_the_object_the_number_alone_is_patched() {
        let old = sample::deployment(r#"{"replicas":3}"#);
        let new = sample::deployment(r#"{"replicas":30}"#);
        let write = sample::Write::update("", &old, &new);
        let policies = [policy("a", 10, OnViolation::Clamp)];
        let amendment =
            amend(&write.change(), &sample::person(), &sample::facts(&policies), sample::now())
                .unwrap();
        let patch = serde_json::to_string(&amendment.ops).unwrap();
        assert_eq!(patch, r#"[{"op":"add","path":"/spec/replicas","value":10}]"#);
        assert_eq!(amendment.warnings, ["a/replicas: spec.replicas 30 was set to 10"]);
    }
}
