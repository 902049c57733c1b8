//! What the governance centre is told: `registration.json`. Its health check is asked as it says.

use reqwest::Method;
use serde_json::Value;

use super::{Front, PREFIX, service};

const REGISTRATION: &str = include_str!("../../../delivery/gateway/registration.json");

/// Asks for what the registration names, at the service and through each gateway.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nginx, Caddy, Envoy and Traefik: make gateways"]
async fn the_registered_health_check_and_route_are_answered() {
    let registration: Value = serde_json::from_str(REGISTRATION).unwrap();
    assert_eq!(registration["cell_name"], "crm");
    assert_eq!(registration["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(registration["route"]["prefix"], PREFIX);
    assert_eq!(registration["url"]["variable"], "CELL_CRM_URL");
    let check = &registration["health_check"];
    let path = check["path"].as_str().unwrap();
    let (_database, process) = service().await;
    let mut direct = process.client().await;
    let answer = direct.get(path).await;
    assert_eq!((i64::from(answer.status), &answer.body), (check["status"].as_i64().unwrap(), &check["body"]));
    let contract = registration["contract"]["path"].as_str().unwrap();
    for front in Front::each(&process.address).await {
        let reply = front.send(front.request(Method::GET, &format!("{PREFIX}{path}"))).await.expect(200);
        assert_eq!(reply.json(), check["body"]);
        for header in registration["trace"]["response_headers"].as_array().unwrap() {
            assert!(reply.headers.contains_key(header.as_str().unwrap()), "{header} through {}", front.name);
        }
        let reply = front.send(front.request(Method::GET, &format!("{PREFIX}{contract}"))).await.expect(200);
        assert!(reply.body.starts_with("openapi: 3.0"));
    }
}
