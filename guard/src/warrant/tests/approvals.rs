//! Whose word counts, for what and how long.

use super::*;

/// The refusal of an attempt that has to be approved, with these approvals.
fn decided(remediation: &Remediation, approvals: &[RemediationApproval]) -> Option<String> {
    let remediations = std::slice::from_ref(remediation);
    refusal(&verdict_as(&scale(3, 4), &controller(), remediations, approvals, false))
}

#[test]
fn an_approval_counts_from_somebody_else_for_this_very_intent_and_for_a_while() {
    let mut asked = remediation(&scale_intent(4));
    asked.spec.require_approval = true;
    let by = |who: &str| approval(&asked, who, Decision::Approve);
    let edited = |edit: fn(&mut RemediationApproval)| {
        let mut approval = by("carol");
        edit(&mut approval);
        approval
    };
    for (approvals, expected) in [
        (vec![by("carol")], None),
        (vec![], Some("none counts")),
        (vec![by("alice")], Some("none counts")),
        (vec![by("controller")], Some("none counts")),
        (vec![by("")], Some("none counts")),
        (vec![edited(|a| a.spec.intent_hash = "0".repeat(64))], Some("none counts")),
        (vec![edited(|a| a.spec.remediation.uid = "r2".into())], Some("none counts")),
        (vec![edited(|a| a.metadata.namespace = Some("elsewhere".into()))], Some("none counts")),
        (
            vec![edited(|a| a.metadata.creation_timestamp = Some(time("2026-01-01T11:45:00Z")))],
            Some("none counts"),
        ),
        (
            vec![edited(|a| a.metadata.creation_timestamp = Some(time("2026-01-01T11:45:01Z")))],
            None,
        ),
        (vec![by("carol"), approval(&asked, "dave", Decision::Reject)], Some("dave rejected")),
        (vec![by("carol"), approval(&asked, "alice", Decision::Reject)], None),
    ] {
        let refusal = decided(&asked, &approvals);
        assert_eq!(refusal.is_some(), expected.is_some(), "{approvals:?} {refusal:?}");
        assert!(refusal.unwrap_or_default().contains(expected.unwrap_or_default()));
    }
    insta::assert_snapshot!(decided(&asked, &[]).unwrap(), @": what attempt 1 of Remediation web-1 would write needs an approval, and none counts: have somebody who may, and neither asked for it nor made it, create a RemediationApproval with intentHash 76c70b11adebe9bd0d5166536debd2e3b25153d4446474c8d8f2685b8a32dfc3");
}

#[test]
fn an_approval_ends_with_the_proposal_it_was_for() {
    let mut asked = remediation(&scale_intent(4));
    asked.spec.require_approval = true;
    let attempt = last(&mut asked).clone();
    let hash = intent_hash("r1", &attempt.target, &attempt.intent, None);
    let expires_at = |text| Proposal {
        intent: attempt.intent.clone(),
        target: attempt.target.clone(),
        hash: hash.clone(),
        proposed_at: time("2026-01-01T11:59:00Z"),
        expires_at: time(text),
    };
    for (text, passes) in [("2026-01-01T12:00:00Z", false), ("2026-01-01T12:00:01Z", true)] {
        asked.status.as_mut().unwrap().proposal = Some(expires_at(text));
        let approvals = [approval(&asked, "carol", Decision::Approve)];
        assert_eq!(decided(&asked, &approvals).is_none(), passes, "{text}");
    }
}

#[test]
fn a_policy_may_ask_for_approval_where_the_remediation_does_not() {
    let announced = [remediation(&scale_intent(4))];
    let mut spec = crate::policy::shipped().remove(2).spec;
    spec.rules.warrant.as_mut().unwrap().approval = true;
    let mut policies = sample::shipped_policies();
    policies.push(sample::applied("careful", &spec));
    let approved = [approval(&announced[0], "carol", Decision::Approve)];
    for (approvals, passes) in [(&[][..], false), (&approved[..], true)] {
        let facts = Facts {
            warrants: Warrants::Known(&announced),
            approvals: Approvals::Known(approvals),
            ..sample::facts(&policies)
        };
        let verdict = sample::verdict_with(&scale(3, 4), &controller(), &facts);
        assert_eq!(refusal(&verdict).is_none(), passes);
    }
}
