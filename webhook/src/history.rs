//! When each Deployment last rolled its pods, as the watch saw it. Kept by uid, for as long as the object exists;
//! what counts as a change is the guard's.

use std::collections::{HashMap, HashSet};
use std::sync::{PoisonError, RwLock};

use kube::ResourceExt;
use smartops_guard::history::{Record, Sight, Via};
use smartops_process::clock::Clock;
use smartops_process::watch::Event;

use crate::metrics::WebhookMetrics;
use crate::workload::Workload;

/// The records of all Deployments that exist.
#[derive(Debug)]
pub struct Histories {
    kept: RwLock<Kept>,
    metrics: WebhookMetrics,
}

#[derive(Debug, Default)]
struct Kept {
    records: HashMap<String, Record>,
    /// Uids told by the list under way.
    told: HashSet<String>,
}

impl Histories {
    /// Nothing has been seen yet.
    pub fn new(metrics: WebhookMetrics) -> Self {
        Self { kept: RwLock::default(), metrics }
    }

    /// What was seen of the object of this uid.
    pub fn record(&self, uid: &str) -> Option<Record> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner).records.get(uid).cloned()
    }

    /// An event of the watch of Deployments.
    pub fn observe(&self, event: Event<Workload>) {
        let now = Clock.now();
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Init => kept.told.clear(),
            Event::InitApply(workload) => {
                kept.told.insert(workload.uid().unwrap_or_default());
                kept.see(&workload, Via::List, now);
            }
            Event::InitDone => {
                let told = std::mem::take(&mut kept.told);
                kept.records.retain(|uid, _| told.contains(uid));
            }
            Event::Apply(workload) => kept.see(&workload, Via::Event, now),
            Event::Delete(metadata) => {
                kept.records.remove(&metadata.uid.unwrap_or_default());
            }
            // It exists: what was seen of it stays, and its generation fences what was not.
            Event::Unreadable { metadata, .. } => {
                kept.told.insert(metadata.uid.unwrap_or_default());
            }
        }
        self.metrics.histories.set(i64::try_from(kept.records.len()).unwrap_or(i64::MAX));
    }
}

impl Kept {
    fn see(&mut self, workload: &Workload, via: Via, now: jiff::Timestamp) {
        let Some(uid) = workload.uid() else { return };
        let sight = Sight {
            generation: workload.metadata.generation.unwrap_or_default(),
            template: workload.spec.template,
            replicas: None,
        };
        let record = Record::after(self.records.get(&uid), sight, via, now);
        self.records.insert(uid, record);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use smartops_guard::history::Rolled;
    use smartops_process::metrics::Metrics;

    use super::*;

    fn workload(uid: &str, generation: i64, image: &str) -> Workload {
        serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "shop", "uid": uid, "generation": generation},
            "spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}},
        }))
        .unwrap()
    }

    fn histories() -> Histories {
        let metrics = WebhookMetrics::new(&Metrics::new("webhook").unwrap()).unwrap();
        let histories = Histories::new(metrics);
        histories.observe(Event::Init);
        histories.observe(Event::InitApply(workload("old", 4, "a")));
        histories.observe(Event::InitDone);
        histories
    }

    #[test]
    fn what_stood_there_first_was_before_the_watch_and_a_new_one_never_rolled() {
        let histories = histories();
        assert_eq!(histories.record("old").unwrap().rolled, Rolled::BeforeTheWatch);
        histories.observe(Event::Apply(workload("new", 1, "a")));
        assert_eq!(histories.record("new").unwrap().rolled, Rolled::Never);
        assert_eq!(histories.record("other"), None);
    }

    #[test]
    fn a_template_that_changes_is_dated_and_a_status_that_changes_is_not() {
        let histories = histories();
        histories.observe(Event::Apply(workload("old", 4, "a")));
        assert_eq!(histories.record("old").unwrap().rolled, Rolled::BeforeTheWatch);
        histories.observe(Event::Apply(workload("old", 5, "b")));
        assert!(matches!(histories.record("old").unwrap().rolled, Rolled::At(_)));
    }

    #[test]
    fn what_is_deleted_or_missing_from_a_new_list_is_forgotten() {
        let histories = histories();
        histories.observe(Event::Apply(workload("new", 1, "a")));
        histories.observe(Event::Delete(Box::new(workload("old", 4, "a").metadata)));
        assert_eq!(histories.record("old"), None);
        histories.observe(Event::Init);
        histories.observe(Event::InitDone);
        assert_eq!(histories.record("new"), None);
        assert_eq!(histories.metrics.histories.get(), 0);
    }
}
