//! How one object is written or removed, and what is told of it. Which, and when, is `leader`'s.

use std::collections::BTreeMap;

use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use kube::Api;
use kube::api::{DeleteParams, Preconditions};
use smartops_process::client::{Error, deadline};

use super::Keeper;
use super::standing::{self, Key, Kind, Object};
use super::work::{Step, Why};
use crate::upkeep::{self, CALL};

impl Keeper {
    /// Takes one step.
    pub(super) async fn take(
        &self,
        step: Step<'_>,
        stands: &BTreeMap<Key, Object>,
    ) -> Result<(), Error> {
        let writers = self.tell(step, stands);
        if !step.is_write {
            return self.remove(step.object).await;
        }
        self.write(step.object).await?;
        if step.why == Why::Drift {
            self.note(step.object, &writers);
        }
        Ok(())
    }

    /// Tells that one is written or removed, and why. Who wrote what stood there.
    fn tell(&self, step: Step<'_>, stands: &BTreeMap<Key, Object>) -> String {
        let (kind, name) = step.object.key();
        let why = step.why.as_str();
        self.metrics.backstop_writes.with_label_values(&[kind.as_str(), why]).inc();
        if step.why == Why::Change {
            tracing::info!(
                name,
                kind = kind.as_str(),
                "what the API server judges by itself changes"
            );
            return String::new();
        }
        let stands = stands.get(&(kind, name.clone())).map(Object::last_writers);
        let writers = stands.map_or_else(|| "it was deleted".to_owned(), |w| w.join(", "));
        tracing::warn!(
            name,
            kind = kind.as_str(),
            writers,
            "what the API server judges by itself was changed by somebody else: repaired"
        );
        writers
    }

    /// Leaves an Event on one that was repaired.
    fn note(&self, object: &Object, writers: &str) {
        let key = object.key();
        let stands = self.seen.all().get(&key).and_then(|stands| stands.metadata().uid.clone());
        let (named, uid) = ((key.0.as_str(), key.1.as_str()), stands.unwrap_or_default());
        upkeep::tell_of_repair(&self.alarm, standing::API_VERSION, named, &uid, writers);
    }

    /// Applies one; where something of others' remains in it, replaces it as a whole.
    async fn write(&self, wanted: &Object) -> Result<(), Error> {
        let applied: Object = match wanted {
            Object::Policy(policy) => upkeep::apply(&self.client, policy.as_ref()).await?.into(),
            Object::Binding(binding) => upkeep::apply(&self.client, binding.as_ref()).await?.into(),
        };
        self.seen.wrote(applied.clone());
        if applied.says_the_same(wanted) {
            return Ok(());
        }
        let replaced = match applied.with_content_of(wanted) {
            Object::Policy(policy) => {
                upkeep::replace(&self.client, *policy).await?.map(Object::from)
            }
            Object::Binding(binding) => {
                upkeep::replace(&self.client, *binding).await?.map(Object::from)
            }
        };
        if let Some(replaced) = replaced {
            self.seen.wrote(replaced);
        }
        Ok(())
    }

    async fn remove(&self, extra: &Object) -> Result<(), Error> {
        let (kind, name) = extra.key();
        // Only what was looked at, and not what took its place.
        let preconditions =
            Preconditions { uid: extra.metadata().uid.clone(), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        let removed = match kind {
            Kind::Policy => self.delete::<ValidatingAdmissionPolicy>(&name, &params).await,
            Kind::Binding => self.delete::<ValidatingAdmissionPolicyBinding>(&name, &params).await,
        };
        match removed {
            Ok(()) => {}
            Err(error) if error.is_conflict() || error.is_not_found() => {}
            Err(error) => return Err(error),
        }
        self.seen.removed(kind, &name);
        Ok(())
    }

    async fn delete<K: upkeep::Kept>(
        &self,
        name: &str,
        params: &DeleteParams,
    ) -> Result<(), Error> {
        let api: Api<K> = Api::all(self.client.clone());
        deadline("removing what the API server judged by", CALL, api.delete(name, params))
            .await
            .map(drop)
    }
}
