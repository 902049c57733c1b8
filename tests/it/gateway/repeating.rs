//! What happens to a change whose reply is lost: it is sent once, and whoever sends it again is told what came of it.

use reqwest::{Method, RequestBuilder};
use serde_json::json;

use super::{
    Front, Kind, PREFIX,
    recorder::{Answer, Recorder},
    service, token,
};

fn post(front: &Front, id: &str) -> RequestBuilder {
    let request = front.request(Method::POST, &format!("{PREFIX}/customers")).bearer_auth(token());
    request.header("X-Request-ID", id).json(&json!({ "name": "Acme" }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nginx, Caddy, Envoy and Traefik: make gateways"]
async fn a_change_whose_reply_is_lost_is_sent_once() {
    // Two instances, where the gateway could try the other one.
    let instances = [Recorder::start(Answer::Lost).await, Recorder::start(Answer::Lost).await];
    let addresses = instances.each_ref().map(|instance| instance.address.clone());
    for (number, front) in Front::each_with(&addresses, &[]).await.into_iter().enumerate() {
        let mut all = 0;
        for (method, key) in [(Method::POST, false), (Method::POST, true), (Method::PATCH, true)] {
            let id = format!("once-{number}-{method}-{key}");
            let path = format!("{PREFIX}/customers");
            let mut request =
                front.request(method.clone(), &path).header("X-Request-ID", &id).json(&json!({ "name": "Acme" }));
            if key {
                request = request.header("Idempotency-Key", &id);
            }
            front.send(request).await.refused(503, "SERVICE_UNAVAILABLE", Some(&id));
            let sent: usize = instances.iter().map(|instance| instance.arrived(&id).len()).sum();
            assert!(sent <= 1, "{id} was sent {sent} times by {}", front.name);
            all += sent;
        }
        // nginx leaves out an instance that failed, so that in the end there is none to send to.
        assert!(all >= 2, "{all} through {}", front.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nginx, Caddy, Envoy and Traefik: make gateways"]
async fn a_change_that_is_sent_again_is_told_what_came_of_it() {
    let (_database, process) = service().await;
    let between = Recorder::start(Answer::FirstLost(process.address.clone())).await;
    for (number, front) in Front::each(&between.address).await.into_iter().enumerate() {
        let id = format!("again-{number}");
        front.send(post(&front, &id)).await.refused(503, "SERVICE_UNAVAILABLE", Some(&id));
        let again = front.send(post(&front, &id)).await.refused(409, "IDEMPOTENT_CONFLICT", Some(&id));
        assert_eq!(again.json()["resource"]["type"], "customer");
        let location = again.header("Location").to_owned();
        let id = format!("read-{number}");
        let read = || front.request(Method::GET, &location).bearer_auth(token()).header("X-Request-ID", &id);
        // The first reply is lost here too; some gateways repeat a GET by themselves.
        let mut reply = front.send(read()).await;
        if reply.status == 503 {
            reply = front.send(read()).await;
        }
        assert_eq!(reply.expect(200).json()["customerId"], again.json()["resource"]["id"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Envoy: make gateways"]
async fn a_mesh_that_replaces_request_ids_leaves_idempotency_keys_alone() {
    if !Kind::Envoy.is_there() {
        return;
    }
    let (_database, process) = service().await;
    // As a mesh has it by default.
    let changes = [
        ("generate_request_id: false", "generate_request_id: true"),
        ("preserve_external_request_id: true", "preserve_external_request_id: false"),
    ];
    let front = Front::changed(Kind::Envoy, &process.address, &changes).await;
    let first = front.send(post(&front, "the-same")).await.expect(201);
    assert_ne!(first.header("X-Request-ID"), "the-same", "the mesh replaces no id");
    // By the request's id alone, what is sent again is another request.
    front.send(post(&front, "the-same")).await.expect(201);
    front.send(post(&front, "a").header("Idempotency-Key", "the-key")).await.expect(201);
    let again = front.send(post(&front, "a").header("Idempotency-Key", "the-key")).await;
    assert_eq!(again.refused(409, "IDEMPOTENT_CONFLICT", None).json()["resource"]["type"], "customer");
}
