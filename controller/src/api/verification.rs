//! `POST /v1/verify/deployment`: watch a rollout for a while and say how it stands.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use smartops_common::remediation::{Observed, VerificationStatus};
use tokio::time::Instant;

use super::auth::Deed;
use super::problem::Problem;
use super::{Api, Incoming};
use crate::failure::Failure;
use crate::payload::{Fields, Invalid};
use crate::remediation::trace;
use crate::verify::rollout::{self, Assessment};

/// Default and most of `timeout_seconds`.
const TIMEOUT_SECONDS: (u32, u32) = (60, 300);
/// Default and most of `poll_interval_seconds`.
const POLL_SECONDS: (u32, u32) = (5, 60);

#[derive(Debug, PartialEq)]
struct Asked {
    namespace: Option<String>,
    deployment: String,
    timeout: Duration,
    poll: Duration,
}

/// `POST /v1/verify/deployment`
pub async fn deployment(api: Arc<Api>, incoming: Incoming) -> Result<Response, Problem> {
    let asked = read(&incoming.body)?;
    let namespace = asked.namespace.unwrap_or_else(|| api.default_namespace.clone());
    let found = api.target(&incoming.caller, Deed::VERIFY, &namespace, &asked.deployment).await?;
    let begun = Instant::now();
    let span = trace::watch(&namespace, &found.name);
    let watching = watch(&api, &namespace, &found.name, asked.timeout, asked.poll);
    let (status, message, observed) = span.around(watching).await?;
    trace::judged(&span, status, &message);
    api.metrics
        .orchestrator
        .verification_latency
        .with_label_values(&[status.as_str()])
        .observe(begun.elapsed().as_secs_f64());
    Ok(Json(reply(status, &message, observed)).into_response())
}

fn reply(status: VerificationStatus, message: &str, observed: Observed) -> Value {
    json!({"status": status.as_str(), "message": message, "observed": observed})
}

fn read(body: &Value) -> Result<Asked, Invalid> {
    let fields = Fields::new(body)?;
    let seconds = |name, (default, most)| {
        fields.seconds(name, default, most).map(|s| Duration::from_secs(s.into()))
    };
    Ok(Asked {
        namespace: fields.namespace("namespace")?.map(str::to_owned),
        deployment: fields.string("deployment")?.to_owned(),
        timeout: seconds("timeout_seconds", TIMEOUT_SECONDS)?,
        poll: seconds("poll_interval_seconds", POLL_SECONDS)?,
    })
}

/// Looks until the rollout has come to an end or the time is up. An API server that does not answer now and then is
/// waited for; one that never did is an error.
async fn watch(
    api: &Api,
    namespace: &str,
    name: &str,
    timeout: Duration,
    poll: Duration,
) -> Result<(VerificationStatus, String, Observed), Problem> {
    let deadline = Instant::now() + timeout;
    let mut last: Option<(String, Observed)> = None;
    let mut was_healthy = false;
    loop {
        let mut pause = poll;
        let seen = tokio::time::timeout_at(deadline, look(api, namespace, name)).await;
        let silent = || Failure::Unavailable("the API server did not answer in time".into());
        match seen.unwrap_or_else(|_| Err(silent())) {
            Ok(Some((observed, Assessment::Healthy))) if was_healthy => {
                return Ok((VerificationStatus::Success, "Deployment healthy".into(), observed));
            }
            // One look is not enough: a rollout may be healthy for a blink.
            Ok(Some((observed, Assessment::Healthy))) => {
                was_healthy = true;
                pause = pause.min(rollout::STEADY.unsigned_abs());
                last = Some(("healthy at the last look alone".into(), observed));
            }
            Ok(Some((observed, Assessment::Failed(reason, words)))) => {
                return Ok((VerificationStatus::Failed, format!("{reason}: {words}"), observed));
            }
            Ok(Some((observed, Assessment::Progressing(words)))) => {
                was_healthy = false;
                last = Some((words, observed));
            }
            Ok(None) => {
                let observed = last.map_or_else(Observed::default, |(_, observed)| observed);
                let words = format!("Deployment {name} was deleted meanwhile");
                return Ok((VerificationStatus::Failed, words, observed));
            }
            Err(failure @ (Failure::Unavailable(_) | Failure::NotNow { .. })) => {
                if last.is_none() && Instant::now() >= deadline {
                    return Err(failure.into());
                }
            }
            Err(failure) => return Err(failure.into()),
        }
        let now = Instant::now();
        if now >= deadline {
            let (words, observed) = last.unwrap_or_default();
            let message = format!("not healthy after {} s: {words}", timeout.as_secs());
            return Ok((VerificationStatus::Timeout, message, observed));
        }
        tokio::time::sleep_until((now + pause).min(deadline)).await;
    }
}

async fn look(
    api: &Api,
    namespace: &str,
    name: &str,
) -> Result<Option<(Observed, Assessment)>, Failure> {
    let Some(live) = api.cluster.deployment(namespace, name).await? else { return Ok(None) };
    let pods = api.cluster.pods(namespace, &live).await?;
    Ok(Some(rollout::assess(&live, &pods.iter().collect::<Vec<_>>(), None)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_contracts_defaults_and_bounds() {
        let asked = read(&json!({"deployment": "web"})).unwrap();
        assert_eq!((asked.timeout.as_secs(), asked.poll.as_secs()), (60, 5));
        for (field, value) in [
            ("timeout_seconds", json!(0)),
            ("timeout_seconds", json!(301)),
            ("poll_interval_seconds", json!(0)),
            ("poll_interval_seconds", json!("5")),
            ("deployment", json!(4)),
        ] {
            let mut body = json!({"deployment": "web"});
            body[field] = value;
            assert_eq!(read(&body).unwrap_err().field, field);
        }
    }

    #[test]
    fn the_reply_has_the_contracts_fields() {
        let observed = Observed { updated_replicas: 4, ready_replicas: 4, ..Observed::default() };
        let reply = reply(VerificationStatus::Success, "Deployment healthy", observed);
        assert_eq!(reply["status"], "SUCCESS");
        assert_eq!(reply["observed"]["updated_replicas"], 4);
        assert_eq!(reply["observed"]["ready_replicas"], 4);
    }
}
