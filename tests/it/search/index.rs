//! The index follows the rows, whoever writes them, and keeps nothing of what is gone.

use crm::{
    database::search::{
        build::{self, Pass, Step},
        document,
    },
    service::resources::searched_tables,
    values::Tenant,
};
use sea_orm::{ConnectionTrait, DatabaseConnection};
use serde_json::json;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{customer, found, search};
use crate::harness::{
    Service, id, on_postgres,
    random::Random,
    run_crm,
    sql::{column, scalar, uuid_literal},
    stored_bytes,
};

async fn work_off(service: &Service) -> u64 {
    let (mut pass, mut rows) = (Pass::default(), 0);
    while let Some(written) = build::work_off(service.app.database(), &searched_tables(), &mut pass).await.unwrap() {
        rows += written;
    }
    rows
}

/// Compares the index of SQLite with the documents that it is of.
async fn assert_intact(connection: &DatabaseConnection) {
    if !on_postgres() {
        let check = "INSERT INTO search_index (search_index, rank) VALUES ('integrity-check', 1)";
        connection.execute_unprepared(check).await.unwrap();
    }
    assert_eq!(scalar::<i64>(connection, "SELECT count(*) FROM search_queue").await, 0);
    let documents = "SELECT count(*) FROM search_documents";
    let rows = "SELECT (SELECT count(*) FROM customers) + (SELECT count(*) FROM contacts) \
                + (SELECT count(*) FROM opportunities) + (SELECT count(*) FROM follow_ups)";
    assert_eq!(scalar::<i64>(connection, documents).await, scalar::<i64>(connection, rows).await);
}

#[tokio::test]
async fn what_is_changed_or_deleted_is_found_as_it_is_now() {
    let service = Service::start().await;
    let connection = service.database.connect().await;
    let first = customer(&service, "Goldfinch").await;
    service.patch(&format!("/customers/{first}"), json!({ "name": "Bullfinch" })).send().await.expect(200);
    assert!(found(&service, "goldfinch").await.is_empty());
    assert_eq!(found(&service, "bullfinch").await, [first.as_str()]);
    // A change of something else leaves the document.
    service.patch(&format!("/customers/{first}"), json!({ "contactPhone": "13812345678" })).send().await.expect(200);
    assert_eq!(found(&service, "bullfinch").await, [first.as_str()]);
    // Accents alone change the text, and not what it is sorted by.
    service.patch(&format!("/customers/{first}"), json!({ "name": "Bullfínch" })).send().await.expect(200);
    assert_eq!(found(&service, "bullfinch").await, [first.as_str()]);
    let keys: Vec<String> = column(&connection, "SELECT name_sort FROM customers").await;
    assert_eq!(keys, ["bullfinch"]);
    for number in 0..3 {
        let body = json!({ "customerId": first, "name": format!("Bullfinch {number}") });
        service.create("/contacts", body).await;
    }
    assert_eq!(found(&service, "bullfinch").await.len(), 4);
    assert_intact(&connection).await;
    service.delete(&format!("/customers/{first}")).send().await.expect(204);
    // At once, though the rows are removed afterwards.
    assert!(found(&service, "bullfinch").await.is_empty());
    service.remove_deleted().await;
    assert_intact(&connection).await;
    assert_eq!(scalar::<i64>(&connection, "SELECT count(*) FROM search_documents").await, 0);
}

