//! All parameters of the lists, in random combinations: pages and walks are those of the model.

use serde_json::{Value, json};

use super::model::{IDS, LISTS, Model, Question, TYPES, lasting, read};
use crate::harness::{DAY, Service, fields, id, random::Random};

/// Items of each kind, many of which have the same values, over twelve days; some are deleted, and not yet removed.
async fn fill(service: &Service, random: &mut Random, count: usize) -> [Vec<String>; 4] {
    let mut ids: [Vec<String>; 4] = Default::default();
    let create =
        async |path: &str, body: Value| lasting(service.post(path, body)).send_unchecked().await.expect(201).body;
    let names = ["Acme", "acme", "Ärger", "Zoë", "中国", "a", "\u{1f680}"];
    for number in 0..count {
        let name = names[random.below(names.len())];
        let mut customer = json!({ "name": name });
        if random.below(4) == 0 {
            customer["contactPhone"] = json!(format!("1381234567{}", random.below(3)));
            customer["contactEmail"] = json!(format!("a{}@b.cn", random.below(3)));
        }
        ids[0].push(id(&create("/customers", customer).await, "customerId"));
        let customer = &ids[0][random.below(ids[0].len())].clone();
        let mut contact = json!({ "customerId": customer, "name": name, "isPrimary": random.below(3) == 0 });
        if random.below(4) == 0 {
            contact["phone"] = json!(format!("1381234567{}", random.below(3)));
            contact["email"] = json!(format!("a{}@b.cn", random.below(3)));
        }
        ids[1].push(id(&create("/contacts", contact).await, "contactId"));
        let opportunity = json!({
            "customerId": customer, "title": name, "amountCents": random.below(4) * 100,
            "currency": (["CNY", "EUR", "USD"][random.below(3)]), "stage": random.below(7),
        });
        ids[2].push(id(&create("/opportunities", opportunity).await, "opportunityId"));
        let mut follow_up = json!({ "content": "x", "followUpType": TYPES[random.below(TYPES.len())] });
        match random.below(3) {
            0 => follow_up["customerId"] = json!(customer),
            1 => follow_up["opportunityId"] = json!(ids[2][random.below(ids[2].len())]),
            _ => {}
        }
        ids[3].push(id(&create("/follow-ups", follow_up).await, "followUpId"));
        // Some in the same millisecond.
        if random.below(2) == 0 {
            service.advance(1 + i64::try_from(random.below(2)).unwrap() * 12 * DAY / i64::try_from(count).unwrap());
        }
        if number % 3 == 0 {
            let opportunity = &ids[2][random.below(ids[2].len())];
            let moved = json!({ "stage": random.below(7) });
            lasting(service.patch(&format!("/opportunities/{opportunity}"), moved)).send_unchecked().await.expect(200);
        }
    }
    ids
}

/// What another tenant has must not show.
async fn fill_another_tenant(service: &Service) {
    for number in 0..5 {
        let customer =
            lasting(service.post("/customers", json!({ "name": "Acme" }))).tenant("other").send_unchecked().await;
        let customer = id(&customer.expect(201).body, "customerId");
        let opportunity = json!({ "customerId": customer, "title": "Acme", "stage": number });
        lasting(service.post("/opportunities", opportunity)).tenant("other").send_unchecked().await.expect(201);
    }
}

async fn delete_some(service: &Service, ids: &[Vec<String>; 4], random: &mut Random) {
    for list in [0, 0, 1, 2, 2, 3] {
        let path = format!("{}/{}", LISTS[list], ids[list][random.below(ids[list].len())]);
        let deleted = lasting(service.delete(&path)).send_unchecked().await.status.as_u16();
        assert!([204, 404].contains(&deleted), "{path}: {deleted}");
    }
}

