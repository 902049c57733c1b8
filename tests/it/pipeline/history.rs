//! The history of stages: of who moves an opportunity, and of what was there before the history.

use crm::opportunities::history::fill::{self, Pass};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use super::{lasting, model::told_history, patch, read};
use crate::harness::{DAY, Service, audit::drop_triggers, counts::assert_right, id as id_of, on_postgres};

async fn fill(service: &Service) {
    let mut pass = Pass::default();
    for _ in 0..100 {
        if fill::step(service.app.database(), &mut pass).await.unwrap().is_none() {
            return;
        }
    }
    panic!("filling in does not come to an end");
}

/// As if the opportunities had been there before the history and the totals.
async fn forget(service: &Service) {
    let connection = service.database.connect().await;
    for statement in [
        "DELETE FROM opportunity_stages",
        "UPDATE opportunities SET stage_entered_at = NULL, idle_since = NULL",
        "DELETE FROM pipeline_totals",
    ] {
        connection.execute_unprepared(statement).await.unwrap();
    }
    if on_postgres() {
        connection.execute_unprepared("DELETE FROM pipeline_total_deltas").await.unwrap();
    }
}

async fn opportunity(service: &Service, stage: i64) -> String {
    let customer = lasting(service.post("/customers", json!({ "name": "x" }))).send().await.expect(201).body;
    let body = json!({ "customerId": customer["customerId"], "title": "x", "stage": stage });
    id_of(&lasting(service.post("/opportunities", body)).send().await.expect(201).body, "opportunityId")
}

#[tokio::test]
async fn what_was_there_before_is_filled_in_from_the_trail() {
    let service = Service::start().await;
    let mut before = Vec::new();
    for stages in [&[][..], &[3, 5, 3], &[6], &[1, 0]] {
        let id = opportunity(&service, 0).await;
        for stage in stages {
            service.advance(DAY);
            patch(&service, &format!("/opportunities/{id}"), json!({ "stage": stage })).await;
        }
        before.push((told_history(&service, &id, 100).await, id));
    }
    let follow_up = json!({ "content": "x", "opportunityId": before[0].1 });
    service.advance(DAY / 2);
    lasting(service.post("/follow-ups", follow_up)).send().await.expect(201);
    service.advance(3 * DAY);
    let (summary, stalled) =
        (read(&service, "/pipeline/summary").await, read(&service, "/pipeline/stalled?days=1").await);
    forget(&service).await;
    let empty = read(&service, "/pipeline/summary").await;
    assert_eq!((&empty["complete"], &empty["stages"]), (&json!(false), &json!([])));
    let (none, since) = told_history(&service, &before[1].1, 100).await;
    assert_eq!((none, since), (Vec::<Value>::new(), Value::Null));
    // What is moved meanwhile is in the trail too.
    patch(&service, &format!("/opportunities/{}", before[3].1), json!({ "stage": 2 })).await;
    patch(&service, &format!("/opportunities/{}", before[3].1), json!({ "stage": 0 })).await;
    fill(&service).await;
    for (told, id) in &before[..3] {
        assert_eq!(&told_history(&service, id, 100).await, told);
    }
    assert_eq!(told_history(&service, &before[3].1, 100).await.0.len(), 5);
    let after = read(&service, "/pipeline/summary").await;
    assert_eq!(after["complete"], true);
    assert_eq!(after["stages"].as_array().unwrap().len(), summary["stages"].as_array().unwrap().len());
    assert_eq!(after["currencies"], summary["currencies"]);
    let idle =
        |told: &Value| told["data"].as_array().unwrap().iter().map(|one| one["idleSince"].clone()).collect::<Vec<_>>();
    assert!(idle(&read(&service, "/pipeline/stalled?days=1").await).iter().all(|one| idle(&stalled).contains(one)));
    assert_right(service.app.database()).await;
}

#[tokio::test]
async fn where_the_trail_does_not_reach_the_beginning_is_estimated() {
    let service = Service::start().await;
    let (moved, unmoved) = (opportunity(&service, 0).await, opportunity(&service, 4).await);
    service.advance(DAY);
    let at = patch(&service, &format!("/opportunities/{moved}"), json!({ "stage": 2 })).await["updatedAt"].clone();
    let renamed =
        patch(&service, &format!("/opportunities/{unmoved}"), json!({ "title": "y" })).await["updatedAt"].clone();
    forget(&service).await;
    // As if they were past their time.
    let connection = service.database.connect().await;
    drop_triggers(&connection).await;
    let creations = "DELETE FROM audit_logs WHERE action = 'create' AND resource_type = 'opportunity'";
    assert_eq!(connection.execute_unprepared(creations).await.unwrap().rows_affected(), 2);
    fill(&service).await;
    let (stays, since) = told_history(&service, &moved, 100).await;
    assert_eq!((stays.len(), &since), (2, &at));
    assert_eq!((&stays[0]["stage"], &stays[0]["actor"]), (&json!(0), &Value::Null));
    assert_eq!((&stays[1]["stage"], &stays[1]["enteredAt"], &stays[1]["actor"]), (&json!(2), &at, &json!("li.lei")));
    let (stays, since) = told_history(&service, &unmoved, 100).await;
    assert_eq!((stays.len(), &since, &stays[0]["enteredAt"]), (1, &renamed, &renamed));
    assert_eq!(stays[0]["actor"], Value::Null);
    assert_right(service.app.database()).await;
    // The move out of a stage whose beginning is not known tells nothing.
    assert_eq!(read(&service, "/pipeline/summary").await["window"]["conversions"], json!([]));
}

#[tokio::test]
async fn who_made_a_move_of_the_release_before_is_looked_up() {
    let service = Service::start().await;
    let id = opportunity(&service, 0).await;
    service.advance(DAY);
    patch(&service, &format!("/opportunities/{id}"), json!({ "stage": 2 })).await;
    let before = told_history(&service, &id, 100).await;
    let connection = service.database.connect().await;
    // That release does not know the column.
    let unknown = "UPDATE opportunity_stages SET actor = NULL, needs_actor = TRUE";
    assert_eq!(connection.execute_unprepared(unknown).await.unwrap().rows_affected(), 2);
    assert_eq!(told_history(&service, &id, 100).await.0[1]["actor"], Value::Null);
    fill(&service).await;
    assert_eq!(told_history(&service, &id, 100).await, before);
}

#[tokio::test]
async fn a_cursor_of_another_history_is_refused() {
    let service = Service::start().await;
    let (one, other) = (opportunity(&service, 0).await, opportunity(&service, 0).await);
    for stage in [1, 2] {
        service.advance(DAY);
        for id in [&one, &other] {
            patch(&service, &format!("/opportunities/{id}"), json!({ "stage": stage })).await;
        }
    }
    let cursor = read(&service, &format!("/opportunities/{one}/stage-history?pageSize=1")).await["nextCursor"].clone();
    let path = format!("/opportunities/{other}/stage-history?pageSize=1&after={}", cursor.as_str().unwrap());
    lasting(service.get(&path)).send_unchecked().await.refused(400, "after: must be the nextCursor");
    let path = format!("/opportunities/{one}/stage-history");
    lasting(service.get(&path)).tenant("other").send().await.expect(404);
}
