//! Fills the CA bundle into SmartOps' four registrations, and again whenever it is found to be another. Nothing
//! else of them is touched: they are static files whose other fields belong to whoever installs them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use kube::api::{Patch, PatchParams};
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use smartops_common::names;
use smartops_process::client::{self, deadline};
use smartops_process::health::{Handle, Readiness};
use smartops_process::shutdown::Shutdown;
use smartops_process::watch::{Event, Watch, WatchMetrics};
use smartops_process::{BoxError, metrics};
use tokio::sync::{Notify, watch};

use crate::metrics::WebhookMetrics;

/// How long one patch may take.
const CALL: Duration = Duration::from_secs(5);
/// The pause after a patch failed.
const RETRY: Duration = Duration::from_secs(2);
/// The pause after a bundle was written.
const BETWEEN_WRITES: Duration = Duration::from_millis(500);

/// What a pass over the registrations came to.
enum Filled {
    /// Every registration there is holds the bundle.
    All,
    /// One does not, or is not known, for this reason.
    Not(&'static str),
}

/// The two kinds of registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Validating,
    Mutating,
}

/// What is kept of a registration: enough to see what is to be filled in, and to write only if it is still so.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    resource_version: String,
    bundles: Vec<Option<Vec<u8>>>,
}

type Key = (Kind, String);

/// The registrations as last seen.
#[derive(Debug, Default)]
struct Registrations {
    seen: Mutex<BTreeMap<Key, Seen>>,
    changed: Notify,
}

/// Keeps the CA bundle of every registration that exists.
pub struct Filler {
    client: Client,
    authority: watch::Receiver<Option<Arc<str>>>,
    filled: Handle,
    watched: [Handle; 2],
    registrations: Arc<Registrations>,
    metrics: WebhookMetrics,
}

impl std::fmt::Debug for Filler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Filler").finish_non_exhaustive()
    }
}

impl Filler {
    /// `authority` tells the CA, PEM, whenever it changes.
    pub fn new(
        client: Client,
        authority: watch::Receiver<Option<Arc<str>>>,
        readiness: &Readiness,
        metrics: WebhookMetrics,
    ) -> Self {
        Self {
            client,
            authority,
            filled: readiness.handle("ca-bundles"),
            watched: [
                readiness.handle("validating-registrations"),
                readiness.handle("mutating-registrations"),
            ],
            registrations: Arc::default(),
            metrics,
        }
    }

    /// Runs until the stop.
    pub async fn run(self, watches: WatchMetrics, shutdown: Shutdown) -> Result<(), BoxError> {
        let validating = Watch {
            name: "validating-registrations",
            api: Api::all(self.client.clone()),
            config: watcher::Config::default(),
            ready: self.watched[0].clone(),
            metrics: watches.clone(),
        };
        let mutating = Watch {
            name: "mutating-registrations",
            api: Api::all(self.client.clone()),
            config: watcher::Config::default(),
            ready: self.watched[1].clone(),
            metrics: watches,
        };
        let (one, two) = (Arc::clone(&self.registrations), Arc::clone(&self.registrations));
        tokio::try_join!(
            validating.run(
                shutdown.clone(),
                move |event: Event<ValidatingWebhookConfiguration>| {
                    one.see(Kind::Validating, event, |c| {
                        let webhooks = c.webhooks.iter().flatten();
                        webhooks.map(|w| bundle(&w.client_config)).collect()
                    });
                }
            ),
            mutating.run(shutdown.clone(), move |event: Event<MutatingWebhookConfiguration>| {
                two.see(Kind::Mutating, event, |c| {
                    let webhooks = c.webhooks.iter().flatten();
                    webhooks.map(|w| bundle(&w.client_config)).collect()
                });
            }),
            async {
                self.fill(shutdown).await;
                Ok(())
            },
        )?;
        Ok(())
    }

