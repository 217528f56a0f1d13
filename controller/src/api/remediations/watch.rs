//! Changes of Remediations as they happen, as Server-Sent Events: `event: remediation` with what it has become, and
//! `event: gone` for one that is no more. A stream begins with what there is, the oldest first, so whoever reconnects has
//! missed nothing. The number of streams is bounded, and each ends by itself after an hour, or when the process stops.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use kube::runtime::reflector::Store;
use serde_json::json;
use smartops_common::remediation::Remediation;
use smartops_process::shutdown::Shutdown;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

use super::filter::Filter;
use super::shown;
use crate::api::problem::Problem;
use crate::remediation::tidings::{Tiding, Tidings};

/// Streams at once.
const PLACES: usize = 64;
/// How often a quiet stream shows that it lives.
const STILL_HERE: Duration = Duration::from_secs(15);
/// How long a stream lasts.
const LONGEST: Duration = Duration::from_hours(1);

/// Where changes are told, and who listens.
#[derive(Debug)]
pub struct Watches {
    tidings: Tidings,
    places: Arc<Semaphore>,
    shutdown: Shutdown,
}

impl Watches {
    /// Of these changes. Nobody listens yet; at the stop nobody does any more.
    pub fn new(tidings: Tidings, shutdown: Shutdown) -> Self {
        Self { tidings, places: Arc::new(Semaphore::new(PLACES)), shutdown }
    }
}

/// One stream.
struct Listener {
    filter: Filter,
    store: Store<Remediation>,
    heard: Receiver<Tiding>,
    /// What was told of each, by uid: its version.
    told: HashMap<String, String>,
    ready: VecDeque<String>,
    ends: Instant,
    shutdown: Shutdown,
    _place: OwnedSemaphorePermit,
}

/// The stream of what `filter` means.
pub fn stream(
    watches: &Watches,
    store: &Store<Remediation>,
    filter: Filter,
) -> Result<Response, Problem> {
    let place = Arc::clone(&watches.places).try_acquire_owned();
    let place = place.map_err(|_| Problem::overloaded())?;
    let mut listener = Listener {
        heard: watches.tidings.listen(),
        filter,
        store: store.clone(),
        told: HashMap::new(),
        ready: VecDeque::from(["retry: 2000\n\n".to_owned()]),
        ends: Instant::now() + LONGEST,
        shutdown: watches.shutdown.clone(),
        _place: place,
    };
    listener.tell_all();
    let frames = futures::stream::unfold(listener, async |mut listener| {
        let frame = listener.next().await?;
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(frame)), listener))
    });
    let mut response = Response::new(Body::from_stream(frames));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

impl Listener {
    /// The next frame; none at the end.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Some(frame);
            }
            let quiet = Instant::now() + STILL_HERE;
            tokio::select! {
                heard = self.heard.recv() => match heard {
                    Ok(tiding) => self.hear(&tiding),
                    // Too much at once: what there is now says it all.
                    Err(RecvError::Lagged(_)) => self.tell_all(),
                    Err(RecvError::Closed) => return None,
                },
                () = sleep_until(quiet.min(self.ends)) => {
                    if Instant::now() >= self.ends {
                        return None;
                    }
                    return Some(": still here\n\n".to_owned());
                }
                () = self.shutdown.stopping() => return None,
            }
        }
    }

    fn tell_all(&mut self) {
        let all = self.store.state();
        let mut meant: Vec<&Arc<Remediation>> =
            all.iter().filter(|r| self.filter.means(r)).collect();
        meant.sort_unstable_by_key(|r| r.metadata.creation_timestamp.as_ref().map(|made| made.0));
        let surplus = meant.len().saturating_sub(self.filter.limit());
        for remediation in meant.into_iter().skip(surplus) {
            self.changed(remediation);
        }
    }

    fn hear(&mut self, tiding: &Tiding) {
        match tiding {
            Tiding::Changed(remediation) if self.filter.means(remediation) => {
                self.changed(remediation);
            }
            // It is not meant any more, as one that ended where the open ones are watched: that is told once too.
            Tiding::Changed(remediation) => {
                if self.forget(remediation) {
                    self.ready.push_back(frame("remediation", remediation));
                }
            }
            Tiding::Gone(remediation) => {
                if self.forget(remediation) {
                    self.ready.push_back(frame("gone", remediation));
                }
            }
        }
    }

    fn changed(&mut self, remediation: &Remediation) {
        let metadata = &remediation.metadata;
        let uid = metadata.uid.clone().unwrap_or_default();
        let version = metadata.resource_version.clone().unwrap_or_default();
        if self.told.insert(uid, version.clone()).as_ref() != Some(&version) {
            self.ready.push_back(frame("remediation", remediation));
        }
    }

    fn forget(&mut self, remediation: &Remediation) -> bool {
        let uid = remediation.metadata.uid.as_deref().unwrap_or_default();
        self.told.remove(uid).is_some()
    }
}

