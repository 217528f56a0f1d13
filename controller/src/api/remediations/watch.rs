//! Changes of Remediations as they happen, as Server-Sent Events: `event: remediation` with what it has become, and
//! `event: gone` for one that is no more. A stream begins with what there is, the oldest first, so whoever reconnects has
//! missed nothing. The number of streams is bounded, and each ends by itself after an hour, whether or not anybody reads it,
//! or when the process stops.

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
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, sleep_until, timeout_at};

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

    /// Whether all Remediations there were have been listed.
    pub fn is_listed(&self) -> bool {
        self.tidings.is_listed()
    }
}

/// One stream.
struct Listener {
    filter: Filter,
    store: Store<Remediation>,
    heard: Receiver<Tiding>,
    /// What was told of each, by uid.
    told: HashMap<String, Told>,
    ready: VecDeque<String>,
    ends: Instant,
    shutdown: Shutdown,
    _place: OwnedSemaphorePermit,
}

/// A Remediation as it was told last.
struct Told {
    version: String,
    namespace: String,
    name: String,
}

/// The stream of what `filter` means.
pub fn stream(
    watches: &Watches,
    store: &Store<Remediation>,
    filter: Filter,
) -> Result<Response, Problem> {
    until(watches, store, filter, Instant::now() + LONGEST)
}

fn until(
    watches: &Watches,
    store: &Store<Remediation>,
    filter: Filter,
    ends: Instant,
) -> Result<Response, Problem> {
    if !watches.is_listed() {
        return Err(Problem::not_informed("the Remediations"));
    }
    let place = Arc::clone(&watches.places).try_acquire_owned();
    let place = place.map_err(|_| Problem::overloaded())?;
    let mut listener = Listener {
        heard: watches.tidings.listen(),
        filter,
        store: store.clone(),
        told: HashMap::new(),
        ready: VecDeque::from(["retry: 2000\n\n".to_owned()]),
        ends,
        shutdown: watches.shutdown.clone(),
        _place: place,
    };
    listener.tell_all();
    // A task of its own: a body that nobody reads is not asked for its next frame, and would never end.
    let (frames, read) = mpsc::channel(1);
    tokio::spawn(listener.run(frames));
    let frames = futures::stream::unfold(read, async |mut read| {
        let frame = read.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(frame)), read))
    });
    let mut response = Response::new(Body::from_stream(frames));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

impl Listener {
    /// Hands over frame by frame until the end, or until nobody listens any more.
    async fn run(mut self, frames: mpsc::Sender<String>) {
        loop {
            let next = tokio::select! {
                next = self.next() => next,
                () = frames.closed() => None,
            };
            let Some(frame) = next else { return };
            match timeout_at(self.ends, frames.send(frame)).await {
                Ok(Ok(())) => {}
                // Nobody listens, or nobody has read for too long.
                Ok(Err(_)) | Err(_) => return,
            }
        }
    }

    /// The next frame; none at the end.
    async fn next(&mut self) -> Option<String> {
        loop {
            if Instant::now() >= self.ends {
                return None;
            }
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
                () = sleep_until(quiet) => return Some(": still here\n\n".to_owned()),
                () = sleep_until(self.ends) => return None,
                () = self.shutdown.stopping() => return None,
            }
        }
    }

    /// Tells what there is: of what was told before whatever has become of it, and the newest of the others.
    fn tell_all(&mut self) {
        let mut all = self.store.state();
        all.sort_by_key(|r| r.metadata.creation_timestamp.as_ref().map(|made| made.0));
        let mut missing = std::mem::take(&mut self.told);
        for remediation in &all {
            let uid = remediation.metadata.uid.as_deref().unwrap_or_default();
            if let Some((uid, told)) = missing.remove_entry(uid) {
                self.told.insert(uid, told);
                self.hear_of(remediation);
            }
        }
        self.ready.extend(missing.iter().map(|(uid, told)| gone(uid, told)));
        let meant: Vec<&Arc<Remediation>> = all.iter().filter(|r| self.filter.means(r)).collect();
        let surplus = meant.len().saturating_sub(self.filter.limit());
        for remediation in meant.into_iter().skip(surplus) {
            self.changed(remediation);
        }
    }

    fn hear(&mut self, tiding: &Tiding) {
        match tiding {
            Tiding::Changed(remediation) => self.hear_of(remediation),
            Tiding::Gone(remediation) => {
                let uid = remediation.metadata.uid.as_deref().unwrap_or_default();
                if let Some(told) = self.told.remove(uid) {
                    self.ready.push_back(gone(uid, &told));
                }
            }
        }
    }

    fn hear_of(&mut self, remediation: &Remediation) {
        if self.filter.means(remediation) {
            return self.changed(remediation);
        }
        // It is not meant any more, as one that ended where the open ones are watched: that is told once too.
        let uid = remediation.metadata.uid.as_deref().unwrap_or_default();
        if self.told.remove(uid).is_some() {
            self.ready.push_back(changed(remediation));
        }
    }

    fn changed(&mut self, remediation: &Remediation) {
        let metadata = &remediation.metadata;
        let uid = metadata.uid.clone().unwrap_or_default();
        let version = metadata.resource_version.clone().unwrap_or_default();
        let namespace = metadata.namespace.clone().unwrap_or_default();
        let name = metadata.name.clone().unwrap_or_default();
        let told = Told { version: version.clone(), namespace, name };
        if self.told.insert(uid, told).is_none_or(|known| known.version != version) {
            self.ready.push_back(self::changed(remediation));
        }
    }
}

