//! Phone numbers and e-mail addresses at rest: sealed, bound to their place, and refused where they were tampered with.

use crm::{
    pii::{PhoneRule, PiiColumn, Sealed, vault::Row},
    telemetry::LogFormat,
};
use sea_orm::{DatabaseConnection, sea_query::ValueType};
use serde_json::{Value, json};

use crate::harness::{Log, Place, Service, cell, id};

/// Two customers of one tenant, one of another, and a contact, each with a phone number and an e-mail address.
struct World {
    service: Service,
    connection: DatabaseConnection,
    one: String,
    two: String,
    stranger: String,
    contact: String,
}

/// Two places whose values change places.
type Swap = fn(&World) -> (Place, Place);

/// All clear values of a [`World`].
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

impl World {
    async fn new() -> Self {
        let service = Service::start().await;
        let customer = |tenant: &'static str, phone: usize| {
            let body = json!({ "name": "Acme", "contactPhone": CLEAR[phone], "contactEmail": CLEAR[phone + 1] });
            let made = service.post("/customers", body).tenant(tenant).send();
            async move { id(&made.await.expect(201).body, "customerId") }
        };
        let (one, two, stranger) =
            (customer("default", 0).await, customer("default", 2).await, customer("other", 4).await);
        let body = json!({ "customerId": two, "name": "Li Lei", "phone": CLEAR[6], "email": CLEAR[7] });
        let contact = id(&service.create("/contacts", body).await, "contactId");
        let connection = service.database.connect().await;
        Self { service, connection, one, two, stranger, contact }
    }

    fn tenant(&self, place: &Place) -> &'static str {
        if place.id == self.stranger { "other" } else { "default" }
    }

    fn customer(&self, column: &'static str, id: &str) -> Place {
        Place::new("customers", column, id)
    }

    fn contact(&self, column: &'static str) -> Place {
        Place::new("contacts", column, &self.contact)
    }

    /// Every row, by one of its places.
    fn rows(&self) -> [Place; 4] {
        [
            self.customer("contact_phone", &self.one),
            self.customer("contact_phone", &self.two),
            self.customer("contact_phone", &self.stranger),
            self.contact("phone"),
        ]
    }

    async fn get(&self, place: &Place) -> crate::harness::Reply {
        self.service.get(&place.path()).tenant(self.tenant(place)).send().await
    }

    /// The values that this test stores elsewhere than the service did are refused, and only they.
    async fn check(&self, log: &Log, broken: &[Place]) {
        for row in self.rows() {
            log.clear();
            let reply = self.get(&row).await;
            let places: Vec<_> =
                broken.iter().filter(|place| (place.table, &place.id) == (row.table, &row.id)).collect();
            if places.is_empty() {
                reply.expect(200);
                continue;
            }
            let reply = reply.expect(500);
            assert_eq!(reply.body["details"], Value::Null);
            assert!(CLEAR.iter().all(|clear| !reply.text.contains(clear)), "{}", reply.text);
            let named = |line: &Value| {
                places.iter().any(|Place { table, column, id }| {
                    let place = format!("integrity: {table}.{column} of row {id} of tenant {} ", self.tenant(&row));
                    line["level"] == "ERROR" && line["cause"].as_str().unwrap().starts_with(&place)
                })
            };
            let failures = log.saying("failed");
            assert!(failures.len() == 1 && failures.iter().all(named), "{failures:?} do not name {places:?}");
            assert_eq!(failures[0]["request_id"], reply.header("X-Request-ID"));
        }
        for (list, tenant) in [("/customers", "default"), ("/customers", "other"), ("/contacts", "default")] {
            let of_list = |row: &Place| list[1..] == *row.table && self.tenant(row) == tenant;
            // Newest first, and made in this order.
            let rows: Vec<_> = self.rows().into_iter().filter(of_list).rev().collect();
            let is_broken = |row: &Place| broken.iter().any(|place| (place.table, &place.id) == (row.table, &row.id));
            let status = |is_broken: bool| if is_broken { 500 } else { 200 };
            let whole = self.service.get(list).tenant(tenant).send().await;
            whole.expect(status(rows.iter().any(is_broken)));
            for (page, row) in rows.iter().enumerate() {
                let page = format!("{list}?pageSize=1&page={}", page + 1);
                self.service.get(&page).tenant(tenant).send().await.expect(status(is_broken(row)));
            }
        }
    }
}

