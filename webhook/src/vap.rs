//! Keeps what the API server judges by itself: SmartOps' own objects at all times, and while the configuration asks for
//! a backstop the rules of policies that can be written so. The leader writes it; what it holds is worked out in
//! `guard`.
//!
//! No replica waits for it to be ready: where it cannot be written the webhook judges all the same.

mod standing;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::watcher;
use kube::{Api, Client};
use smartops_common::config::Outage;
use smartops_common::names;
use smartops_guard::exception::Exception;
use smartops_guard::policy::Flaw;
use smartops_guard::vap::{OWN_OBJECTS, Written, own_objects};
use smartops_process::BoxError;
use smartops_process::client::{Error, deadline};
use smartops_process::clock::Clock;
use smartops_process::health::{Handle, Readiness};
use smartops_process::shutdown::Shutdown;
use smartops_process::watch::{Watch, WatchMetrics};
use tokio::sync::watch;
use tokio::time::Instant;

use self::standing::{Kind, Object, Seen};
use crate::metrics::WebhookMetrics;
use crate::registration::Repairs;
use crate::snapshot::{Board, Snapshot};
use crate::told::{Alarm, Notice};

/// How long one write may take.
const CALL: Duration = Duration::from_secs(5);
/// The pause after a pass that did not come to its end.
const RETRY: Duration = Duration::from_secs(1);
/// The longest it is waited for the next end of an exception; clocks are set meanwhile.
const LONGEST: Duration = Duration::from_mins(1);

/// Keeps the ValidatingAdmissionPolicies and their bindings.
pub struct Keeper {
    client: Client,
    board: Arc<Board>,
    leading: watch::Receiver<bool>,
    watched: [Handle; 2],
    seen: Arc<Seen>,
    alarm: Alarm,
    metrics: WebhookMetrics,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").finish_non_exhaustive()
    }
}

/// What the leader remembers between passes.
#[derive(Debug, Default)]
struct Memory {
    /// What it last brought about.
    wanted: Option<Vec<Object>>,
    repairs: Repairs,
    told: Option<Flaw>,
}

/// What should stand.
#[derive(Debug, Default)]
struct Wanted {
    objects: Vec<Object>,
    /// Names under which whatever stands is left alone, because what should cannot be told.
    kept: BTreeSet<String>,
    /// When it will be something else, because an exception ends.
    until: Option<Timestamp>,
}

impl Keeper {
    /// Writes through this client.
    pub fn new(
        client: Client,
        board: Arc<Board>,
        leading: watch::Receiver<bool>,
        alarm: Alarm,
        shutdown: &Shutdown,
    ) -> Self {
        // Of its own, so that readiness does not hang on it.
        let listed = Readiness::new(shutdown.clone());
        let watched = ["admission-policies", "admission-bindings"].map(|name| listed.handle(name));
        let metrics = alarm.metrics.clone();
        Self { client, board, leading, watched, seen: Arc::default(), alarm, metrics }
    }

    /// Runs until the stop.
    pub async fn run(self, watches: WatchMetrics, shutdown: Shutdown) -> Result<(), BoxError> {
        let ours = watcher::Config::default().labels(&standing::selector());
        let policies = Watch::<ValidatingAdmissionPolicy> {
            name: "admission-policies",
            api: Api::all(self.client.clone()),
            config: ours.clone(),
            ready: self.watched[0].clone(),
            metrics: watches.clone(),
        };
        let bindings = Watch::<ValidatingAdmissionPolicyBinding> {
            name: "admission-bindings",
            api: Api::all(self.client.clone()),
            config: ours,
            ready: self.watched[1].clone(),
            metrics: watches,
        };
        let (one, two) = (Arc::clone(&self.seen), Arc::clone(&self.seen));
        tokio::try_join!(
            policies.run(shutdown.clone(), move |event| one.see(Kind::Policy, event)),
            bindings.run(shutdown.clone(), move |event| two.see(Kind::Binding, event)),
            async {
                self.keep(shutdown).await;
                Ok(())
            },
        )?;
        Ok(())
    }

