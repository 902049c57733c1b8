//! Cursors: what they open, and what not.

use serde_json::{Value, json};

use crate::harness::{Service, fields};

const REFUSED: &str = "after: must be ";

async fn cursor(service: &Service, path: &str) -> String {
    service.read(path).await["nextCursor"].as_str().unwrap_or_else(|| panic!("{path} has one page")).to_owned()
}

async fn filled() -> Service {
    let service = Service::start().await;
    for number in 0..5 {
        let customer = service.create("/customers", json!({ "name": format!("customer {number}") })).await;
        let customer = customer["customerId"].clone();
        service.create("/opportunities", json!({ "customerId": customer, "title": "x" })).await;
        service.post("/customers", json!({ "name": "x" })).tenant("other").send().await.expect(201);
    }
    service
}

#[tokio::test]
async fn a_cursor_opens_what_it_was_answered_for_and_nothing_else() {
    let service = filled().await;
    let own = cursor(&service, "/customers?pageSize=2&sort=name&status=0").await;
    let path = |query: &str| format!("/customers?{query}&after={own}");
    // What page it is, how large, and whether it is counted, a walk may change; and in which order parameters are sent.
    for same in ["pageSize=1&sort=name&status=0", "status=0&sort=name", "page=1&total=false&sort=name&status=0"] {
        let rest = service.read(&path(same)).await;
        assert_eq!(rest["data"][0]["name"], "customer 2", "{same}");
    }
    for other in [
        "sort=-name&status=0",
        "sort=name",
        "status=0",
        "sort=name&status=1",
        "sort=name&status=0,1",
        "sort=name&status=0&createdFrom=2026-01-01T00:00:00Z",
        "sort=createdAt&status=0",
        "pageSize=2",
    ] {
        service.get(&path(other)).send().await.refused(400, REFUSED);
    }
    let same = "after: must be the nextCursor of a page with the same filters and sort";
    service.get(&path("sort=name&status=1")).send().await.refused(400, same);
    service.get(&path("sort=name&status=0")).tenant("other").send().await.refused(400, REFUSED);
    service.get(&format!("/opportunities?after={own}")).send().await.refused(400, REFUSED);
    let plain = cursor(&service, "/customers?pageSize=2").await;
    service.get(&format!("/contacts?after={plain}")).send().await.refused(400, REFUSED);
    service.get(&format!("/opportunities?after={plain}")).send().await.refused(400, REFUSED);
    service.get(&format!("/customers?page=2&after={plain}")).send().await.refused(400, "after: not together with");
    service
        .get(&format!("/customers?after={plain}&after={plain}"))
        .send()
        .await
        .refused(400, "after: must be sent once");
}

#[tokio::test]
async fn a_cursor_that_was_tampered_with_is_400() {
    let service = filled().await;
    let own = cursor(&service, "/customers?pageSize=2").await;
    for at in 0..own.len() {
        let mut tampered = own.clone().into_bytes();
        tampered[at] = if tampered[at] == b'A' { b'B' } else { b'A' };
        let tampered = String::from_utf8(tampered).unwrap();
        let reply = service.get(&format!("/customers?after={tampered}")).send_unchecked().await;
        // The last character has bits that mean nothing.
        if at + 1 < own.len() {
            reply.refused(400, REFUSED);
        }
    }
    for garbage in
        ["x", "AAAA", "%00", "%F0%9F%9A%80", &own[..own.len() - 4], &format!("{own}AAAA"), &"A".repeat(4_096)]
    {
        service.get(&format!("/customers?after={garbage}")).send().await.refused(400, REFUSED);
    }
    service.get("/customers?after=").send().await.refused(400, "after: ");
}

#[tokio::test]
async fn a_cursor_tells_nothing_of_what_it_stands_for() {
    let service = filled().await;
    let list = service.read("/customers?pageSize=1&sort=name").await;
    let opened =
        base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, list["nextCursor"].as_str().unwrap());
    let opened = opened.unwrap();
    let contains = |text: &str| opened.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(!contains("customer") && !contains(fields(&list, "customerId")[0]), "{opened:?}");
}

#[tokio::test]
async fn pages_beyond_ten_thousand_items_name_the_parameter_after() {
    let service = Service::start().await;
    for (list, _) in service.contract.resources() {
        for (page, size, is_deep) in [(101, 100, false), (102, 100, true), (10_001, 1, false), (10_002, 1, true)] {
            let reply = service.get(&format!("{list}?page={page}&pageSize={size}")).send().await;
            match is_deep {
                true => drop(reply.refused(400, "after")),
                false => assert_eq!(reply.expect(200).body["data"], Value::from(Vec::<Value>::new())),
            }
        }
    }
}
