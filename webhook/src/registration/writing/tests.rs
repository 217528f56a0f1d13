//! Writes against an API server of one registration, kept in memory, which holds them to what they say they replace.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::{Method, Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use smartops_guard::registration::{Reach, probing};
use smartops_process::health::Readiness;
use smartops_process::lease::Leadership;
use smartops_process::metrics::Metrics;
use smartops_process::shutdown::Shutdown;
use tokio::sync::watch;
use tokio::time::Instant;
use tower::service_fn;

use super::super::Inputs;
use super::super::standing::Kind;
use super::*;
use crate::home::Ground;
use crate::metrics::WebhookMetrics;
use crate::places::Doors;
use crate::snapshot::Board;
use crate::told;
use crate::vap::Backing;

/// An API server that keeps one registration.
#[derive(Debug, Clone, Default)]
struct Server(Arc<Mutex<Stored>>);

#[derive(Debug, Default)]
struct Stored {
    registration: Option<Value>,
    writes: u64,
    /// Every write that came, taken or refused.
    came: Vec<Value>,
}

impl Server {
    fn client(&self) -> Client {
        let server = self.clone();
        let service = service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, std::io::Error>(server.answer(request).await) }
        });
        Client::new(service, "smartops-system")
    }

    /// Somebody writes it, another one than before where it was away; this is what stands then.
    fn somebody_writes(&self, bundle: &str) -> Standing {
        let stored = &mut *self.0.lock().unwrap();
        let uid = stored.registration.as_ref().map(|stands| stands["metadata"]["uid"].clone());
        let Standing::Validating(c) = trial(bundle) else { panic!("the trial is validating") };
        let written = serde_json::to_value(c).unwrap();
        stored.keep(written, uid)
    }

    fn somebody_deletes(&self) {
        self.0.lock().unwrap().registration = None;
    }

    fn stands(&self) -> Option<Standing> {
        self.0.lock().unwrap().registration.clone().map(standing)
    }

    fn came(&self) -> usize {
        self.0.lock().unwrap().came.len()
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        assert_eq!(request.method(), Method::PATCH);
        let bytes = request.into_body().collect().await.unwrap().to_bytes();
        let written: Value = serde_json::from_slice(&bytes).unwrap();
        let stored = &mut *self.0.lock().unwrap();
        stored.came.push(written.clone());
        let said = &written["metadata"];
        let uid = stored.registration.as_ref().map(|stands| stands["metadata"]["uid"].clone());
        // As a real one: a version counts where something stands, a uid in any case.
        let fits = match stored.registration.as_ref().map(|stands| &stands["metadata"]) {
            Some(stands) => {
                (said["uid"].is_null() || said["uid"] == stands["uid"])
                    && (said["resourceVersion"].is_null()
                        || said["resourceVersion"] == stands["resourceVersion"])
            }
            None => said["uid"].is_null(),
        };
        if !fits {
            let status = json!({
                "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 409,
                "message": "the object has been modified", "reason": "Conflict",
            });
            let mut response = Response::new(Body::from(status.to_string().into_bytes()));
            *response.status_mut() = StatusCode::CONFLICT;
            return response;
        }
        stored.keep(written, uid);
        let kept = stored.registration.as_ref().unwrap().to_string();
        Response::new(Body::from(kept.into_bytes()))
    }
}

impl Stored {
    fn keep(&mut self, mut written: Value, uid: Option<Value>) -> Standing {
        self.writes += 1;
        let version = (self.writes + 100).to_string();
        written["metadata"]["uid"] = uid.unwrap_or_else(|| json!(format!("uid-{version}")));
        written["metadata"]["resourceVersion"] = json!(version);
        self.registration = Some(written.clone());
        standing(written)
    }
}

fn standing(object: Value) -> Standing {
    let read: k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration =
        serde_json::from_value(object).unwrap();
    read.into()
}

/// A registration that trusts this bundle.
fn trial(bundle: &str) -> Standing {
    probing(&Reach::Service, bundle.as_bytes()).into()
}

/// A registrar that writes to this server, and what tells it until when it leads.
fn registrar(server: &Server) -> (Registrar, watch::Sender<Option<Instant>>) {
    let metrics = WebhookMetrics::new(&Metrics::new("webhook").unwrap()).unwrap();
    let (held, until) = watch::channel(Some(Instant::now() + Duration::from_mins(1)));
    let inputs = Inputs {
        board: Board::new(metrics.clone()),
        authority: watch::channel(None).1,
        trusted: watch::Sender::new(None),
        leadership: Leadership::new(watch::channel(true).1, until),
        ground: watch::channel(Ground::Unknown).1,
        backing: Backing::new(),
        reach: Reach::Service,
        doors: Doors::new(server.client(), None),
    };
    let (alarm, _events) = told::alarm(&metrics);
    let readiness = Readiness::new(Shutdown::new());
    (Registrar::new(server.client(), inputs, &readiness, alarm), held)
}

#[tokio::test]
async fn nothing_is_sent_by_whoever_is_not_certain_to_lead() {
    let server = Server::default();
    let (registrar, held) = registrar(&server);
    let wanted = trial("current");
    for held_until in [None, Some(Instant::now())] {
        held.send_replace(held_until);
        for written in [
            registrar.change(&wanted).await,
            registrar.repair(&wanted).await,
            registrar.prepare(&wanted).await,
            registrar.clear(&wanted, "it leaves").await,
        ] {
            assert!(matches!(written, Err(Unwritten::Uncertain)), "{held_until:?}: {written:?}");
        }
    }
    assert_eq!(server.came(), 0);
    held.send_replace(Some(Instant::now() + Duration::from_mins(1)));
    registrar.change(&wanted).await.unwrap();
    assert!(server.stands().unwrap().says_the_same(&wanted));
}

#[tokio::test]
async fn what_is_sent_late_takes_the_place_of_nothing_that_was_not_seen() {
    type Meanwhile = fn(&Server);
    let cases: [(&str, bool, Meanwhile, bool); 6] = [
        ("nothing stood", false, |_| {}, true),
        ("made meanwhile", false, |server| drop(server.somebody_writes("next")), false),
        ("as it was seen", true, |_| {}, true),
        ("written meanwhile", true, |server| drop(server.somebody_writes("next")), false),
        ("deleted meanwhile", true, Server::somebody_deletes, false),
        (
            "another one by now",
            true,
            |server| {
                server.somebody_deletes();
                server.somebody_writes("next");
            },
            false,
        ),
    ];
    for (what, stood, meanwhile, is_taken) in cases {
        let server = Server::default();
        let (registrar, _held) = registrar(&server);
        if stood {
            registrar.seen.wrote(server.somebody_writes("former"));
        }
        meanwhile(&server);
        let before = server.stands();
        let written = registrar.change(&trial("late")).await;
        if is_taken {
            written.unwrap();
            assert!(server.stands().unwrap().says_the_same(&trial("late")), "{what}");
            // What it wrote itself it has seen.
            registrar.change(&trial("later")).await.unwrap();
            continue;
        }
        assert!(matches!(written, Err(Unwritten::Moved(_))), "{what}: {written:?}");
        assert_eq!(server.stands(), before, "{what}");
        // Its twin: once the watch has told what stands, it is written.
        match server.stands() {
            Some(stands) => registrar.seen.wrote(stands),
            None => registrar.seen.removed(Kind::Validating, "smartops-own"),
        }
        registrar.change(&trial("late")).await.unwrap();
        assert!(server.stands().unwrap().says_the_same(&trial("late")), "{what}");
    }
}
