//! `/v1/k8s/{scale,restart,patch}` and `/v1/actions/execute`: a request becomes one Remediation, and the caller waits
//! for its end, or until somebody else has to approve it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kube::runtime::reflector::ObjectRef;
use serde_json::Value;
use smartops_common::action::{Action, ActionType};
use smartops_common::remediation::{Phase, Remediation};

use super::auth::Deed;
use super::problem::Problem;
use super::{Api, Incoming, answer};
use crate::action::patch as patches;
use crate::intake::place::Order;
use crate::intake::{self, Submitted};
use crate::payload::{Fields, Invalid};

/// How long a caller waits for the end before being told where to find it.
const WAIT: Duration = Duration::from_secs(30);
/// How often the watched Remediation is looked at meanwhile; it costs no call.
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// Default and most of `verify_timeout_seconds`.
const VERIFY_SECONDS: (u32, u32) = (60, 3600);
/// Seconds between two looks at the rollout.
const VERIFY_POLL_SECONDS: u32 = 1;

/// A request, read.
#[derive(Debug, PartialEq)]
struct Asked {
    namespace: Option<String>,
    name: String,
    action: Action,
    dry_run: bool,
    require_approval: bool,
    verify: bool,
    verify_timeout_seconds: u32,
}

/// `POST /v1/k8s/scale`
pub async fn scale(api: Arc<Api>, incoming: Incoming) -> Result<Response, Problem> {
    let asked = read_direct(&incoming.body, ActionType::Scale)?;
    carry_out(&api, &incoming, asked).await
}

/// `POST /v1/k8s/restart`
pub async fn restart(api: Arc<Api>, incoming: Incoming) -> Result<Response, Problem> {
    let asked = read_direct(&incoming.body, ActionType::Restart)?;
    carry_out(&api, &incoming, asked).await
}

/// `POST /v1/k8s/patch`
pub async fn patch(api: Arc<Api>, incoming: Incoming) -> Result<Response, Problem> {
    let asked = read_direct(&incoming.body, ActionType::Patch)?;
    carry_out(&api, &incoming, asked).await
}

/// `POST /v1/actions/execute`
pub async fn execute(api: Arc<Api>, incoming: Incoming) -> Result<Response, Problem> {
    let asked = read_envelope(&incoming.body)?;
    carry_out(&api, &incoming, asked).await
}

fn read_direct(body: &Value, type_: ActionType) -> Result<Asked, Invalid> {
    let fields = Fields::new(body)?;
    Ok(Asked {
        namespace: fields.namespace("namespace")?.map(str::to_owned),
        name: fields.string("deployment")?.to_owned(),
        action: read_action(&fields, type_)?,
        dry_run: fields.flag("dry_run")?,
        require_approval: fields.flag("require_approval")?,
        verify: false,
        verify_timeout_seconds: VERIFY_SECONDS.0,
    })
}

fn read_envelope(body: &Value) -> Result<Asked, Invalid> {
    const TYPES: &str = "give scale, restart or patch";
    let fields = Fields::new(body)?;
    let type_ = fields.string("type")?;
    let type_ = [ActionType::Scale, ActionType::Restart, ActionType::Patch]
        .into_iter()
        .find(|t| t.as_str() == type_)
        .ok_or_else(|| fields.invalid("type", format!("{type_:?} is no action"), TYPES))?;
    let target = fields.object("target")?;
    if let Some(kind) = target.optional_string("kind")?
        && kind != "Deployment"
    {
        let problem = format!("{kind:?} cannot be acted on");
        return Err(target.invalid("kind", problem, "give Deployment"));
    }
    let action = match type_ {
        ActionType::Scale => read_action(&fields.object("scale")?, type_)?,
        _ => read_action(&fields, type_)?,
    };
    Ok(Asked {
        namespace: target.namespace("namespace")?.map(str::to_owned),
        name: target.string("name")?.to_owned(),
        action,
        dry_run: fields.flag("dry_run")?,
        require_approval: fields.flag("require_approval")?,
        verify: fields.flag("verify")?,
        verify_timeout_seconds: fields.seconds(
            "verify_timeout_seconds",
            VERIFY_SECONDS.0,
            VERIFY_SECONDS.1,
        )?,
    })
}

