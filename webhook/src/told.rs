//! What is told on the object itself, as Events: a bounded queue that no review waits for, and the task that writes what
//! is in it. What is worth an Event is said by `break_glass` and `own::attempts`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use smartops_common::names;
use smartops_process::BoxError;
use smartops_process::client::deadline;
use smartops_process::clock::Clock;
use smartops_process::shutdown::Shutdown;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::admission::envelope::Request;
use crate::metrics::WebhookMetrics;

/// Events that wait to be written.
const QUEUE: usize = 256;
/// Events of one reason that may come at once, and how soon there may be another: whoever writes a thousand times, or
/// makes the webhook believe it, neither fills etcd nor crowds out what is told of others.
const BURST: u32 = 120;
const EACH: Duration = Duration::from_secs(1);
/// How long one write may take.
const CALL: Duration = Duration::from_secs(5);
/// Longest note of an Event the API server takes, in bytes.
const LONGEST_NOTE: usize = 1024;
/// The namespace of Events on objects that are in none.
const CLUSTER: &str = "default";

/// Takes note of what somebody should hear of. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Alarm {
    queue: mpsc::Sender<Event>,
    paces: Arc<Mutex<HashMap<&'static str, Pace>>>,
    pub(crate) metrics: WebhookMetrics,
}

/// How many Events of a reason may come now.
#[derive(Debug)]
struct Pace {
    left: u32,
    /// Up to when `left` was reckoned.
    since: Instant,
}

/// Writes the Events.
#[derive(Debug)]
pub struct Events {
    queue: mpsc::Receiver<Event>,
    metrics: WebhookMetrics,
}

/// What an Event says, and of which object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Notice<'a> {
    /// One word for machines.
    pub(crate) reason: &'static str,
    /// What the Event's own name begins with: not the object's name, which need not be one of an Event.
    pub(crate) prefix: &'static str,
    /// The object's kind; empty where it is not known.
    pub(crate) kind: &'a str,
    /// Its name.
    pub(crate) name: &'a str,
    /// Its uid; empty where it has none yet.
    pub(crate) uid: &'a str,
    /// A sentence for people.
    pub(crate) note: &'a str,
}

/// Where notes are taken, and what writes the Events about them.
pub fn alarm(metrics: &WebhookMetrics) -> (Alarm, Events) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let alarm = Alarm { queue: sender, paces: Arc::default(), metrics: metrics.clone() };
    (alarm, Events { queue: receiver, metrics: metrics.clone() })
}

impl Alarm {
    /// Has an Event written; one too many of its reason, or that finds the queue full, is only counted.
    pub(crate) fn tell(&self, request: &Request<'_>, notice: Notice<'_>) {
        self.queue(notice.reason, || event(request, notice, Clock.now()));
    }

    /// Has an Event written on an object of no namespace, which nobody asks about just now.
    pub(crate) fn tell_of(&self, api_version: &str, notice: Notice<'_>) {
        self.queue(notice.reason, || event_on(api_version.to_owned(), None, notice, Clock.now()));
    }

    fn queue(&self, reason: &'static str, event: impl FnOnce() -> Event) {
        if !self.is_its_turn(reason, Instant::now()) || self.queue.try_send(event()).is_err() {
            self.metrics.dropped_events.inc();
        }
    }

    fn is_its_turn(&self, reason: &'static str, now: Instant) -> bool {
        let mut paces = self.paces.lock().unwrap_or_else(PoisonError::into_inner);
        paces.entry(reason).or_insert(Pace { left: BURST, since: now }).take(now)
    }
}

impl Pace {
    fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.since);
        let more = u32::try_from(passed.as_secs() / EACH.as_secs()).unwrap_or(u32::MAX);
        self.left = self.left.saturating_add(more).min(BURST);
        self.since += EACH.saturating_mul(more);
        let is_left = self.left > 0;
        self.left = self.left.saturating_sub(1);
        is_left
    }
}

impl Events {
    /// Writes Events until the stop, then what still waits.
    pub async fn run(mut self, client: Client, shutdown: Shutdown) -> Result<(), BoxError> {
        loop {
            let event = tokio::select! {
                biased;
                event = self.queue.recv() => event,
                () = shutdown.stopping() => None,
            };
            match event {
                Some(event) => self.write(&client, event).await,
                None => return Ok(()),
            }
        }
    }

