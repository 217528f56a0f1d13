//! What a request asks for, read off its body: which action of what, and how.

use serde_json::Value;
use smartops_common::action::{
    Action, ActionType, EvictPodParameters, HpaBoundsParameters, RollbackParameters,
};

use crate::action::patch as patches;
use crate::payload::{Fields, Invalid};

/// Default and most of `verify_timeout_seconds`.
const VERIFY_SECONDS: (u32, u32) = (60, 3600);

/// A request, read.
#[derive(Debug, PartialEq)]
pub(super) struct Asked {
    pub(super) namespace: Option<String>,
    pub(super) name: String,
    pub(super) action: Action,
    pub(super) dry_run: bool,
    pub(super) require_approval: bool,
    pub(super) verify: bool,
    pub(super) verify_timeout_seconds: u32,
}

/// A request of one of the routes that take one action each.
pub(super) fn direct(body: &Value, type_: ActionType) -> Result<Asked, Invalid> {
    let fields = Fields::new(body)?;
    Ok(Asked {
        namespace: fields.namespace("namespace")?.map(str::to_owned),
        name: fields.string("deployment")?.to_owned(),
        action: action(&fields, type_)?,
        dry_run: fields.flag("dry_run")?,
        require_approval: fields.flag("require_approval")?,
        verify: false,
        verify_timeout_seconds: VERIFY_SECONDS.0,
    })
}