fn read_action(fields: &Fields<'_>, type_: ActionType) -> Result<Action, Invalid> {
    match type_ {
        ActionType::Scale => Ok(Action::scale_to(fields.integer("replicas", 0, i32::MAX)?)),
        ActionType::Restart => Ok(Action::restart()),
        ActionType::Patch => {
            const ALLOWED: &str =
                "give a merge-style object, a JSON Patch array or one JSON Patch operation";
            let patch = fields.required("patch", ALLOWED)?;
            patches::parse(patch).map_err(|e| fields.invalid("patch", e.0, ALLOWED))
        }
        _ => Ok(Action::of(type_)),
    }
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
    let find_end = async {
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            look.tick().await;
            let seen = api.remediations.get(&key);
            let is_told = |s: &Remediation| !s.is_open() || s.phase() == Phase::AwaitingApproval;
            if let Some(seen) = seen.filter(|s| s.metadata.uid == made.metadata.uid && is_told(s)) {
                return seen;
            }
        }
    };
    let seen = tokio::time::timeout(WAIT, find_end).await;
    if let Some(end) = seen.as_ref().ok().filter(|seen| !seen.is_open()) {
        return Ok(Json(answer::ended(end, begun.elapsed())?).into_response());
    }
    let seen = seen.ok().or_else(|| api.remediations.get(&key));
    let latest = seen.map_or(made, |seen| (*seen).clone());
    let mut response =
        (StatusCode::ACCEPTED, Json(answer::going_on(&latest, begun.elapsed()))).into_response();
    if let Ok(location) = HeaderValue::from_str(&answer::location(&latest)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_contracts_requests_read_as_they_stand() {
        let scale = json!({"namespace": "smartops-dev", "deployment": "erp-simulator", "replicas": 4, "dry_run": false});
        let asked = read_direct(&scale, ActionType::Scale).unwrap();
        assert_eq!(asked.action, Action::scale_to(4));
        assert_eq!(
            (asked.name.as_str(), asked.dry_run, asked.verify),
            ("erp-simulator", false, false)
        );

        assert!(!asked.require_approval);

        let execute = json!({
            "type": "scale", "dry_run": false, "verify": true, "verify_timeout_seconds": 60,
            "require_approval": true,
            "target": {"kind": "Deployment", "namespace": "ns", "name": "web"}, "scale": {"replicas": 6},
        });
        let asked = read_envelope(&execute).unwrap();
        assert_eq!(asked.action, Action::scale_to(6));
        assert_eq!(asked.namespace.as_deref(), Some("ns"));
        assert!(asked.verify && asked.require_approval);
    }

    #[test]
    fn every_form_of_patch_is_read_by_both_routes() {
        let merge = json!({"spec": {"template": {"metadata": {"annotations": {"a": "b"}}}}});
        let operation = json!({"op": "replace", "path": "/spec/replicas", "value": 2});
        for patch in [merge.clone(), json!({"patch": merge}), json!([operation]), operation] {
            let direct = json!({"deployment": "web", "patch": patch});
            let wrapped =
                json!({"type": "patch", "target": {"name": "web"}, "patch": {"patch": patch}});
            let direct = read_direct(&direct, ActionType::Patch).unwrap();
            if patch.get("patch").is_none() {
                assert_eq!(read_envelope(&wrapped).unwrap().action, direct.action);
            }
        }
    }

    #[test]
    fn each_field_that_is_wrong_is_named() {
        let direct = [
            (json!({"replicas": 4}), ActionType::Scale, "deployment"),
            (json!({"deployment": "web"}), ActionType::Scale, "replicas"),
            (json!({"deployment": "web", "replicas": "4"}), ActionType::Scale, "replicas"),
            (json!({"deployment": "web", "replicas": -1}), ActionType::Scale, "replicas"),
            (
                json!({"deployment": "web", "replicas": 3_000_000_000_u32}),
                ActionType::Scale,
                "replicas",
            ),
            (json!({"deployment": "web", "dry_run": 1}), ActionType::Restart, "dry_run"),
            (
                json!({"deployment": "web", "require_approval": "yes"}),
                ActionType::Restart,
                "require_approval",
            ),
            (json!({"deployment": "web", "namespace": ""}), ActionType::Restart, "namespace"),
            (json!({"deployment": "web"}), ActionType::Patch, "patch"),
            (json!({"deployment": "web", "patch": "x"}), ActionType::Patch, "patch"),
        ];
        for (body, type_, field) in direct {
            assert_eq!(read_direct(&body, type_).unwrap_err().field, field, "{body}");
        }
        let envelopes = [
            (json!({}), "type"),
            (json!({"type": "explode"}), "type"),
            (json!({"type": "restart"}), "target"),
            (json!({"type": "restart", "target": {}}), "target.name"),
            (json!({"type": "restart", "target": {"kind": "Pod", "name": "x"}}), "target.kind"),
            (json!({"type": "scale", "target": {"name": "x"}}), "scale"),
            (json!({"type": "scale", "target": {"name": "x"}, "scale": {}}), "scale.replicas"),
            (
                json!({"type": "restart", "target": {"name": "x"}, "verify_timeout_seconds": 0}),
                "verify_timeout_seconds",
            ),
        ];
        for (body, field) in envelopes {
            assert_eq!(read_envelope(&body).unwrap_err().field, field, "{body}");
        }
    }
}