#[tokio::test]
async fn stored_values_name_their_key_and_hold_nothing_in_clear() {
    let world = World::new().await;
    let columns = ["contact_phone", "contact_email"];
    let mut places: Vec<_> = columns.map(|column| world.customer(column, &world.one)).into();
    places.extend(["phone", "email"].map(|column| world.contact(column)));
    for place in places {
        let stored = place.read(&world.connection).await.unwrap();
        assert!(stored.starts_with("*1:test:"), "{stored}");
        let index = place.index(&world.connection).await.unwrap();
        assert_eq!(index.len(), 22, "128 bits in base64: {index}");
        for clear in CLEAR {
            assert!(!stored.contains(clear) && !index.contains(clear));
        }
    }
}

#[tokio::test]
async fn equal_values_are_told_by_their_index_within_a_tenant_and_column_only() {
    let service = Service::start().await;
    let connection = service.database.connect().await;
    let customer = |tenant: &'static str| {
        let body = json!({ "name": "x", "contactPhone": "13800138000", "contactEmail": "a@example.com" });
        let made = service.post("/customers", body).tenant(tenant).send();
        async move { id(&made.await.expect(201).body, "customerId") }
    };
    let (one, two, stranger) = (customer("a").await, customer("a").await, customer("b").await);
    let body = json!({ "customerId": one, "name": "x", "phone": "+86 138-0013-8000", "email": "A@Example.com" });
    let contact = id(&service.post("/contacts", body).tenant("a").send().await.expect(201).body, "contactId");
    for (of_customer, of_contact) in [("contact_phone", "phone"), ("contact_email", "email")] {
        let places = [
            Place::new("customers", of_customer, &one),
            Place::new("customers", of_customer, &two),
            Place::new("customers", of_customer, &stranger),
            Place::new("contacts", of_contact, &contact),
        ];
        let (mut sealed, mut indexes) = (Vec::new(), Vec::new());
        for place in places {
            sealed.push(place.read(&connection).await.unwrap());
            indexes.push(place.index(&connection).await.unwrap());
        }
        assert_eq!(indexes[0], indexes[1]);
        assert!(indexes[0] != indexes[2] && indexes[0] != indexes[3] && indexes[2] != indexes[3], "{indexes:?}");
        sealed.sort();
        sealed.dedup();
        assert_eq!(sealed.len(), 4);
    }
}

#[tokio::test]
async fn a_value_moved_to_another_place_is_refused_there_and_can_be_cleared_and_deleted() {
    let swaps: [Swap; 7] = [
        |world| (world.customer("contact_phone", &world.one), world.customer("contact_phone", &world.two)),
        |world| (world.customer("contact_email", &world.one), world.customer("contact_email", &world.two)),
        |world| (world.customer("contact_phone", &world.one), world.customer("contact_email", &world.one)),
        |world| (world.contact("phone"), world.contact("email")),
        |world| (world.contact("phone"), world.customer("contact_phone", &world.one)),
        |world| (world.contact("email"), world.customer("contact_email", &world.two)),
        |world| (world.customer("contact_phone", &world.one), world.customer("contact_phone", &world.stranger)),
    ];
    for swap in swaps {
        let world = World::new().await;
        let (log, _guard) = Log::of_this_thread("info", LogFormat::Json);
        let (here, there) = swap(&world);
        let places = [here, there];
        world.check(&log, &[]).await;
        let before = world.get(&places[0]).await.expect(200).body;
        let (own, others) = (places[0].read(&world.connection).await, places[1].read(&world.connection).await);
        let (own, others) = (own.unwrap(), others.unwrap());
        places[0].write(&world.connection, &others).await;
        places[1].write(&world.connection, &own).await;
        world.check(&log, &places).await;

        // Nothing of a change that cannot be shown is left.
        let rename = || {
            let call = world.service.patch(&places[0].path(), json!({ "name": "New" })).request_id("rename");
            call.tenant(world.tenant(&places[0]))
        };
        let entries = cell(&world.connection, "SELECT CAST(COUNT(*) AS TEXT) FROM audit_logs").await;
        let failed = rename().send().await.expect(500);
        assert!(CLEAR.iter().all(|clear| !failed.text.contains(clear)), "{}", failed.text);
        let another = json!({ places[0].field(): if places[0].field().ends_with("mail") { "n@b.cc" } else { "110" } });
        world.service.patch(&places[0].path(), another).tenant(world.tenant(&places[0])).send().await.expect(500);
        assert_eq!(cell(&world.connection, "SELECT CAST(COUNT(*) AS TEXT) FROM audit_logs").await, entries);
        places[0].write(&world.connection, &own).await;
        places[1].write(&world.connection, &others).await;
        world.check(&log, &[]).await;
        assert_eq!(world.get(&places[0]).await.expect(200).body, before);
        assert_eq!(rename().send().await.expect(200).body["name"], "New");

        // What cannot be opened can be given up.
        places[0].write(&world.connection, &others).await;
        let clear = json!({ places[0].field(): null });
        let call = world.service.patch(&places[0].path(), clear).tenant(world.tenant(&places[0]));
        assert_eq!(call.send().await.expect(200).body[places[0].field()], Value::Null);
        world.check(&log, &[]).await;
        assert_eq!(places[0].index(&world.connection).await, None);
        places[1].write(&world.connection, &own).await;
        world.service.delete(&places[1].path()).tenant(world.tenant(&places[1])).send().await.expect(204);
        world.get(&places[1]).await.expect(404);
    }
}

