//! Phone numbers and e-mail addresses at rest: encrypted, bound to their row and column, and rejected if tampered with.

use crm::{
    pii::{PhoneRule, PiiColumn, PiiLocation, Sealed},
    telemetry::LogFormat,
};
use sea_orm::{DatabaseConnection, sea_query::ValueType};
use serde_json::{Value, json};

use crate::harness::{Log, Reply, Service, StoredPii, id, sql::scalar};

/// Two customers of one tenant, one of another, and a contact, each with a phone number and an e-mail address.
struct Fixture {
    service: Service,
    connection: DatabaseConnection,
    one: String,
    two: String,
    foreign: String,
    contact: String,
}

/// Two values to be swapped.
type Swap = fn(&Fixture) -> (StoredPii, StoredPii);

/// All phone numbers and e-mail addresses of a [`Fixture`].
const CLEAR: [&str; 8] = [
    "13811110001",
    "one@example.com",
    "13811110002",
    "two@example.com",
    "13811110003",
    "stranger@example.com",
    "13811110004",
    "contact@example.com",
];

impl Fixture {
    async fn new() -> Self {
        let service = Service::start().await;
        let customer = |tenant: &'static str, phone: usize| {
            let body = json!({ "name": "Acme", "contactPhone": CLEAR[phone], "contactEmail": CLEAR[phone + 1] });
            let made = service.post("/customers", body).tenant(tenant).send();
            async move { id(&made.await.expect(201).body, "customerId") }
        };
        let (one, two, foreign) =
            (customer("default", 0).await, customer("default", 2).await, customer("other", 4).await);
        let body = json!({ "customerId": two, "name": "Li Lei", "phone": CLEAR[6], "email": CLEAR[7] });
        let contact = id(&service.create("/contacts", body).await, "contactId");
        let connection = service.database.connect().await;
        Self { service, connection, one, two, foreign, contact }
    }

    fn tenant(&self, value: &StoredPii) -> &'static str {
        if value.id == self.foreign { "other" } else { "default" }
    }

    fn customer(&self, column: &'static str, id: &str) -> StoredPii {
        StoredPii::new("customers", column, id)
    }

    fn contact(&self, column: &'static str) -> StoredPii {
        StoredPii::new("contacts", column, &self.contact)
    }

    /// Every row, by one of its values.
    fn rows(&self) -> [StoredPii; 4] {
        [
            self.customer("contact_phone", &self.one),
            self.customer("contact_phone", &self.two),
            self.customer("contact_phone", &self.foreign),
            self.contact("phone"),
        ]
    }

    async fn get(&self, value: &StoredPii) -> Reply {
        self.service.get(&value.path()).tenant(self.tenant(value)).send().await
    }

    /// Fails unless requests for the damaged values are 500, logged as integrity errors, and all others succeed.
    async fn assert_only_damaged_fail(&self, log: &Log, damaged: &[StoredPii]) {
        for row in self.rows() {
            log.clear();
            let reply = self.get(&row).await;
            let values: Vec<_> =
                damaged.iter().filter(|value| (value.table, &value.id) == (row.table, &row.id)).collect();
            if values.is_empty() {
                reply.expect(200);
                continue;
            }
            let reply = reply.expect(500);
            assert_eq!(reply.body["details"], Value::Null);
            assert!(CLEAR.iter().all(|clear| !reply.text.contains(clear)), "{}", reply.text);
            let named = |line: &Value| {
                values.iter().any(|StoredPii { table, column, id }| {
                    let cause = format!("integrity: {table}.{column} of row {id} of tenant {} ", self.tenant(&row));
                    line["level"] == "ERROR" && line["cause"].as_str().unwrap().starts_with(&cause)
                })
            };
            let failures = log.saying("failed");
            assert!(failures.len() == 1 && failures.iter().all(named), "{failures:?} do not name {values:?}");
            assert_eq!(failures[0]["request_id"], reply.header("X-Request-ID"));
        }
        for (list, tenant) in [("/customers", "default"), ("/customers", "other"), ("/contacts", "default")] {
            let of_list = |row: &StoredPii| list[1..] == *row.table && self.tenant(row) == tenant;
            // Lists are newest first.
            let rows: Vec<_> = self.rows().into_iter().filter(of_list).rev().collect();
            let is_damaged =
                |row: &StoredPii| damaged.iter().any(|value| (value.table, &value.id) == (row.table, &row.id));
            let status = |is_damaged: bool| if is_damaged { 500 } else { 200 };
            let all = self.service.get(list).tenant(tenant).send().await;
            all.expect(status(rows.iter().any(is_damaged)));
            for (page, row) in rows.iter().enumerate() {
                let page = format!("{list}?pageSize=1&page={}", page + 1);
                self.service.get(&page).tenant(tenant).send().await.expect(status(is_damaged(row)));
            }
        }
    }
}

