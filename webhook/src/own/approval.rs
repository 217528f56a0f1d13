//! A written RemediationApproval: whether its writer may decide at all, and whether what he decides over waits for just
//! that. One that is made stays as it was, by its schema; one that is deleted counts no more.

use std::borrow::Cow;

use jiff::Timestamp;
use smartops_common::action::{ActionType, Intent, PatchFormat};
use smartops_common::approval::RemediationApproval;
use smartops_common::config::SmartOpsConfigSpec;
use smartops_common::remediation::{Phase, Proposal, Remediation};
use smartops_guard::policy::Flaw;

use super::answer::flaw;

/// Most characters of a patch that a message shows.
const LONGEST_PATCH: usize = 200;

/// What is wrong with it for its writer, whatever it is about.
pub(super) fn flaws_of_approver(
    approval: &RemediationApproval,
    config: &SmartOpsConfigSpec,
    user: &str,
    groups: &[Cow<'_, str>],
) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    let found = &approval.spec.approver;
    if found != user {
        let reason = format!(
            "says {found:?} and is stamped with who decides, {user:?}; another webhook changed it, or the stamp is not in \
             service: see the MutatingWebhookConfiguration smartops-own"
        );
        flaws.push(flaw("spec.approver", reason));
    }
    if !config.may_approve(user, groups) {
        let reason = match config.approval.groups.as_slice() {
            [] => "nobody may approve yet; have an operator name groups in spec.approval.groups of the SmartOpsConfig"
                .to_owned(),
            allowed => format!(
                "{user} may not approve; members of {} may who are not automation: have one of them decide",
                allowed.join(", ")
            ),
        };
        flaws.push(flaw("spec.approver", reason));
    }
    flaws
}

/// What is wrong with it given the Remediation of that name as it is now.
pub(super) fn flaws_about(
    approval: &RemediationApproval,
    remediation: Option<&Remediation>,
    now: Timestamp,
) -> Vec<Flaw> {
    let spec = &approval.spec;
    let (name, uid) = (&spec.remediation.name, &spec.remediation.uid);
    let Some(remediation) = remediation else {
        let reason = format!("there is no Remediation {name:?} here; name one of this namespace");
        return vec![flaw("spec.remediation.name", reason)];
    };
    let is = remediation.metadata.uid.as_deref().unwrap_or_default();
    if is != uid {
        let reason = format!(
            "is {uid:?} and the Remediation {name} is {is:?}; it was made anew, look at it again"
        );
        return vec![flaw("spec.remediation.uid", reason)];
    }
    let mut flaws: Vec<Flaw> = parties(remediation, &spec.approver).into_iter().collect();
    let proposal = remediation.status.as_ref().and_then(|status| status.proposal.as_ref());
    let waits = remediation.phase() == Phase::AwaitingApproval;
    match proposal.filter(|_| waits) {
        None => {
            let phase = remediation.phase().as_str();
            let reason = format!("{name} does not wait for approval: it is {phase}");
            flaws.push(flaw("spec.remediation.name", reason));
        }
        Some(proposal) if proposal.expires_at.0 <= now => {
            let reason = format!(
                "{name} waited until {} and ends; ask for the remedy anew",
                proposal.expires_at.0
            );
            flaws.push(flaw("spec.remediation.name", reason));
        }
        Some(proposal) if proposal.hash != spec.intent_hash => {
            let reason = format!(
                "is not what {name} waits for, which is {} and would {}; approve that, if it is meant",
                proposal.hash,
                told(remediation, proposal),
            );
            flaws.push(flaw("spec.intentHash", reason));
        }
        Some(_) => {}
    }
    flaws
}

/// That nobody decides over what he asked for himself.
fn parties(remediation: &Remediation, approver: &str) -> Option<Flaw> {
    let spec = &remediation.spec;
    let part = if spec.requested_by == approver {
        "asked for"
    } else if spec.created_by == approver {
        "made"
    } else {
        return None;
    };
    let reason = format!(
        "{approver} {part} this Remediation, and two people are needed: have another one decide"
    );
    Some(flaw("spec.approver", reason))
}

