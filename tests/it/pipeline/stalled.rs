//! What is stalled: open opportunities without a move and without a follow-up, the longest first.

use serde_json::{Value, json};

use super::{lasting, patch, read};
use crate::harness::{DAY, Service, fields, id as id_of};

async fn create(service: &Service, customer: &str) -> String {
    let body = json!({ "customerId": customer, "title": "x", "amountCents": 5 });
    id_of(&lasting(service.post("/opportunities", body)).send().await.expect(201).body, "opportunityId")
}

/// Fails unless these are stalled for so many days, in this order.
async fn assert_stalled(service: &Service, days: u32, expected: &[&String]) {
    let page = read(service, &format!("/pipeline/stalled?days={days}")).await;
    assert_eq!((&page["nextCursor"], &page["complete"]), (&Value::Null, &json!(true)));
    assert_eq!(fields(&page, "opportunityId"), expected);
}

#[tokio::test]
async fn the_longest_comes_first_and_a_follow_up_or_a_move_ends_it() {
    let service = Service::start().await;
    let (customer, other) = (service.customer().await, service.customer().await);
    let mut made = Vec::new();
    for _ in 0..4 {
        made.push(create(&service, &customer).await);
        service.advance(DAY);
    }
    let of_other = create(&service, &other).await;
    service.advance(30 * DAY);
    let [first, second, third, fourth] = made.as_slice() else { panic!("{made:?}") };
    assert_stalled(&service, 30, &[first, second, third, fourth, &of_other]).await;
    assert_stalled(&service, 33, &[first, second]).await;
    assert_stalled(&service, 3650, &[]).await;

    let item = read(&service, "/pipeline/stalled?days=34").await["data"][0].clone();
    assert_eq!((&item["idleDays"], &item["amountCents"], &item["stage"]), (&json!(34), &json!(5), &json!(0)));
    assert_eq!(item["stageEnteredAt"], item["idleSince"]);

    let follow_up = async |opportunity: &String| {
        let body = json!({ "content": "x", "opportunityId": opportunity });
        id_of(&lasting(service.post("/follow-ups", body)).send().await.expect(201).body, "followUpId")
    };
    let noted = follow_up(first).await;
    patch(&service, &format!("/opportunities/{second}"), json!({ "stage": 1 })).await;
    patch(&service, &format!("/opportunities/{third}"), json!({ "title": "a change is no move" })).await;
    assert_stalled(&service, 30, &[third, fourth, &of_other]).await;
    // A follow-up that goes elsewhere counts there, one that is deleted nowhere.
    lasting(service.patch(&format!("/follow-ups/{noted}"), json!({ "opportunityId": third }))).send().await.expect(200);
    assert_stalled(&service, 30, &[first, fourth, &of_other]).await;
    lasting(service.delete(&format!("/follow-ups/{noted}"))).send().await.expect(204);
    assert_stalled(&service, 30, &[first, third, fourth, &of_other]).await;

    patch(&service, &format!("/opportunities/{first}"), json!({ "stage": 6 })).await;
    lasting(service.delete(&format!("/opportunities/{third}"))).send().await.expect(204);
    assert_stalled(&service, 30, &[fourth, &of_other]).await;
    patch(&service, &format!("/opportunities/{first}"), json!({ "status": 0 })).await;
    service.advance(31 * DAY);
    assert_stalled(&service, 30, &[fourth, &of_other, second, first]).await;
    lasting(service.delete(&format!("/customers/{customer}"))).send().await.expect(204);
    assert_stalled(&service, 30, &[&of_other]).await;
    service.remove_deleted().await;
    assert_stalled(&service, 30, &[&of_other]).await;
    assert_eq!(
        lasting(service.get("/pipeline/stalled")).tenant("other").send().await.expect(200).body["data"],
        json!([])
    );
}

#[tokio::test]
async fn pages_show_each_opportunity_once_in_their_order() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let mut made = Vec::new();
    for number in 0..7 {
        made.push(create(&service, &customer).await);
        service.advance(if number % 2 == 0 { 0 } else { DAY });
    }
    service.advance(40 * DAY);
    let (mut seen, mut path) = (Vec::new(), "/pipeline/stalled?pageSize=2".to_owned());
    loop {
        let page = read(&service, &path).await;
        seen.extend(fields(&page, "opportunityId").into_iter().map(str::to_owned));
        let Some(cursor) = page["nextCursor"].as_str() else { break };
        path = format!("/pipeline/stalled?pageSize=2&after={cursor}");
    }
    assert_eq!(seen, made);
    let cursor = path.split("after=").nth(1).unwrap().to_owned();
    let other = format!("/pipeline/stalled?pageSize=2&days=7&after={cursor}");
    lasting(service.get(&other)).send_unchecked().await.refused(400, "after: must be the nextCursor");
}
