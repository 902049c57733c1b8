//! What is found, in which order, and where it stands.

use crm::values::normal_form::normal_form;
use serde_json::{Value, json};

use super::{customer, encoded, found, search};
use crate::harness::{Service, fields, id, random::Random};

#[tokio::test]
async fn names_are_found_by_parts_in_any_script_case_and_spelling() {
    let service = Service::start().await;
    for (name, searches) in [
        ("中国工商银行", &["中国", "国", "工商银", "中国 银行", "商银行"][..]),
        ("Jürgen Müller-Lüdenscheidt", &["muller", "MÜLLER", "mu\u{308}ll", "ller-lu", "jur scheidt", "ü"]),
        ("ǅerba", &["dz", "ǆerb", "DŽ"]),
        ("ﬁnery", &["fin", "ﬁ", "FI"]),
        ("🚀 Rocket 👩\u{200d}🚀", &["🚀", "👩", "👩🚀", "rocket"]),
        ("Straße 1½", &["STRASSE", "ße", "1\u{2044}2"]),
        ("株式会社アクメ", &["アクメ", "ｱｸﾒ", "会", "ク"]),
        ("주식회사 한국", &["한국", "한", "회사"]),
        ("Ångström & Søn Α.Ε.", &["angst", "αε", "& sø"]),
        ("A\u{301}cme, Inc.", &["acme,", "inc.", "e,"]),
    ] {
        let customer = customer(&service, name).await;
        for q in searches.iter().filter(|q| **q != "ü" && **q != "αε") {
            assert!(found(&service, q).await.contains(&customer), "{q:?} does not find {name:?}");
        }
    }
    for (q, details) in [
        ("", "q: must have a word of two characters"),
        ("ü", "q: must have a word of two characters"),
        ("a b", "q: must have a word of two characters"),
        ("\u{0}ab", "q: must be 1 to 200 characters"),
    ] {
        let reply = service.get(&format!("/search?q={}", encoded(q))).send().await;
        assert!(reply.status == 400 && reply.body.to_string().contains(details), "{q:?}: {}", reply.body);
    }
    service.get("/search").send().await.refused(400, "q: is required");
    service.get("/search?q=ab&types=customer,lead").send().await.expect(400);
    service.get("/search?q=ab&limit=51").send().await.expect(400);
}

#[tokio::test]
async fn a_long_name_is_found_by_each_of_its_parts() {
    let service = Service::start().await;
    let mut random = Random(7);
    let alphabet: Vec<char> = "abcdefghi  中国银行éüßЖджαβ한국🚀".chars().collect();
    let name: String = (0..198).map(|_| alphabet[random.below(alphabet.len())]).collect();
    let name = format!("x{name}y");
    let wanted = customer(&service, &name).await;
    for number in 0..20 {
        customer(&service, &format!("Other {number}")).await;
    }
    let letters: Vec<char> = name.chars().collect();
    for length in [2, 3, 4, 5, 9, 40] {
        for start in (0..letters.len() - length).step_by(length) {
            let part: String = letters[start..start + length].iter().collect();
            if part.split_whitespace().count() <= 10 && part.split_whitespace().any(|word| word.chars().count() > 1) {
                assert!(found(&service, &part).await.contains(&wanted), "{part:?} of {name:?}");
            }
        }
    }
    assert_eq!(found(&service, name.split_whitespace().next().unwrap()).await, [wanted]);
}

#[tokio::test]
async fn a_search_finds_what_holds_all_words_and_nothing_else() {
    let service = Service::start().await;
    let mut random = Random(11);
    let alphabet: Vec<char> = "aabbÄä 中国한ǅﬁ🚀".chars().collect();
    let text = |random: &mut Random, longest: usize| -> String {
        let length = 1 + random.below(longest);
        (0..length).map(|_| alphabet[random.below(alphabet.len())]).collect()
    };
    let mut names = Vec::new();
    for _ in 0..40 {
        let name = format!("{}a", text(&mut random, 12));
        names.push((customer(&service, name.trim()).await, normal_form(&name)));
    }
    let mut searched = 0;
    for _ in 0..120 {
        let q = text(&mut random, 6);
        let reply = service.get(&format!("/search?limit=50&q={}", encoded(&q))).send().await;
        if reply.status == 400 {
            continue;
        }
        searched += 1;
        let mut ids: Vec<String> = fields(&reply.body, "resourceId").into_iter().map(str::to_owned).collect();
        let q_normal = normal_form(&q);
        let holds = |name: &str| q_normal.split(' ').all(|word| name.contains(word));
        let mut expected: Vec<String> =
            names.iter().filter(|(_, name)| holds(name)).map(|(id, _)| id.clone()).collect();
        ids.sort();
        expected.sort();
        assert_eq!(ids, expected, "{q:?}");
        assert_eq!(reply.body["complete"], true);
    }
    assert!(searched > 60, "{searched}");
}

