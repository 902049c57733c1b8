//! 10,000 recognizable phone numbers and e-mail addresses (canaries) are sent in every way a client can send them;
//! none may be in clear in anything that the service stores, logs or shows to others.

use std::collections::HashSet;

use crm::{
    audit::chain,
    contacts::{ContactCreate, ContactUpdate},
    customers::{CustomerCreate, CustomerUpdate},
    pii::{Email, Phone},
};
use futures_util::future::join_all;
use poem::http::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::harness::{Call, Log, Reply, START, Service, UNKNOWN_ID, id, stored_bytes, token};

/// The number of canaries of each kind.
const CANARIES: usize = 10_000;

/// Words that are in every e-mail address, query, token and text, and in nothing else.
const EMAIL: &str = "parakeet";
const QUERY: &str = "budgerigar";
const TOKEN: &str = "nightingale";
const TEXT: &str = "goldcrest";

/// The eleven digits of a phone number.
fn digits(number: usize) -> String {
    format!("1397{:07}", number * 997 % 10_000_000)
}

/// A phone number in one of three spellings.
fn phone(number: usize) -> String {
    let digits = digits(number);
    let (head, middle, tail) = (&digits[..3], &digits[3..7], &digits[7..]);
    match number / 10 % 3 {
        0 => digits,
        1 => format!("+86 {head}-{middle}-{tail}"),
        _ => format!("{head} {middle} {tail}"),
    }
}

fn email(number: usize) -> String {
    format!("{EMAIL}-{number}@example.com")
}

/// Finds canaries: phone numbers in any spelling, words in any letter case.
struct Search {
    phones: HashSet<String>,
}

impl Search {
    fn new() -> Self {
        Self { phones: (0..CANARIES).map(digits).collect() }
    }

    /// The surroundings of the first canaries.
    fn find(&self, haystack: &[u8], words: &[&str]) -> Vec<String> {
        let around = |at: usize| {
            String::from_utf8_lossy(&haystack[at.saturating_sub(60)..haystack.len().min(at + 60)]).into_owned()
        };
        let is_canary = |at: &usize| {
            let rest = &haystack[*at..];
            if rest[0] == b'1' {
                return rest.starts_with(b"139") && self.phones.contains(&leading_digits(rest));
            }
            let begins_with = |word: &str| {
                rest[0].eq_ignore_ascii_case(&word.as_bytes()[0])
                    && rest.len() >= word.len()
                    && rest[..word.len()].eq_ignore_ascii_case(word.as_bytes())
            };
            words.iter().any(|word| begins_with(word))
        };
        (0..haystack.len()).filter(is_canary).take(5).map(around).collect()
    }
}

/// The first eleven digits of a text, with at most one space or dash between them.
fn leading_digits(text: &[u8]) -> String {
    let mut digits = String::new();
    let mut separated = false;
    for byte in text {
        match byte {
            b'0'..=b'9' => digits.push(char::from(*byte)),
            b' ' | b'-' if !separated => {}
            _ => break,
        }
        separated = !byte.is_ascii_digit();
        if digits.len() == 11 {
            break;
        }
    }
    digits
}

/// The service, what requests refer to, and the tokens.
struct Fixture<'s> {
    service: &'s Service,
    customers: Vec<String>,
    contacts: Vec<String>,
    clear: String,
    masked: String,
    read_only: String,
    expired: String,
}