    async fn write(&self, client: &Client, event: Event) {
        let namespace = event.metadata.namespace.clone().unwrap_or_default();
        let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
        let params = PostParams {
            field_manager: Some(names::WEBHOOK_FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let wrote = deadline("writing an Event", CALL, api.create(&params, &event)).await;
        if let Err(error) = wrote {
            self.metrics.dropped_events.inc();
            let reason = event.reason;
            tracing::warn!(namespace, reason, %error, "an Event was not written");
        }
    }

    /// The next Event that waits.
    #[cfg(test)]
    pub(crate) fn waiting(&mut self) -> Option<Event> {
        self.queue.try_recv().ok()
    }
}

/// The resource of a request, with its subresource.
pub(crate) fn resource(request: &Request<'_>) -> String {
    match request.sub_resource.as_ref() {
        "" => request.resource.resource.to_string(),
        subresource => format!("{}/{subresource}", request.resource.resource),
    }
}

fn event(request: &Request<'_>, notice: Notice<'_>, now: Timestamp) -> Event {
    let resource = &request.resource;
    let namespace = request.namespace.as_deref().filter(|namespace| !namespace.is_empty());
    let api_version = match resource.group.as_ref() {
        "" => resource.version.to_string(),
        group => format!("{group}/{}", resource.version),
    };
    event_on(api_version, namespace, notice, now)
}

fn event_on(
    api_version: String,
    namespace: Option<&str>,
    notice: Notice<'_>,
    now: Timestamp,
) -> Event {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Event {
        metadata: ObjectMeta {
            namespace: Some(namespace.unwrap_or(CLUSTER).to_owned()),
            generate_name: Some(notice.prefix.to_owned()),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(now)),
        reporting_controller: Some(names::WEBHOOK_FIELD_MANAGER.to_owned()),
        reporting_instance: Some(names::WEBHOOK_SERVICE_ACCOUNT.to_owned()),
        action: Some("Admission".to_owned()),
        reason: Some(notice.reason.to_owned()),
        type_: Some("Warning".to_owned()),
        note: Some(cut(notice.note)),
        regarding: Some(ObjectReference {
            api_version: Some(api_version),
            kind: text(notice.kind),
            namespace: namespace.map(str::to_owned),
            name: text(notice.name),
            uid: text(notice.uid),
            ..ObjectReference::default()
        }),
        ..Event::default()
    }
}

/// As much of a note as an Event takes.
fn cut(note: &str) -> String {
    note.get(..note.floor_char_boundary(LONGEST_NOTE)).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use smartops_process::metrics::Metrics;

    use super::*;
    use crate::admission::envelope::Envelope;

    const NOTICE: Notice<'_> = Notice {
        reason: "Odd",
        prefix: "odd-",
        kind: "Deployment",
        name: "web",
        uid: "u-7",
        note: "something was odd",
    };

    fn body(namespace: &str) -> String {
        format!(
            r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"u",
            "resource":{{"group":"apps","version":"v1","resource":"deployments"}},"subResource":"scale",
            "operation":"UPDATE","namespace":"{namespace}","name":"web","userInfo":{{"username":"alice"}}}}}}"#
        )
    }

    #[test]
    fn the_event_is_of_the_object_and_stands_beside_it() {
        let now = "2026-11-21T10:00:00Z".parse().unwrap();
        for (namespace, place) in [("shop", "shop"), ("", "default")] {
            let body = body(namespace);
            let envelope = Envelope::read(body.as_bytes()).unwrap();
            let event = event(envelope.request.as_ref().unwrap(), NOTICE, now);
            assert_eq!(event.metadata.namespace.as_deref(), Some(place));
            assert_eq!(event.note.as_deref(), Some("something was odd"));
            let regarding = event.regarding.unwrap();
            assert_eq!(regarding.api_version.as_deref(), Some("apps/v1"));
            assert_eq!(regarding.kind.as_deref(), Some("Deployment"));
            assert_eq!(regarding.uid.as_deref(), Some("u-7"));
        }
    }

    fn alarm_of_a_new_webhook() -> (Alarm, Events, WebhookMetrics) {
        let metrics = WebhookMetrics::new(&Metrics::new("webhook").unwrap()).unwrap();
        let (alarm, events) = alarm(&metrics);
        (alarm, events, metrics)
    }

    #[test]
    fn a_full_queue_drops_and_counts_and_never_waits() {
        let (alarm, _events, metrics) = alarm_of_a_new_webhook();
        let body = body("shop");
        let envelope = Envelope::read(body.as_bytes()).unwrap();
        for place in 0..QUEUE + 3 {
            let reason = ["One", "Another", "Third"][place % 3];
            alarm.tell(envelope.request.as_ref().unwrap(), Notice { reason, ..NOTICE });
        }
        assert_eq!(metrics.dropped_events.get(), 3);
    }

    #[test]
    fn one_reason_too_often_is_only_counted_and_another_is_told_all_the_same() {
        let (alarm, mut events, metrics) = alarm_of_a_new_webhook();
        let body = body("shop");
        let envelope = Envelope::read(body.as_bytes()).unwrap();
        let tell = |notice: Notice<'_>| alarm.tell(envelope.request.as_ref().unwrap(), notice);
        for _ in 0..BURST + 7 {
            tell(NOTICE);
        }
        let dropped = metrics.dropped_events.get();
        assert!((1..=7).contains(&dropped), "{dropped}");
        tell(Notice { reason: "BreakGlass", ..NOTICE });
        assert_eq!(metrics.dropped_events.get(), dropped);
        let mut told = std::iter::from_fn(|| events.waiting()).filter_map(|event| event.reason);
        assert!(told.any(|reason| reason == "BreakGlass"));
    }

    #[test]
    fn there_is_another_event_of_a_reason_each_second_and_never_more_than_at_first() {
        let now = Instant::now();
        let mut pace = Pace { left: 1, since: now };
        let taken = |pace: &mut Pace, at: u64, times: u32| {
            (0..times).filter(|_| pace.take(now + Duration::from_millis(at))).count()
        };
        assert_eq!(taken(&mut pace, 0, 3), 1);
        assert_eq!(taken(&mut pace, 999, 3), 0);
        assert_eq!(taken(&mut pace, 1000, 3), 1);
        assert_eq!(taken(&mut pace, 3500, 5), 2);
        assert_eq!(taken(&mut pace, 4000, 5), 1);
        assert_eq!(taken(&mut pace, 3_600_000, BURST + 5), BURST as usize);
    }

    #[test]
    fn a_note_is_cut_at_a_character() {
        assert_eq!(cut(&"ä".repeat(600)).len(), 1024);
        assert_eq!(cut(&format!("a{}", "ä".repeat(600))).len(), 1023);
    }
}