/// A request of the route that takes every action.
pub(super) fn envelope(body: &Value) -> Result<Asked, Invalid> {
    const TYPES: &str =
        "give scale, restart, patch, rollback, evict_pod, pause, resume or hpa_bounds";
    let fields = Fields::new(body)?;
    let type_ = fields.string("type")?;
    let type_ = ActionType::ALL
        .into_iter()
        .find(|known| known.as_str() == type_.replace('_', "-"))
        .ok_or_else(|| fields.invalid("type", format!("{type_:?} is no action"), TYPES))?;
    let target = fields.object("target")?;
    if let Some(kind) = target.optional_string("kind")?
        && kind != "Deployment"
    {
        let problem = format!("{kind:?} cannot be acted on");
        return Err(target.invalid("kind", problem, "give Deployment"));
    }
    let action = match type_ {
        ActionType::Scale => action(&fields.object("scale")?, type_)?,
        _ => action(&fields, type_)?,
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

fn action(fields: &Fields<'_>, type_: ActionType) -> Result<Action, Invalid> {
    match type_ {
        ActionType::Scale => Ok(Action::scale_to(fields.integer("replicas", 0, i32::MAX)?)),
        ActionType::Restart => Ok(Action::restart()),
        ActionType::Patch => {
            const ALLOWED: &str =
                "give a merge-style object, a JSON Patch array or one JSON Patch operation";
            let patch = fields.required("patch", ALLOWED)?;
            patches::parse(patch).map_err(|e| fields.invalid("patch", e.0, ALLOWED))
        }
        ActionType::Rollback => {
            let parameters = optional(fields, "rollback")?
                .filter(|given| given.value("to_revision").is_some())
                .map(|given| given.integer("to_revision", 1, i32::MAX))
                .transpose()?;
            let rollback = parameters.map(|to| RollbackParameters { to_revision: to.into() });
            Ok(Action { rollback, ..Action::of(type_) })
        }
        ActionType::EvictPod => {
            let pod = optional(fields, "evict_pod")?
                .map(|given| given.optional_string("pod").map(|pod| pod.map(str::to_owned)))
                .transpose()?
                .flatten();
            let evict_pod = pod.map(|pod| EvictPodParameters { pod });
            Ok(Action { evict_pod, ..Action::of(type_) })
        }
        ActionType::Pause | ActionType::Resume => Ok(Action::of(type_)),
        ActionType::HpaBounds => {
            let given = fields.object("hpa_bounds")?;
            let bound =
                |name| given.value(name).map(|_| given.integer(name, 1, i32::MAX)).transpose();
            let (min_replicas, max_replicas) = (bound("min_replicas")?, bound("max_replicas")?);
            if min_replicas.is_none() && max_replicas.is_none() {
                let allowed = "give min_replicas, max_replicas or both";
                return Err(fields.invalid("hpa_bounds", "says no bound", allowed));
            }
            let bounds = HpaBoundsParameters {
                min_replicas,
                max_replicas,
                ..HpaBoundsParameters::default()
            };
            Ok(Action { hpa_bounds: Some(bounds), ..Action::of(type_) })
        }
    }
}

/// The object within of this name, where there is one.
fn optional<'a>(fields: &Fields<'a>, name: &str) -> Result<Option<Fields<'a>>, Invalid> {
    fields.value(name).map(|_| fields.object(name)).transpose()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_contracts_requests_read_as_they_stand() {
        let scale = json!({"namespace": "smartops-dev", "deployment": "erp-simulator", "replicas": 4, "dry_run": false});
        let asked = direct(&scale, ActionType::Scale).unwrap();
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
        let asked = envelope(&execute).unwrap();
        assert_eq!(asked.action, Action::scale_to(6));
        assert_eq!(asked.namespace.as_deref(), Some("ns"));
        assert!(asked.verify && asked.require_approval);
    }

    #[test]
    fn every_form_of_patch_is_read_by_both_routes() {
        let merge = json!({"spec": {"template": {"metadata": {"annotations": {"a": "b"}}}}});
        let operation = json!({"op": "replace", "path": "/spec/replicas", "value": 2});
        for patch in [merge.clone(), json!({"patch": merge}), json!([operation]), operation] {
            let one = json!({"deployment": "web", "patch": patch});
            let wrapped =
                json!({"type": "patch", "target": {"name": "web"}, "patch": {"patch": patch}});
            let direct = direct(&one, ActionType::Patch).unwrap();
            if patch.get("patch").is_none() {
                assert_eq!(envelope(&wrapped).unwrap().action, direct.action);
            }
        }
    }

    #[test]
    fn each_field_that_is_wrong_is_named() {
        let bodies = [
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
        for (body, type_, field) in bodies {
            assert_eq!(direct(&body, type_).unwrap_err().field, field, "{body}");
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
            assert_eq!(envelope(&body).unwrap_err().field, field, "{body}");
        }
    }

    #[test]
    fn the_further_actions_are_read_with_their_parameters_which_some_may_leave_out() {
        let of = |type_: &str, parameters: Value| {
            let mut body = json!({"type": type_, "target": {"name": "web"}});
            if let (Some(body), Some(parameters)) = (body.as_object_mut(), parameters.as_object()) {
                body.extend(parameters.clone());
            }
            envelope(&body).map(|asked| serde_json::to_value(asked.action).unwrap())
        };
        let none = || json!({});
        for (type_, parameters, expected) in [
            ("rollback", none(), json!({"type": "rollback"})),
            ("rollback", json!({"rollback": {}}), json!({"type": "rollback"})),
            (
                "rollback",
                json!({"rollback": {"to_revision": 3}}),
                json!({"type": "rollback", "rollback": {"toRevision": 3}}),
            ),
            ("evict_pod", none(), json!({"type": "evict-pod"})),
            (
                "evict-pod",
                json!({"evict_pod": {"pod": "web-x"}}),
                json!({"type": "evict-pod", "evictPod": {"pod": "web-x"}}),
            ),
            ("pause", none(), json!({"type": "pause"})),
            ("resume", none(), json!({"type": "resume"})),
            (
                "hpa_bounds",
                json!({"hpa_bounds": {"max_replicas": 8}}),
                json!({"type": "hpa-bounds", "hpaBounds": {"maxReplicas": 8}}),
            ),
        ] {
            assert_eq!(of(type_, parameters.clone()), Ok(expected), "{type_} {parameters}");
        }
        for (type_, parameters, field) in [
            ("rollback", json!({"rollback": {"to_revision": 0}}), "rollback.to_revision"),
            ("rollback", json!({"rollback": "3"}), "rollback"),
            ("evict_pod", json!({"evict_pod": {"pod": ""}}), "evict_pod.pod"),
            ("hpa_bounds", none(), "hpa_bounds"),
            ("hpa_bounds", json!({"hpa_bounds": {}}), "hpa_bounds"),
            ("hpa_bounds", json!({"hpa_bounds": {"min_replicas": 0}}), "hpa_bounds.min_replicas"),
        ] {
            assert_eq!(of(type_, parameters.clone()).unwrap_err().field, field, "{parameters}");
        }
    }
}
