//! Reads from an API server kept in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use hyper::{Request, Response, StatusCode};
use kube::client::Body;
use serde_json::{Value, json};
use smartops_process::metrics::Metrics;
use tower::service_fn;

use super::*;

/// An API server of objects and lists by their paths; it forbids what it has not.
#[derive(Debug, Clone, Default)]
pub(crate) struct Server(Arc<Mutex<Stored>>);

#[derive(Debug, Default)]
struct Stored {
    objects: BTreeMap<String, Value>,
    lists: BTreeMap<String, Vec<Value>>,
    asked: Vec<String>,
}

impl Server {
    /// Has an object, or with `Value::Null` tells that there is none.
    pub(crate) fn object(self, path: &str, object: Value) -> Self {
        self.0.lock().unwrap().objects.insert(path.to_owned(), object);
        self
    }

    pub(crate) fn list(self, path: &str, items: Vec<Value>) -> Self {
        self.0.lock().unwrap().lists.insert(path.to_owned(), items);
        self
    }

    pub(crate) fn live(&self) -> Live {
        let server = self.clone();
        let service = service_fn(move |request: Request<Body>| {
            let answer = server.answer(request.uri().path(), request.uri().query());
            async move { Ok::<_, std::io::Error>(answer) }
        });
        let metrics = WebhookMetrics::new(&Metrics::new("webhook").unwrap()).unwrap();
        Live::new(Client::new(service, "shop"), metrics)
    }

    /// Every path and query asked for so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.0.lock().unwrap().asked.clone()
    }

    fn answer(&self, path: &str, query: Option<&str>) -> Response<Body> {
        let mut stored = self.0.lock().unwrap();
        let query = query.unwrap_or_default();
        stored.asked.push(format!("{path}?{query}"));
        let number = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, _)| *key == name).map(|(_, value)| value.parse::<usize>().unwrap())
        };
        if let Some(items) = stored.lists.get(path) {
            let from = number("continue").unwrap_or_default();
            let until = items.len().min(from + number("limit").unwrap());
            let more = if until < items.len() { until.to_string() } else { String::new() };
            let metadata = json!({"continue": more});
            return answered(200, &json!({"metadata": metadata, "items": items[from..until]}));
        }
        match stored.objects.get(path) {
            Some(Value::Null) => failed(404, "NotFound"),
            Some(object) => answered(200, object),
            None => failed(403, "Forbidden"),
        }
    }
}

fn answered(code: u16, value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(value.to_string().into_bytes()));
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response
}

fn failed(code: u16, reason: &str) -> Response<Body> {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": reason,
        "reason": reason, "code": code,
    });
    answered(code, &status)
}

/// A pod of a controller, made at that second of a minute.
pub(crate) fn pod(controller: &str, second: i64) -> Value {
    json!({"metadata": {
        "name": format!("pod-{second}"),
        "creationTimestamp": format!("2026-01-01T12:00:{second:02}Z"),
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1",
            "uid": controller, "controller": true}],
    }})
}

pub(crate) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

const PODS: &str = "/api/v1/namespaces/shop/pods";

async fn pods(server: &Server) -> Option<Vec<Timestamp>> {
    server.live().pods("shop", "mine", Selector::default(), soon()).await.unwrap()
}

#[tokio::test]
async fn what_a_controller_owns_is_found_on_whichever_page_it_stands() {
    for others in [0, 499, 500, 2600] {
        let mut items = vec![pod("another", 1); others];
        items.push(pod("mine", 7));
        let server = Server::default().list(PODS, items);
        let expected = "2026-01-01T12:00:07Z".parse().unwrap();
        assert_eq!(pods(&server).await, Some(vec![expected]), "{others}");
        assert_eq!(server.asked().len(), others / 500 + 1, "{others}");
    }
}

#[tokio::test]
async fn what_is_on_more_pages_than_are_read_is_not_to_be_had_and_never_nothing() {
    let most = usize::try_from(PAGE).unwrap() * PAGES;
    let server = Server::default().list(PODS, vec![pod("another", 1); most]);
    assert_eq!(pods(&server).await, Some(vec![]));
    let server = Server::default().list(PODS, vec![pod("another", 1); most + 1]);
    assert_eq!(pods(&server).await, None);
    assert_eq!(server.asked().len(), PAGES);
}

