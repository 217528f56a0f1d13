//! What a caller is told about the Remediation its request became: the envelope where something was done or tried,
//! a problem where it was refused. Pure.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};
use smartops_common::action::{ActionType, Intent};
use smartops_common::remediation::{
    Attempt, AttemptKind, AttemptResult, Phase, Remediation, RemediationStatus, Verification,
    VerificationStatus,
};

use super::problem::Problem;
use crate::remediation::approval;
use crate::remediation::machine::reason;
use crate::remediation::record::APPROVED;

/// The reply to a request whose Remediation has ended, `took` after it was made.
pub fn ended(remediation: &Remediation, took: Duration) -> Result<Value, Problem> {
    let Some(status) = remediation.status.as_ref() else {
        return Err(Problem::internal("the Remediation has no status"));
    };
    let why = status.outcome.as_ref().map_or("", |o| o.reason.as_str());
    let words = status.outcome.as_ref().map_or("", |o| o.message.as_str());
    let name = remediation.metadata.name.as_deref().unwrap_or_default();
    let refused = |code, kind, title| {
        let mut problem = Problem::new(code, kind, title, words);
        problem.members.insert("remediation".into(), name.into());
        Err(problem)
    };
    match status.phase {
        Phase::Denied => {
            let mut problem = match &status.denial {
                Some(denial) => Problem::denied(denial),
                None => Problem::internal("the denial was not recorded"),
            };
            problem.members.insert("remediation".into(), name.into());
            Err(problem)
        }
        Phase::Skipped | Phase::Cancelled | Phase::Failed if why == reason::TARGET_GONE => {
            refused(StatusCode::NOT_FOUND, "unknown-target", "The target is gone")
        }
        Phase::Skipped | Phase::Cancelled => {
            refused(StatusCode::CONFLICT, "not-begun", "Not begun")
        }
        Phase::Failed if [reason::APPROVAL_STALE, reason::REJECTED_BY_APPROVER].contains(&why) => {
            refused(StatusCode::CONFLICT, "not-approved", "Not approved any more")
        }
        Phase::Failed if !was_written(status) && status.verification.is_none() => match why {
            reason::FORBIDDEN => {
                refused(StatusCode::FORBIDDEN, "forbidden", "Refused by the cluster")
            }
            reason::MALFORMED => refused(StatusCode::BAD_REQUEST, "malformed", "Malformed request"),
            reason::REJECTED => {
                refused(StatusCode::UNPROCESSABLE_ENTITY, "rejected", "Rejected by the cluster")
            }
            reason::CONTENDED => {
                refused(StatusCode::CONFLICT, "conflict", "The target keeps moving")
            }
            _ => {
                refused(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Could not be carried out")
            }
        },
        _ => Ok(envelope(remediation, status, words, took)),
    }
}

/// The reply to a request whose Remediation goes on, `took` after it was made: where it stands, and whose word it waits
/// for. The caller finds its end at the Location.
pub fn going_on(remediation: &Remediation, took: Duration) -> Value {
    let name = remediation.metadata.name.as_deref().unwrap_or_default();
    let namespace = remediation.metadata.namespace.as_deref().unwrap_or_default();
    let status = remediation.status.clone().unwrap_or_default();
    let words = format!("accepted and still going on: see Remediation {namespace}/{name}");
    let mut reply = envelope(remediation, &status, &words, took);
    reply["state"] = status.phase.as_str().into();
    reply["details"]["runner"]["status"] = "running".into();
    if let Some(proposal) =
        status.proposal.as_ref().filter(|_| status.phase == Phase::AwaitingApproval)
    {
        let request = status.conditions.iter().find(|condition| condition.type_ == APPROVED);
        let words = request.map_or("waits for approval", |condition| condition.message.as_str());
        reply["message"] = message(remediation, words).into();
        reply["details"]["runner"]["status"] = "waiting".into();
        reply["approval"] = json!({
            "intentHash": proposal.hash,
            "expiresAt": proposal.expires_at,
            "intent": proposal.intent,
            "create": approval::manifest(remediation, proposal),
        });
    }
    reply
}

fn was_written(status: &RemediationStatus) -> bool {
    status.attempts.iter().any(|a| a.result == Some(AttemptResult::Written))
}

fn envelope(
    remediation: &Remediation,
    status: &RemediationStatus,
    words: &str,
    took: Duration,
) -> Value {
    let spec = &remediation.spec;
    let success = matches!(status.phase, Phase::Succeeded | Phase::DryRun);
    let attempt = asked_for(status);
    let done = attempt.and_then(|a| a.result).is_some_and(|r| {
        matches!(r, AttemptResult::Written | AttemptResult::Unchanged | AttemptResult::DryRun)
    });
    let error = if done { Value::Null } else { attempt.and_then(|a| a.message.clone()).into() };
    let unchanged = attempt.and_then(|a| a.result) == Some(AttemptResult::Unchanged);
    let was_taken_back = status.phase == Phase::RolledBack;
    let warnings = if was_taken_back {
        json!(["what was written did not help and was taken back"])
    } else if unchanged {
        json!(["nothing was written: the Deployment already was as asked"])
    } else {
        Value::Null
    };
    // What was seen last is the rollout of the undo, and that is not what was asked about.
    let verification = if status.attempts.iter().any(|a| a.kind == AttemptKind::Undo) {
        let observed = status.verification.as_ref().and_then(|seen| seen.observed);
        let verdict = VerificationStatus::Failed.as_str();
        json!({"status": verdict, "message": words, "observed": observed})
    } else {
        json!(status.verification.as_ref().map(verification))
    };
    json!({
        "success": success,
        "message": message(remediation, words),
        "dry_run": spec.dry_run,
        "details": {
            "runner": {
                "status": if done { "success" } else { "failed" },
                "attempts": status.attempts.len(),
                "duration_seconds": took.as_secs_f64(),
                "result": result(remediation, status),
                "error": error,
            },
            "remediation": remediation.metadata.name,
        },
        "verification": verification,
        "warnings": warnings,
    })
}

/// The last attempt at what was asked for: taking back is not.
fn asked_for(status: &RemediationStatus) -> Option<&Attempt> {
    status.attempts.iter().rfind(|attempt| attempt.kind == AttemptKind::Apply)
}

fn message(remediation: &Remediation, words: &str) -> String {
    let spec = &remediation.spec;
    let namespace = remediation.metadata.namespace.as_deref().unwrap_or_default();
    format!("{} of Deployment {namespace}/{}: {words}", spec.action.type_, spec.target.name)
}

fn result(remediation: &Remediation, status: &RemediationStatus) -> Value {
    let spec = &remediation.spec;
    let mut result = json!({
        "name": spec.target.name,
        "namespace": remediation.metadata.namespace,
        "dry_run": spec.dry_run,
    });
    if let Some(intent) = asked_for(status).map(|attempt| &attempt.intent) {
        let (name, value) = values(intent);
        result[name] = value;
    }
    result
}

/// What an attempt writes, or would: the exact values of its intent.
fn values(intent: &Intent) -> (&'static str, Value) {
    match intent.type_ {
        ActionType::Scale => ("replicas", intent.replicas.into()),
        ActionType::Restart => ("restartedAt", intent.restarted_at.clone().into()),
        ActionType::Patch => {
            let body = intent.patch.as_ref().map(|patch| serde_json::from_str(&patch.body));
            ("patch", body.and_then(Result::ok).unwrap_or_default())
        }
        ActionType::Rollback => ("revision", json!(intent.revision)),
        ActionType::EvictPod => ("pod", json!(intent.pod)),
        ActionType::Pause | ActionType::Resume => {
            ("paused", (intent.type_ == ActionType::Pause).into())
        }
        ActionType::HpaBounds => {
            let bounds = intent.bounds.as_ref();
            let said = bounds.map(|b| json!({"name": b.name, "min_replicas": b.min_replicas, "max_replicas": b.max_replicas}));
            ("hpa_bounds", json!(said))
        }
    }
}

fn verification(verification: &Verification) -> Value {
    json!({
        "status": verification.status.map(VerificationStatus::as_str),
        "message": verification.message,
        "observed": verification.observed,
    })
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use smartops_common::action::Action;
    use smartops_common::denial::{Cause, Denial, Rule};
    use smartops_common::remediation::Observed;

    use super::*;
    use crate::api::remediations::location;
    use crate::failure::Failure;
    use crate::fixture::{at, deployment, remediation};
    use crate::remediation::machine::{self, Facts, Step, Written, after_write};
    use crate::remediation::means::Means;
    use crate::remediation::record;
    use crate::remediation::surroundings::Surroundings;

    const TOOK: Duration = Duration::from_millis(30);

    fn begun(action: Action, verify: bool, dry_run: bool) -> Remediation {
        let mut r = remediation("a", action);
        r.spec.verify = verify;
        r.spec.dry_run = dry_run;
        let live = deployment(3);
        let intent = crate::action::plan(&r.spec.action, None, &live, at(10)).unwrap();
        let mut status = RemediationStatus::default();
        record::begin(&mut status, intent, &live, "me", at(10));
        r.status = Some(status);
        r
    }

    fn after(mut r: Remediation, outcome: Written) -> Remediation {
        r.status = Some(after_write(&r, outcome, at(10)));
        r
    }

    #[test]
    fn a_scale_that_was_written_is_told_in_the_contracts_envelope() {
        let committed = Written::Committed(Box::new(deployment(4)));
        let reply =
            ended(&after(begun(Action::scale_to(4), false, false), committed), TOOK).unwrap();
        assert_eq!(reply["success"], true);
        assert_eq!(reply["dry_run"], false);
        assert_eq!(reply["verification"], Value::Null);
        assert_eq!(reply["warnings"], Value::Null);
        let runner = &reply["details"]["runner"];
        assert_eq!(runner["status"], "success");
        assert_eq!(runner["attempts"], 1);
        assert_eq!(runner["duration_seconds"], 0.03);
        assert_eq!(runner["error"], Value::Null);
        let result = &runner["result"];
        assert_eq!(result["name"], "web");
        assert_eq!(result["namespace"], "ns");
        assert_eq!(result["replicas"], 4);
        assert_eq!(result["dry_run"], false);
    }

    #[test]
    fn a_dry_run_that_passed_is_a_success_that_says_so() {
        let reply =
            ended(&after(begun(Action::restart(), true, true), Written::Passed), TOOK).unwrap();
        assert_eq!(
            (reply["success"].clone(), reply["dry_run"].clone()),
            (true.into(), true.into())
        );
        assert_eq!(reply["details"]["runner"]["result"]["dry_run"], true);
    }

    #[test]
    fn a_rollout_that_failed_is_no_success_although_the_write_was() {
        let committed = Written::Committed(Box::new(deployment(3)));
        let mut r = after(begun(Action::restart(), true, false), committed);
        let mut status = r.status.clone().unwrap();
        let verdict = VerificationStatus::Failed;
        record::end_verification(&mut status, verdict, "crash", Observed::default(), at(20));
        record::finish(&mut status, Phase::Failed, "CrashLoopBackOff", "crash", at(20));
        r.status = Some(status);
        let reply = ended(&r, TOOK).unwrap();
        assert_eq!(reply["success"], false);
        assert_eq!(reply["details"]["runner"]["status"], "success");
        assert_eq!(reply["verification"]["status"], "FAILED");
    }

    #[test]
    fn what_was_taken_back_failed_its_verification_though_the_undo_passed_its_own() {
        let committed = |live| Written::Committed(Box::new(live));
        let mut r = after(begun(Action::scale_to(4), true, false), committed(deployment(4)));
        let mut status = r.status.clone().unwrap();
        let (back, live) = (Intent::scale(3), deployment(3));
        record::begin_undo(&mut status, back, (&live).into(), "me", at(20));
        r.status = Some(status);
        let mut status = after(r.clone(), committed(deployment(3))).status.unwrap();
        let observed = Observed { ready_replicas: 3, ..Observed::default() };
        let verdict = VerificationStatus::Success;
        record::end_verification(&mut status, verdict, "Deployment healthy", observed, at(30));
        record::finish(&mut status, Phase::RolledBack, reason::UNDONE_AND_VERIFIED, "no", at(30));
        r.status = Some(status);
        let reply = ended(&r, TOOK).unwrap();
        assert_eq!(
            (&reply["success"], &reply["verification"]["status"]),
            (&json!(false), &json!("FAILED"))
        );
        assert_eq!(reply["verification"]["observed"]["ready_replicas"], 3);
        assert_eq!(reply["details"]["runner"]["result"]["replicas"], 4, "what was asked for");
        assert!(reply["warnings"][0].as_str().unwrap().contains("taken back"), "{reply}");
    }

    #[test]
    fn a_refusal_is_a_problem_with_its_code_and_words() {
        let denial = Denial {
            message: "at most 10".into(),
            causes: vec![Cause {
                policy: "p".into(),
                rule: Rule::Replicas,
                path: "spec.replicas".into(),
                message: "50 > 10".into(),
            }],
            retry_after_seconds: None,
        };
        let words = String::from("at most 10");
        let table = [
            (Failure::Denied(denial), 422),
            (Failure::Forbidden { by_authorizer: true, message: words.clone() }, 403),
            (Failure::Rejected { code: 400, message: words.clone() }, 400),
            (Failure::Rejected { code: 422, message: words.clone() }, 422),
            (Failure::NotFound(words), 404),
        ];
        for (failure, code) in table {
            let r = after(begun(Action::scale_to(50), false, false), Written::Failed(failure));
            let problem = ended(&r, TOOK).unwrap_err();
            assert_eq!((problem.status.as_u16(), problem.detail.as_str()), (code, "at most 10"));
            assert!(problem.members.contains_key("remediation"));
        }
    }

    #[test]
    fn what_was_not_begun_is_a_conflict() {
        let mut r = remediation("a", Action::restart());
        let mut status = RemediationStatus::default();
        record::finish(&mut status, Phase::Skipped, reason::PAUSED, "paused", at(1));
        r.status = Some(status);
        assert_eq!(ended(&r, TOOK).unwrap_err().status.as_u16(), 409);
    }

    #[test]
    fn what_goes_on_is_found_at_its_location() {
        let r = begun(Action::restart(), true, false);
        let reply = going_on(&r, TOOK);
        assert_eq!(
            (&reply["details"]["runner"]["status"], &reply["state"]),
            (&json!("running"), &json!("Executing"))
        );
        assert_eq!(reply["approval"], Value::Null);
        assert_eq!(location(&r), "/v1/remediations/ns/a");
    }

    #[test]
    fn whoever_must_wait_for_a_word_is_told_what_for_and_how_to_give_it() {
        let live = deployment(3);
        let mut r = remediation("a", Action::scale_to(5));
        r.spec.require_approval = true;
        let facts = Facts {
            live: Some(&live),
            pods: None,
            others: &[],
            now: at(10),
            leader: "me",
            cooldown: SignedDuration::ZERO,
            approvals: &[],
            expiry: SignedDuration::from_secs(900),
            surroundings: &Surroundings::default(),
            means: &Means::default(),
        };
        let Step::Record(status) = machine::step(&r, facts) else { panic!("nothing put forward") };
        r.status = Some(*status);
        let reply = going_on(&r, TOOK);
        assert_eq!(reply["state"], "AwaitingApproval");
        assert_eq!(reply["success"], false);
        assert_eq!(reply["details"]["runner"]["status"], "waiting");
        assert!(reply["message"].as_str().unwrap().contains("from 3 to 5"), "{reply}");
        let asked = &reply["approval"];
        assert_eq!(asked["intent"], json!({"type": "scale", "replicas": 5}));
        assert_eq!(asked["expiresAt"], "1970-01-01T00:15:10Z");
        assert_eq!(asked["create"]["spec"]["intentHash"], asked["intentHash"]);
        assert_eq!(asked["create"]["spec"]["remediation"], json!({"name": "a", "uid": "a"}));
    }
}
