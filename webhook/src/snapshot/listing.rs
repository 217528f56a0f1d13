//! Follows the lists a watch makes: which objects a new list no longer tells, and whether one was ever completed.

use std::collections::BTreeSet;

use kube::Resource;
use kube::api::ObjectMeta;
use smartops_process::watch::Event;

/// The state of one watch's lists.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Namespaces and names told by the list under way.
    told: Option<BTreeSet<(String, String)>>,
    complete: bool,
}

/// The namespaces and names a completed list told; every other is gone.
#[derive(Debug)]
pub(crate) struct Told(BTreeSet<(String, String)>);

impl Told {
    /// Whether the list did not tell this name of a cluster-scoped object.
    pub(crate) fn is_gone(&self, name: &str) -> bool {
        self.is_gone_from("", name)
    }

    /// Whether the list did not tell this name in this namespace.
    pub(crate) fn is_gone_from(&self, namespace: &str, name: &str) -> bool {
        !self.0.contains(&(namespace.to_owned(), name.to_owned()))
    }
}

impl Listing {
    /// Takes note of an event; at the end of a list, what it told.
    pub(crate) fn follow<K: Resource>(&mut self, event: &Event<K>) -> Option<Told> {
        match event {
            Event::Init => self.told = Some(BTreeSet::new()),
            Event::InitApply(object) => self.note(object.meta()),
            Event::Unreadable { metadata, .. } => self.note(metadata),
            Event::InitDone => {
                self.complete = true;
                return self.told.take().map(Told);
            }
            Event::Apply(_) | Event::Delete(_) => {}
        }
        None
    }

    /// Whether a list was completed and none is under way.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete && self.told.is_none()
    }

    fn note(&mut self, metadata: &ObjectMeta) {
        if let Some(told) = &mut self.told {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            told.insert((text(&metadata.namespace), text(&metadata.name)));
        }
    }
}