#[tokio::test]
async fn what_is_forbidden_is_an_error_and_not_nothing() {
    let read = Server::default().live();
    let read = read.pods("shop", "mine", Selector::default(), soon()).await;
    assert_eq!(read.unwrap_err().code(), Some(403));
}

const REMEDIATIONS_OF_THE_SHOP: &str = "/apis/smartops.dev/v1alpha1/namespaces/shop/remediations";

/// A Remediation that is Executing, with an attempt that has this result.
fn executing(name: &str, result: Option<&str>) -> Value {
    let target = json!({"uid": "u", "generation": 1, "resourceVersion": "1"});
    json!({
        "metadata": {"name": name, "namespace": "shop", "uid": name},
        "spec": {
            "target": {"kind": "Deployment", "name": "web", "uid": "u"},
            "action": {"type": "restart"}, "cause": "c", "source": "user",
        },
        "status": {"phase": "Executing", "attempts": [{
            "number": 1, "kind": "Apply", "intent": {"type": "restart", "restartedAt": "t"},
            "target": target, "former": {"replicas": 1}, "leader": "pod/1", "result": result,
            "startedAt": "2026-01-01T12:00:00Z", "deadline": "2026-01-01T12:01:00Z",
        }]},
    })
}

#[tokio::test]
async fn what_announces_a_write_is_asked_of_etcd_by_its_target_and_phase_and_never_cut_short() {
    let waiting = executing("a-waiting", Some("Failed"));
    let open = executing("open", None);
    let most = usize::try_from(REMEDIATIONS).unwrap() * PAGES;
    for (waiting_many, open_many, expected) in [
        (0, 0, Some(&[][..])),
        (0, 1, Some(&["open"])),
        // One that waits is told of, however many there are.
        (9, 0, Some(&["a-waiting"])),
        (49, 1, Some(&["open", "a-waiting"])),
        (most - 1, 1, Some(&["open", "a-waiting"])),
        (most, 1, None),
    ] {
        let items = [vec![waiting.clone(); waiting_many], vec![open.clone(); open_many]].concat();
        let pages = items.len().div_ceil(50).clamp(1, PAGES);
        let server = Server::default().list(REMEDIATIONS_OF_THE_SHOP, items);
        let read = server.live().executing("shop", Some("u"), soon()).await.unwrap();
        let names = read.map(|read| read.iter().map(ResourceExt::name_any).collect::<Vec<_>>());
        let expected = expected.map(|names| names.iter().copied().map(str::to_owned).collect());
        assert_eq!(names, expected, "{waiting_many} {open_many}");
        let asked = server.asked();
        assert_eq!(asked.len(), pages);
        // No resourceVersion: the list is of now.
        let selected = "fieldSelector=spec.target.uid%3Du%2Cstatus.phase%3DExecuting";
        assert!(asked[0].contains(selected) && !asked[0].contains("resourceVersion"), "{asked:?}");
    }
    let unreadable = vec![json!({"metadata": {"name": "r"}})];
    let unreadable = Server::default().list(REMEDIATIONS_OF_THE_SHOP, unreadable);
    assert!(unreadable.live().executing("shop", Some("u"), soon()).await.is_err());
}

#[tokio::test]
async fn approvals_are_asked_for_by_the_uid_of_what_they_approve() {
    let path = "/apis/smartops.dev/v1alpha1/namespaces/shop/remediationapprovals";
    let approval = json!({
        "metadata": {"name": "a", "namespace": "shop"},
        "spec": {
            "remediation": {"name": "r", "uid": "r"}, "intentHash": "0", "decision": "Approve",
            "approver": "carol",
        },
    });
    let server = Server::default().list(path, vec![approval]);
    let read = server.live().approvals("shop", "r", soon()).await.unwrap().unwrap();
    assert_eq!(read[0].spec.approver, "carol");
    assert!(server.asked()[0].contains("fieldSelector=spec.remediation.uid%3Dr"));
}
