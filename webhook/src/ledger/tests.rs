//! The book against an API server of ledgers, kept in memory.

use std::sync::Mutex;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::{Method, Request, Response, StatusCode};
use kube::client::Body;
use serde_json::{Value, json};
use smartops_process::clock::Clock;
use smartops_process::health::Readiness;
use smartops_process::metrics::Metrics;
use smartops_process::watch::Event;
use tower::service_fn;

use super::*;
use crate::workload::Workload;

#[derive(Debug, Default)]
struct Stored {
    ledgers: BTreeMap<String, Value>,
    version: u64,
    /// Each write: method and name.
    writes: Vec<String>,
    is_down: bool,
}

/// An API server that keeps ledgers, and can be down.
#[derive(Debug, Clone, Default)]
struct Server(Arc<Mutex<Stored>>);

impl Server {
    fn client(&self) -> Client {
        let server = self.clone();
        let service = service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let (head, body) = request.into_parts();
                let bytes = body.collect().await.unwrap().to_bytes();
                Ok::<_, std::io::Error>(server.answer(&head.method, head.uri.path(), &bytes))
            }
        });
        Client::new(service, "smartops-system")
    }

    fn answer(&self, method: &Method, path: &str, bytes: &Bytes) -> Response<Body> {
        let mut stored = self.0.lock().unwrap();
        if stored.is_down {
            return failed(503, "ServiceUnavailable");
        }
        let name = path.rsplit('/').next().filter(|last| *last != "changeledgers");
        let present = name.and_then(|name| stored.ledgers.get(name).cloned());
        match (method, name) {
            (&Method::GET, None) => {
                let items: Vec<&Value> = stored.ledgers.values().collect();
                return answered(&json!({"metadata": {}, "items": items}));
            }
            (&Method::GET, Some(_)) => {
                return present.as_ref().map_or_else(|| failed(404, "NotFound"), answered);
            }
            (&Method::DELETE, Some(name)) => {
                stored.writes.push(format!("DELETE {name}"));
                stored.ledgers.remove(name);
                return answered(&json!({"kind": "Status", "status": "Success"}));
            }
            _ => {}
        }
        let ledger: Value = serde_json::from_slice(bytes).unwrap();
        let name = ledger["metadata"]["name"].as_str().unwrap().to_owned();
        let present = stored.ledgers.get(&name);
        let sent = &ledger["metadata"]["resourceVersion"];
        match (present, *method == Method::POST) {
            (Some(_), true) => return failed(409, "AlreadyExists"),
            (None, false) => return failed(404, "NotFound"),
            (Some(present), false) if present["metadata"]["resourceVersion"] != *sent => {
                return failed(409, "Conflict");
            }
            _ => {}
        }
        stored.writes.push(format!("{method} {name}"));
        answered(&stored.keep(ledger))
    }

    /// Puts a ledger as somebody else would.
    fn put(&self, ledger: Value) {
        self.0.lock().unwrap().keep(ledger);
    }

    fn ledger(&self, name: &str) -> Option<ChangeLedger> {
        let ledger = self.0.lock().unwrap().ledgers.get(name).cloned()?;
        Some(serde_json::from_value(ledger).unwrap())
    }

    fn writes(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().writes)
    }
}

impl Stored {
    fn keep(&mut self, mut ledger: Value) -> Value {
        self.version += 1;
        ledger["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let name = ledger["metadata"]["name"].as_str().unwrap().to_owned();
        self.ledgers.insert(name, ledger.clone());
        ledger
    }
}

fn answered(value: &Value) -> Response<Body> {
    Response::new(Body::from(value.to_string().into_bytes()))
}

fn failed(code: u16, reason: &str) -> Response<Body> {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": reason,
        "reason": reason, "code": code,
    });
    let mut response = answered(&status);
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response
}

fn workload(generation: i64, image: &str) -> Workload {
    serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": "u", "generation": generation},
        "spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}},
    }))
    .unwrap()
}

/// A replica: its book, its histories, whether it leads.
struct Replica {
    book: Option<Book>,
    histories: Arc<Histories>,
    ready: Readiness,
    leads: watch::Sender<bool>,
    shutdown: Shutdown,
}

fn replica(server: &Server) -> Replica {
    let metrics = WebhookMetrics::new(&Metrics::new("webhook").unwrap()).unwrap();
    let histories = Arc::new(Histories::new(metrics.clone()));
    let shutdown = Shutdown::new();
    let ready = Readiness::new(shutdown.clone());
    let handle = ready.handle("ledgers");
    let system = "smartops-system";
    let book = Book::new(server.client(), system, Arc::clone(&histories), handle, metrics);
    let leads = watch::Sender::new(false);
    Replica { book: Some(book), histories, ready, leads, shutdown }
}

impl Replica {
    fn start(&mut self) -> (tokio::task::JoinHandle<Result<(), BoxError>>, oneshot::Receiver<()>) {
        let (done, written) = oneshot::channel();
        let book = self.book.take().unwrap();
        let run = book.run(self.leads.subscribe(), self.shutdown.clone(), done);
        (tokio::spawn(run), written)
    }

