//! The exceptions that are written in the cluster, by namespace: fed by a watch, read without a lock. Whether one has
//! expired is decided with every review and needs no event. One that cannot be read lifts nothing.

mod status;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::ObjectMeta;
use smartops_guard::exception::{Exception, GuardrailException};
use smartops_process::watch::Event;
use tokio::sync::{Notify, watch};

pub use self::status::Writer;
use crate::snapshot::Listing;

/// The exceptions of one namespace.
pub type Own = Arc<[Arc<Exception>]>;

/// Every exception of the cluster.
#[derive(Debug, Default)]
pub struct Exceptions {
    kept: Mutex<Kept>,
    by_namespace: ArcSwap<HashMap<String, Own>>,
    changed: Notify,
    changes: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Kept {
    all: BTreeMap<Place, Written>,
    listing: Listing,
}

/// Its namespace and its name.
type Place = (String, String);

/// An exception as it stands in the cluster.
#[derive(Debug, Clone)]
struct Written {
    generation: Option<i64>,
    resource_version: Option<String>,
    conditions: Vec<Condition>,
    /// Or what is wrong with it by itself.
    exception: Result<Arc<Exception>, String>,
}

impl Exceptions {
    /// Those of a namespace, expired ones included.
    pub fn of(&self, namespace: Option<&str>) -> Own {
        let all = self.by_namespace.load();
        namespace.and_then(|namespace| all.get(namespace)).cloned().unwrap_or_default()
    }

    /// Those of all namespaces, expired ones included.
    pub fn all(&self) -> Vec<Arc<Exception>> {
        let all = self.by_namespace.load();
        all.values().flat_map(|own| own.iter().cloned()).collect()
    }

    /// Tells whenever one was written or removed.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// An event of the watch.
    pub fn observe(&self, event: Event<GuardrailException>) {
        let mut kept = self.kept();
        if let Some(told) = kept.listing.follow(&event) {
            kept.all.retain(|(namespace, name), _| !told.is_gone_from(namespace, name));
            self.work_out(&kept, None);
        }
        match event {
            Event::InitApply(exception) | Event::Apply(exception) => {
                let place = place(&exception.metadata);
                kept.all.insert(place.clone(), written(&place, exception));
                self.work_out(&kept, Some(&place.0));
            }
            // What was known of it was another exception.
            Event::Unreadable { metadata, .. } | Event::Delete(metadata) => {
                let place = place(&metadata);
                kept.all.remove(&place);
                self.work_out(&kept, Some(&place.0));
            }
            Event::Init | Event::InitDone => {}
        }
        drop(kept);
        self.changed.notify_one();
        self.changes.send_replace(());
    }

    /// Waits until there may be something new to say.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Works out one namespace anew, or all of them.
    fn work_out(&self, kept: &Kept, only: Option<&str>) {
        let mut lists: HashMap<String, Vec<Arc<Exception>>> = HashMap::new();
        let first = (only.unwrap_or_default().to_owned(), String::new());
        let wanted = kept
            .all
            .range(first..)
            .take_while(|((namespace, _), _)| only.is_none_or(|only| only == namespace));
        for ((namespace, _), written) in wanted {
            if let Ok(exception) = &written.exception {
                lists.entry(namespace.clone()).or_default().push(Arc::clone(exception));
            }
        }
        let mut all = match only {
            Some(_) => HashMap::clone(&self.by_namespace.load()),
            None => HashMap::new(),
        };
        if let Some(namespace) = only {
            all.remove(namespace);
        }
        all.extend(lists.into_iter().map(|(namespace, own)| (namespace, own.into())));
        self.by_namespace.store(Arc::new(all));
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn place(metadata: &ObjectMeta) -> Place {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    (text(&metadata.namespace), text(&metadata.name))
}

fn written((namespace, name): &Place, exception: GuardrailException) -> Written {
    let GuardrailException { metadata, spec, status } = exception;
    // Without a time of its making, which every stored object has, none could be too long ago.
    let made = metadata.creation_timestamp.map_or(jiff::Timestamp::MIN, |time| time.0);
    let checked = Exception::check(namespace, name, made, spec).map(Arc::new);
    Written {
        generation: metadata.generation,
        resource_version: metadata.resource_version,
        conditions: status.unwrap_or_default().conditions,
        exception: checked.map_err(|flaws| told(&flaws)),
    }
}

/// Every flaw with its field, in one line.
fn told(flaws: &[smartops_guard::policy::Flaw]) -> String {
    let all: Vec<String> = flaws.iter().map(|f| format!("{}: {}", f.field, f.reason)).collect();
    all.join("; ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn exception(namespace: &str, name: &str, ticket: &str) -> GuardrailException {
        serde_json::from_value(json!({
            "metadata": {"namespace": namespace, "name": name, "creationTimestamp": "2026-11-21T10:00:00Z"},
            "spec": {
                "policy": "p", "rules": ["replicas"], "target": {"group": "apps", "kind": "Deployment", "name": "web"},
                "reason": "the sale", "ticket": ticket, "expiresAt": "2026-11-21T11:00:00Z",
            },
        }))
        .unwrap()
    }

    fn names(exceptions: &Exceptions, namespace: &str) -> Vec<String> {
        exceptions.of(Some(namespace)).iter().map(|e| e.name().to_string()).collect()
    }

    #[test]
    fn each_namespace_has_its_own_and_keeps_them_when_another_changes() {
        let exceptions = Exceptions::default();
        for (namespace, name) in [("a", "x"), ("b", "x"), ("a", "y"), ("ab", "x")] {
            exceptions.observe(Event::Apply(exception(namespace, name, "T-1")));
        }
        assert_eq!(names(&exceptions, "a"), ["a/x", "a/y"]);
        assert_eq!(names(&exceptions, "b"), ["b/x"]);
        assert_eq!(names(&exceptions, "c"), [] as [&str; 0]);
        let gone = Box::new(exception("a", "x", "T-1").metadata);
        exceptions.observe(Event::Delete(gone));
        assert_eq!(names(&exceptions, "a"), ["a/y"]);
        assert_eq!(names(&exceptions, "b"), ["b/x"]);
        assert!(exceptions.of(None).is_empty());
    }

    #[test]
    fn what_a_new_list_does_not_tell_is_gone_even_where_another_namespace_has_one_of_its_name() {
        let exceptions = Exceptions::default();
        exceptions.observe(Event::Apply(exception("a", "x", "T-1")));
        exceptions.observe(Event::Apply(exception("b", "x", "T-1")));
        exceptions.observe(Event::Init);
        assert_eq!(names(&exceptions, "a"), ["a/x"], "while the list is under way");
        exceptions.observe(Event::InitApply(exception("b", "x", "T-1")));
        exceptions.observe(Event::InitDone);
        assert_eq!(names(&exceptions, "a"), [] as [&str; 0]);
        assert_eq!(names(&exceptions, "b"), ["b/x"]);
    }

    #[test]
    fn one_that_turns_wrong_or_unreadable_lifts_nothing_any_more() {
        let exceptions = Exceptions::default();
        exceptions.observe(Event::Apply(exception("a", "x", "T-1")));
        exceptions.observe(Event::Apply(exception("a", "x", " ")));
        assert_eq!(names(&exceptions, "a"), [] as [&str; 0]);
        exceptions.observe(Event::Apply(exception("a", "x", "T-2")));
        let metadata = Box::new(exception("a", "x", "T-2").metadata);
        exceptions.observe(Event::Unreadable { metadata, error: "unknown field".into() });
        assert_eq!(names(&exceptions, "a"), [] as [&str; 0]);
    }
}
