//! Every call the controller makes to the API server: named, timed, counted, each under a deadline. What an answer
//! means is decided elsewhere.

use std::time::{Duration, Instant};

use jiff::SignedDuration;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, ListParams, ObjectMeta, PartialObjectMeta, Patch,
    PatchParams, PostParams, Preconditions,
};
use kube::{Api, Client};
use serde_json::{Value, json};
use smartops_common::approval::RemediationApproval;
use smartops_common::config::{ClosedLoop, SmartOpsConfig, SmartOpsConfigSpec};
use smartops_common::names;
use smartops_common::remediation::{Phase, Remediation};
use smartops_common::remediation_policy::{RemediationPolicy, RemediationPolicyStatus};
use smartops_process::client::{self, deadline};
use smartops_process::telemetry::traces::{Kind, Origin, Span};

use crate::action::Write;
use crate::failure::Failure;
use crate::metrics::ControllerMetrics;
use crate::target::Live;

/// How long one call may take.
const CALL_LIMIT: Duration = Duration::from_secs(10);
/// Pods looked at while verifying; a crash loop shows in any of them.
const PODS_LOOKED_AT: u32 = 500;

/// The API server, as the controller sees it. Cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    metrics: ControllerMetrics,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").finish_non_exhaustive()
    }
}

/// What a call is, for its metrics and its errors.
#[derive(Debug, Clone, Copy)]
struct Call {
    operation: &'static str,
    verb: &'static str,
    resource: &'static str,
}

const fn call(operation: &'static str, verb: &'static str, resource: &'static str) -> Call {
    Call { operation, verb, resource }
}

/// Who a bearer token belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TokenUser {
    /// The user name.
    pub username: String,
    /// Its uid.
    pub uid: String,
    /// Its groups.
    pub groups: Vec<String>,
    /// Further attributes, handed on to the authorizer.
    pub extra: std::collections::BTreeMap<String, Vec<String>>,
}

impl Cluster {
    /// Calls through `client`.
    pub fn new(client: Client, metrics: ControllerMetrics) -> Self {
        Self { client, metrics }
    }

