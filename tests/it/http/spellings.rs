//! Values and bodies in every form that means the same: ids, whole numbers, media types, byte order marks.

use serde_json::{Value, json};

use crate::harness::{Service, UNKNOWN_ID, fields, id};

#[tokio::test]
async fn an_id_is_read_in_any_case_and_answered_in_lower_case() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let contact = service.contact(&customer).await;
    let opportunity = service.opportunity(&customer).await;
    let mixed: String = customer
        .chars()
        .enumerate()
        .map(|(index, c)| if index % 2 == 0 { c.to_ascii_uppercase() } else { c })
        .collect();
    for written in [customer.to_uppercase(), mixed] {
        let one = service.read(&format!("/customers/{written}")).await;
        assert_eq!(one["customerId"], customer);
        let path = format!("/customers/{written}");
        let changed = service.patch(&path, json!({ "name": "Acme again" })).send().await.expect(200);
        assert_eq!(changed.body["customerId"], customer);
        let made = service.create("/contacts", json!({ "customerId": written, "name": "Han" })).await;
        assert_eq!(made["customerId"], customer);
        service.delete(&format!("/contacts/{}", id(&made, "contactId").to_uppercase())).send().await.expect(204);
        for list in ["contacts", "opportunities"] {
            let list = service.read(&format!("/{list}?customerId={written}")).await;
            assert_eq!((&list["total"], fields(&list, "customerId")), (&json!(1), vec![customer.as_str()]));
        }
        service.get(&format!("/customers/{written}/export")).send().await.expect(200);
    }
    let body = json!({
        "content": "x",
        "customerId": customer.to_uppercase(),
        "opportunityId": opportunity.to_uppercase(),
        "contactId": contact.to_uppercase(),
    });
    let follow_up = service.create("/follow-ups", body).await;
    for (field, own) in [("customerId", &customer), ("opportunityId", &opportunity), ("contactId", &contact)] {
        assert_eq!(&follow_up[field], own, "{field}");
    }
    let query =
        format!("/follow-ups?customerId={}&opportunityId={}", customer.to_uppercase(), opportunity.to_uppercase());
    assert_eq!(service.read(&query).await["total"], 1);
    assert_eq!(service.trail(&format!("resourceId={}&action=create", contact.to_uppercase())).await.len(), 1);
    let erasure = format!("/customers/{}/erasure", customer.to_uppercase());
    let certificate = service.post(&erasure, json!({})).send().await.expect(201);
    assert_eq!(certificate.header("Location"), format!("/api/v1/crm/customers/{customer}/erasure"));
    service.delete(&format!("/customers/{}", customer.to_uppercase())).send().await.expect(204);
    service.get(&format!("/customers/{customer}")).send().await.expect(404);
}

#[tokio::test]
async fn other_forms_of_a_uuid_are_no_ids() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let simple = customer.replace('-', "");
    let other_forms = [
        simple.clone(),
        format!("%7B{customer}%7D"),
        format!("urn:uuid:{customer}"),
        format!("{customer}%20"),
        format!("%20{customer}"),
        format!("{}-{}", &simple[..8], &simple[8..]),
        "00000000-0000-0000-0000-000000000000".to_owned(),
    ];
    for form in other_forms {
        service.get(&format!("/customers/{form}")).send().await.expect(404);
        assert_eq!(service.read(&format!("/contacts?customerId={form}")).await["total"], 0);
        let form = form.replace("%7B", "{").replace("%7D", "}").replace("%20", " ");
        let body = json!({ "customerId": form, "name": "x" });
        service.post("/contacts", body).send().await.refused(400, "customerId: must be the id of an existing resource");
    }
}

#[tokio::test]
async fn entries_are_never_found_by_what_is_no_id() {
    let service = Service::start().await;
    // A refusal about the nil UUID, which is what a malformed id is taken for.
    let nil = "00000000-0000-0000-0000-000000000000";
    let refused = service.delete(&format!("/customers/{nil}")).claims(json!({ "scope": "crm:read" }));
    refused.send().await.expect(403);
    service.app.audit_queue().flush(service.app.database()).await.unwrap();
    assert_eq!(service.trail("").await.len(), 1);
    for malformed in ["zzz", "", "%00", nil, "1", UNKNOWN_ID, "zzz&resourceType=customer"] {
        assert_eq!(service.trail(&format!("resourceId={malformed}")).await, Vec::<Value>::new(), "{malformed}");
    }
}

/// An amount as it is written in a body, and as it is answered.
const AMOUNTS: [(&str, i64); 22] = [
    ("1000", 1000),
    ("1000.0", 1000),
    ("1000.000000000000000000000000000000", 1000),
    ("1e3", 1000),
    ("1E3", 1000),
    ("1e+3", 1000),
    ("1.0e3", 1000),
    ("10.5e1", 105),
    ("10e-1", 1),
    ("1000e-3", 1),
    ("0.001e3", 1),
    ("100000000000000000000e-20", 1),
    ("0", 0),
    ("-0", 0),
    ("-0.0", 0),
    ("0e999999999999999999999", 0),
    ("0.000e-5", 0),
    ("1e15", 1_000_000_000_000_000),
    ("9007199254740991", 9_007_199_254_740_991),
    ("9007199254740991.0", 9_007_199_254_740_991),
    ("9007199254740991000e-3", 9_007_199_254_740_991),
    ("9.007199254740991e15", 9_007_199_254_740_991),
];

