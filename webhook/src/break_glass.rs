//! What is told when somebody breaks the glass: a warning in the log, a metric, and an Event on the object. The Event
//! goes through a bounded queue that no review waits for, and is never made of a dry run.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use smartops_common::names;
use smartops_guard::BreakGlass;
use smartops_process::BoxError;
use smartops_process::client::deadline;
use smartops_process::clock::Clock;
use smartops_process::shutdown::Shutdown;
use tokio::sync::mpsc;

use crate::admission::envelope::Request;
use crate::metrics::WebhookMetrics;

/// Events that wait to be written.
const QUEUE: usize = 256;
/// How long one write may take.
const CALL: Duration = Duration::from_secs(5);
/// Longest note of an Event the API server takes, in bytes.
const LONGEST_NOTE: usize = 1024;
/// The namespace of Events on objects that are in none.
const CLUSTER: &str = "default";

/// Takes note of broken glasses. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Alarm {
    queue: mpsc::Sender<Event>,
    metrics: WebhookMetrics,
}

/// Writes the Events.
#[derive(Debug)]
pub struct Events {
    queue: mpsc::Receiver<Event>,
    metrics: WebhookMetrics,
}

/// Where broken glasses are noted, and what writes the Events about them.
pub fn alarm(metrics: &WebhookMetrics) -> (Alarm, Events) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let alarm = Alarm { queue: sender, metrics: metrics.clone() };
    (alarm, Events { queue: receiver, metrics: metrics.clone() })
}

impl Alarm {
    /// Tells that a write passes because its author broke the glass.
    pub fn ring(&self, uid: &str, request: &Request<'_>, broken: &BreakGlass) {
        let dry_run = request.is_dry_run();
        self.metrics.break_glass.with_label_values(&[if dry_run { "true" } else { "false" }]).inc();
        let policies = broken.policies.join(", ");
        tracing::warn!(
            uid,
            user = %request.user_info.username,
            operation = %request.operation,
            group = %request.resource.group,
            resource = %request.resource.resource,
            subresource = %request.sub_resource,
            namespace = request.namespace.as_deref(),
            name = broken.name,
            dry_run,
            reason = broken.reason,
            policies,
            "the glass was broken: a write passes against policies"
        );
        if !dry_run && self.queue.try_send(event(request, broken, &policies, Clock.now())).is_err()
        {
            self.metrics.dropped_events.inc();
        }
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
            tracing::warn!(namespace, %error, "an Event about a broken glass was not written");
        }
    }
}

fn event(request: &Request<'_>, broken: &BreakGlass, policies: &str, now: Timestamp) -> Event {
    let resource = &request.resource;
    let namespace = request.namespace.as_deref().filter(|namespace| !namespace.is_empty());
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let api_version = match resource.group.as_ref() {
        "" => resource.version.to_string(),
        group => format!("{group}/{}", resource.version),
    };
    let below = match request.sub_resource.as_ref() {
        "" => String::new(),
        subresource => format!("/{subresource}"),
    };
    let note = format!(
        "{} broke the glass for {} of {}{below} {}: {} (against {policies})",
        request.user_info.username,
        request.operation,
        resource.resource,
        broken.name,
        broken.reason,
    );
    Event {
        metadata: ObjectMeta {
            namespace: Some(namespace.unwrap_or(CLUSTER).to_owned()),
            // Not after the object, whose name need not be one of an Event.
            generate_name: Some("break-glass-".to_owned()),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(now)),
        reporting_controller: Some(names::WEBHOOK_FIELD_MANAGER.to_owned()),
        reporting_instance: Some(names::WEBHOOK_SERVICE_ACCOUNT.to_owned()),
        action: Some("Admission".to_owned()),
        reason: Some("BreakGlass".to_owned()),
        type_: Some("Warning".to_owned()),
        note: Some(cut(&note)),
        regarding: Some(ObjectReference {
            api_version: Some(api_version),
            kind: text(&broken.kind),
            namespace: namespace.map(str::to_owned),
            name: text(&broken.name),
            uid: text(&broken.uid),
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

    fn metrics() -> WebhookMetrics {
        WebhookMetrics::new(&Metrics::new("webhook").unwrap()).unwrap()
    }

    fn body(namespace: &str, dry_run: bool) -> String {
        format!(
            r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"u",
            "resource":{{"group":"apps","version":"v1","resource":"deployments"}},"subResource":"scale",
            "operation":"UPDATE","namespace":"{namespace}","name":"web","userInfo":{{"username":"alice"}},"dryRun":{dry_run}}}}}"#
        )
    }

    fn broken() -> BreakGlass {
        BreakGlass {
            reason: "the shop is down".into(),
            policies: vec!["baseline".into(), "night".into()],
            kind: "Deployment".into(),
            name: "web".into(),
            uid: "u-7".into(),
        }
    }

    fn ring(alarm: &Alarm, dry_run: bool) {
        let body = body("shop", dry_run);
        let envelope = Envelope::read(body.as_bytes()).unwrap();
        alarm.ring("u", envelope.request.as_ref().unwrap(), &broken());
    }

    #[test]
    fn the_event_says_who_what_why_and_against_what_on_the_object_itself() {
        let now = "2026-11-21T10:00:00Z".parse().unwrap();
        for (namespace, place) in [("shop", "shop"), ("", "default")] {
            let body = body(namespace, false);
            let envelope = Envelope::read(body.as_bytes()).unwrap();
            let event =
                event(envelope.request.as_ref().unwrap(), &broken(), "baseline, night", now);
            assert_eq!(event.metadata.namespace.as_deref(), Some(place));
            assert_eq!(
                event.note.as_deref(),
                Some(
                    "alice broke the glass for UPDATE of deployments/scale web: the shop is down (against baseline, night)"
                )
            );
            let regarding = event.regarding.unwrap();
            assert_eq!(regarding.api_version.as_deref(), Some("apps/v1"));
            assert_eq!(regarding.kind.as_deref(), Some("Deployment"));
            assert_eq!(regarding.uid.as_deref(), Some("u-7"));
        }
    }

    #[test]
    fn a_dry_run_is_counted_and_makes_no_event() {
        let metrics = metrics();
        let (alarm, mut events) = alarm(&metrics);
        ring(&alarm, true);
        assert!(events.queue.try_recv().is_err());
        ring(&alarm, false);
        assert!(events.queue.try_recv().is_ok());
        for (dry_run, count) in [("true", 1), ("false", 1)] {
            assert_eq!(metrics.break_glass.with_label_values(&[dry_run]).get(), count);
        }
    }

    #[test]
    fn a_full_queue_drops_and_counts_and_never_waits() {
        let metrics = metrics();
        let (alarm, _events) = alarm(&metrics);
        for _ in 0..QUEUE + 3 {
            ring(&alarm, false);
        }
        assert_eq!(metrics.dropped_events.get(), 3);
    }

    #[test]
    fn a_note_is_cut_at_a_character() {
        assert_eq!(cut(&"ä".repeat(600)).len(), 1024);
        assert_eq!(cut(&format!("a{}", "ä".repeat(600))).len(), 1023);
    }
}