    async fn keep(&self, shutdown: Shutdown) {
        let mut leading = self.leading.clone();
        let mut changes = self.board.changes();
        let mut exceptions = self.board.exceptions().changes();
        let mut memory = Memory::default();
        loop {
            let leads = *leading.borrow_and_update();
            changes.mark_unchanged();
            exceptions.mark_unchanged();
            let mut again = None;
            if leads {
                again = self.pass(&mut memory).await.unwrap_or_else(|error| {
                    tracing::warn!(%error, "what the API server judges by itself was not written: trying again");
                    Some(Instant::now() + RETRY)
                });
            } else {
                memory = Memory::default();
            }
            let paused = async {
                match again {
                    Some(again) => tokio::time::sleep_until(again).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = shutdown.stopping() => return,
                () = self.seen.changed() => {}
                told = leading.changed() => if told.is_err() { return; },
                told = changes.changed() => if told.is_err() { return; },
                told = exceptions.changed() => if told.is_err() { return; },
                () = paused => {}
            }
        }
    }

    /// Writes and removes what is due. When to look again, if nothing happens before.
    async fn pass(&self, memory: &mut Memory) -> Result<Option<Instant>, Error> {
        if !self.watched.iter().all(Handle::is_ready) {
            return Ok(None);
        }
        let Some(snapshot) = self.board.snapshot() else { return Ok(None) };
        let now = Clock.now();
        let wanted = self.wanted(&snapshot, now, memory);
        let again = wanted.until.map(|until| {
            let left = until.duration_since(now).max(SignedDuration::ZERO);
            Instant::now() + left.unsigned_abs().min(LONGEST)
        });
        let is_drift = memory.wanted.as_ref() == Some(&wanted.objects);
        let stands = self.seen.all();
        let due: Vec<&Object> =
            wanted.objects.iter().filter(|object| !object.stands_in(&stands)).collect();
        let extra = standing::extra(&stands, &wanted.objects, &wanted.kept);
        if due.is_empty() && extra.is_empty() {
            memory.wanted = Some(wanted.objects);
            return Ok(again);
        }
        if is_drift {
            if let Some(pause) = memory.repairs.pause(Instant::now()) {
                return Ok(Some(pause));
            }
            memory.repairs.note(Instant::now());
        }
        let why = if is_drift { "drift" } else { "change" };
        for object in due {
            let writers = self.tell(object, why);
            self.write(object).await?;
            if is_drift {
                self.note(object, &writers);
            }
        }
        for object in extra {
            self.tell(object, if is_drift { "extra" } else { "change" });
            self.remove(object).await?;
        }
        memory.wanted = Some(wanted.objects);
        Ok(again)
    }

    fn wanted(&self, snapshot: &Snapshot, now: Timestamp, memory: &mut Memory) -> Wanted {
        let mut wanted = Wanted::default();
        match own_objects(&snapshot.config) {
            Ok(own) => {
                wanted.objects.extend(objects(own));
                memory.told = None;
            }
            Err(flaw) => {
                if memory.told.as_ref() != Some(&flaw) {
                    tracing::error!(
                        field = flaw.field,
                        reason = flaw.reason,
                        "who automation is cannot be said in a condition: what guards SmartOps' own objects stays as it is"
                    );
                    memory.told = Some(flaw);
                }
                wanted.kept.insert(OWN_OBJECTS.to_owned());
            }
        }
        if snapshot.config.people.outage != Outage::Backstop {
            return wanted;
        }
        let exceptions = self.board.exceptions().all();
        let ends = exceptions.iter().map(|exception: &Arc<Exception>| exception.expires_at());
        wanted.until = ends.filter(|end| *end > now).min();
        for backstop in snapshot.backstops.iter() {
            if backstop.is_blind() {
                wanted.kept.insert(backstop.name());
            } else if let Some(written) = backstop.write(&snapshot.config, &exceptions, now) {
                wanted.objects.extend(objects(written));
            }
        }
        wanted
    }

    /// Tells that one is written or removed, and why. Who wrote what stood there.
    fn tell(&self, object: &Object, why: &'static str) -> String {
        let (kind, name) = object.key();
        self.metrics.backstop_writes.with_label_values(&[kind.as_str(), why]).inc();
        if why == "change" {
            tracing::info!(
                name,
                kind = kind.as_str(),
                "what the API server judges by itself changes"
            );
            return String::new();
        }
        let stands = self.seen.all().get(&(kind, name.clone())).map(Object::last_writers);
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
        let note = format!("changed by somebody else ({writers}) and repaired");
        let (kind, name) = (key.0.as_str(), key.1.as_str());
        let uid = &stands.unwrap_or_default();
        let (reason, prefix) = ("Repaired", "smartops-repaired-");
        let notice = Notice { reason, prefix, kind, name, uid, note: &note };
        self.alarm.tell_of(standing::API_VERSION, notice);
    }

    /// Applies one; where something of others' remains in it, replaces it as a whole.
    async fn write(&self, wanted: &Object) -> Result<(), Error> {
        let applied: Object = match wanted {
            Object::Policy(policy) => self.apply(policy.as_ref()).await?.into(),
            Object::Binding(binding) => self.apply(binding.as_ref()).await?.into(),
        };
        self.seen.wrote(applied.clone());
        if applied.says_the_same(wanted) {
            return Ok(());
        }
        let replaced = match applied.with_content_of(wanted) {
            Object::Policy(policy) => self.replace(*policy).await?.map(Object::from),
            Object::Binding(binding) => self.replace(*binding).await?.map(Object::from),
        };
        if let Some(replaced) = replaced {
            self.seen.wrote(replaced);
        }
        Ok(())
    }

    async fn apply<K: Admission>(&self, wanted: &K) -> Result<K, Error> {
        let api: Api<K> = Api::all(self.client.clone());
        let params = PatchParams::apply(names::WEBHOOK_FIELD_MANAGER).force();
        let name = wanted.meta().name.clone().unwrap_or_default();
        let patch = Patch::Apply(wanted);
        deadline("applying what the API server judges by", CALL, api.patch(&name, &params, &patch))
            .await
    }

    /// Replaces one; `None` where somebody wrote in between, and the watch tells what is due then.
    async fn replace<K: Admission>(&self, mut wanted: K) -> Result<Option<K>, Error> {
        wanted.meta_mut().managed_fields = None;
        let api: Api<K> = Api::all(self.client.clone());
        let params = PostParams {
            field_manager: Some(names::WEBHOOK_FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let name = wanted.meta().name.clone().unwrap_or_default();
        let call = api.replace(&name, &params, &wanted);
        match deadline("replacing what the API server judges by", CALL, call).await {
            Ok(replaced) => Ok(Some(replaced)),
            Err(error) if error.is_conflict() || error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
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

    async fn delete<K: Admission>(&self, name: &str, params: &DeleteParams) -> Result<(), Error> {
        let api: Api<K> = Api::all(self.client.clone());
        deadline("removing what the API server judged by", CALL, api.delete(name, params))
            .await
            .map(drop)
    }
}

/// What was worked out, in the order in which it is written: a binding without its policy would refuse everything.
fn objects(written: Written) -> [Object; 2] {
    [written.policy.into(), written.binding.into()]
}

/// Either kind, as a client writes it.
trait Admission:
    kube::Resource<DynamicType = (), Scope = k8s_openapi::ClusterResourceScope>
    + Clone
    + std::fmt::Debug
    + serde::Serialize
    + serde::de::DeserializeOwned
{
}

impl Admission for ValidatingAdmissionPolicy {}
impl Admission for ValidatingAdmissionPolicyBinding {}
