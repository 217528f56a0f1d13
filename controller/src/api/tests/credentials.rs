//! Keys and what they are for, signatures, rates and idempotency keys, as a client meets them.

use hmac::{Hmac, Mac};
use sha2::Sha256;
use smartops_process::clock::Clock;

use super::world::{End, Server, limited};
use super::*;
use crate::api::limits::Rate;

const SCALE: &str = "/v1/k8s/scale";

fn scale(namespace: &str) -> String {
    json!({"namespace": namespace, "deployment": "web", "replicas": 4, "dry_run": true}).to_string()
}

fn shop() -> Server {
    let server = server(&[("web", "web")]);
    let mut world = server.world.lock().unwrap();
    world.deployments.push(("shop".into(), "web".into(), "web".into()));
    world.end = End::Well;
    drop(world);
    server
}

#[tokio::test]
async fn a_key_is_for_the_namespaces_and_actions_of_its_line_and_learns_nothing_of_others() {
    let server = shop();
    let narrow = ("x-api-key", "narrow");
    assert_eq!(server.post_as(SCALE, narrow, scale("shop")).await.status, StatusCode::OK);
    let restart = json!({"namespace": "shop", "deployment": "web"}).to_string();
    for (path, body) in [
        (SCALE, scale("smartops-dev")),
        (SCALE, json!({"namespace": "bank", "deployment": "x", "replicas": 1}).to_string()),
        ("/v1/k8s/restart", restart),
        ("/v1/verify/deployment", json!({"namespace": "shop", "deployment": "web"}).to_string()),
    ] {
        let refused = server.post_as(path, narrow, body.clone()).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path} {body}");
        assert!(refused.body.get("candidates").is_none() && refused.body["next"].is_string());
    }
    let switch = Asked::new(Method::PATCH, "/v1/closed-loop", r#"{"enabled": false}"#);
    let refused = server.send(switch.with("x-api-key", "narrow")).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
}

fn signed<'a>(path: &'a str, body: &str, age: i64) -> Asked<'a> {
    let time = Clock.now().as_second() - age;
    let mut mac = Hmac::<Sha256>::new_from_slice(b"ssssssssssssssss").unwrap();
    mac.update(format!("{time}\nPOST\n{path}\n{body}").as_bytes());
    Asked::new(Method::POST, path, body.to_owned())
        .with("x-smartops-key", "signer")
        .with("x-smartops-timestamp", time.to_string())
        .with("x-smartops-signature", format!("sha256={:x}", mac.finalize().into_bytes()))
}

#[tokio::test]
async fn a_signed_request_passes_once_within_its_window_and_with_its_own_body_only() {
    let server = shop();
    let body = scale("shop");
    let asked = signed(SCALE, &body, 0);
    let again =
        Asked { body: body.clone().into(), headers: asked.headers.clone(), ..signed(SCALE, "", 0) };
    let tampered = Asked { body: scale("smartops-dev").into(), ..signed(SCALE, &body, 1) };
    assert_eq!(server.send(asked).await.status, StatusCode::OK);
    let mut foreign = signed(SCALE, &body, 2);
    foreign.headers[0].1 = "nobody".into();
    for (refused, why) in [
        (again, "used before"),
        (tampered, "not of this request"),
        (signed(SCALE, &body, 301), "clock"),
        (foreign, "not known"),
    ] {
        let reply = server.send(refused).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{why}");
        assert!(reply.body["detail"].as_str().unwrap().contains(why), "{}", reply.body);
    }
    let world = server.world.lock().unwrap();
    assert_eq!(world.remediations.len(), 1);
    assert_eq!(world.remediations[0]["spec"]["requestedBy"], "apikey:signer");
}

#[tokio::test]
async fn whoever_asks_too_often_is_told_when_to_come_back_and_others_are_served() {
    let server = limited(&[("web", "web")], Rate { per_second: 1, burst: 2 });
    let calm =
        json!({"windowId": "w", "service": "web", "isAnomaly": false, "score": 0.1, "type": "x"});
    for expected in [202, 202, 429] {
        let reply = server.tell("/v1/signals/anomaly", &calm).await;
        assert_eq!(reply.status.as_u16(), expected);
        assert_eq!(reply.headers.contains_key("retry-after"), expected == 429);
    }
    let delivery = json!({"alerts": []});
    let reply = server.tell("/v1/alerts/alertmanager", &delivery).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE, "a 4xx would end it");
    assert!(reply.headers.contains_key("retry-after"));
    let other = server.post_as("/v1/signals/anomaly", ("x-api-key", "narrow"), calm.to_string());
    assert_eq!(other.await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_repeat_with_its_idempotency_key_is_answered_with_what_the_first_became() {
    let server = shop();
    let ask = |body: String, key: &str| {
        let asked = Asked::new(Method::POST, SCALE, body).with("x-api-key", "secret");
        server.send(asked.with("idempotency-key", key))
    };
    let first = ask(scale("shop"), "k-1").await;
    let again = ask(scale("shop"), "k-1").await;
    assert_eq!((first.status, again.status), (StatusCode::OK, StatusCode::OK));
    let name = |reply: &world::Reply| reply.body["details"]["remediation"].clone();
    assert_eq!(name(&first), name(&again));
    assert_ne!(name(&ask(scale("shop"), "k-2").await), name(&first));
    let other = json!({"namespace": "shop", "deployment": "web", "replicas": 5, "dry_run": true});
    let reused = ask(other.to_string(), "k-1").await;
    assert_eq!(reused.status, StatusCode::CONFLICT);
    assert_eq!(reused.body["field"], "Idempotency-Key");
    let bad = ask(scale("shop"), "").await;
    assert_eq!(
        (bad.status, &bad.body["field"]),
        (StatusCode::BAD_REQUEST, &json!("Idempotency-Key"))
    );
    let world = server.world.lock().unwrap();
    let key = world.remediations[0]["spec"]["idempotencyKey"].as_str().unwrap();
    assert!(key.len() == 64 && !key.contains("k-1"));
}

#[tokio::test]
async fn neither_key_nor_secret_stands_in_any_answer() {
    let server = shop();
    for body in [scale("shop"), "{".into(), scale("bank")] {
        let reply = server.post(SCALE, body).await;
        assert!(!reply.body.to_string().contains("\"secret\""), "{}", reply.body);
    }
}
