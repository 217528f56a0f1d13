//! What a check of SmartOps' own objects reads from the API server, under the review's deadline: one object, or what
//! somebody is allowed. What cannot be read in time leaves the review undecided.

use std::borrow::Cow;

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::core::ApiResource;
use kube::{Api, Client};
use serde_json::Value;
use smartops_common::action::Intent;
use smartops_common::names;
use smartops_common::remediation::Remediation;
use smartops_process::client::{Error, deadline};
use tokio::time::Instant;

use super::beside::{Beside, controller_name};
use super::remediation::Deed;
use super::target::Target;
use crate::admission::envelope::UserInfo;
use crate::live::{Live, resource};

/// Reads from the API server.
#[derive(Clone)]
pub struct Reads {
    live: Live,
    client: Client,
}

impl std::fmt::Debug for Reads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reads").finish_non_exhaustive()
    }
}

impl Reads {
    /// Reads objects as reviews do, and asks for rights through this client.
    pub fn new(live: Live, client: Client) -> Self {
        Self { live, client }
    }

    /// The Deployment of this name as it is now; `None` where there is none.
    pub(super) async fn target(
        &self,
        namespace: &str,
        name: &str,
        until: Instant,
    ) -> Result<Option<Target>, String> {
        let deployments = resource("apps", "v1", "Deployment", "deployments");
        let text = self.live.text(&deployments, namespace, name, until).await;
        let text = text.map_err(|error| unread("the target", &error))?;
        let read = text.map(|text| Target::read(&text)).transpose();
        read.map_err(|error| format!("the target cannot be read: {error}"))
    }

    /// The Remediation of this name as it is now; `None` where there is none.
    pub(super) async fn remediation(
        &self,
        namespace: &str,
        name: &str,
        until: Instant,
    ) -> Result<Option<Remediation>, String> {
        let remediations = resource(names::GROUP, "v1alpha1", "Remediation", "remediations");
        let text = self.live.text(&remediations, namespace, name, until).await;
        let text = text.map_err(|error| unread("the Remediation", &error))?;
        let read = text.map(|text| serde_json::from_str(&text)).transpose();
        read.map_err(|error| format!("the Remediation cannot be read: {error}"))
    }

    /// What an intent is of beside its target, as it is now.
    pub(super) async fn beside(
        &self,
        namespace: &str,
        intent: &Intent,
        until: Instant,
    ) -> Result<Beside, String> {
        let Intent { revision, pod, bounds, .. } = intent;
        let sets = resource("apps", "v1", "ReplicaSet", "replicasets");
        Ok(match (revision, pod, bounds) {
            (Some(revision), ..) => {
                let name = &revision.replica_set;
                Beside::ReplicaSet(self.object(&sets, namespace, name, until).await?)
            }
            (_, Some(pod), _) => {
                let pods = resource("", "v1", "Pod", "pods");
                let pod = self.object(&pods, namespace, &pod.name, until).await?;
                let owner = pod.as_ref().and_then(|pod| controller_name(pod, "ReplicaSet"));
                let set = match owner {
                    Some(name) => self.object(&sets, namespace, name, until).await?,
                    None => None,
                };
                Beside::Pod(pod, set)
            }
            (.., Some(bounds)) => {
                let group = "autoscaling";
                let kind = "HorizontalPodAutoscaler";
                let autoscalers = resource(group, "v2", kind, "horizontalpodautoscalers");
                let read = self.object(&autoscalers, namespace, &bounds.name, until).await?;
                Beside::Autoscaler(read)
            }
            (None, None, None) => Beside::Nothing,
        })
    }

    /// An object as it is now; `None` where there is none.
    async fn object(
        &self,
        resource: &ApiResource,
        namespace: &str,
        name: &str,
        until: Instant,
    ) -> Result<Option<Value>, String> {
        let text = self.live.text(resource, namespace, name, until).await;
        let text = text.map_err(|error| unread(&resource.kind, &error))?;
        let read = text.map(|text| serde_json::from_str(&text)).transpose();
        read.map_err(|error| format!("the {} cannot be read: {error}", resource.kind))
    }

    /// Whether somebody may do this himself.
    pub(super) async fn may(
        &self,
        user: &UserInfo<'_>,
        deed: &Deed,
        until: Instant,
    ) -> Result<bool, String> {
        let review = asked(user, deed);
        let api: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let params = PostParams::default();
        let left = until.saturating_duration_since(Instant::now());
        let answer = deadline("asking what the writer may do", left, api.create(&params, &review));
        let answer = answer.await.map_err(|error| unread("what the writer may do", &error))?;
        Ok(answer.status.is_some_and(|status| status.allowed && !status.denied.unwrap_or_default()))
    }
}

/// Asked with all that the API server found out about the writer: an authorizer may go by any of it.
fn asked(user: &UserInfo<'_>, deed: &Deed) -> SubjectAccessReview {
    let texts = |texts: &[Cow<'_, str>]| texts.iter().map(ToString::to_string).collect();
    let extra = user.extra.iter().flatten().map(|(key, values)| (key.to_string(), texts(values)));
    SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(user.username.to_string()),
            uid: (!user.uid.is_empty()).then(|| user.uid.to_string()),
            groups: Some(texts(&user.groups)),
            extra: Some(extra.collect()),
            resource_attributes: Some(ResourceAttributes {
                group: Some(deed.group.to_owned()),
                resource: Some(deed.resource.to_owned()),
                subresource: deed.subresource.map(str::to_owned),
                verb: Some(deed.verb.to_owned()),
                namespace: Some(deed.namespace.clone()),
                name: deed.name.clone(),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    }
}

fn unread(what: &str, error: &Error) -> String {
    format!("{what} could not be read: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_asked_for_the_writer_with_all_that_is_known_of_him_and_for_exactly_that_object() {
        let user = r#"{"username": "alice", "uid": "a-1", "groups": ["team"],
            "extra": {"scopes.example": ["read", "write"], "other": null}}"#;
        let user: UserInfo<'_> = serde_json::from_str(user).unwrap();
        let deed = Deed {
            verb: "patch",
            group: "apps",
            resource: "deployments",
            subresource: Some("scale"),
            namespace: "shop".to_owned(),
            name: Some("web".to_owned()),
        };
        let spec = asked(&user, &deed).spec;
        assert_eq!(spec.user.as_deref(), Some("alice"));
        assert_eq!(spec.uid.as_deref(), Some("a-1"));
        assert_eq!(spec.groups, Some(vec!["team".to_owned()]));
        let extra = spec.extra.unwrap();
        assert_eq!(extra["scopes.example"], ["read", "write"]);
        assert_eq!(extra["other"], [] as [&str; 0]);
        let what = spec.resource_attributes.unwrap();
        let said =
            [what.verb, what.group, what.resource, what.subresource, what.namespace, what.name];
        let expected = ["patch", "apps", "deployments", "scale", "shop", "web"];
        assert_eq!(said.map(Option::unwrap), expected);
    }
}