#[tokio::test]
async fn a_stored_value_of_which_any_bit_is_changed_is_refused() {
    let world = World::new().await;
    let place = world.customer("contact_phone", &world.one);
    let stored = place.read(&world.connection).await.unwrap();
    let flipped = |at: usize, bit: usize| {
        let mut bytes = stored.clone().into_bytes();
        bytes[at] ^= 1 << bit;
        String::from_utf8(bytes).unwrap()
    };
    let column = PiiColumn::<PhoneRule>::new("customers", "contact_phone", "contact_phone_index");
    let row = Row { tenant: "default", id: world.one.parse().unwrap() };
    let open =
        |text: String| column.open(&world.service.app, row, &<Sealed as ValueType>::try_from(text.into()).unwrap());
    assert_eq!(open(stored.clone()).unwrap().reveal(), CLEAR[0]);
    for at in 0..stored.len() {
        for bit in 0..7 {
            assert!(open(flipped(at, bit)).is_err(), "bit {bit} of byte {at} of {stored}");
        }
        // PostgreSQL has no NUL in a text; there is none a bit away from what is stored.
        place.write(&world.connection, &flipped(at, at % 7)).await;
        let reply = world.service.get(&place.path()).send_one_of_many().await;
        assert_eq!(reply.status, 500, "byte {at} of {stored}: {}", reply.text);
    }
    place.write(&world.connection, &stored).await;
    world.get(&place).await.expect(200);
}

#[tokio::test]
async fn a_stored_value_that_was_cut_lengthened_or_made_up_is_refused() {
    let world = World::new().await;
    let (log, _guard) = Log::of_this_thread("info", LogFormat::Json);
    let place = world.customer("contact_phone", &world.one);
    let stored = place.read(&world.connection).await.unwrap();
    let made_up = ["", "*", "*1", "*1:", "*1:test", "*1:test:", "*1::", "*1:test:AAAA", "*2:test:", "*1:other:AAAA"];
    let mut texts: Vec<String> = made_up.map(str::to_owned).into();
    texts.extend([format!("{stored}A"), format!("{stored}="), format!(" {stored}"), stored.to_lowercase()]);
    texts.extend([stored[..stored.len() - 1].to_owned(), stored.replacen("test", "TEST", 1)]);
    // A number in clear, where everything is sealed, was put there by somebody else.
    texts.extend(["13900001111", "a@example.com"].map(str::to_owned));
    for text in texts {
        place.write(&world.connection, &text).await;
        world.check(&log, std::slice::from_ref(&place)).await;
    }
}

#[tokio::test]
async fn a_value_sent_again_changes_nothing() {
    let world = World::new().await;
    for (place, own) in [
        (world.customer("contact_phone", &world.one), CLEAR[0]),
        (world.customer("contact_email", &world.one), CLEAR[1]),
        (world.contact("phone"), CLEAR[6]),
        (world.contact("email"), CLEAR[7]),
    ] {
        let before = world.get(&place).await.expect(200).body;
        let stored = (place.read(&world.connection).await, place.index(&world.connection).await);
        world.service.pass(1000);
        let same = world.service.patch(&place.path(), json!({ place.field(): own })).send().await.expect(200).body;
        assert_eq!(same, before);
        assert_eq!((place.read(&world.connection).await, place.index(&world.connection).await), stored);

        // Another way of writing it is another value.
        let other = if own.contains('@') { own.to_uppercase() } else { format!("+86 {own}") };
        let body = json!({ place.field(): other });
        let changed = world.service.patch(&place.path(), body).send().await.expect(200).body;
        assert_eq!(changed[place.field()], json!(other));
        assert_ne!(changed["updatedAt"], before["updatedAt"]);
        assert_ne!(place.read(&world.connection).await, stored.0);
        assert_eq!(place.index(&world.connection).await, stored.1);
    }
}