#[tokio::test]
async fn parts_that_stand_apart_are_not_found_as_one_word() {
    let service = Service::start().await;
    customer(&service, "abcd bcde cdef").await;
    customer(&service, "中国 国人").await;
    for q in ["abcdef", "abcde", "中国人", "cdbc", "abcd xbcd"] {
        assert_eq!(found(&service, q).await, Vec::<String>::new(), "{q}");
    }
}

#[tokio::test]
async fn the_best_come_first_with_what_matched_and_where() {
    let service = Service::start().await;
    let anywhere = customer(&service, "Xacme").await;
    let word = customer(&service, "The Äcme company").await;
    let begins = customer(&service, "Acme Ltd").await;
    let whole = customer(&service, "ACME").await;
    let newer = customer(&service, "acme trading").await;
    let opportunity = id(
        &service.create("/opportunities", json!({ "customerId": whole, "title": "Acme renewal" })).await,
        "opportunityId",
    );
    let content = format!("{} acme {}", "before ".repeat(50), "after ".repeat(50));
    let follow_up = service.follow_up(json!({ "customerId": whole, "content": content })).await;
    let contact =
        id(&service.create("/contacts", json!({ "customerId": word, "name": "Mr Acmeson" })).await, "contactId");
    let result = search(&service, "ÁCME").await;
    let expected = [&whole, &opportunity, &newer, &begins, &contact, &follow_up, &word, &anywhere];
    assert_eq!(fields(&result, "resourceId"), expected.map(String::as_str), "{result}");
    assert_eq!(result["complete"], true);
    let hit = |id: &str| result["data"].as_array().unwrap().iter().find(|hit| hit["resourceId"] == id).unwrap().clone();
    let range = |start: u32, end: u32| json!([{ "start": start, "end": end }]);
    assert_eq!(
        hit(&word),
        json!({ "resourceType": "customer", "resourceId": word, "customerId": Value::Null, "title": "The Äcme company",
            "matches": [{ "field": "name", "fragment": "The Äcme company", "fragmentStart": 0, "ranges": range(4, 8) }] })
    );
    assert_eq!(hit(&contact)["customerId"], word);
    let matched = &hit(&follow_up)["matches"][0];
    assert_eq!((&matched["field"], &matched["ranges"]), (&json!("content"), &range(351, 355)));
    assert_eq!(matched["fragmentStart"], 311);
    assert_eq!(hit(&follow_up)["title"].as_str().unwrap().chars().count(), 200);

    let only = service.read("/search?q=acme&types=contact,followUp").await;
    assert_eq!(fields(&only, "resourceId"), [contact.as_str(), follow_up.as_str()]);
    let two = service.read("/search?q=acme&limit=2").await;
    assert_eq!(fields(&two, "resourceId"), [whole.as_str(), opportunity.as_str()]);
}