    /// The client itself, for watches.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    fn deployments(&self, namespace: &str) -> Api<Live> {
        Api::namespaced(self.client.clone(), namespace)
    }

    fn remediations(&self, namespace: &str) -> Api<Remediation> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// The live Deployment; `None` where there is none of that name.
    pub async fn deployment(&self, namespace: &str, name: &str) -> Result<Option<Live>, Failure> {
        let api = self.deployments(namespace);
        let found =
            self.make(call("get_deployment", "get", "deployments"), api.get_opt(name)).await?;
        if let Some(live) = &found {
            self.metrics.show(namespace, name, live.observed());
        }
        Ok(found)
    }

    /// Names, uids and labels of the Deployments of a namespace.
    pub async fn deployment_names(
        &self,
        namespace: &str,
    ) -> Result<Vec<PartialObjectMeta<Live>>, Failure> {
        let api = self.deployments(namespace);
        let list = ListParams::default();
        let call = call("list_deployments", "list", "deployments");
        Ok(self.make(call, api.list_metadata(&list)).await?.items)
    }

    /// Whether a namespace exists.
    pub async fn namespace_exists(&self, name: &str) -> Result<bool, Failure> {
        Ok(self.namespace(name).await?.is_some())
    }

    /// The labels and annotations of a namespace; `None` where there is none of that name.
    pub async fn namespace(&self, name: &str) -> Result<Option<ObjectMeta>, Failure> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let call = call("get_namespace", "get", "namespaces");
        let found = self.make(call, api.get_metadata_opt(name)).await?;
        Ok(found.map(|namespace| namespace.metadata))
    }

    /// The HorizontalPodAutoscalers of a namespace.
    pub async fn autoscalers(
        &self,
        namespace: &str,
    ) -> Result<Vec<HorizontalPodAutoscaler>, Failure> {
        let api: Api<HorizontalPodAutoscaler> = Api::namespaced(self.client.clone(), namespace);
        let call = call("list_autoscalers", "list", "horizontalpodautoscalers");
        match self.make(call, api.list(&ListParams::default())).await {
            // Where the API group is not served there are none.
            Err(Failure::NotFound(_)) => Ok(Vec::new()),
            listed => Ok(listed?.items),
        }
    }

    /// The pods of a Deployment, at most 500; none where its selector cannot be written as labels.
    pub async fn pods(&self, namespace: &str, live: &Live) -> Result<Vec<Pod>, Failure> {
        let Some(selector) = live.pod_selector() else { return Ok(Vec::new()) };
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let list = ListParams::default().labels(&selector).limit(PODS_LOOKED_AT);
        Ok(self.make(call("list_pods", "list", "pods"), api.list(&list)).await?.items)
    }

    /// The metadata of a pod; `None` where there is none of that name.
    pub async fn pod(&self, namespace: &str, name: &str) -> Result<Option<ObjectMeta>, Failure> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let found = self.make(call("get_pod", "get", "pods"), api.get_metadata_opt(name)).await?;
        Ok(found.map(|pod| pod.metadata))
    }

    /// The metadata of a ReplicaSet; `None` where there is none of that name.
    pub async fn replica_set(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<ObjectMeta>, Failure> {
        let api: Api<ReplicaSet> = Api::namespaced(self.client.clone(), namespace);
        let call = call("get_replica_set", "get", "replicasets");
        Ok(self.make(call, api.get_metadata_opt(name)).await?.map(|set| set.metadata))
    }

    /// The Remediations of a namespace that have not begun, from etcd.
    pub async fn waiting_remediations(&self, namespace: &str) -> Result<Vec<Remediation>, Failure> {
        let api = self.remediations(namespace);
        // What nobody has looked at yet has no phase, so those that are meant cannot be named.
        let others = Phase::ALL
            .into_iter()
            .filter(|phase| !matches!(phase, Phase::Pending | Phase::AwaitingApproval))
            .map(|phase| format!("status.phase!={}", phase.as_str()));
        let list = ListParams::default().fields(&others.collect::<Vec<_>>().join(","));
        let call = call("list_remediations", "list", "remediations");
        Ok(self.make(call, api.list(&list)).await?.items)
    }

    /// Sends one write, as a dry run or for good. What comes back is the Deployment as it would be or is now, where the
    /// answer holds it (the scale subresource's does not).
    pub async fn write(
        &self,
        namespace: &str,
        name: &str,
        write: &Write,
        dry_run: bool,
    ) -> Result<Option<Live>, Failure> {
        let api = self.deployments(namespace);
        let parameters = PatchParams {
            dry_run,
            field_manager: Some(names::CONTROLLER_FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        match write {
            Write::Deployment(patch) => {
                let operation = if dry_run { "patch_dry_run" } else { "patch" };
                let call = call(operation, "patch", "deployments");
                self.make(call, api.patch(name, &parameters, patch)).await.map(Some)
            }
            Write::Scale(patch) => {
                let operation = if dry_run { "scale_dry_run" } else { "scale" };
                let call = call(operation, "patch", "deployments/scale");
                self.make(call, api.patch_scale(name, &parameters, patch)).await.map(|_| None)
            }
            Write::Eviction { pod, uid } => {
                self.evict(namespace, pod, uid, dry_run).await.map(|()| None)
            }
            Write::Autoscaler { name, patch } => {
                let operation = if dry_run { "autoscaler_dry_run" } else { "autoscaler" };
                let api: Api<HorizontalPodAutoscaler> =
                    Api::namespaced(self.client.clone(), namespace);
                let call = call(operation, "patch", "horizontalpodautoscalers");
                self.make(call, api.patch(name, &parameters, patch)).await.map(|_| None)
            }
        }
    }

    /// Evicts a pod of this uid. A uid that is another's is a conflict; what a budget forbids for now is 429.
    async fn evict(
        &self,
        namespace: &str,
        pod: &str,
        uid: &str,
        dry_run: bool,
    ) -> Result<(), Failure> {
        let operation = if dry_run { "evict_dry_run" } else { "evict" };
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        // The library's own eviction spells the options in a way that the API server does not read.
        let mut options = json!({"preconditions": {"uid": uid}});
        if dry_run {
            options["dryRun"] = json!(["All"]);
        }
        let eviction = json!({
            "apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": {"name": pod, "namespace": namespace}, "deleteOptions": options,
        });
        let parameters = PostParams { dry_run, ..post() };
        let call = call(operation, "create", "pods/eviction");
        let evicted = api.create_subresource::<_, Value>("eviction", pod, &parameters, &eviction);
        self.make(call, evicted).await.map(drop)
    }

    /// The ReplicaSets of a Deployment's selector, as the API server sent them: at most 500, whoever owns them.
    pub async fn replica_sets(&self, namespace: &str, live: &Live) -> Result<Vec<Value>, Failure> {
        let Some(selector) = live.pod_selector() else { return Ok(Vec::new()) };
        let kind = ApiResource::erase::<ReplicaSet>(&());
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &kind);
        let list = ListParams::default().labels(&selector).limit(PODS_LOOKED_AT);
        let call = call("list_replica_sets", "list", "replicasets");
        let found = self.make(call, api.list(&list)).await?.items;
        let values: Result<Vec<Value>, _> = found.iter().map(serde_json::to_value).collect();
        values.map_err(|e| Failure::Unavailable(format!("a ReplicaSet cannot be read: {e}").into()))
    }

    /// The Remediations of one target, from etcd.
    pub async fn remediations_of(
        &self,
        namespace: &str,
        target_uid: &str,
    ) -> Result<Vec<Remediation>, Failure> {
        let api = self.remediations(namespace);
        // By the field, not the label: a label can be written by anybody who may write metadata.
        let list = ListParams::default().fields(&format!("spec.target.uid={target_uid}"));
        let call = call("list_remediations", "list", "remediations");
        Ok(self.make(call, api.list(&list)).await?.items)
    }

    /// One Remediation, from etcd.
    pub async fn remediation(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Remediation>, Failure> {
        let api = self.remediations(namespace);
        self.make(call("get_remediation", "get", "remediations"), api.get_opt(name)).await
    }

    /// What was said of one Remediation, from etcd.
    pub async fn approvals_of(
        &self,
        namespace: &str,
        remediation_uid: &str,
    ) -> Result<Vec<RemediationApproval>, Failure> {
        let api: Api<RemediationApproval> = Api::namespaced(self.client.clone(), namespace);
        let list = ListParams::default().fields(&format!("spec.remediation.uid={remediation_uid}"));
        let call = call("list_remediation_approvals", "list", "remediationapprovals");
        Ok(self.make(call, api.list(&list)).await?.items)
    }

    /// How long an approval is waited for, and counts.
    pub async fn approval_expiry(&self) -> Result<SignedDuration, Failure> {
        let spec = self.config().await?;
        Ok(SignedDuration::from_secs(spec.approval.expiry_seconds.into()))
    }

    /// The configuration, from etcd; the defaults where there is none.
    pub async fn config(&self) -> Result<SmartOpsConfigSpec, Failure> {
        let api: Api<SmartOpsConfig> = Api::all(self.client.clone());
        let call = call("get_config", "get", "smartopsconfigs");
        let config = self.make(call, api.get_opt(names::CONFIG_NAME)).await?;
        Ok(config.map_or_else(SmartOpsConfigSpec::default, |config| config.spec))
    }

    /// The kill switch, from etcd; as nobody has touched it where nobody has.
    pub async fn closed_loop(&self) -> Result<ClosedLoop, Failure> {
        let api: Api<SmartOpsConfig> = Api::all(self.client.clone());
        let call = call("get_config", "get", "smartopsconfigs");
        let config = self.make(call, api.get_opt(names::CONFIG_NAME)).await?;
        Ok(config.and_then(|config| config.status?.closed_loop).unwrap_or_default())
    }

    /// Turns the kill switch.
    pub async fn switch_closed_loop(&self, wanted: &ClosedLoop) -> Result<ClosedLoop, Failure> {
        let api: Api<SmartOpsConfig> = Api::all(self.client.clone());
        let parameters = PatchParams {
            field_manager: Some(names::CONTROLLER_FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        // Whoever turned it before gave his own reason: what is absent now is taken out.
        let patch = json!({"status": {"closedLoop": {
            "enabled": wanted.enabled,
            "changedBy": wanted.changed_by,
            "changedAt": wanted.changed_at,
            "reason": wanted.reason,
        }}});
        let call = call("patch_config_status", "patch", "smartopsconfigs/status");
        let patch = Patch::Merge(&patch);
        let written = api.patch_status(names::CONFIG_NAME, &parameters, &patch);
        let config = self.make(call, written).await?;
        Ok(config.status.and_then(|status| status.closed_loop).unwrap_or_default())
    }

    /// Says how a RemediationPolicy stands.
    pub async fn tell_policy(
        &self,
        name: &str,
        status: &RemediationPolicyStatus,
    ) -> Result<(), Failure> {
        let api: Api<RemediationPolicy> = Api::all(self.client.clone());
        let parameters = PatchParams {
            field_manager: Some(names::CONTROLLER_FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = Patch::Merge(json!({"status": status}));
        let call = call("patch_policy_status", "patch", "remediationpolicies/status");
        self.make(call, api.patch_status(name, &parameters, &patch)).await.map(drop)
    }

    /// Creates a Remediation; a name that exists already is a conflict.
    pub async fn create_remediation(
        &self,
        namespace: &str,
        remediation: &Remediation,
    ) -> Result<Remediation, Failure> {
        let api = self.remediations(namespace);
        let call = call("create_remediation", "create", "remediations");
        self.make(call, api.create(&post(), remediation)).await
    }

    /// Replaces a Remediation's status, on condition of its resourceVersion.
    pub async fn replace_status(
        &self,
        namespace: &str,
        remediation: &Remediation,
    ) -> Result<Remediation, Failure> {
        let api = self.remediations(namespace);
        let name = remediation.metadata.name.as_deref().unwrap_or_default();
        let call = call("update_remediation_status", "update", "remediations/status");
        self.make(call, api.replace_status(name, &post(), remediation)).await
    }

    /// Deletes a Remediation, on condition that it is still the one that was looked at, as it was.
    pub async fn delete_remediation(&self, remediation: &Remediation) -> Result<(), Failure> {
        let metadata = &remediation.metadata;
        let api = self.remediations(metadata.namespace.as_deref().unwrap_or_default());
        let conditions = Preconditions {
            uid: metadata.uid.clone(),
            resource_version: metadata.resource_version.clone(),
        };
        let params = DeleteParams::default().preconditions(conditions);
        let name = metadata.name.as_deref().unwrap_or_default();
        let call = call("delete_remediation", "delete", "remediations");
        self.make(call, api.delete(name, &params)).await.map(drop)
    }

    /// Whom a bearer token belongs to; `None` where it is not good.
    pub async fn token_user(&self, token: &str) -> Result<Option<TokenUser>, Failure> {
        let api: Api<TokenReview> = Api::all(self.client.clone());
        let review = TokenReview {
            spec: TokenReviewSpec { token: token.to_owned(), audiences: None },
            ..TokenReview::default()
        };
        let call = call("token_review", "create", "tokenreviews");
        let answer = self.make(call, api.create(&post(), &review)).await?;
        Ok(answer.status.and_then(token_user))
    }

    /// Whether a user may use `verb` on this object (of a group and plural, by namespace and name) or its subresource.
    pub async fn may(
        &self,
        user: &TokenUser,
        verb: &str,
        (group, resource): (&str, &str),
        subresource: Option<&str>,
        (namespace, name): (Option<&str>, &str),
    ) -> Result<bool, Failure> {
        let api: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let attributes = ResourceAttributes {
            group: Some(group.to_owned()),
            resource: Some(resource.to_owned()),
            subresource: subresource.map(str::to_owned),
            verb: Some(verb.to_owned()),
            namespace: namespace.map(str::to_owned),
            name: Some(name.to_owned()).filter(|name| !name.is_empty()),
            ..ResourceAttributes::default()
        };
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(user.username.clone()),
                uid: Some(user.uid.clone()),
                groups: Some(user.groups.clone()),
                extra: Some(user.extra.clone()),
                resource_attributes: Some(attributes),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let call = call("access_review", "create", "subjectaccessreviews");
        let answer = self.make(call, api.create(&post(), &review)).await?;
        Ok(answer.status.is_some_and(|s| s.allowed && !s.denied.unwrap_or_default()))
    }

    async fn make<T>(
        &self,
        call: Call,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, Failure> {
        let begun = Instant::now();
        let name = || format!("kubernetes {} {}", call.verb, call.resource);
        let span = Span::begin(Kind::Client, name, Origin::Current);
        span.text("smartops.k8s.operation", call.operation);
        let result = span.around(deadline(call.operation, CALL_LIMIT, request)).await;
        let metrics = &self.metrics;
        metrics.calls.made.with_label_values(&[call.operation]).inc();
        metrics
            .calls
            .latency
            .with_label_values(&[call.operation])
            .observe(begun.elapsed().as_secs_f64());
        result.map_err(|error| {
            let failure = match error {
                client::Error::Call { source, .. } => Failure::from(*source),
                other => Failure::Unavailable(other.to_string().into()),
            };
            let code = failure.code();
            span.failed(&code, &failure.to_string());
            metrics.calls.errors.with_label_values(&[call.operation, &code]).inc();
            if let Failure::Forbidden { by_authorizer: true, message } = &failure {
                metrics
                    .orchestrator
                    .rbac_denied
                    .with_label_values(&[call.verb, call.resource])
                    .inc();
                tracing::warn!(
                    verb = call.verb,
                    resource = call.resource,
                    refusal = %message,
                    "RBAC refused the controller"
                );
            }
            failure
        })
    }
}

fn post() -> PostParams {
    PostParams {
        field_manager: Some(names::CONTROLLER_FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}

fn token_user(status: TokenReviewStatus) -> Option<TokenUser> {
    if status.authenticated != Some(true) {
        return None;
    }
    let user = status.user?;
    Some(TokenUser {
        username: user.username.filter(|name| !name.is_empty())?,
        uid: user.uid.unwrap_or_default(),
        groups: user.groups.unwrap_or_default(),
        extra: user.extra.unwrap_or_default(),
    })
}