#[tokio::test]
async fn nothing_of_an_erased_name_is_left_in_the_index() {
    let service = Service::start().await;
    for number in 0..50 {
        customer(&service, &format!("Other 中国 {number}")).await;
    }
    let person = customer(&service, "龘靐").await;
    service.patch(&format!("/customers/{person}"), json!({ "name": "龘靐齉爩" })).send().await.expect(200);
    let contact =
        id(&service.create("/contacts", json!({ "customerId": person, "name": "麤龗灪" })).await, "contactId");
    for number in 0..50 {
        customer(&service, &format!("Another 中国 {number}")).await;
    }
    // The characters, and the numbers of them that the tokens are made of.
    let canaries = ["龘", "靐", "齉", "灪", "9f98z", "9750z", "9f49z", "706az", "7229z"];
    let left = async || {
        let bytes = stored_bytes(&service.database).await;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        canaries.iter().filter(|canary| text.contains(**canary)).map(|canary| (*canary).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(left().await.len(), canaries.len());
    assert_eq!(found(&service, "靐").await, [person.as_str()]);
    let erasure = service.post(&format!("/customers/{person}/erasure"), json!({})).send().await.expect(201).body;
    assert!(erasure["completedAt"].is_string(), "{erasure}");
    assert_eq!(left().await, Vec::<String>::new());
    let found = found(&service, "erased").await;
    assert!(found.contains(&person) && found.contains(&contact), "{found:?}");
    assert_intact(&service.database.connect().await).await;
}

#[tokio::test]
async fn what_the_release_before_writes_is_never_found_wrongly_and_soon_right() {
    let service = Service::start().await;
    let connection = service.database.connect().await;
    let [changed, deleted] = [customer(&service, "Goldfinch").await, customer(&service, "Greenfinch").await];
    // As that release writes: without what is sorted and searched by.
    let now = "'2026-01-31 09:30:00.125+00:00'";
    let new = "019aa5c8-7d40-7c1e-b3a2-5f0e6d1c2b3a";
    for sql in [
        format!(
            "INSERT INTO customers (tenant_id, customer_id, name, status, created_at, updated_at, version) \
             VALUES ('default', {}, 'Chaffinch', 0, {now}, {now}, 1)",
            uuid_literal(new)
        ),
        format!("UPDATE customers SET name = 'Hawfinch' WHERE customer_id = {}", uuid_literal(&changed)),
        format!("DELETE FROM customers WHERE customer_id = {}", uuid_literal(&deleted)),
    ] {
        assert_eq!(connection.execute_unprepared(&sql).await.unwrap().rows_affected(), 1, "{sql}");
    }
    let late = search(&service, "finch").await;
    assert_eq!((late["data"].as_array().unwrap().len(), &late["complete"]), (0, &json!(false)));
    assert_eq!(work_off(&service).await, 2);
    assert_eq!(work_off(&service).await, 0);
    for (q, id) in [("chaffinch", new), ("hawfinch", &changed)] {
        assert_eq!(found(&service, q).await, [id]);
    }
    assert_eq!(search(&service, "finch").await["complete"], true);
    assert!(found(&service, "greenfinch").await.is_empty() && found(&service, "goldfinch").await.is_empty());
    let keys: Vec<String> = column(&connection, "SELECT name_sort FROM customers ORDER BY name_sort").await;
    assert_eq!(keys, ["chaffinch", "hawfinch"]);
    assert_intact(&connection).await;
}

#[tokio::test]
async fn a_rebuild_that_is_cut_off_goes_on_where_it_was() {
    let service = Service::start().await;
    let connection = service.database.connect().await;
    for number in 0..70 {
        customer(&service, &format!("Finch {number}")).await;
        service.follow_up(json!({ "content": format!("Saw finch {number}") })).await;
    }
    connection.execute_unprepared("DELETE FROM search_documents").await.unwrap();
    connection.execute_unprepared("UPDATE customers SET name_sort = ''").await.unwrap();
    assert!(found(&service, "finch").await.is_empty());
    let (database, tables) = (service.app.database(), searched_tables());
    assert_eq!(build::begin(database, None).await.unwrap(), 0);
    assert_eq!(build::step(database, &tables, Some(None)).await.unwrap(), Step::Written(50));
    assert_eq!(build::begin(database, None).await.unwrap(), 50);
    let other = Tenant::parse("another").unwrap();
    assert_eq!(build::step(database, &tables, Some(Some(&other))).await.unwrap(), Step::Done);
    let url = service.database.service_url();
    let rebuilt = run_crm(&["search", "rebuild"], &[("CRM_DATABASE_URL", &url)]);
    assert!(rebuilt.stdout.contains("going on after 50 rows\n140 rows are searched anew"), "{rebuilt:?}");
    assert_eq!(found(&service, "finch 69").await.len(), 2);
    assert_eq!(scalar::<i64>(&connection, "SELECT count(*) FROM customers WHERE name_sort = ''").await, 0);
    assert_intact(&connection).await;
    let again = run_crm(&["search", "rebuild", "--tenant", "default"], &[("CRM_DATABASE_URL", &url)]);
    assert_eq!(again.stdout, "140 rows are searched anew\n", "{again:?}");
    assert_intact(&connection).await;
}

#[tokio::test]
async fn until_all_rows_have_documents_a_search_says_that_it_is_not_complete() {
    let service = Service::start().await;
    let connection = service.database.connect().await;
    let first = customer(&service, "Goldfinch").await;
    connection.execute_unprepared("INSERT INTO search_builds (tenant_id, is_first) VALUES ('', true)").await.unwrap();
    let result = search(&service, "goldfinch").await;
    assert_eq!((&result["complete"], &result["data"][0]["resourceId"]), (&json!(false), &json!(first)));
    while build::step(service.app.database(), &searched_tables(), None).await.unwrap() != Step::Done {}
    assert_eq!(search(&service, "goldfinch").await["complete"], true);
}

/// Ids whose documents are in a sample.
fn sampled_ids(count: usize) -> Vec<Uuid> {
    let is_sampled = |id: &Uuid| Sha256::digest(id)[0] < 4;
    (1..1_000_000_u128).map(Uuid::from_u128).filter(is_sampled).take(count).collect()
}

#[tokio::test]
async fn where_all_parts_are_common_the_newest_rows_are_looked_through() {
    let service = Service::start().await;
    let connection = service.database.connect().await;
    // All of them have all parts of the word, in the sample too; only the oldest have the word.
    const OLD: usize = 30;
    for (number, id) in sampled_ids(330).into_iter().enumerate() {
        let (name, day) = if number < OLD { ("abcdefgh", 1) } else { ("abcdefg bcdefgh", 2) };
        let at = format!("'2026-01-0{day} 09:30:00+00:00'");
        let insert = format!(
            "INSERT INTO customers (tenant_id, customer_id, name, status, created_at, updated_at, version) \
             VALUES ('default', {}, '{name}', 0, {at}, {at}, 1)",
            uuid_literal(&id.to_string())
        );
        connection.execute_unprepared(&insert).await.unwrap();
    }
    assert_eq!(work_off(&service).await, 330);
    for (q, limit, expected) in [("abcdefgh", 20, 20), ("abcdefgh", 50, OLD), ("abcdefg", 50, 50), ("abcdefgx", 20, 0)]
    {
        let result = service.read(&format!("/search?q={q}&limit={limit}")).await;
        let data = result["data"].as_array().unwrap();
        assert_eq!((data.len(), &result["complete"]), (expected, &json!(q == "abcdefgx")), "{q}");
        assert!(data.iter().all(|hit| hit["title"].as_str().unwrap().contains(q)), "{result}");
    }
}

/// An id whose document is in the sample that has the fewest.
fn sampled_id() -> Uuid {
    let is_sampled = |id: &Uuid| matches!(Sha256::digest(id).as_slice(), [0, second, ..] if *second < 16);
    (1..1_000_000_u128).map(Uuid::from_u128).find(is_sampled).unwrap()
}

#[tokio::test]
async fn the_longest_texts_of_any_script_fit_into_the_index() {
    let service = Service::start().await;
    let connection = service.database.connect().await;
    let mut random = Random(5);
    let mut letters = |first: u32, count: usize| -> String {
        let mut letter = || first + u32::try_from(random.below(count)).unwrap();
        (0..10_000).map(|_| char::from_u32(letter()).unwrap()).collect()
    };
    // Chinese, Chinese beyond the first plane, Korean (three letters in each), emoji, and what stands for up to six letters.
    let texts = [
        letters(0x4e00, 20_000),
        letters(0x20000, 40_000),
        letters(0xac00, 11_172),
        letters(0x1f300, 500),
        letters(0x3300, 88),
        letters(0x21, 90),
    ];
    for text in &texts {
        for id in [Uuid::from_u128(1), sampled_id()] {
            let tenant = Tenant::parse("default").unwrap();
            document::insert(&connection, &tenant, ("followUp", id), text).await.unwrap();
            document::delete(&connection, &tenant, id).await.unwrap();
        }
        let follow_up = service.follow_up(json!({ "content": text })).await;
        let part: String = text.chars().skip(5_000).take(30).collect();
        assert_eq!(found(&service, &part).await, [follow_up.as_str()], "{part}");
    }
    let tenant = Tenant::parse("default").unwrap();
    document::insert(&connection, &tenant, ("followUp", sampled_id()), "Sampled").await.unwrap();
    let sampled = uuid_literal(&sampled_id().to_string());
    let is_sampled = format!("SELECT count(*) FROM search_documents WHERE sample = 2 AND resource_id = {sampled}");
    assert_eq!(scalar::<i64>(&connection, &is_sampled).await, 1);
}

/// A name of random words, which other names share.
fn random_name(random: &mut Random) -> String {
    const WORDS: [&str; 8] = ["Acme", "acmé", "中国", "GmbH", "Müller", "🚀", "12345", "a"];
    let words: Vec<&str> = (0..=random.below(4)).map(|_| WORDS[random.below(WORDS.len())]).collect();
    words.join(" ")
}

#[tokio::test]
async fn documents_that_are_revised_stay_those_of_their_texts() {
    let service = Service::start().await;
    let connection = service.database.connect().await;
    let mut random = Random(7);
    let mut names = Vec::new();
    for _ in 0..10 {
        let name = random_name(&mut random);
        names.push((customer(&service, &name).await, name));
    }
    for turn in 0..100 {
        let at = random.below(names.len());
        let (id, name) = &mut names[at];
        *name = random_name(&mut random);
        // One that is missing is written.
        let here = format!("resource_id = {}", uuid_literal(id));
        if turn % 10 == 3 {
            connection.execute_unprepared(&format!("DELETE FROM search_documents WHERE {here}")).await.unwrap();
        }
        service.patch(&format!("/customers/{id}"), json!({ "name": name })).send().await.expect(200);
    }
    let revised = "SELECT count(*) FROM search_documents WHERE version IS NOT NULL";
    assert!(scalar::<i64>(&connection, revised).await > 0);
    assert_intact(&connection).await;
    for word in ["acme", "中", "gmbh", "muller", "🚀", "234"] {
        let mut expected: Vec<&str> = names
            .iter()
            .filter(|(_, name)| crm::values::normal_form::normal_form(name).contains(word))
            .map(|(id, _)| id.as_str())
            .collect();
        let mut found = found(&service, word).await;
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected, "{word}");
    }
}

#[tokio::test]
async fn only_a_revision_keeps_the_document_of_a_changed_text() {
    let service = Service::start().await;
    let connection = service.database.connect().await;
    let id = customer(&service, "Goldfinch").await;
    service.patch(&format!("/customers/{id}"), json!({ "name": "Bullfinch" })).send().await.expect(200);
    let here = format!("WHERE customer_id = {}", uuid_literal(&id));
    let documents = "SELECT count(*) FROM search_documents";
    // As the release before changes it, and as it clears what is deleted already.
    for (change, left) in [
        ("status = 1, version = version + 1", 1),
        ("name = 'Hawfinch', version = version + 1", 0),
        ("name = 'erased'", 0),
    ] {
        connection.execute_unprepared(&format!("UPDATE customers SET {change} {here}")).await.unwrap();
        assert_eq!(scalar::<i64>(&connection, documents).await, left, "{change}");
        if left == 0 {
            assert_eq!(work_off(&service).await, 1);
            service.patch(&format!("/customers/{id}"), json!({ "name": "Greenfinch" })).send().await.expect(200);
        }
    }
    assert_eq!(found(&service, "greenfinch").await, [id.as_str()]);
    assert_intact(&connection).await;
}