    async fn fill(&self, shutdown: Shutdown) {
        let mut authority = self.authority.clone();
        loop {
            let wanted = authority.borrow_and_update().clone();
            let filled = self.fill_once(wanted.as_deref()).await;
            let pause = match &filled {
                Ok(Filled::All) => None,
                Ok(Filled::Not(_)) => Some(RETRY),
                Err(error) => {
                    tracing::warn!(%error, "a CA bundle was not filled in: trying again");
                    Some(RETRY)
                }
            };
            // Once ready it stays so: a registration that somebody edits takes no healthy webhook out of service.
            match filled {
                Ok(Filled::All) => self.filled.ready(),
                Ok(Filled::Not(why)) if !self.filled.is_ready() => self.filled.not_ready(why),
                Err(error) if !self.filled.is_ready() => self.filled.not_ready(error.to_string()),
                Ok(_) | Err(_) => {}
            }
            let paused = async {
                match pause {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = shutdown.stopping() => return,
                () = self.registrations.changed.notified() => {}
                changed = authority.changed() => if changed.is_err() { return; },
                () = paused => {}
            }
        }
    }

    /// One pass over what is seen.
    async fn fill_once(&self, wanted: Option<&str>) -> Result<Filled, client::Error> {
        let Some(wanted) = wanted else { return Ok(Filled::Not("no certificate yet")) };
        if !self.watched.iter().all(Handle::is_ready) {
            return Ok(Filled::Not("the registrations have not been read yet"));
        }
        let due = self.registrations.due(wanted);
        let wrote = !due.is_empty();
        for (key, operations) in due {
            if let Some(version) = self.patch(&key, operations).await? {
                tracing::info!(registration = key.1, kind = ?key.0, "CA bundle filled in");
                self.metrics.bundles_filled.inc();
                self.registrations.filled(&key, version, wanted);
            }
        }
        if wrote {
            // Whoever keeps undoing it, another replica with an older CA or a GitOps controller, is not raced.
            tokio::time::sleep(BETWEEN_WRITES).await;
        }
        Ok(if self.registrations.due(wanted).is_empty() {
            Filled::All
        } else {
            Filled::Not("a registration changed while it was filled in")
        })
    }

    /// Patches one registration: its new resourceVersion, or `None` where it went or changed in between and the
    /// watch tells what is due then.
    async fn patch(&self, key: &Key, operations: Value) -> Result<Option<String>, client::Error> {
        let (kind, name) = key;
        let params = PatchParams {
            field_manager: Some(names::WEBHOOK_FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let what = "filling in a CA bundle";
        let read = |source| client::Error::Call { what, source: Box::new(source) };
        let operations = serde_json::from_value(operations).map_err(kube::Error::SerdeError);
        let patch = Patch::Json::<()>(operations.map_err(read)?);
        let patched = match kind {
            Kind::Validating => {
                let api: Api<ValidatingWebhookConfiguration> = Api::all(self.client.clone());
                deadline(what, CALL, api.patch_metadata(name, &params, &patch))
                    .await
                    .map(|o| o.metadata)
            }
            Kind::Mutating => {
                let api: Api<MutatingWebhookConfiguration> = Api::all(self.client.clone());
                deadline(what, CALL, api.patch_metadata(name, &params, &patch))
                    .await
                    .map(|o| o.metadata)
            }
        };
        match patched {
            Ok(metadata) => Ok(Some(metadata.resource_version.unwrap_or_default())),
            Err(e) if e.is_not_found() || e.is_conflict() || e.code() == Some(422) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Registrations {
    fn see<K: kube::Resource>(
        &self,
        kind: Kind,
        event: Event<K>,
        bundles: impl Fn(&K) -> Vec<Option<Vec<u8>>>,
    ) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Init => seen.retain(|key, _| key.0 != kind),
            Event::InitApply(object) | Event::Apply(object) => {
                let name = object.name_any();
                if is_ours(&name) {
                    let resource_version = object.resource_version().unwrap_or_default();
                    let bundles = bundles(&object);
                    seen.insert((kind, name), Seen { resource_version, bundles });
                }
            }
            Event::Delete(metadata) => {
                seen.remove(&(kind, metadata.name.unwrap_or_default()));
            }
            Event::InitDone | Event::Unreadable { .. } => {}
        }
        drop(seen);
        self.changed.notify_one();
    }

    /// Remembers what was written, before the watch tells it.
    fn filled(&self, key: &Key, resource_version: String, wanted: &str) {
        let mut all = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seen) = all.get_mut(key) {
            seen.resource_version = resource_version;
            seen.bundles.fill(Some(wanted.as_bytes().to_vec()));
        }
    }

    /// What is to be written so that every entry holds `wanted`, by registration.
    fn due(&self, wanted: &str) -> Vec<(Key, Value)> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter()
            .filter_map(|(key, seen)| Some((key.clone(), operations(seen, wanted.as_bytes())?)))
            .collect()
    }
}

fn is_ours(name: &str) -> bool {
    [names::PEOPLE_REGISTRATION, names::AUTOMATION_REGISTRATION].contains(&name)
}

fn bundle(config: &WebhookClientConfig) -> Option<Vec<u8>> {
    config.ca_bundle.as_ref().map(|bytes| bytes.0.clone())
}

/// The JSON Patch that fills `wanted` in where it is not, bound to the version seen; `None` when it is everywhere.
fn operations(seen: &Seen, wanted: &[u8]) -> Option<Value> {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(wanted);
    let mut operations = vec![json!({
        "op": "test", "path": "/metadata/resourceVersion", "value": seen.resource_version,
    })];
    operations.extend(seen.bundles.iter().enumerate().filter(|(_, b)| b.as_deref() != Some(wanted)).map(
        |(i, _)| json!({"op": "add", "path": format!("/webhooks/{i}/clientConfig/caBundle"), "value": text}),
    ));
    (operations.len() > 1).then_some(Value::Array(operations))
}

/// The counter of filled bundles.
pub fn counter(metrics: &metrics::Metrics) -> Result<prometheus::IntCounter, metrics::Error> {
    metrics.counter(
        "smartops_webhook_ca_bundles_filled_total",
        "Registrations whose CA bundle was filled in.",
    )
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;
    use k8s_openapi::api::admissionregistration::v1::ValidatingWebhook;

    use super::*;

    fn seen(bundles: &[Option<&str>]) -> Seen {
        Seen {
            resource_version: "7".into(),
            bundles: bundles.iter().map(|b| b.map(|b| b.as_bytes().to_vec())).collect(),
        }
    }

    #[test]
    fn only_the_entries_that_differ_are_written_and_only_if_nothing_else_changed() {
        let operations = operations(&seen(&[Some("ca"), None, Some("old")]), b"ca").unwrap();
        assert_eq!(
            operations,
            json!([
                {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
                {"op": "add", "path": "/webhooks/1/clientConfig/caBundle", "value": "Y2E="},
                {"op": "add", "path": "/webhooks/2/clientConfig/caBundle", "value": "Y2E="},
            ])
        );
    }

    #[test]
    fn a_registration_that_holds_it_everywhere_is_left_alone() {
        assert_eq!(operations(&seen(&[Some("ca"), Some("ca")]), b"ca"), None);
        assert_eq!(operations(&seen(&[]), b"ca"), None);
    }

    fn registration(name: &str, ca: Option<&str>) -> ValidatingWebhookConfiguration {
        let client_config = WebhookClientConfig {
            ca_bundle: ca.map(|ca| ByteString(ca.as_bytes().to_vec())),
            ..WebhookClientConfig::default()
        };
        ValidatingWebhookConfiguration {
            metadata: kube::api::ObjectMeta { name: Some(name.into()), ..Default::default() },
            webhooks: Some(vec![ValidatingWebhook { client_config, ..Default::default() }]),
        }
    }

    #[test]
    fn registrations_of_others_are_never_due() {
        let registrations = Registrations::default();
        let read = |c: &ValidatingWebhookConfiguration| {
            c.webhooks.iter().flatten().map(|w| bundle(&w.client_config)).collect()
        };
        for name in [names::PEOPLE_REGISTRATION, "somebody-else"] {
            registrations.see(Kind::Validating, Event::Apply(registration(name, None)), read);
        }
        let due = registrations.due("ca");
        assert_eq!(due.len(), 1);
        assert_eq!(due[0].0, (Kind::Validating, names::PEOPLE_REGISTRATION.to_owned()));
        let filled = registration(names::PEOPLE_REGISTRATION, Some("ca"));
        registrations.see(Kind::Validating, Event::Apply(filled), read);
        assert!(registrations.due("ca").is_empty());
    }
}
