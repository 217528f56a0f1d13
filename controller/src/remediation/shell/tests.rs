//! The shell against a scripted API server whose admission does not believe it.

use std::convert::Infallible;
use std::sync::Mutex;
use std::time::Instant;

use axum::body::Body;
use axum::http::{Method, Response};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Client;
use serde_json::{Value, json};
use smartops_common::action::Action as Asked;
use smartops_process::metrics::Metrics;
use tokio::sync::watch;
use tower::service_fn;

use super::*;
use crate::failure::Silence;
use crate::fixture::{deployment, remediation};
use crate::metrics::ControllerMetrics;
use crate::remediation::refusals::PATIENCE;

const AUTOSCALERS: &str = "/apis/autoscaling/v2/namespaces/ns/horizontalpodautoscalers";
const REMEDIATION: &str = "/apis/smartops.dev/v1alpha1/namespaces/ns/remediations/a";

/// A shell whose statuses are refused with this answer wherever they add an attempt, and what was offered.
fn refused(refusal: &Value) -> (Arc<Shell>, Arc<Mutex<Vec<Value>>>) {
    scripted(&remediation("a", Asked::restart()), refusal, None)
}

/// A shell of this one, and what was offered; whoever reads there is told this, and no attempt is believed.
fn answering(
    remediation: &Remediation,
    path: &'static str,
    answer: &Value,
) -> (Arc<Shell>, Arc<Mutex<Vec<Value>>>) {
    scripted(remediation, &denial("undecided", Some(1)), Some((path, answer.clone())))
}

