//! What is no review, or cannot be judged.

use axum::http::HeaderValue;
use smartops_common::config::{Outage, People};

use super::*;
use crate::admission::http::BODY_LIMIT;

#[tokio::test]
async fn both_versions_of_the_review_are_judged_alike() {
    let server = start(full_board).await;
    for version in ["admission.k8s.io/v1", "admission.k8s.io/v1beta1"] {
        let mut review = review("alice", 3, 5);
        review["apiVersion"] = json!(version);
        assert_eq!(server.review(path::VALIDATE_PEOPLE, &review).await["allowed"], true);
    }
}

#[tokio::test]
async fn an_odd_review_gets_a_well_formed_denial_on_every_path() {
    let server = start(full_board).await;
    let mut no_uid = review("alice", 3, 5);
    no_uid["request"].as_object_mut().unwrap().remove("uid");
    let mut wrong_kind = review("alice", 3, 5);
    wrong_kind["kind"] = json!("Pod");
    let mut operation = review("alice", 3, 5);
    operation["request"]["operation"] = json!("OBLITERATE");
    let mut mistyped = review("alice", 3, 5);
    mistyped["request"]["userInfo"] = json!(7);
    let mut replicas = review("alice", 3, 5);
    replicas["request"]["object"]["spec"]["replicas"] = json!("many");
    for path in PATHS {
        for (review, uid) in [
            (&no_uid, ""),
            (&wrong_kind, "0a1b"),
            (&operation, "0a1b"),
            (&mistyped, "0a1b"),
            (&replicas, "0a1b"),
        ] {
            let response = server.review(path, review).await;
            assert_eq!(response["uid"], uid, "{path} {review}");
            assert_eq!(response["allowed"], false, "{path} {review}");
            assert_eq!(response["status"]["code"], 403);
            assert_eq!(response["status"]["details"]["causes"][0]["reason"], "undecided");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_judged_fares_for_people_as_the_outage_mode_says_and_is_denied_to_automation()
 {
    for (outage, passes) in
        [(Outage::Fail, false), (Outage::Backstop, true), (Outage::Ignore, true)]
    {
        let server = start(move |metrics| {
            let board = full_board(metrics);
            let people = People { outage };
            let config = SmartOpsConfigSpec { people, ..SmartOpsConfigSpec::default() };
            board.config(Event::Apply(SmartOpsConfig::new("default", config)));
            board
        })
        .await;
        let mut odd = review("alice", 3, 5);
        odd["request"]["operation"] = json!("OBLITERATE");
        for path in [path::VALIDATE_PEOPLE, path::MUTATE_PEOPLE] {
            let response = server.review(path, &odd).await;
            assert_eq!(response["allowed"], passes, "{outage:?} {path} {response}");
            assert_eq!(response.get("warnings").is_some(), passes, "{outage:?} {response}");
        }
        let denied = server.review(path::VALIDATE_AUTOMATION, &odd).await;
        assert_eq!(denied["allowed"], false, "{outage:?} {denied}");
        odd["request"]["userInfo"]["username"] =
            json!("system:serviceaccount:smartops-system:smartops-orchestrator");
        let denied = server.review(path::VALIDATE_PEOPLE, &odd).await;
        assert_eq!(denied["allowed"], false, "{outage:?} {denied}");
        // What can be judged is judged all the same.
        let denied = server.review(path::VALIDATE_PEOPLE, &review("alice", 3, 50)).await;
        assert_eq!(denied["allowed"], false, "{outage:?} {denied}");
    }
}

#[tokio::test]
async fn bytes_that_hold_no_review_are_an_http_error() {
    let server = start(full_board).await;
    assert_eq!(server.post(PATHS[0], "garbage").await.0, StatusCode::BAD_REQUEST);
    assert_eq!(server.post(PATHS[0], "{}").await.0, StatusCode::BAD_REQUEST);
    let large = vec![b' '; BODY_LIMIT + 1024 * 1024];
    assert_eq!(server.post(PATHS[0], large).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(server.post("/elsewhere", "{}").await.0, StatusCode::NOT_FOUND);
    let mut text = request(PATHS[0], "{}");
    text.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    let response = server.connect().await.send_request(text).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn before_anything_is_read_every_write_is_undecided() {
    let server = start(|metrics| Board::new(metrics.clone())).await;
    let response = server.review(path::VALIDATE_PEOPLE, &review("alice", 3, 5)).await;
    assert_eq!(response["allowed"], false);
    assert_eq!(response["status"]["details"]["causes"][0]["reason"], "undecided");
}