impl Fixture<'_> {
    /// Sends a canary, and returns the replies that must not contain one.
    async fn send(&self, number: usize) -> Vec<Reply> {
        let (phone, email, round) = (phone(number), email(number), number / 10);
        let text = format!("{TEXT} {number}");
        let of_customer = json!({ "name": text, "contactPhone": phone, "contactEmail": email });
        let customer = &self.customers[number % self.customers.len()];
        let contact = &self.contacts[number % self.contacts.len()];
        let of_contact = json!({ "customerId": customer, "name": text, "phone": phone, "email": email });
        let changed = json!({ "name": text, "phone": phone, "email": email });
        let sees_clear = round.is_multiple_of(2);
        let token = if sees_clear { &self.clear } else { &self.masked };
        let service = self.service;
        let (method, status, call) = match number % 10 {
            0 | 1 => ("POST", 201, service.post("/customers", of_customer)),
            2 => ("POST", 201, service.post("/contacts", of_contact)),
            3 => ("PATCH", 200, service.patch(&format!("/customers/{customer}"), of_customer)),
            4 => ("PATCH", 200, service.patch(&format!("/contacts/{contact}"), changed)),
            5 => {
                let (status, call) = self.invalid(number, of_customer);
                ("POST", status, call)
            }
            6 => {
                let (status, call) = self.refused(number, of_customer);
                return vec![with_other_headers(call, &phone, &email).send_unchecked().await.expect(status)];
            }
            7 => {
                let (phone, email) = (query(&phone), query(&email));
                let path = match round % 4 {
                    0 | 1 => format!("/customers?contactPhone={phone}&contactEmail={email}"),
                    _ => format!("/contacts?phone={phone}&email={email}&customerId={QUERY}"),
                };
                ("GET", if sees_clear { 200 } else { 403 }, service.get(&path))
            }
            8 => {
                let (status, call) = self.misplaced(number);
                ("GET", status, call)
            }
            _ => {
                let made = service.post("/customers", of_customer).send_unchecked().await.expect(201).body;
                ("GET", 200, service.get(&format!("/customers/{}", id(&made, "customerId"))))
            }
        };
        let reply = call.token(token).send_unchecked().await;
        assert_eq!(reply.status, status, "{method} of canary {number}: {}", reply.text);
        let shows_clear = sees_clear && reply.status.is_success();
        if shows_clear && matches!(number % 10, 0 | 1 | 3 | 9) {
            assert_eq!(reply.body["contactEmail"], json!(email), "the canary was not stored");
        }
        // A body may show the canary in clear, headers may not.
        vec![if shows_clear { Reply { text: String::new(), ..reply } } else { reply }]
    }

    /// An invalid body.
    fn invalid(&self, number: usize, mut body: Value) -> (u16, Call<'_>) {
        let (phone, email) = (phone(number), email(number));
        match number / 10 % 8 {
            0 => body["unknownField"] = json!(phone),
            1 => body["name"] = json!(""),
            2 => (body["contactPhone"], body["contactEmail"]) = (json!(email), json!(phone)),
            3 => body["contactPhone"] = json!({ phone: email }),
            4 => return (400, self.service.post("/customers", json!([phone, email]))),
            5 => {
                return (400, self.service.post("/customers", json!({})).body(format!("{{\"contactPhone\":\"{phone}")));
            }
            6 => (body[&phone], body[&email]) = (json!(email), json!(phone)),
            _ => {
                let body = json!({ "customerId": email, "name": "x", "phone": phone });
                return (400, self.service.post("/contacts", body));
            }
        }
        (400, self.service.post("/customers", body))
    }

    /// A valid body in a request that is refused for another reason.
    fn refused(&self, number: usize, body: Value) -> (u16, Call<'_>) {
        let (service, phone) = (self.service, phone(number));
        match number / 10 % 8 {
            0 => (404, service.patch(&format!("/customers/{UNKNOWN_ID}"), body)),
            1 => (400, service.post("/contacts", json!({ "customerId": UNKNOWN_ID, "name": "x", "phone": phone }))),
            2 => (409, service.post("/customers", body).request_id("taken")),
            3 => (403, service.post("/customers", body).token(&self.read_only)),
            4 => (401, service.post("/customers", body).token(&format!("{TOKEN}-{}", digits(number)))),
            5 => (401, service.post("/customers", body).token(&self.expired)),
            6 => (415, service.post("/customers", body).header("Content-Type", "text/plain")),
            _ => (400, service.post("/customers", body).tenant(&email(number))),
        }
    }

    /// A canary in a path or a parameter where none belongs.
    fn misplaced(&self, number: usize) -> (u16, Call<'_>) {
        let (service, phone, email) = (self.service, query(&phone(number)), query(&email(number)));
        match number / 10 % 8 {
            0 => (400, service.get(&format!("/customers?contactPhone={phone}*"))),
            // Who sees masked values may not search, whatever the value.
            1 => (403, service.get(&format!("/contacts?email={email}*&phone={phone}"))),
            2 => (404, service.get(&format!("/customers/{phone}"))),
            3 => (404, service.get(&format!("/{email}/{phone}"))),
            4 => (405, service.call(Method::PUT, &format!("/customers/{email}?{QUERY}={phone}"))),
            5 => (400, service.get(&format!("/customers?page={phone}&pageSize={email}"))),
            6 => (400, service.get(&format!("/customers?{phone}={email}&{QUERY}={phone}&{email}"))),
            _ => (404, service.delete(&format!("/contacts/{email}"))),
        }
    }
}

/// Adds headers with canaries: malformed ones, and some that the service does not use.
fn with_other_headers<'s>(call: Call<'s>, phone: &str, email: &str) -> Call<'s> {
    let call = call.header("traceparent", &format!("00-{phone}-{email}-01")).header("User-Agent", email);
    call.header("Referer", &format!("https://{QUERY}.example/{phone}")).header("Cookie", &format!("{TOKEN}={phone}"))
}

/// Encodes a value for a query.
fn query(value: &str) -> String {
    value.replace('+', "%2B").replace(' ', "%20")
}

/// Durations may contain the digits of a canary by chance.
fn without_durations(log: &str) -> String {
    let mut parts = log.split("\"duration_ms\":");
    let mut rest = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        rest.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.'));
    }
    rest
}

