//! Elections against an API server of one Lease, kept in memory.

use std::sync::{Arc, Mutex};

use http_body_util::BodyExt as _;
use hyper::{Method, Request, Response, StatusCode};
use kube::client::Body;
use serde_json::{Value, json};
use tower::service_fn;

use super::*;

/// Quick, and still well ordered: a hold ends before a term does.
const QUICK: Timing = Timing {
    term: Duration::from_secs(1),
    hold: Duration::from_millis(500),
    renew: Duration::from_millis(60),
    look: Duration::from_millis(40),
    call: Duration::from_millis(250),
};

#[derive(Debug, Default)]
struct Stored {
    lease: Option<Value>,
    version: u64,
    is_down: bool,
}

/// An API server that keeps one Lease, and can be down.
#[derive(Debug, Clone, Default)]
struct Server(Arc<Mutex<Stored>>);

impl Server {
    fn election(&self, identity: &str) -> Election {
        let server = self.clone();
        let service = service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, std::io::Error>(server.answer(request).await) }
        });
        let client = Client::new(service, "smartops-system");
        let place = SocketAddr::from(([127, 0, 0, 1], 8443));
        let election = Election::new(client, "smartops-system", "smartops-webhook", place);
        Election { identity: identity.to_owned(), timing: QUICK, ..election }
    }

    fn set_down(&self, is_down: bool) {
        self.0.lock().unwrap().is_down = is_down;
    }

    fn holder(&self) -> Option<String> {
        let stored = self.0.lock().unwrap();
        Some(stored.lease.as_ref()?["spec"]["holderIdentity"].as_str()?.to_owned())
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let method = request.method().clone();
        let bytes = request.into_body().collect().await.unwrap().to_bytes();
        let mut stored = self.0.lock().unwrap();
        if stored.is_down {
            return failed(503, "ServiceUnavailable");
        }
        if method == Method::GET {
            return match &stored.lease {
                Some(lease) => Response::new(Body::from(lease.to_string().into_bytes())),
                None => failed(404, "NotFound"),
            };
        }
        let mut lease: Value = serde_json::from_slice(&bytes).unwrap();
        let present =
            stored.lease.as_ref().map(|lease| lease["metadata"]["resourceVersion"].clone());
        let fits = match (&present, method == Method::POST) {
            (None, true) => true,
            (Some(version), false) => *version == lease["metadata"]["resourceVersion"],
            (None, false) => return failed(404, "NotFound"),
            (Some(_), true) => return failed(409, "AlreadyExists"),
        };
        if !fits {
            return failed(409, "Conflict");
        }
        stored.version += 1;
        lease["metadata"]["resourceVersion"] = json!(stored.version.to_string());
        stored.lease = Some(lease.clone());
        Response::new(Body::from(lease.to_string().into_bytes()))
    }
}

fn failed(code: u16, reason: &str) -> Response<Body> {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": reason,
        "reason": reason, "code": code,
    });
    let mut response = Response::new(Body::from(status.to_string().into_bytes()));
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response
}

/// An election that runs.
struct Running {
    leads: watch::Receiver<bool>,
    shutdown: Shutdown,
    task: tokio::task::JoinHandle<Result<(), BoxError>>,
}

fn start(server: &Server, identity: &str) -> Running {
    start_with(server, identity, async {})
}

fn start_with(
    server: &Server,
    identity: &str,
    last_work: impl Future<Output = ()> + Send + 'static,
) -> Running {
    let (election, shutdown) = (server.election(identity), Shutdown::new());
    let leads = election.is_leader();
    let task = tokio::spawn(election.run(shutdown.clone(), last_work));
    Running { leads, shutdown, task }
}

impl Running {
    async fn wait(&mut self, leads: bool) {
        let limit = Duration::from_secs(10);
        let waited = self.leads.wait_for(|leading| *leading == leads);
        tokio::time::timeout(limit, waited).await.expect("in time").unwrap();
    }
}

#[tokio::test]
async fn one_leads_and_when_it_stops_the_other_does_without_waiting_for_the_term() {
    let server = Server::default();
    let mut one = start(&server, "one");
    one.wait(true).await;
    let mut two = start(&server, "two");
    let stopped = Instant::now();
    one.shutdown.stop();
    two.wait(true).await;
    assert!(stopped.elapsed() < QUICK.term, "{:?}", stopped.elapsed());
    one.task.await.unwrap().unwrap();
    assert_eq!(server.holder().as_deref(), Some("two"));
}

#[tokio::test]
async fn a_leader_that_dies_is_followed_after_its_term_and_not_before() {
    let server = Server::default();
    let mut one = start(&server, "one");
    one.wait(true).await;
    let mut two = start(&server, "two");
    let died = Instant::now();
    one.task.abort();
    two.wait(true).await;
    assert!(died.elapsed() + QUICK.renew >= QUICK.term, "{:?}", died.elapsed());
}

#[tokio::test]
async fn a_leader_that_is_started_again_at_the_same_place_goes_on_leading_at_once() {
    let server = Server::default();
    let mut one = start(&server, "one");
    one.wait(true).await;
    one.task.abort();
    let died = Instant::now();
    let mut again = start(&server, "one");
    again.wait(true).await;
    assert!(died.elapsed() < QUICK.term, "{:?}", died.elapsed());
}

#[tokio::test]
async fn a_leader_that_cannot_renew_steps_down_and_leads_again_when_it_can() {
    let server = Server::default();
    let mut one = start(&server, "one");
    one.wait(true).await;
    let cut = Instant::now();
    server.set_down(true);
    one.wait(false).await;
    assert!(cut.elapsed() < QUICK.term, "it must go before others may come");
    server.set_down(false);
    one.wait(true).await;
}

#[tokio::test]
async fn the_last_work_of_a_leader_is_done_before_the_lease_is_released() {
    let server = Server::default();
    let (done, work) = tokio::sync::oneshot::channel::<()>();
    let mut one = start_with(&server, "one", async {
        let _closed = work.await;
    });
    one.wait(true).await;
    one.shutdown.stop();
    let mut two = start(&server, "two");
    two.wait(false).await;
    assert_eq!(server.holder().as_deref(), Some("one"), "its last work is not done");
    done.send(()).unwrap();
    two.wait(true).await;
}

#[test]
fn whatever_the_term_a_holder_tries_more_than_once_and_goes_before_others_may_come() {
    for seconds in [3, 4, 15, 60] {
        let Timing { term, hold, renew, look, call } = Timing::of(Duration::from_secs(seconds));
        assert!(hold < term && renew + 2 * (look + call) <= term, "{seconds}");
        assert!(renew + call < hold, "{seconds}");
    }
    let usual = Timing::of(USUAL_TERM);
    let seconds = [usual.hold, usual.renew, usual.look, usual.call].map(|time| time.as_secs());
    assert_eq!(seconds, [10, 5, 2, 2]);
}

#[tokio::test]
async fn leadership_is_certain_while_it_is_renewed_and_no_longer_than_the_hold_without() {
    let server = Server::default();
    let election = server.election("one");
    let (leadership, shutdown) = (election.leadership(), Shutdown::new());
    let mut changes = leadership.changes();
    let task = tokio::spawn(election.run(shutdown.clone(), async {}));
    changes.wait_for(|leads| *leads).await.unwrap();
    assert!(leadership.is_certain());
    tokio::time::sleep(QUICK.hold).await;
    assert!(leadership.is_certain(), "renewed meanwhile");
    // Nothing runs any more, so nothing is told: by the clock alone.
    task.abort();
    tokio::time::sleep(QUICK.hold).await;
    assert!(leadership.is_leader() && !leadership.is_certain());
}