#[tokio::test]
async fn stored_values_name_their_key_and_hold_no_clear_text() {
    let fixture = Fixture::new().await;
    let columns = ["contact_phone", "contact_email"];
    let mut values: Vec<_> = columns.map(|column| fixture.customer(column, &fixture.one)).into();
    values.extend(["phone", "email"].map(|column| fixture.contact(column)));
    for value in values {
        let stored = value.read(&fixture.connection).await.unwrap();
        assert!(stored.starts_with("*1:test:"), "{stored}");
        let index = value.blind_index(&fixture.connection).await.unwrap();
        assert_eq!(index.len(), 22, "128 bits in base64: {index}");
        for clear in CLEAR {
            assert!(!stored.contains(clear) && !index.contains(clear));
        }
    }
}

#[tokio::test]
async fn equal_values_share_an_index_within_tenant_and_column_only() {
    let service = Service::start().await;
    let connection = service.database.connect().await;
    let customer = |tenant: &'static str| {
        let body = json!({ "name": "x", "contactPhone": "13800138000", "contactEmail": "a@example.com" });
        let made = service.post("/customers", body).tenant(tenant).send();
        async move { id(&made.await.expect(201).body, "customerId") }
    };
    let (one, two, foreign) = (customer("a").await, customer("a").await, customer("b").await);
    let body = json!({ "customerId": one, "name": "x", "phone": "+86 138-0013-8000", "email": "A@Example.com" });
    let contact = id(&service.post("/contacts", body).tenant("a").send().await.expect(201).body, "contactId");
    for (of_customer, of_contact) in [("contact_phone", "phone"), ("contact_email", "email")] {
        let values = [
            StoredPii::new("customers", of_customer, &one),
            StoredPii::new("customers", of_customer, &two),
            StoredPii::new("customers", of_customer, &foreign),
            StoredPii::new("contacts", of_contact, &contact),
        ];
        let (mut sealed, mut indexes) = (Vec::new(), Vec::new());
        for value in values {
            sealed.push(value.read(&connection).await.unwrap());
            indexes.push(value.blind_index(&connection).await.unwrap());
        }
        assert_eq!(indexes[0], indexes[1]);
        assert!(indexes[0] != indexes[2] && indexes[0] != indexes[3] && indexes[2] != indexes[3], "{indexes:?}");
        sealed.sort();
        sealed.dedup();
        assert_eq!(sealed.len(), 4);
    }
}

#[tokio::test]
async fn a_value_moved_to_another_field_is_500_until_cleared_or_deleted() {
    let swaps: [Swap; 7] = [
        |fixture| (fixture.customer("contact_phone", &fixture.one), fixture.customer("contact_phone", &fixture.two)),
        |fixture| (fixture.customer("contact_email", &fixture.one), fixture.customer("contact_email", &fixture.two)),
        |fixture| (fixture.customer("contact_phone", &fixture.one), fixture.customer("contact_email", &fixture.one)),
        |fixture| (fixture.contact("phone"), fixture.contact("email")),
        |fixture| (fixture.contact("phone"), fixture.customer("contact_phone", &fixture.one)),
        |fixture| (fixture.contact("email"), fixture.customer("contact_email", &fixture.two)),
        |fixture| {
            (fixture.customer("contact_phone", &fixture.one), fixture.customer("contact_phone", &fixture.foreign))
        },
    ];
    for swap in swaps {
        let fixture = Fixture::new().await;
        let (log, _guard) = Log::of_this_thread("info", LogFormat::Json);
        let (here, there) = swap(&fixture);
        let values = [here, there];
        fixture.assert_only_damaged_fail(&log, &[]).await;
        let before = fixture.get(&values[0]).await.expect(200).body;
        let (own, others) = (values[0].read(&fixture.connection).await, values[1].read(&fixture.connection).await);
        let (own, others) = (own.unwrap(), others.unwrap());
        values[0].write(&fixture.connection, &others).await;
        values[1].write(&fixture.connection, &own).await;
        fixture.assert_only_damaged_fail(&log, &values).await;

        // A change whose reply fails is rolled back.
        let rename = || {
            let call = fixture.service.patch(&values[0].path(), json!({ "name": "New" })).request_id("rename");
            call.tenant(fixture.tenant(&values[0]))
        };
        let count_entries = "SELECT COUNT(*) FROM audit_logs";
        let entries: i64 = scalar(&fixture.connection, count_entries).await;
        let failed = rename().send().await.expect(500);
        assert!(CLEAR.iter().all(|clear| !failed.text.contains(clear)), "{}", failed.text);
        let another = json!({ values[0].field(): if values[0].field().ends_with("mail") { "n@b.cc" } else { "110" } });
        fixture.service.patch(&values[0].path(), another).tenant(fixture.tenant(&values[0])).send().await.expect(500);
        assert_eq!(scalar::<i64>(&fixture.connection, count_entries).await, entries);
        values[0].write(&fixture.connection, &own).await;
        values[1].write(&fixture.connection, &others).await;
        fixture.assert_only_damaged_fail(&log, &[]).await;
        assert_eq!(fixture.get(&values[0]).await.expect(200).body, before);
        assert_eq!(rename().send().await.expect(200).body["name"], "New");

        // A value that cannot be decrypted can be cleared, and its resource deleted.
        values[0].write(&fixture.connection, &others).await;
        let clear = json!({ values[0].field(): null });
        let call = fixture.service.patch(&values[0].path(), clear).tenant(fixture.tenant(&values[0]));
        assert_eq!(call.send().await.expect(200).body[values[0].field()], Value::Null);
        fixture.assert_only_damaged_fail(&log, &[]).await;
        assert_eq!(values[0].blind_index(&fixture.connection).await, None);
        values[1].write(&fixture.connection, &own).await;
        fixture.service.delete(&values[1].path()).tenant(fixture.tenant(&values[1])).send().await.expect(204);
        fixture.get(&values[1]).await.expect(404);
    }
}