const NO_AMOUNTS: [&str; 22] = [
    "0.5",
    "1e-1",
    "1000.1",
    "0.0000000000000000000000000000000001",
    "9007199254740991.4",
    "9007199254740990.9999",
    "9007199254740992",
    "9007199254740992.0",
    "9007199254740993",
    "9007199254740992.5",
    "1e16",
    "1e19",
    "1e400",
    "-1e400",
    "1e99999999999999999999",
    "1e-99999999999999999999",
    "-1",
    "-1.0",
    "18446744073709551616",
    "\"1000\"",
    "[1000]",
    "true",
];

#[tokio::test]
async fn a_whole_number_is_read_exactly_in_any_json_form() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let body = |amount: &str| format!(r#"{{"customerId": "{customer}", "title": "x", "amountCents": {amount} }}"#);
    let post = |text: String| service.post("/opportunities", json!({})).body(text).send();
    for (written, amount) in AMOUNTS {
        let made = post(body(written)).await.expect(201).body;
        assert_eq!(made["amountCents"], amount, "{written}");
        let path = format!("/opportunities/{}", id(&made, "opportunityId"));
        assert_eq!(service.read(&path).await["amountCents"], amount, "{written}");
        let text = format!(r#"{{"amountCents":{written}}}"#);
        let changed = service.patch(&path, json!({})).body(text).send().await.expect(200).body;
        assert_eq!(changed["amountCents"], amount, "{written}");
    }
    for written in NO_AMOUNTS {
        let details = "amountCents: must be a whole number from 0 to 9007199254740991";
        post(body(written)).await.refused(400, details);
    }
    post(body("null")).await.refused(400, "amountCents: must not be null");
    for malformed in ["01", "1.", ".5", "1e", "+1", "0x10", "1_000", "NaN", "Infinity", "-", "1e3.0"] {
        post(body(malformed)).await.refused(400, "the body is not valid JSON");
    }
}

#[tokio::test]
async fn a_stage_and_a_status_are_read_in_any_json_form() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let path = format!("/opportunities/{}", service.opportunity(&customer).await);
    let patch = |text: String| service.patch(&path, json!({})).body(text).send();
    for (written, stage, status) in [("1.0", 1, 0), ("5e0", 5, 1), ("60e-1", 6, 2), ("-0.0", 0, 0), ("0.2E+1", 2, 0)] {
        let changed = patch(format!(r#"{{"stage": {written}}}"#)).await.expect(200).body;
        assert_eq!((&changed["stage"], &changed["status"]), (&json!(stage), &json!(status)), "{written}");
    }
    let changed = patch(r#"{"status": 1.0}"#.to_owned()).await.expect(200).body;
    assert_eq!(changed["stage"], 5);
    for written in ["0.5", "7", "7.0", "-1", "1e400", "1e-400", "\"1\"", "{}", "4294967297", "18446744073709551617"] {
        patch(format!(r#"{{"stage": {written}}}"#)).await.refused(400, "stage: must be one of 0, 1, 2, 3, 4, 5, 6");
        patch(format!(r#"{{"status": {written}}}"#)).await.refused(400, "status: must be one of 0, 1, 2");
    }
}

#[tokio::test]
async fn a_number_out_of_range_is_400_by_name_in_any_field() {
    let service = Service::start().await;
    let post = |text: &str| service.post("/customers", json!({})).body(text.to_owned()).send();
    for number in ["1e400", "-1e400", "1e99999"] {
        post(&format!(r#"{{"name": {number}}}"#)).await.refused(400, "name: the number is out of range");
        post(&format!(r#"{{"name": "x", "other": {number}}}"#)).await.refused(400, "other: is not a field");
        let nested = post(&format!(r#"{{"name": {{"a": {number}}}}}"#)).await;
        nested.refused(400, "name: the number is out of range");
        post(&format!(r#"{{"name": ["x", {number}]}}"#)).await.refused(400, "name: the number is out of range");
        let misplaced = post(&format!(r#"{{"name": {{"+44 20 7946 0958": {number}}}}}"#)).await.expect(400);
        assert!(!misplaced.text.contains("7946"), "{}", misplaced.text);
    }
}

#[tokio::test]
async fn one_byte_order_mark_before_a_body_is_ignored() {
    let service = Service::start().await;
    let made = service.post("/customers", json!({})).body("\u{feff}{\"name\": \"x\"}").send().await.expect(201);
    let path = format!("/customers/{}", id(&made.body, "customerId"));
    service.patch(&path, json!({})).body("\u{feff} \n{}").send().await.expect(200);
    let blind = json!({ "scope": "crm:write" });
    service.patch(&path, json!({})).body("\u{feff}{}").claims(blind).send().await.refused(403, "crm:read");
    for other in
        ["\u{feff}\u{feff}{}", " \u{feff}{}", "{\u{feff}}", "{}\u{feff}", "\u{feff}", "\u{fffe}{}", "\u{feff}[]"]
    {
        service.patch(&path, json!({})).body(other).send().await.expect(400);
    }
    let utf16: Vec<u8> = "\u{feff}{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    service.patch(&path, json!({})).body(utf16).send().await.refused(400, "the body must be a JSON object");
}

#[tokio::test]
async fn an_encoded_body_is_415_and_says_what_is_accepted() {
    let service = Service::start().await;
    let before = service.read("/customers").await;
    for (number, codings) in [
        &["gzip"][..],
        &["GZIP"],
        &["deflate"],
        &["br"],
        &["zstd"],
        &["aws-chunked"],
        &["identity, gzip"],
        &["identity", "gzip"],
        &["identity;q=1"],
        &["x"],
    ]
    .into_iter()
    .enumerate()
    {
        let request_id = format!("encoded-{number}");
        let mut call = service.post("/customers", json!({ "name": "x" })).request_id(&request_id);
        for coding in codings {
            call = call.add_header("Content-Encoding", coding.as_bytes());
        }
        let reply = call.send().await.refused(415, "Content-Encoding: must be identity");
        assert_eq!(reply.header("Accept-Encoding"), "identity", "{codings:?}");
        // It is judged by its head: what comes after that is not waited for.
        let endless = poem::Body::from_bytes_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>());
        let call = service.post("/customers", json!({})).body(endless).header("Content-Encoding", "gzip");
        call.send().await.expect(415);
    }
    let not_text = service.post("/customers", json!({ "name": "x" })).add_header("Content-Encoding", b"\xff");
    not_text.send().await.expect(415);
    assert_eq!(service.read("/customers").await, before);
    for codings in
        [&["identity"][..], &["Identity"], &[""], &["identity, identity"], &["identity", "identity"], &[" , "]]
    {
        let mut call = service.post("/customers", json!({ "name": "x" }));
        for coding in codings {
            call = call.add_header("Content-Encoding", coding.as_bytes());
        }
        let reply = call.send().await.expect(201);
        assert_eq!(reply.header("Accept-Encoding"), "");
    }
}

#[tokio::test]
async fn a_body_is_json_in_utf_8_by_its_media_type() {
    let service = Service::start().await;
    let post =
        |media_type: &str| service.post("/customers", json!({ "name": "x" })).header("Content-Type", media_type).send();
    for accepted in [
        "application/json",
        "Application/JSON",
        "application/json;charset=utf-8",
        "application/json; charset=UTF-8",
        "application/json;charset=\"UTF-8\"",
        "application/json; Charset=\"utf\\-8\"",
        "application/json ; charset=utf8",
        "application/json;\tcharset=Utf-8 ; version=1",
        "application/json; odata=verbose",
        "application/json; profile=\"https://example.com/a;b,c\"",
        "application/json;",
        "application/json;; ;",
        "application/json; charset=utf-8; charset=UTF-8",
    ] {
        post(accepted).await.expect(201);
    }
    for charset in
        ["gbk", "GB18030", "iso-8859-1", "utf-16", "us-ascii", "\"\"", "\"gbk\"", "utf-8; charset=gbk", "utf-8x"]
    {
        let reply = post(&format!("application/json; charset={charset}")).await;
        reply.refused(415, "Content-Type: the charset must be UTF-8");
    }
    for other in [
        "",
        "text/json",
        "application/json5",
        "application/merge-patch+json",
        "application/vnd.api+json",
        "application",
        "json",
        "*/*",
        "application/json, text/plain",
        "application/json charset=utf-8",
        "application/json; charset",
        "application/json; charset=",
        "application/json; charset=\"utf-8",
        "application/json; =utf-8",
        "application/json; charset=\"utf-8\"x",
        "application/json; ch arset=utf-8",
        "application/x-www-form-urlencoded",
    ] {
        post(other).await.refused(415, "Content-Type: must be application/json");
    }
    let twice = service.post("/customers", json!({ "name": "x" })).add_header("Content-Type", b"application/json");
    twice.send().await.refused(415, "Content-Type: must be application/json");
}

#[tokio::test]
async fn codes_of_no_currency_are_400() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let post = |code: &str| {
        service.post("/opportunities", json!({ "customerId": customer, "title": "x", "currency": code })).send()
    };
    for code in ["XXX", "XTS", "xxx", "DEM", "ZWL", "BTC", "cny", "CNY ", "US", "USDT", "156", "", "ＣＮＹ"] {
        post(code).await.refused(400, "currency: must be an active ISO 4217 code in capitals, like CNY");
    }
    for code in ["CNY", "USD", "VES", "VED", "XOF", "XAF", "XCD", "XPF", "XDR", "XAU"] {
        assert_eq!(post(code).await.expect(201).body["currency"], code);
    }
}
