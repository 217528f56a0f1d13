//! `/v1/closed-loop`: the kill switch and how it stands. It lives in the status of the SmartOpsConfig, where every replica
//! watches it; turning it here is answered once it stands there.

use std::sync::Arc;

use axum::Json;
use axum::response::{IntoResponse, Response};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::Value;
use smartops_common::config::ClosedLoop;

use super::problem::Problem;
use super::{Api, Incoming};
use crate::failure::Failure;
use crate::payload::{Fields, Invalid};

/// `GET /v1/closed-loop`
pub async fn show(api: Arc<Api>, _incoming: Incoming) -> Result<Response, Problem> {
    Ok(Json(api.cluster.closed_loop().await?).into_response())
}

/// `PATCH /v1/closed-loop`
pub async fn turn(api: Arc<Api>, incoming: Incoming) -> Result<Response, Problem> {
    let fields = Fields::new(&incoming.body)?;
    let enabled = fields.boolean("enabled")?;
    let reason = reason(&fields)?;
    set(&api, &incoming, enabled, reason).await
}

/// `PATCH /close-loop/disable`, as an older runbook has it. The body may say why.
pub async fn disable(api: Arc<Api>, incoming: Incoming) -> Result<Response, Problem> {
    let reason = match &incoming.body {
        Value::Null => None,
        body => reason(&Fields::new(body)?)?,
    };
    set(&api, &incoming, false, reason).await
}

fn reason(fields: &Fields<'_>) -> Result<Option<String>, Invalid> {
    Ok(fields.optional_string("reason")?.map(str::to_owned))
}

async fn set(
    api: &Api,
    incoming: &Incoming,
    enabled: bool,
    reason: Option<String>,
) -> Result<Response, Problem> {
    let caller = &incoming.caller;
    if !api.authenticator.may_switch(caller, &api.cluster).await? {
        return Err(Problem::no_switch(&caller.name));
    }
    let wanted = ClosedLoop {
        enabled,
        changed_by: Some(caller.name.clone()),
        changed_at: Some(Time(api.clock.now())),
        reason,
    };
    let turned =
        api.cluster.switch_closed_loop(&wanted).await.map_err(|failure| match failure {
            Failure::NotFound(_) => Problem::no_config(),
            other => other.into(),
        })?;
    tracing::warn!(enabled, caller = %caller.name, reason = wanted.reason, "the closed loop was switched");
    Ok(Json(turned).into_response())
}
