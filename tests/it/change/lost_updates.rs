//! Lost updates: of changes that were decided on the same version, one takes place.

use futures_util::future::join_all;
use poem::http::Method;
use serde_json::json;

use super::preconditions::{of_one, version};
use crate::harness::{
    Service,
    contract_walk::{changing_body, create_resources, path},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_64_concurrent_changes_of_one_version_one_is_200_and_the_rest_412() {
    let service = Service::start().await;
    let ids = create_resources(&service).await;
    for operation in of_one(&service, &Method::PATCH) {
        let path = path(&operation, &ids);
        let read = service.get(&path).send().await.expect(200);
        let body = |number: usize| {
            let mut body = changing_body(&service, &operation, &ids);
            let fields = body.as_object_mut().unwrap();
            let text = fields.values_mut().find(|value| value.as_str().is_some_and(|text| text.ends_with(" again")));
            *text.unwrap() = json!(format!("text {number}"));
            body
        };
        let calls =
            (0..64).map(|number| service.patch(&path, body(number)).header("If-Match", read.header("ETag")).send());
        let replies = join_all(calls).await;
        let (made, refused): (Vec<_>, Vec<_>) = replies.into_iter().partition(|reply| reply.status == 200);
        assert_eq!((made.len(), refused.len()), (1, 63), "{path}: {:?}", refused.first());
        for reply in refused {
            assert_eq!(reply.expect(412).header("ETag"), made[0].header("ETag"), "{path}");
        }
        let after = service.get(&path).send().await.expect(200);
        assert_eq!((&after.body, after.header("ETag")), (&made[0].body, made[0].header("ETag")), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_that_read_before_they_write_lose_no_increment() {
    const WRITERS: usize = 8;
    const INCREMENTS: usize = 6;
    let service = Service::start().await;
    let customer = service.customer().await;
    let path = format!("/opportunities/{}", service.opportunity(&customer).await);
    let refused = join_all((0..WRITERS).map(|_| async {
        let (mut done, mut refused) = (0, 0);
        while done < INCREMENTS {
            let read = service.get(&path).send().await.expect(200);
            let more = json!({ "amountCents": read.body["amountCents"].as_u64().unwrap() + 1 });
            let reply = service.patch(&path, more).header("If-Match", read.header("ETag")).send().await;
            match reply.status.as_u16() {
                200 => done += 1,
                412 => refused += 1,
                _ => panic!("{}", reply.text),
            }
        }
        refused
    }))
    .await;
    let end = service.get(&path).send().await.expect(200);
    assert_eq!(end.body["amountCents"], WRITERS * INCREMENTS);
    assert_eq!(version(&end), 1 + (WRITERS * INCREMENTS) as i64);
    assert!(refused.iter().sum::<usize>() > 0, "they never met");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_changes_and_deletions_of_one_version_one_succeeds() {
    let service = Service::start().await;
    for _round in 0..6 {
        let customer = service.customer().await;
        let path = format!("/contacts/{}", service.contact(&customer).await);
        let call = |number: usize| match number % 3 {
            0 => service.delete(&path),
            1 => service.patch(&path, json!({ "isPrimary": true, "name": format!("name {number}") })),
            _ => service.patch(&path, json!({ "name": format!("name {number}") })),
        };
        let replies = join_all((0..12).map(|number| call(number).header("If-Match", "\"1-m\"").send())).await;
        let made: Vec<_> = replies.iter().filter(|reply| reply.status.is_success()).collect();
        assert_eq!(made.len(), 1, "{replies:?}");
        let expected = if made[0].status == 204 { 404 } else { 412 };
        assert!(replies.iter().all(|reply| reply.status.is_success() || reply.status == expected), "{replies:?}");
    }
}