/// Fails unless pages by number are those of the model.
async fn assert_pages(service: &Service, question: &Question, expected: &[String], random: &mut Random) {
    let size = 1 + random.below(40);
    let wants_total = random.below(4) != 0;
    for page in [1, 2, 1 + random.below(expected.len() / size + 2)] {
        let path = format!("{}&page={page}&pageSize={size}&total={wants_total}", question.path());
        let list = read(service, &path).await;
        let skipped = ((page - 1) * size).min(expected.len());
        let shown = &expected[skipped..(skipped + size).min(expected.len())];
        assert_eq!(fields(&list, IDS[question.list]), shown, "{path}");
        let total = if wants_total { json!(expected.len()) } else { Value::Null };
        assert_eq!((&list["total"], &list["totalExact"]), (&total, &json!(wants_total)), "{path}");
        assert_eq!(
            list["nextCursor"].is_null(),
            skipped + shown.len() >= expected.len(),
            "{path}: {}",
            list["nextCursor"]
        );
    }
}

/// The ids that a walk shows.
pub async fn walk(service: &Service, path: &str, size: usize, id_field: &str) -> Vec<String> {
    let mut shown = Vec::new();
    let mut after = String::new();
    for _ in 0..10_000 {
        let page = read(service, &format!("{path}&pageSize={size}{after}")).await;
        let ids = fields(&page, id_field);
        assert!(ids.len() <= size, "{path}");
        shown.extend(ids.into_iter().map(str::to_owned));
        match page["nextCursor"].as_str() {
            Some(cursor) => after = format!("&after={cursor}"),
            None => return shown,
        }
    }
    panic!("{path}: the walk does not come to an end");
}

#[tokio::test]
async fn any_combination_of_parameters_answers_as_the_model_does() {
    let service = Service::start().await;
    let mut random = Random(15);
    let ids = fill(&service, &mut random, 90).await;
    fill_another_tenant(&service).await;
    let mut model = Model::default();
    let (mut found, mut many) = (0, 0);
    for round in 0..4 {
        if round == 2 {
            service.remove_deleted().await;
        } else {
            delete_some(&service, &ids, &mut random).await;
        }
        model.refresh(&service, &ids).await;
        for _ in 0..60 {
            let question = Question::any(&model, &mut random);
            let expected = model.answer(&question);
            found += usize::from(!expected.is_empty());
            many += usize::from(expected.len() > 10);
            assert_pages(&service, &question, &expected, &mut random).await;
            let size = 1 + random.below(30);
            let walked = walk(&service, &question.path(), size, IDS[question.list]).await;
            assert_eq!(walked, expected, "{} by {size}", question.path());
        }
    }
    assert!(found > 100 && many > 50, "{found} questions found something, {many} found more than ten");
}

#[tokio::test]
async fn a_filter_or_an_order_that_there_is_not_is_400() {
    let service = Service::start().await;
    for (query, details) in [
        ("/customers?status=2", "status: must be one of 0, 1"),
        ("/customers?status=", "status: must be one of 0, 1"),
        ("/customers?hasOpenOpportunities=1", "hasOpenOpportunities: must be true or false"),
        ("/customers?stage=1", "stage: is not a parameter of this operation"),
        ("/customers?sort=created_at", "sort: must be of createdAt, updatedAt, name, status"),
        ("/customers?sort=created_at", "did you mean createdAt?"),
        ("/customers?sort=name,-name", "sort: must name name once"),
        ("/customers?sort=name&sort=status", "sort: must be sent once"),
        ("/customers?total=no", "total: must be true or false"),
        ("/customers?createdFrom=today", "createdFrom: must be an RFC 3339 timestamp"),
        ("/contacts?isPrimary=TRUE", "isPrimary: must be true or false"),
        ("/contacts?sort=status", "sort: must be of createdAt, updatedAt, name"),
        ("/opportunities?stage=0,7", "stage: must be one of 0, 1, 2, 3, 4, 5, 6"),
        ("/opportunities?currency=cny", "currency: must be an ISO 4217 code in capitals"),
        ("/opportunities?amountFrom=-1", "amountFrom: must be a whole number from 0"),
        ("/opportunities?stalledDays=0", "stalledDays: must be a whole number from 1 to 3650"),
        ("/opportunities?sort=title,stage,amountCents,createdAt", "sort: must be at most 3 keys"),
        ("/follow-ups?followUpType=a,", "followUpType: must be texts separated by commas"),
        ("/follow-ups?sort=content", "sort: must be of createdAt, updatedAt"),
    ] {
        service.get(query).send().await.refused(400, details);
    }
}