fn frame(event: &str, remediation: &Remediation) -> String {
    let version = remediation.metadata.resource_version.as_deref().unwrap_or_default();
    let data = if event == "gone" {
        let metadata = &remediation.metadata;
        json!({"namespace": metadata.namespace, "name": metadata.name, "uid": metadata.uid})
    } else {
        shown(remediation)
    };
    // One line: JSON has no line breaks of its own.
    format!("event: {event}\nid: {version}\ndata: {data}\n\n")
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use kube::runtime::reflector;
    use kube::runtime::watcher::Event;
    use smartops_common::action::Action;
    use smartops_common::remediation::{Phase, RemediationStatus};

    use super::*;
    use crate::fixture::remediation;

    fn version(name: &str, version: &str, phase: Phase) -> Arc<Remediation> {
        let mut r = remediation(name, Action::restart());
        r.metadata.uid = Some(format!("uid-{name}"));
        r.metadata.resource_version = Some(version.to_owned());
        r.status = Some(RemediationStatus { phase, ..RemediationStatus::default() });
        Arc::new(r)
    }

    fn open() -> Filter {
        Filter { open: Some(true), ..Filter::default() }
    }

    /// The next frames of a stream, until it is quiet.
    fn frames(body: &mut (impl futures::Stream<Item = Bytes> + Unpin)) -> Vec<String> {
        let mut frames = Vec::new();
        while let Some(Some(frame)) = futures::FutureExt::now_or_never(body.next()) {
            frames.push(String::from_utf8(frame.to_vec()).unwrap());
        }
        frames
    }

    #[tokio::test]
    async fn whoever_listens_hears_what_there_is_then_each_change_once_and_the_end() {
        let (store, mut writer) = reflector::store();
        writer.apply_watcher_event(&Event::Apply((*version("a", "1", Phase::Pending)).clone()));
        let watches = Watches::new(Tidings::default(), Shutdown::new());
        let response = stream(&watches, &store, open()).unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut body = response.into_body().into_data_stream().map(Result::unwrap).boxed();
        let begun = frames(&mut body);
        assert_eq!(begun.len(), 2, "{begun:?}");
        assert!(begun[1].starts_with("event: remediation\nid: 1\ndata: {"), "{begun:?}");
        for (tiding, expected) in [
            (Tiding::Changed(version("a", "1", Phase::Pending)), None),
            (Tiding::Changed(version("a", "2", Phase::Executing)), Some("remediation")),
            (Tiding::Changed(version("b", "3", Phase::Failed)), None),
            (Tiding::Changed(version("a", "4", Phase::Succeeded)), Some("remediation")),
            (Tiding::Changed(version("a", "5", Phase::Succeeded)), None),
            (Tiding::Gone(version("a", "6", Phase::Succeeded)), None),
            (Tiding::Changed(version("c", "7", Phase::Pending)), Some("remediation")),
            (Tiding::Gone(version("c", "8", Phase::Pending)), Some("gone")),
        ] {
            watches.tidings.tell(|| tiding.clone());
            let heard = frames(&mut body);
            let events: Vec<&str> = heard
                .iter()
                .map(|f| f.lines().next().unwrap().trim_start_matches("event: "))
                .collect();
            assert_eq!(events, Vec::from_iter(expected), "{tiding:?}");
        }
    }

    #[tokio::test]
    async fn a_stream_ends_with_the_process_and_gives_its_place_back() {
        let (store, _writer) = reflector::store();
        let shutdown = Shutdown::new();
        let watches = Watches::new(Tidings::default(), shutdown.clone());
        let streams: Vec<Response> =
            (0..PLACES).map(|_| stream(&watches, &store, open()).unwrap()).collect();
        let refused = stream(&watches, &store, open()).unwrap_err();
        assert_eq!(refused.status.as_u16(), 429);
        shutdown.stop();
        for response in streams {
            let all = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
            assert_eq!(all, "retry: 2000\n\n");
        }
        assert!(stream(&watches, &store, open()).is_ok());
    }
}
