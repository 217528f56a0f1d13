//! `/v1/k8s/{scale,restart,patch}` and `/v1/actions/execute`: a request becomes one Remediation, and the caller waits
//! for its end, or until somebody else has to approve it.

mod asked;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kube::runtime::reflector::ObjectRef;
use smartops_common::action::ActionType;
use smartops_common::remediation::{Phase, Remediation};

use self::asked::Asked;
use super::auth::Deed;
use super::problem::Problem;
use super::{Api, Incoming, answer, remediations};
use crate::intake::place::Order;
use crate::intake::{self, Submitted};

/// How long a caller waits for the end before being told where to find it.
const WAIT: Duration = Duration::from_secs(30);
/// How often the watched Remediation is looked at meanwhile; it costs no call.
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// Seconds between two looks at the rollout.
const VERIFY_POLL_SECONDS: u32 = 1;

/// `POST /v1/k8s/scale`
pub async fn scale(api: Arc<Api>, incoming: Incoming) -> Result<Response, Problem> {
    let asked = asked::direct(&incoming.body, ActionType::Scale)?;
    carry_out(&api, &incoming, asked).await
}

/// `POST /v1/k8s/restart`
pub async fn restart(api: Arc<Api>, incoming: Incoming) -> Result<Response, Problem> {
    let asked = asked::direct(&incoming.body, ActionType::Restart)?;
    carry_out(&api, &incoming, asked).await
}

/// `POST /v1/k8s/patch`
pub async fn patch(api: Arc<Api>, incoming: Incoming) -> Result<Response, Problem> {
    let asked = asked::direct(&incoming.body, ActionType::Patch)?;
    carry_out(&api, &incoming, asked).await
}

/// `POST /v1/actions/execute`
pub async fn execute(api: Arc<Api>, incoming: Incoming) -> Result<Response, Problem> {
    let asked = asked::envelope(&incoming.body)?;
    carry_out(&api, &incoming, asked).await
}

async fn carry_out(api: &Api, incoming: &Incoming, asked: Asked) -> Result<Response, Problem> {
    let namespace = asked.namespace.unwrap_or_else(|| api.default_namespace.clone());
    let type_ = asked.action.type_;
    let caller = &incoming.caller;
    let found = api.found(caller, Deed::of(type_), &namespace, &asked.name).await?;
    let governed = api.governed(&namespace, &found.labels).await?;
    let order = Order {
        namespace,
        target: found.target,
        action: asked.action,
        cause: format!("api/{type_}"),
        source: caller.source,
        requested_by: caller.name.clone(),
        idempotency: incoming.idempotency.clone(),
        signal: None,
        dry_run: asked.dry_run,
        require_approval: asked.require_approval,
        verify: asked.verify,
        verify_timeout_seconds: asked.verify_timeout_seconds,
        verify_poll_seconds: VERIFY_POLL_SECONDS,
        checks: governed.checks,
        handling: governed.handling,
    };
    match intake::submit(&api.cluster, &order, api.clock.now()).await? {
        Submitted::Busy(open) => Err(Problem::busy(&open)),
        Submitted::Taken(known) => Err(Problem::key_taken(&known)),
        Submitted::Created(made) | Submitted::Joined(made) => reply(api, *made).await,
    }
}

async fn reply(api: &Api, made: Remediation) -> Result<Response, Problem> {
    let begun = Instant::now();
    if !made.is_open() {
        return Ok(Json(answer::ended(&made, begun.elapsed())?).into_response());
    }
    let key = ObjectRef::from_obj(&made);
    // One of the same name that was deleted is another, and the watch may be behind.
    let look_up = || api.remediations.get(&key).filter(|s| s.metadata.uid == made.metadata.uid);
    let find_end = async {
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            look.tick().await;
            let is_told = |s: &Remediation| !s.is_open() || s.phase() == Phase::AwaitingApproval;
            if let Some(seen) = look_up().filter(|s| is_told(s)) {
                return seen;
            }
        }
    };
    let seen = tokio::time::timeout(WAIT, find_end).await;
    if let Some(end) = seen.as_ref().ok().filter(|seen| !seen.is_open()) {
        return Ok(Json(answer::ended(end, begun.elapsed())?).into_response());
    }
    let seen = seen.ok().or_else(look_up);
    let latest = seen.map_or_else(|| made.clone(), |seen| (*seen).clone());
    let mut response =
        (StatusCode::ACCEPTED, Json(answer::going_on(&latest, begun.elapsed()))).into_response();
    if let Ok(location) = HeaderValue::from_str(&remediations::location(&latest)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}