#[tokio::test]
async fn a_stored_value_with_any_flipped_bit_is_rejected() {
    let fixture = Fixture::new().await;
    let value = fixture.customer("contact_phone", &fixture.one);
    let stored = value.read(&fixture.connection).await.unwrap();
    let flipped = |at: usize, bit: usize| {
        let mut bytes = stored.clone().into_bytes();
        bytes[at] ^= 1 << bit;
        String::from_utf8(bytes).unwrap()
    };
    let (row, indexes) = (("customers", "customer_id"), ("contact_phone_index", "contact_phone_indexed"));
    let column = PiiColumn::<PhoneRule>::new(row, "contact_phone", indexes);
    let location = PiiLocation { tenant: "default", id: fixture.one.parse().unwrap() };
    let open = |text: String| {
        column.open(fixture.service.app.cipher(), location, &<Sealed as ValueType>::try_from(text.into()).unwrap())
    };
    assert_eq!(open(stored.clone()).unwrap().reveal(), CLEAR[0]);
    for at in 0..stored.len() {
        for bit in 0..7 {
            assert!(open(flipped(at, bit)).is_err(), "bit {bit} of byte {at} of {stored}");
        }
        // PostgreSQL's text cannot hold NUL, but no stored byte is one bit away from it.
        value.write(&fixture.connection, &flipped(at, at % 7)).await;
        let reply = fixture.service.get(&value.path()).send_unchecked().await;
        assert_eq!(reply.status, 500, "byte {at} of {stored}: {}", reply.text);
    }
    value.write(&fixture.connection, &stored).await;
    fixture.get(&value).await.expect(200);
}

#[tokio::test]
async fn a_truncated_extended_or_invented_value_is_rejected() {
    let fixture = Fixture::new().await;
    let (log, _guard) = Log::of_this_thread("info", LogFormat::Json);
    let value = fixture.customer("contact_phone", &fixture.one);
    let stored = value.read(&fixture.connection).await.unwrap();
    let invented = ["", "*", "*1", "*1:", "*1:test", "*1:test:", "*1::", "*1:test:AAAA", "*2:test:", "*1:other:AAAA"];
    let mut texts: Vec<String> = invented.map(str::to_owned).into();
    texts.extend([format!("{stored}A"), format!("{stored}="), format!(" {stored}"), stored.to_lowercase()]);
    texts.extend([stored[..stored.len() - 1].to_owned(), stored.replacen("test", "TEST", 1)]);
    // With encryption on, the service stores nothing in clear.
    texts.extend(["13900001111", "a@example.com"].map(str::to_owned));
    for text in texts {
        value.write(&fixture.connection, &text).await;
        fixture.assert_only_damaged_fail(&log, std::slice::from_ref(&value)).await;
    }
}

#[tokio::test]
async fn resending_a_value_changes_nothing_and_another_spelling_does() {
    let fixture = Fixture::new().await;
    for (value, own) in [
        (fixture.customer("contact_phone", &fixture.one), CLEAR[0]),
        (fixture.customer("contact_email", &fixture.one), CLEAR[1]),
        (fixture.contact("phone"), CLEAR[6]),
        (fixture.contact("email"), CLEAR[7]),
    ] {
        let before = fixture.get(&value).await.expect(200).body;
        let stored = (value.read(&fixture.connection).await, value.blind_index(&fixture.connection).await);
        fixture.service.advance(1000);
        let same = fixture.service.patch(&value.path(), json!({ value.field(): own })).send().await.expect(200).body;
        assert_eq!(same, before);
        assert_eq!((value.read(&fixture.connection).await, value.blind_index(&fixture.connection).await), stored);

        // Another spelling is another value, with the same index.
        let other = if own.contains('@') { own.to_uppercase() } else { format!("+86 {own}") };
        let body = json!({ value.field(): other });
        let changed = fixture.service.patch(&value.path(), body).send().await.expect(200).body;
        assert_eq!(changed[value.field()], json!(other));
        assert_ne!(changed["updatedAt"], before["updatedAt"]);
        assert_ne!(value.read(&fixture.connection).await, stored.0);
        assert_eq!(value.blind_index(&fixture.connection).await, stored.1);
    }
}