/// What a proposal comes to, in words.
fn told(remediation: &Remediation, proposal: &Proposal) -> String {
    let name = &remediation.spec.target.name;
    let Intent { type_, replicas, restarted_at, patch, .. } = &proposal.intent;
    match (type_, replicas, restarted_at, patch) {
        (ActionType::Scale, Some(replicas), ..) => format!("scale {name} to {replicas}"),
        (ActionType::Restart, _, Some(at), _) => format!("restart {name} (as of {at})"),
        (ActionType::Patch, _, _, Some(patch)) => {
            let format = match patch.format {
                PatchFormat::Strategic => "a strategic patch",
                PatchFormat::Json => "a JSON patch",
            };
            let body: String = patch.body.chars().take(LONGEST_PATCH).collect();
            let more = if body.len() < patch.body.len() { "…" } else { "" };
            format!("patch {name} by {format}, {body}{more}")
        }
        (type_, ..) => format!("{type_} {name}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use smartops_common::config::Approval;

    use super::super::remediation::tests::remediation;
    use super::*;

    const HASH: &str = "h-now";

    fn approval(approver: &str, uid: &str, hash: &str) -> RemediationApproval {
        serde_json::from_value(json!({
            "apiVersion": "smartops.dev/v1alpha1", "kind": "RemediationApproval", "metadata": {"name": "a"},
            "spec": {"remediation": {"name": "web-more", "uid": uid}, "intentHash": hash,
                     "decision": "Approve", "approver": approver},
        }))
        .unwrap()
    }

    /// One that waits at 10:00 until 10:15, asked for by alice through bob.
    fn waiting(intent: &Value) -> Remediation {
        let mut waiting = remediation(&json!({"createdBy": "bob"}));
        let status = json!({"phase": "AwaitingApproval", "proposal": {
            "intent": intent, "target": {"uid": "u-1", "generation": 3, "resourceVersion": "7"},
            "hash": HASH, "proposedAt": "2026-11-21T10:00:00Z", "expiresAt": "2026-11-21T10:15:00Z",
        }});
        waiting.status = Some(serde_json::from_value(status).unwrap());
        waiting
    }

    fn told_about(approval: &RemediationApproval, about: Option<&Remediation>) -> Vec<String> {
        let now = "2026-11-21T10:05:00Z".parse().unwrap();
        let flaws = flaws_about(approval, about, now);
        flaws.into_iter().map(|flaw| format!("{}: {}", flaw.field, flaw.reason)).collect()
    }

    fn scale() -> Value {
        json!({"type": "scale", "replicas": 7})
    }

    #[test]
    fn a_third_person_decides_over_exactly_what_waits() {
        let waits = waiting(&scale());
        assert_eq!(told_about(&approval("carol", "r-1", HASH), Some(&waits)), [] as [&str; 0]);
        for (approver, uid, hash, word) in [
            ("alice", "r-1", HASH, "spec.approver: alice asked for this Remediation"),
            ("bob", "r-1", HASH, "spec.approver: bob made this Remediation"),
            ("carol", "r-2", HASH, "spec.remediation.uid: is \"r-2\""),
            (
                "carol",
                "r-1",
                "h-old",
                "spec.intentHash: is not what web-more waits for, which is h-now and would scale web to 7",
            ),
        ] {
            let told = told_about(&approval(approver, uid, hash), Some(&waits));
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(told[0].starts_with(word), "{told:?}");
        }
        let none = told_about(&approval("carol", "r-1", HASH), None);
        assert!(none[0].starts_with("spec.remediation.name: there is no Remediation"), "{none:?}");
    }

    #[test]
    fn what_does_not_wait_or_waited_too_long_is_not_decided_over() {
        let good = approval("carol", "r-1", HASH);
        for phase in ["Pending", "Executing", "Verifying", "Succeeded"] {
            let mut other = waiting(&scale());
            other.status.as_mut().unwrap().phase = serde_json::from_value(json!(phase)).unwrap();
            let told = told_about(&good, Some(&other));
            assert_eq!(
                told,
                [format!(
                    "spec.remediation.name: web-more does not wait for approval: it is {phase}"
                )]
            );
        }
        let over = "2026-11-21T10:15:00Z".parse().unwrap();
        assert_eq!(flaws_about(&good, Some(&waiting(&scale())), over).len(), 1);
        let just = "2026-11-21T10:14:59Z".parse().unwrap();
        assert_eq!(flaws_about(&good, Some(&waiting(&scale())), just), []);
    }

    #[test]
    fn a_changed_plan_is_told_in_words() {
        let long = format!("[{}]", "x".repeat(300));
        for (intent, words) in [
            (
                json!({"type": "restart", "restartedAt": "2026-11-21T10:00:00Z"}),
                "restart web (as of 2026-11-21T10:00:00Z)",
            ),
            (
                json!({"type": "patch", "patch": {"format": "json", "body": "[]"}}),
                "patch web by a JSON patch, []",
            ),
            (json!({"type": "patch", "patch": {"format": "strategic", "body": long}}), "x…"),
            // What is told is what the type says, whatever else stands there.
            (
                json!({"type": "patch", "replicas": 4, "patch": {"format": "json", "body": "[]"}}),
                "patch web by a JSON patch, []",
            ),
            (
                json!({"type": "restart", "replicas": 4, "restartedAt": "now"}),
                "restart web (as of now)",
            ),
            (json!({"type": "patch", "replicas": 4}), "would patch web"),
        ] {
            let told = told_about(&approval("carol", "r-1", "h-old"), Some(&waiting(&intent)));
            assert!(told[0].contains(&format!("{words}; approve that")), "{told:?}");
        }
    }

    #[test]
    fn only_a_member_of_the_named_groups_decides_and_never_automation() {
        let config = |groups: &[&str]| {
            let groups = groups.iter().map(|group| (*group).to_owned()).collect();
            let approval = Approval { groups, ..Approval::default() };
            let mut config = SmartOpsConfigSpec { approval, ..SmartOpsConfigSpec::default() };
            config.automation.groups.push("bots".to_owned());
            config
        };
        let flaws = |approver: &str, groups: &[&'static str], allowed: &[&str]| {
            let groups: Vec<Cow<'_, str>> = groups.iter().map(|group| (*group).into()).collect();
            let flaws = flaws_of_approver(
                &approval(approver, "r-1", HASH),
                &config(allowed),
                "carol",
                &groups,
            );
            flaws.into_iter().map(|flaw| flaw.reason).collect::<Vec<_>>()
        };
        assert_eq!(flaws("carol", &["leads"], &["leads", "sre"]), [] as [&str; 0]);
        let outside = flaws("carol", &["devs"], &["leads", "sre"]);
        assert!(outside[0].contains("members of leads, sre may"), "{outside:?}");
        assert_eq!(flaws("carol", &["leads", "bots"], &["leads"]).len(), 1);
        assert!(flaws("carol", &["leads"], &[])[0].starts_with("nobody may approve yet"));
        assert!(flaws("dave", &["leads"], &["leads"])[0].starts_with("says \"dave\""));
    }
}