#[tokio::test]
async fn a_whole_number_or_address_finds_who_has_it_and_is_noted() {
    let service = Service::start().await;
    let body = json!({ "name": "One", "contactPhone": "138 1234 5678", "contactEmail": "Li@Example.com" });
    let one = id(&service.create("/customers", body).await, "customerId");
    let body = json!({ "customerId": one, "name": "13812345678 twice", "phone": "+86 13812345678", "email": "x@y.zz" });
    let contact = id(&service.create("/contacts", body).await, "contactId");
    let result = search(&service, "+8613812345678").await;
    assert_eq!(fields(&result, "resourceId"), [contact.as_str(), one.as_str()]);
    let whole = |field: &str| json!({ "field": field, "fragment": Value::Null, "fragmentStart": 0, "ranges": [] });
    assert_eq!(result["data"][1]["matches"], json!([whole("contactPhone")]));
    let both = search(&service, "13812345678").await;
    let matched = both["data"][0]["matches"].as_array().unwrap();
    assert_eq!(matched.iter().map(|matched| &matched["field"]).collect::<Vec<_>>(), ["name", "phone"]);
    assert_eq!(found(&service, "LI@example.com").await, [one.as_str()]);
    assert_eq!(found(&service, "1381234").await, [contact.as_str()]);
    service.app.audit_queue().flush(service.app.database()).await.unwrap();
    let noted = service.trail("action=read").await;
    assert!(noted.iter().any(|entry| entry["summary"] == "found the customer in clear, by contactEmail"), "{noted:?}");

    let reader = json!({ "scope": "crm:read" });
    for q in ["13812345678", "li@example.com"] {
        let call = service.get(&format!("/search?q={}", encoded(q))).claims(reader.clone());
        call.send().await.refused(403, "q: searching by it needs the scope crm:pii:read");
    }
    let result = service.get("/search?q=twice").claims(reader).send().await.expect(200).body;
    assert_eq!(fields(&result, "resourceId"), [contact.as_str()]);
}

#[tokio::test]
async fn where_no_number_is_looked_up_it_is_words_like_others() {
    let service = Service::start().await;
    let customer = customer(&service, "One").await;
    let body = json!({ "customerId": customer, "title": "Call 13812345678 or li@example.com" });
    let opportunity = id(&service.create("/opportunities", body).await, "opportunityId");
    let search = |types: &str, q: &str| {
        service.get(&format!("/search?types={types}&q={}", encoded(q))).claims(json!({ "scope": "crm:read" }))
    };
    for q in ["13812345678", "li@example.com"] {
        for types in ["opportunity", "followUp,opportunity"] {
            let found = search(types, q).send().await.expect(200).body;
            assert_eq!(fields(&found, "resourceId"), [opportunity.as_str()], "{types}");
        }
        assert!(fields(&search("followUp", q).send().await.expect(200).body, "resourceId").is_empty());
        for types in ["customer", "contact", "opportunity,contact"] {
            search(types, q).send().await.refused(403, "q: searching by it needs the scope crm:pii:read");
        }
    }
    let digits = search("opportunity", "1 3 8 1 2 3 4 5 6 7 8").send().await;
    digits.refused(400, "q: must have at most 10 words");
    service.get("/search?types=opportunity").send().await.refused(400, "q: is required");
}

#[tokio::test]
async fn a_number_that_is_written_digit_by_digit_is_one() {
    let service = Service::start().await;
    let body = json!({ "name": "1 3 8 1 2 3 4 5 6 7 8", "contactPhone": "138 1234 5678" });
    let one = id(&service.create("/customers", body).await, "customerId");
    let contact = service.create("/contacts", json!({ "customerId": one, "name": "Two", "phone": "13812345" })).await;
    let contact = id(&contact, "contactId");
    let finds = async |q: &str, wanted: &str, field: &str| {
        let q = encoded(q);
        let result = service.read(&format!("/search?q={q}")).await;
        assert_eq!(fields(&result, "resourceId"), [wanted], "{result}");
        assert_eq!((&result["data"][0]["matches"][0]["field"], &result["complete"]), (&json!(field), &json!(true)));
        let (customers, contacts) =
            (service.read(&format!("/customers?q={q}")).await, service.read(&format!("/contacts?q={q}")).await);
        assert_eq!([fields(&customers, "customerId"), fields(&contacts, "contactId")].concat(), [wanted]);
        for list in ["search", "customers", "contacts"] {
            let call = service.get(&format!("/{list}?q={q}")).claims(json!({ "scope": "crm:read" }));
            call.send().await.refused(403, "q: searching by it needs the scope crm:pii:read");
        }
        service.get(&format!("/opportunities?q={q}")).send().await.refused(400, "q: must have ");
    };
    finds("1 3 8 1 2 3 4 5 6 7 8", &one, "contactPhone").await;
    finds("1 3 8 1 2 3 4 5", &contact, "phone").await;
}