/// What a Remediation has become, in one line: JSON has no line breaks of its own.
fn changed(remediation: &Remediation) -> String {
    let version = remediation.metadata.resource_version.as_deref().unwrap_or_default();
    format!("event: remediation\nid: {version}\ndata: {}\n\n", shown(remediation))
}

fn gone(uid: &str, Told { version, namespace, name }: &Told) -> String {
    let data = json!({"namespace": namespace, "name": name, "uid": uid});
    format!("event: gone\nid: {version}\ndata: {data}\n\n")
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, StreamExt};
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

    /// Lets the streams' tasks go on until each waits for something.
    async fn settle() {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }

    /// The next frames of a stream, until it is quiet.
    async fn frames(body: &mut (impl futures::Stream<Item = Bytes> + Unpin)) -> Vec<String> {
        let mut frames = Vec::new();
        loop {
            settle().await;
            let Some(Some(frame)) = body.next().now_or_never() else { return frames };
            frames.push(String::from_utf8(frame.to_vec()).unwrap());
        }
    }

    /// What each frame tells of which.
    fn told(frames: &[String]) -> Vec<String> {
        let told = |frame: &String| {
            let mut lines = frame.lines();
            let event = lines.next().unwrap().trim_start_matches("event: ").to_owned();
            let data = lines.nth(1).unwrap().trim_start_matches("data: ");
            let data: serde_json::Value = serde_json::from_str(data).unwrap();
            format!("{event} {}", data["name"].as_str().unwrap())
        };
        frames.iter().map(told).collect()
    }

    fn watches(shutdown: Shutdown) -> Watches {
        let tidings = Tidings::default();
        tidings.tell_listed();
        Watches::new(tidings, shutdown)
    }

    #[tokio::test]
    async fn whoever_listens_hears_what_there_is_then_each_change_once_and_the_end() {
        let (store, mut writer) = reflector::store();
        writer.apply_watcher_event(&Event::Apply((*version("a", "1", Phase::Pending)).clone()));
        let watches = watches(Shutdown::new());
        let response = stream(&watches, &store, open()).unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut body = response.into_body().into_data_stream().map(Result::unwrap).boxed();
        let begun = frames(&mut body).await;
        assert_eq!(begun.len(), 2, "{begun:?}");
        assert!(begun[1].starts_with("event: remediation\nid: 1\ndata: {"), "{begun:?}");
        for (tiding, expected) in [
            (Tiding::Changed(version("a", "1", Phase::Pending)), None),
            (Tiding::Changed(version("a", "2", Phase::Executing)), Some("remediation a")),
            (Tiding::Changed(version("b", "3", Phase::Failed)), None),
            (Tiding::Changed(version("a", "4", Phase::Succeeded)), Some("remediation a")),
            (Tiding::Changed(version("a", "5", Phase::Succeeded)), None),
            (Tiding::Gone(version("a", "6", Phase::Succeeded)), None),
            (Tiding::Changed(version("c", "7", Phase::Pending)), Some("remediation c")),
            (Tiding::Gone(version("c", "8", Phase::Pending)), Some("gone c")),
        ] {
            watches.tidings.tell(|| tiding.clone());
            let heard = frames(&mut body).await;
            assert_eq!(told(&heard), Vec::from_iter(expected), "{tiding:?}");
        }
    }

    #[tokio::test]
    async fn whoever_has_missed_some_hears_what_has_become_of_each_he_was_told_of() {
        let (store, mut writer) = reflector::store();
        let mut write = |event: fn(Remediation) -> Event<Remediation>, r: Arc<Remediation>| {
            writer.apply_watcher_event(&event((*r).clone()));
        };
        for name in ["ends", "goes", "stays", "moves"] {
            write(Event::Apply, version(name, "1", Phase::Pending));
        }
        let watches = watches(Shutdown::new());
        // Two more than that are meant in the end: what was told is told on all the same.
        let filter = Filter { limit: Some(4), ..open() };
        let response = stream(&watches, &store, filter).unwrap();
        let mut body = response.into_body().into_data_stream().map(Result::unwrap).boxed();
        assert_eq!(frames(&mut body).await.len(), 5);
        write(Event::Apply, version("ends", "2", Phase::Succeeded));
        write(Event::Delete, version("goes", "3", Phase::Pending));
        write(Event::Apply, version("moves", "4", Phase::Executing));
        write(Event::Apply, version("comes", "5", Phase::Pending));
        for n in 0..2000 {
            let noise = version("noise", &n.to_string(), Phase::Failed);
            watches.tidings.tell(|| Tiding::Changed(noise));
        }
        let mut heard = told(&frames(&mut body).await);
        heard.sort_unstable();
        assert_eq!(
            heard,
            ["gone goes", "remediation comes", "remediation ends", "remediation moves"]
        );
        watches.tidings.tell(|| Tiding::Gone(version("ends", "6", Phase::Succeeded)));
        assert_eq!(frames(&mut body).await, Vec::<String>::new(), "its end was told");
    }

    #[tokio::test]
    async fn a_stream_that_nobody_reads_gives_its_place_back_when_its_time_is_up_and_not_before() {
        let (store, mut writer) = reflector::store();
        writer.apply_watcher_event(&Event::Apply((*version("a", "1", Phase::Pending)).clone()));
        let watches = watches(Shutdown::new());
        let is_free = || watches.places.available_permits() == PLACES;
        let soon = Instant::now() + Duration::from_millis(50);
        let unread = until(&watches, &store, open(), soon).unwrap();
        settle().await;
        assert!(!is_free());
        let all = u32::try_from(PLACES).unwrap();
        drop(watches.places.acquire_many(all).await.unwrap());
        assert!(Instant::now() >= soon);
        drop(unread);
        let left = stream(&watches, &store, open()).unwrap();
        settle().await;
        assert!(!is_free(), "its time is not up");
        drop(left);
        settle().await;
        assert!(is_free(), "nobody listens");
    }

    #[tokio::test]
    async fn nobody_is_shown_an_empty_list_for_one_that_was_not_read_yet() {
        let (store, _writer) = reflector::store();
        let watches = Watches::new(Tidings::default(), Shutdown::new());
        let refused = stream(&watches, &store, open()).unwrap_err();
        assert_eq!((refused.status.as_u16(), refused.retry_after_seconds), (503, Some(1)));
        watches.tidings.tell_listed();
        assert!(stream(&watches, &store, open()).is_ok());
    }

    #[tokio::test]
    async fn a_stream_ends_with_the_process_and_gives_its_place_back() {
        let (store, _writer) = reflector::store();
        let shutdown = Shutdown::new();
        let watches = watches(shutdown.clone());
        let streams: Vec<Response> =
            (0..PLACES).map(|_| stream(&watches, &store, open()).unwrap()).collect();
        let refused = stream(&watches, &store, open()).unwrap_err();
        assert_eq!(refused.status.as_u16(), 429);
        shutdown.stop();
        for response in streams {
            let all = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
            assert_eq!(all, "retry: 2000\n\n");
        }
        settle().await;
        assert!(stream(&watches, &store, open()).is_ok());
    }
}