#[tokio::test]
async fn no_canary_is_in_logs_database_audit_trail_or_masked_replies() {
    let log = Log::of_this_process("trace,sqlx=trace,hyper=trace,poem=trace,sea_orm=trace");
    let service = Service::start().await;
    let search = Search::new();
    let (mut customers, mut contacts) = (Vec::new(), Vec::new());
    for _ in 0..64 {
        customers.push(service.customer().await);
        contacts.push(service.contact(&customers[0]).await);
    }
    service.post("/customers", json!({ "name": "x" })).request_id("taken").send().await.expect(201);
    let fixture = Fixture {
        service: &service,
        customers,
        contacts,
        clear: token(json!({ "scope": "crm:read crm:write crm:pii:read" })),
        masked: token(json!({ "scope": "crm:read crm:write" })),
        read_only: token(json!({ "scope": "crm:read" })),
        expired: token(json!({ "exp": START / 1000 - 3600, TOKEN: "x" })),
    };
    for first in (0..CANARIES).step_by(64) {
        let replies = join_all((first..CANARIES.min(first + 64)).map(|number| fixture.send(number))).await;
        for reply in replies.iter().flatten() {
            let found = search.find(format!("{:?} {}", reply.headers, reply.text).as_bytes(), &[EMAIL, QUERY, TOKEN]);
            assert_eq!(found, Vec::<String>::new(), "{reply:?}");
        }
        // Entries beyond the queue's limit would be dropped.
        while service.app.audit_queue().flush(service.app.database()).await.unwrap() > 0 {}
    }
    chain::link_entries(service.app.database()).await.unwrap();

    let masked = ["/customers", "/contacts"].map(|list| (list, &fixture.masked));
    let auditor = token(json!({ "scope": "crm:audit:read" }));
    for (list, token) in masked.into_iter().chain([("/audit-logs", &auditor)]) {
        let mut seen = 0;
        for page in 1.. {
            let path = format!("{list}?pageSize=100&page={page}");
            let page = service.get(&path).token(token).send_unchecked().await.expect(200);
            assert_eq!(search.find(page.text.as_bytes(), &[EMAIL, QUERY, TOKEN]), Vec::<String>::new());
            let items = page.body["data"].as_array().unwrap().len();
            seen += items;
            if items < 100 {
                break;
            }
        }
        assert!(seen > 1_000, "{list} has only {seen}");
    }

    let stored = stored_bytes(&service.database).await;
    assert!(stored.windows(TEXT.len()).any(|window| window == TEXT.as_bytes()), "the database was not read");
    assert_eq!(search.find(&stored, &[EMAIL, QUERY, TOKEN]), Vec::<String>::new());
    let log = without_durations(&log.text());
    assert!(log.matches("\"answered\"").count() > CANARIES && log.contains("\"DEBUG\""), "little was logged");
    assert_eq!(search.find(log.as_bytes(), &[EMAIL, QUERY, TOKEN, TEXT, "eyJ"]), Vec::<String>::new());
}

#[tokio::test]
async fn the_search_finds_canaries_where_they_are() {
    let service = Service::with(&[("CRM_PII_ENCRYPTION", "off")]).await;
    let search = Search::new();
    for number in [0, 10, 20] {
        let alone = json!({ "name": "x", "contactPhone": phone(number) });
        let made = service.post("/customers", alone).send().await.expect(201);
        assert!(!search.find(made.text.as_bytes(), &[]).is_empty(), "{}", phone(number));
        let stored = stored_bytes(&service.database).await;
        // As it was sent, and normalized.
        assert!(search.find(&stored, &[]).len() >= 2, "{}", phone(number));
        service.delete(made.header("Location").strip_prefix("/api/v1/crm").unwrap()).send().await.expect(204);
    }
    service.create("/customers", json!({ "name": "x", "contactEmail": email(1).to_uppercase() })).await;
    assert!(!search.find(&stored_bytes(&service.database).await, &[EMAIL]).is_empty());
    assert_eq!(without_durations("{\"duration_ms\":13.97,\"a\":1}{\"duration_ms\":1}"), "{,\"a\":1}{}");
}

#[test]
fn no_canary_is_in_debug_or_display_output() {
    fn printed<T: DeserializeOwned + std::fmt::Debug>(value: Value) -> String {
        let value: T = serde_json::from_value(value).unwrap();
        format!("{value:?} {value:#?}")
    }
    let search = Search::new();
    for number in 0..30 {
        let (phone, email, text) = (phone(number), email(number), TEXT);
        let of_customer = json!({ "name": text, "contactPhone": phone, "contactEmail": email });
        let of_contact = json!({ "name": text, "phone": phone, "email": email });
        let mut of_new_contact = of_contact.clone();
        of_new_contact["customerId"] = json!(UNKNOWN_ID);
        let phone: Phone = serde_json::from_value(json!(phone)).unwrap();
        let email: Email = serde_json::from_value(json!(email)).unwrap();
        let printed = [
            printed::<CustomerCreate>(of_customer.clone()),
            printed::<CustomerUpdate>(of_customer),
            printed::<ContactCreate>(of_new_contact),
            printed::<ContactUpdate>(of_contact),
            format!("{phone} {phone:?} {email} {email:?}"),
            json!([phone, email]).to_string(),
        ];
        for text in printed {
            assert_eq!(search.find(text.as_bytes(), &[EMAIL, TEXT]), Vec::<String>::new(), "{text}");
        }
    }
}