fn scripted(
    remediation: &Remediation,
    refusal: &Value,
    read: Option<(&'static str, Value)>,
) -> (Arc<Shell>, Arc<Mutex<Vec<Value>>>) {
    let offered = Arc::new(Mutex::new(Vec::new()));
    let (log, refusal) = (Arc::clone(&offered), refusal.clone());
    let stored = serde_json::to_value(remediation).unwrap();
    let server = service_fn(move |request: axum::http::Request<kube::client::Body>| {
        let (log, refusal, stored) = (Arc::clone(&log), refusal.clone(), stored.clone());
        let read = read.clone();
        async move {
            let (parts, body) = request.into_parts();
            let sent = body.collect_bytes().await.unwrap_or_default();
            let answer = match (parts.method, parts.uri.path()) {
                (Method::GET, path) if read.as_ref().is_some_and(|(of, _)| *of == path) => {
                    read.map_or(Value::Null, |(_, answer)| answer)
                }
                (Method::GET, REMEDIATION) => stored,
                (Method::GET, "/apis/apps/v1/namespaces/ns/deployments/web") => {
                    deployment(3).stored().clone()
                }
                (Method::GET, "/apis/smartops.dev/v1alpha1/namespaces/ns/remediations") => {
                    json!({"metadata": {}, "items": [stored]})
                }
                (Method::PUT, path) if path == format!("{REMEDIATION}/status") => {
                    let wanted: Value = serde_json::from_slice(&sent).unwrap();
                    log.lock().unwrap().push(wanted["status"].clone());
                    if wanted["status"]["attempts"].is_array() { refusal } else { wanted }
                }
                _ => json!({"kind": "Status", "code": 404, "message": "not here"}),
            };
            let code = answer["code"].as_u64().and_then(|code| u16::try_from(code).ok());
            let response = Response::builder().status(code.unwrap_or(200));
            Ok::<_, Infallible>(response.body(Body::from(answer.to_string())).unwrap())
        }
    });
    let metrics = ControllerMetrics::new(&Metrics::new("controller").unwrap()).unwrap();
    let cluster = Cluster::new(Client::new(server, "default"), metrics.clone());
    let shell = Shell {
        switch: crate::switch::Switch::untouched(),
        crowd: Crowd::new(kube::runtime::reflector::store().0),
        teller: Teller::new(&cluster, metrics, "one"),
        cluster,
        clock: Clock,
        leader: "controller/1".into(),
        cooldown: SignedDuration::from_secs(300),
        refusals: Refusals::default(),
        prometheus: Prometheus::at(None).unwrap(),
        leadership: leadership(true, Duration::from_secs(10)),
        shutdown: Shutdown::new(),
    };
    (Arc::new(shell), offered)
}

/// A leader that relies on it for so long; or a replica that does not lead.
fn leadership(leads: bool, for_: Duration) -> Leadership {
    let until = leads.then(|| tokio::time::Instant::now() + for_);
    Leadership::new(watch::channel(leads).1, watch::channel(until).1)
}

/// As if statuses of it had been refused for this many seconds already.
fn refused_since(shell: &Shell, seconds: u64) {
    let now = Instant::now();
    for ago in (0..=seconds).rev().step_by(60) {
        shell.refusals.note("a", now.checked_sub(Duration::from_secs(ago)).unwrap());
    }
}

fn denial(rule: &str, retry_after: Option<u32>) -> Value {
    json!({
        "kind": "Status", "status": "Failure", "code": 403, "reason": "Forbidden",
        "message": "that is not so",
        "details": {"group": "smartops.dev", "retryAfterSeconds": retry_after, "causes": [
            {"reason": rule, "field": "status.attempts[0].former.template", "message": "no"}]},
    })
}

async fn reconciled(shell: &Arc<Shell>) -> Result<Action, Interrupted> {
    let seen = Arc::new(remediation("a", Asked::restart()));
    reconcile(seen, Arc::clone(shell)).await
}

#[tokio::test]
async fn a_remediation_whose_status_was_refused_for_five_minutes_ends_without_an_attempt() {
    let invalid = json!({"kind": "Status", "code": 422, "message": "that is not so"});
    for refusal in [denial("invalid", None), denial("invalid", Some(1)), invalid] {
        let (shell, offered) = refused(&refusal);
        refused_since(&shell, PATIENCE.as_secs());
        reconciled(&shell).await.unwrap();
        let offered = offered.lock().unwrap();
        let [begun, end] = offered.as_slice() else { panic!("{offered:?}") };
        assert_eq!(begun["phase"], "Executing");
        assert_eq!((&end["phase"], &end["attempts"]), (&json!("Failed"), &Value::Null));
        assert_eq!(end["outcome"]["reason"], "RecordRefused");
        let words = end["outcome"]["message"].as_str().unwrap();
        assert!(words.contains("that is not so"), "{words}");
    }
}

#[tokio::test]
async fn one_refused_for_less_or_not_judged_at_all_is_offered_again() {
    let table = [
        (denial("invalid", None), PATIENCE.as_secs() - 60),
        (denial("invalid", Some(1)), PATIENCE.as_secs() - 60),
        // Nobody could tell whether it is true: that is no refusal.
        (denial("undecided", Some(1)), PATIENCE.as_secs()),
        (json!({"kind": "Status", "code": 500, "message": "webhook is gone"}), PATIENCE.as_secs()),
    ];
    for (refusal, seconds) in table {
        let (shell, offered) = refused(&refusal);
        refused_since(&shell, seconds);
        let failure = reconciled(&shell).await.unwrap_err();
        assert_eq!(offered.lock().unwrap().len(), 1, "{failure:?}");
    }
}

#[tokio::test]
async fn a_step_that_failed_is_repeated_when_the_api_server_asks_for_it_and_after_a_second_else() {
    let (shell, _) = refused(&denial("undecided", Some(1)));
    let busy = |retry_after| Silence { message: "busy".into(), retry_after };
    let seven = Duration::from_secs(7);
    for (failure, expected) in [
        (Failure::Unavailable(busy(Some(seven))), seven),
        (Failure::Unavailable(busy(None)), AFTER_FAILURE),
        (Failure::NotNow { message: "budget".into(), retry_after: seven }, seven),
        (Failure::NotFound("gone".into()), AFTER_FAILURE),
    ] {
        let r = Arc::new(remediation("a", Asked::restart()));
        let again = retry_later(r, &Interrupted::Failed(failure), Arc::clone(&shell));
        assert_eq!(again, Action::requeue(expected));
    }
}

#[tokio::test]
async fn whatever_a_step_needs_and_may_not_be_read_ends_it_at_once_and_silence_once_it_is_old_news()
{
    let forbidden = json!({"kind": "Status", "code": 403, "message": "no",
        "details": {"kind": "horizontalpodautoscalers", "group": "autoscaling"}});
    let silent = json!({"kind": "Status", "code": 503, "message": "busy"});
    let absent = json!({"kind": "Status", "code": 404, "message": "not here"});
    let old = remediation("a", Asked::scale_to(5));
    let mut new = old.clone();
    new.metadata.creation_timestamp = Some(Time(Clock.now()));
    for (r, answer, phase, reason) in [
        (&new, &forbidden, Some("Skipped"), Some("Forbidden")),
        (&new, &silent, None, None),
        (&old, &silent, Some("Skipped"), Some("Stale")),
        // Where none are served there are none.
        (&new, &absent, Some("Executing"), None),
    ] {
        let (shell, offered) = answering(r, AUTOSCALERS, answer);
        let stepped = reconciled(&shell).await;
        let offered = offered.lock().unwrap();
        let text = |pointer| offered.first().and_then(|status| status.pointer(pointer)?.as_str());
        assert_eq!((text("/phase"), text("/outcome/reason")), (phase, reason), "{answer}");
        assert_eq!(stepped.is_ok(), reason.is_some(), "what has not ended is looked at again");
    }
}

#[tokio::test]
async fn a_replica_that_does_not_lead_or_is_stopping_leaves_everything_to_the_one_that_does() {
    let followed = leadership(false, Duration::ZERO);
    let leads = leadership(true, Duration::from_secs(10));
    for (leadership, stops, offers) in
        [(followed, false, 0), (leads.clone(), true, 0), (leads, false, 1)]
    {
        let (mut shell, offered) = refused(&denial("undecided", Some(1)));
        let own = Arc::get_mut(&mut shell).unwrap();
        own.leadership = leadership;
        if stops {
            own.shutdown.stop();
        }
        let action = reconciled(&shell).await;
        assert_eq!(offered.lock().unwrap().len(), offers);
        assert_eq!(action.is_ok(), offers == 0, "{action:?}");
    }
}

#[tokio::test]
async fn a_leader_whose_hold_has_passed_sends_nothing_and_looks_again_without_an_error() {
    let (mut shell, offered) = refused(&denial("undecided", Some(1)));
    Arc::get_mut(&mut shell).unwrap().leadership = leadership(true, Duration::ZERO);
    let why = reconciled(&shell).await.unwrap_err();
    assert_eq!((offered.lock().unwrap().len(), &why), (0, &Interrupted::NotLeading));
    let again = retry_later(Arc::new(remediation("a", Asked::restart())), &why, shell);
    assert_eq!(again, Action::requeue(AFTER_FAILURE));
}