#[tokio::test]
async fn each_tenant_finds_its_own() {
    let service = Service::start().await;
    let mut ids = Vec::new();
    for tenant in ["one", "two"] {
        let call = service.post("/customers", json!({ "name": "Acme 中国" })).claims(json!({ "tenant_id": tenant }));
        ids.push(id(&call.send().await.expect(201).body, "customerId"));
    }
    for (tenant, id) in ["one", "two"].iter().zip(&ids) {
        for q in ["acme", "中", "me 中国"] {
            let call = service.get(&format!("/search?q={}", encoded(q))).claims(json!({ "tenant_id": tenant }));
            assert_eq!(fields(&call.send().await.expect(200).body, "resourceId"), [id.as_str()]);
        }
    }
    let call = service.get("/search?q=acme").claims(json!({ "tenant_id": "three" }));
    assert!(fields(&call.send().await.expect(200).body, "resourceId").is_empty());
}

#[tokio::test]
async fn each_list_is_searched_together_with_its_filters_sorts_and_pages() {
    let service = Service::start().await;
    let mut finches = Vec::new();
    for number in 0..12 {
        let name = if number % 2 == 0 { format!("Finch {number:02}") } else { format!("Other {number:02}") };
        let customer = customer(&service, &name).await;
        let body = json!({ "customerId": customer, "name": name, "isPrimary": number % 4 == 0 });
        service.create("/contacts", body).await;
        service.create("/opportunities", json!({ "customerId": customer, "title": name, "amountCents": number })).await;
        let body = json!({ "customerId": customer, "content": name, "followUpType": if number < 6 { "call" } else { "visit" } });
        service.follow_up(body).await;
        if number % 2 == 0 {
            finches.push(customer);
        }
    }
    let walk = async |list: &str, id: &str| {
        let (mut ids, mut next) = (Vec::new(), String::new());
        loop {
            let page = service.read(&format!("{list}{next}")).await;
            ids.extend(fields(&page, id).into_iter().map(str::to_owned));
            match page["nextCursor"].as_str() {
                Some(cursor) => next = format!("&after={cursor}"),
                None => return ids,
            }
        }
    };
    assert_eq!(walk("/customers?q=f%C3%8Dnch&sort=name&pageSize=2", "customerId").await, finches);
    let page = service.read("/customers?q=finch").await;
    assert_eq!((&page["total"], &page["totalExact"]), (&json!(6), &json!(true)));
    let primary = walk("/contacts?q=finch&isPrimary=true&pageSize=1", "customerId").await;
    assert_eq!(primary, [&finches[4], &finches[2], &finches[0]].map(Clone::clone));
    let some = walk("/opportunities?q=finch&amountFrom=3&amountTo=9&sort=-title&pageSize=1", "customerId").await;
    assert_eq!(some, [&finches[4], &finches[3], &finches[2]].map(Clone::clone));
    let calls = walk("/follow-ups?q=nch+0&followUpType=call&sort=createdAt&pageSize=2", "customerId").await;
    assert_eq!(calls, finches[..3]);
    for (list, q) in [("customers", "f"), ("contacts", "a%20b"), ("opportunities", ""), ("follow-ups", "%C3%BC")] {
        let details = "q: must have a word of two characters";
        let reply = service.get(&format!("/{list}?q={q}")).send().await.expect(400);
        assert!(reply.body.to_string().contains(details), "{}", reply.body);
    }
}

#[tokio::test]
async fn a_list_of_customers_is_searched_by_a_whole_number_too() {
    let service = Service::start().await;
    let body = json!({ "name": "One", "contactPhone": "138 1234 5678", "contactEmail": "li@example.com" });
    let one = id(&service.create("/customers", body).await, "customerId");
    let body = json!({ "customerId": one, "name": "Two", "phone": "138 1234 5678", "email": "li@example.com" });
    let contact = id(&service.create("/contacts", body).await, "contactId");
    for q in ["13812345678", "%2B8613812345678", "LI@example.com"] {
        assert_eq!(fields(&service.read(&format!("/customers?q={q}")).await, "customerId"), [one.as_str()], "{q}");
        assert_eq!(fields(&service.read(&format!("/contacts?q={q}")).await, "contactId"), [contact.as_str()], "{q}");
        for list in ["customers", "contacts"] {
            let call = service.get(&format!("/{list}?q={q}")).claims(json!({ "scope": "crm:read" }));
            call.send().await.refused(403, "q: searching by it needs the scope crm:pii:read");
        }
        assert!(fields(&service.read(&format!("/follow-ups?q={q}")).await, "followUpId").is_empty());
    }
}
