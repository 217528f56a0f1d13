//! Connections: what is presented, and how they end.

use std::time::Duration;

use tokio::sync::Barrier;

use super::*;

#[tokio::test]
async fn the_certificate_presented_is_the_one_the_authority_vouches_for() {
    let server = start(full_board).await;
    let names = Names::new(["127.0.0.1"]).unwrap();
    let other = issue::all(&names, Lifetimes::default(), Clock.now()).unwrap();
    let stream = TcpStream::connect(server.address).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    assert!(trusting(&other).connect(name, stream).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_clients_are_all_answered_through_the_drain_and_asked_to_close() {
    const CLIENTS: usize = 16;
    const REQUESTS: usize = 20;
    let server = start(full_board).await;
    let review = Bytes::from(review("alice", 3, 5).to_string());
    let warm = Arc::new(Barrier::new(CLIENTS + 1));
    let draining = Arc::new(Barrier::new(CLIENTS + 1));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (tls, address) = (server.tls.clone(), server.address);
            let (warm, draining) = (Arc::clone(&warm), Arc::clone(&draining));
            let review = review.clone();
            tokio::spawn(async move {
                let mut sender = connect(address, &tls).await;
                let response = sender
                    .send_request(request(path::VALIDATE_PEOPLE, review.clone()))
                    .await
                    .unwrap();
                assert!(!response.headers().contains_key(header::CONNECTION));
                response.into_body().collect().await.unwrap();
                warm.wait().await;
                draining.wait().await;
                for _ in 0..REQUESTS {
                    let response = sender
                        .send_request(request(path::VALIDATE_PEOPLE, review.clone()))
                        .await
                        .unwrap();
                    assert_eq!(response.status(), StatusCode::OK);
                    assert_eq!(response.headers()[header::CONNECTION], "close");
                    response.into_body().collect().await.unwrap();
                    sender = connect(address, &tls).await;
                }
                sender
            })
        })
        .collect();
    warm.wait().await;
    server.shutdown.drain();
    draining.wait().await;
    let mut idle = Vec::new();
    for client in clients {
        idle.push(client.await.unwrap());
    }
    server.shutdown.stop();
    let ended = tokio::time::timeout(Duration::from_secs(5), server.task).await;
    ended.unwrap().unwrap().unwrap();
}
