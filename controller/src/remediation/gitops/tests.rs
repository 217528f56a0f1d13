//! Tables: whose object it is, and which of its fields are theirs.

use serde_json::json;

use super::*;
use crate::fixture::edited;

/// A Deployment with these labels and annotations, of whose fields `manager` owns these.
fn managed(labels: &Value, annotations: &Value, manager: &str, fields: &Value) -> Live {
    edited(3, |d| {
        d["metadata"]["labels"] = labels.clone();
        d["metadata"]["annotations"] = annotations.clone();
        d["metadata"]["managedFields"] = json!([
            {"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:spec": {"f:paused": {}}}},
            {"manager": manager, "operation": "Apply", "fieldsV1": fields},
            {"manager": manager, "operation": "Update", "subresource": "status",
             "fieldsV1": {"f:spec": {"f:paused": {}}}},
        ]);
    })
}

fn owned() -> Value {
    json!({"f:spec": {
        "f:replicas": {},
        "f:template": {"f:spec": {"f:containers": {
            "k:{\"name\":\"web\"}": {".": {}, "f:name": {}, "f:image": {}, "f:resources": {"f:limits": {"f:cpu": {}}}}}}},
    }})
}

#[test]
fn each_tool_is_known_by_what_it_writes_and_named_with_its_object() {
    let scale = Action::scale_by(1);
    let none = json!({});
    for (labels, annotations, manager, expected) in [
        (
            none.clone(),
            json!({"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:ns/web"}),
            "argocd-controller",
            Some("Argo CD (Application shop)"),
        ),
        (
            json!({"argocd.argoproj.io/instance": "shop"}),
            none.clone(),
            "argocd-controller",
            Some("Argo CD (Application shop)"),
        ),
        (
            json!({"app.kubernetes.io/instance": "shop"}),
            none.clone(),
            "argocd-controller",
            Some("Argo CD (Application shop)"),
        ),
        (json!({"app.kubernetes.io/instance": "shop"}), none.clone(), "helm", None),
        (
            json!({"kustomize.toolkit.fluxcd.io/name": "apps"}),
            none.clone(),
            "kustomize-controller",
            Some("Flux (Kustomization apps)"),
        ),
        (
            json!({"helm.toolkit.fluxcd.io/name": "web"}),
            none.clone(),
            "helm-controller",
            Some("Flux (HelmRelease web)"),
        ),
        (json!({"helm.toolkit.fluxcd.io/name": "web"}), none.clone(), "kubectl", None),
        (none.clone(), none, "argocd-controller", None),
    ] {
        let live = managed(&labels, &annotations, manager, &owned());
        let told = would_revert(&scale, &live).map(|keeper| keeper.to_string());
        assert_eq!(told.as_deref(), expected, "{labels} {annotations} {manager}");
    }
}

#[test]
fn a_tool_takes_back_what_it_owns_and_leaves_the_rest() {
    let flux = json!({"kustomize.toolkit.fluxcd.io/name": "apps"});
    let live = managed(&flux, &json!({}), "kustomize-controller", &owned());
    let strategic = |body: Value| Action::patch(PatchFormat::Strategic, &body);
    let pointed = |path: &str| {
        Action::patch(PatchFormat::Json, &json!([{"op": "replace", "path": path, "value": 1}]))
    };
    let container = |name: &str, inner: Value| {
        let mut item = inner;
        item["name"] = json!(name);
        strategic(json!({"spec": {"template": {"spec": {"containers": [item]}}}}))
    };
    let annotated = |key: &str| {
        strategic(json!({"spec": {"template": {"metadata": {"annotations": {key: "x"}}}}}))
    };
    for (action, expected) in [
        (Action::scale_by(1), true),
        (Action::restart(), false),
        (Action::of(ActionType::Rollback), true),
        (Action::of(ActionType::EvictPod), false),
        // People paused it, and a status is nobody's source.
        (Action::of(ActionType::Pause), false),
        (strategic(json!({"spec": {"replicas": 4}})), true),
        (container("web", json!({"resources": {"limits": {"cpu": "1"}}})), true),
        (container("web", json!({"resources": {"limits": {"memory": "1Gi"}}})), false),
        (container("other", json!({"resources": {"limits": {"cpu": "1"}}})), false),
        (annotated("smartops/test"), false),
        (annotated(names::RESTARTED_AT), false),
        (pointed("/spec/replicas"), true),
        (pointed("/spec/template/spec/containers/0/resources/limits/cpu"), true),
        (pointed("/spec/template/spec/containers/0/resources"), true),
        (pointed("/spec/template/spec/containers/0/resources/limits/memory"), false),
        (pointed("/spec/template/metadata/annotations/smartops~1test"), false),
    ] {
        assert_eq!(would_revert(&action, &live).is_some(), expected, "{action:?}");
    }
    // The twin: a field nobody keeps elsewhere, where the number is left to an autoscaler.
    let free =
        managed(&flux, &json!({}), "kustomize-controller", &json!({"f:spec": {"f:template": {}}}));
    assert_eq!(would_revert(&Action::scale_by(1), &free), None);
    assert!(would_revert(&annotated("smartops/test"), &free).is_some(), "owned as a whole");
}

#[test]
fn another_controllers_object_is_its_own_with_all_there_is() {
    let owned_by = |controller: bool| {
        edited(3, |d| {
            d["metadata"]["ownerReferences"] = json!([{
                "apiVersion": "example.com/v1", "kind": "Shop", "name": "main", "uid": "o",
                "controller": controller}]);
        })
    };
    for action in [Action::scale_by(1), Action::restart()] {
        let keeper = would_revert(&action, &owned_by(true)).unwrap();
        assert_eq!(keeper.to_string(), "the controller of Shop main");
        assert_eq!(would_revert(&action, &owned_by(false)), None);
    }
}

#[test]
fn a_patch_writes_the_number_of_replicas_where_its_paths_say_so_and_not_where_the_word_stands() {
    let strategic = |body| Action::patch(PatchFormat::Strategic, &body);
    let list = |op: &str, path: &str| {
        Action::patch(PatchFormat::Json, &json!([{"op": op, "path": path, "value": 2}]))
    };
    let env = json!({"name": "web", "env": [{"name": "replicas", "value": "2"}]});
    let container = json!({"spec": {"template": {"spec": {"containers": [env]}}}});
    for (action, expected) in [
        (strategic(json!({"spec": {"replicas": 2}})), true),
        (
            strategic(json!({"spec": {"template": {"metadata": {"labels": {"replicas": "2"}}}}})),
            false,
        ),
        (strategic(container), false),
        (strategic(json!({"spec": {}})), false),
        (list("replace", "/spec/replicas"), true),
        (list("replace", "/spec"), true),
        (list("test", "/spec/replicas"), false),
        (list("add", "/spec/template/metadata/annotations/replicas"), false),
        (list("replace", "/spec/template"), false),
        (Action::scale_by(1), true),
        (Action::of(ActionType::HpaBounds), true),
        (Action::restart(), false),
        (Action::of(ActionType::Rollback), false),
    ] {
        assert_eq!(writes_replicas(&action), expected, "{action:?}");
    }
}