    /// Every kind's first list, with this Deployment in it.
    fn list(&self, workload: Workload) {
        use k8s_openapi::api::apps::v1::{DaemonSet, StatefulSet};
        use k8s_openapi::api::core::v1::ReplicationController;
        self.histories.observe(Event::<Workload>::Init);
        self.histories.observe(Event::InitApply(workload));
        self.histories.observe(Event::<Workload>::InitDone);
        self.histories.observe(Event::<Workload<StatefulSet>>::InitDone);
        self.histories.observe(Event::<Workload<DaemonSet>>::InitDone);
        self.histories.observe(Event::<Workload<ReplicationController>>::InitDone);
    }
}

async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let limit = tokio::time::Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(tokio::time::Instant::now() < limit, "never {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn only_the_leader_writes_what_changed_and_another_replica_reads_it_at_its_start() {
    let server = Server::default();
    let mut one = replica(&server);
    let (_task, _written) = one.start();
    one.histories.ledgers_read().await;
    one.list(workload(1, "a"));
    one.histories.observe(Event::Apply(workload(2, "b")));
    eventually("loaded", || one.histories.is_loaded() && one.ready.is_ready()).await;
    assert_eq!(server.writes(), [] as [&str; 0], "it does not lead");
    one.leads.send_replace(true);
    eventually("written", || server.ledger("shop").is_some()).await;
    assert_eq!(server.writes(), ["POST shop"]);
    one.histories.observe(Event::Apply(workload(3, "c")));
    eventually("written again", || server.writes() == ["PUT shop"]).await;

    let mut two = replica(&server);
    let (_task, _written) = two.start();
    two.histories.ledgers_read().await;
    two.list(workload(3, "c"));
    assert_eq!(two.histories.record("u"), one.histories.record("u"));
    // A leader that finds everything as it should be writes nothing.
    one.leads.send_replace(false);
    two.leads.send_replace(true);
    two.histories.observe(Event::Apply(workload(4, "d")));
    eventually("written by the other", || server.writes() == ["PUT shop"]).await;
}

#[tokio::test]
async fn a_leader_that_finds_another_has_written_takes_it_in_and_writes_over_it() {
    let server = Server::default();
    let mut one = replica(&server);
    let (_task, _written) = one.start();
    one.histories.ledgers_read().await;
    one.list(workload(1, "a"));
    one.leads.send_replace(true);
    eventually("written", || server.ledger("shop").is_some()).await;
    let mut ledger = server.ledger("shop").unwrap();
    // The other had seen the number change earlier, and by a clock far ahead its pods roll.
    ledger.spec.workloads[0].scaled = "2020-01-01T00:00:00Z".parse().unwrap();
    ledger.spec.workloads[0].rolled = "2200-01-01T00:00:00Z".parse().unwrap();
    let theirs = ledger.spec.workloads[0].scaled;
    server.put(serde_json::to_value(&ledger).unwrap());
    one.histories.observe(Event::Apply(workload(2, "b")));
    let generation = || server.ledger("shop").unwrap().spec.workloads[0].generation;
    eventually("written over", || generation() == 2).await;
    assert_eq!(server.ledger("shop").unwrap().spec.workloads[0].scaled, theirs);
    let record = one.histories.record("u").unwrap();
    assert_eq!(record.scaled, theirs.0);
    let rolled = record.rolled.known().unwrap();
    assert!(rolled <= Clock.now(), "{rolled}: what lies ahead happened now");
}

#[tokio::test]
async fn what_is_due_at_the_stop_is_written_before_the_lease_may_be_released() {
    let server = Server::default();
    let mut one = replica(&server);
    let (task, written) = one.start();
    one.histories.ledgers_read().await;
    one.list(workload(1, "a"));
    one.leads.send_replace(true);
    eventually("written", || server.ledger("shop").is_some()).await;
    one.histories.observe(Event::Apply(workload(2, "a")));
    one.shutdown.stop();
    assert!(written.await.is_err(), "it is dropped, not sent");
    assert_eq!(server.ledger("shop").unwrap().spec.workloads[0].generation, 2);
    task.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_replica_is_not_ready_before_the_ledgers_could_be_read_and_an_unreadable_one_counts_as_changed()
 {
    let server = Server::default();
    server.put(json!({"metadata": {"name": "shop"}, "spec": {"workloads": "none"}}));
    server.0.lock().unwrap().is_down = true;
    let mut one = replica(&server);
    let (_task, _written) = one.start();
    eventually("told why", || one.ready.missing().concat().contains("listing the ledgers")).await;
    assert!(!one.histories.is_loaded());
    server.0.lock().unwrap().is_down = false;
    one.histories.ledgers_read().await;
    one.list(workload(7, "a"));
    let rolled = one.histories.record("u").unwrap().rolled;
    assert!(matches!(rolled, smartops_guard::history::Rolled::At(_)), "{rolled:?}");
    one.leads.send_replace(true);
    eventually("written anew", || server.writes() == ["PUT shop"]).await;
    assert_eq!(server.ledger("shop").unwrap().spec.kept, 1);
}

#[tokio::test]
async fn with_a_namespace_its_ledger_goes_and_one_deleted_by_hand_comes_back() {
    let server = Server::default();
    let mut one = replica(&server);
    let (_task, _written) = one.start();
    one.histories.ledgers_read().await;
    one.list(workload(1, "a"));
    one.leads.send_replace(true);
    eventually("written", || server.ledger("shop").is_some()).await;
    server.0.lock().unwrap().ledgers.clear();
    one.histories.observe(Event::Apply(workload(2, "b")));
    eventually("back", || server.ledger("shop").is_some()).await;
    one.histories.observe_namespace(&Event::InitDone);
    eventually("deleted", || server.ledger("shop").is_none()).await;
}
