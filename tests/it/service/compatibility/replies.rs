//! What clients are answered.

use crm::service::compatibility::{
    Verdict::{self, Breaking, Compatible},
    compare,
};
use serde_json::{Value, json};

use super::{
    Mutation, api, assert_word, assert_words, at, drop_key, parameter, prepared, pull, push, put, rename,
    retain_parameters, schema,
};

#[test]
fn what_answers_less_or_other_things_is_breaking() {
    let rows: &[(&str, Mutation)] = &[
        ("field removed", |d| drop(drop_key(d, &schema("Contact/properties/isPrimary")))),
        ("field renamed", |d| rename(d, &schema("Contact/properties/name"), &schema("Contact/properties/fullName"))),
        ("field made nullable", |d| put(d, &schema("Contact/properties/name/nullable"), json!(true))),
        ("field no longer always there", |d| pull(d, &schema("Contact/required"), &json!("name"))),
        ("type changed", |d| put(d, &schema("ContactList/properties/total/type"), json!("string"))),
        ("format changed", |d| put(d, &schema("ContactList/properties/total/format"), json!("int32"))),
        ("format dropped", |d| drop(drop_key(d, &schema("Contact/properties/createdAt/format")))),
        ("type of array items changed", |d| {
            put(d, &schema("EventData/properties/changedFields/items/type"), json!("integer"));
        }),
        ("other schema for array items", |d| {
            put(d, &schema("ContactList/properties/data/items/$ref"), json!("#/components/schemas/Customer"));
        }),
        ("named schema written inline", |d| {
            let contact = at(d, &schema("Contact")).clone();
            put(d, &schema("ContactList/properties/data/items"), contact);
        }),
        ("schema renamed", |d| {
            let text = d.to_string().replace("schemas/Contact\"", "schemas/Person\"");
            *d = serde_json::from_str(&text).unwrap();
            rename(d, &schema("Contact"), &schema("Person"));
        }),
        ("name of an enum's value changed", |d| put(d, &schema("CustomerStatus/x-enum-varnames"), json!(["A", "B"]))),
        ("names of an enum's values dropped", |d| drop(drop_key(d, &schema("CustomerStatus/x-enum-varnames")))),
        ("fields that are not listed are gone", |d| {
            put(d, &schema("EventResource/additionalProperties"), json!(false))
        }),
        ("media type changed", |d| {
            let content = "/paths/~1contacts/get/responses/200/content";
            rename(d, &format!("{content}/application~1json"), &format!("{content}/text~1csv"));
        }),
        ("success status changed", |d| {
            rename(d, "/paths/~1contacts/post/responses/201", "/paths/~1contacts/post/responses/200");
        }),
        ("second success status", |d| {
            put(d, "/paths/~1contacts/post/responses/202", json!({ "description": "Accepted." }));
        }),
        ("redirect", |d| put(d, "/paths/~1contacts/get/responses/307", json!({ "description": "Elsewhere." }))),
        ("header removed", |d| drop(drop_key(d, "/paths/~1contacts/post/responses/201/headers/Location"))),
        ("type of a header changed that is spelled in another way", |d| {
            let headers = "/paths/~1contacts/post/responses/201/headers";
            drop_key(d, &format!("{headers}/Location"));
            put(d, &format!("{headers}/location"), json!({ "schema": { "type": "integer" } }));
        }),
        ("header no longer always there", |d| put(d, "/components/headers/RequestId/required", json!(false))),
        ("type of a shared header changed", |d| put(d, "/components/headers/RetryAfter/schema/type", json!("string"))),
        ("header of a shared reply removed", |d| {
            drop_key(d, "/components/responses/TooManyRequests/headers/Retry-After");
        }),
        ("body of a shared reply changed", |d| {
            let schema = "/components/responses/Unauthorized/content/application~1json/schema";
            put(d, schema, json!({ "$ref": "#/components/schemas/Health" }));
        }),
        ("field of the error body removed", |d| drop(drop_key(d, &schema("ErrorBody/properties/code")))),
        // Only the library notices that this is no OpenAPI any more.
        ("reply without the description that OpenAPI wants", |d| {
            drop_key(d, "/paths/~1contacts/get/responses/200/description");
        }),
        ("error body is gone", |d| drop(drop_key(d, "/components/responses/Unauthorized/content"))),
        ("reference that leads nowhere", |d| drop(drop_key(d, &schema("Contact")))),
    ];
    assert_words(&api(), Breaking, rows);
}

#[test]
fn a_closed_enum_of_replies_gets_no_value_and_is_not_opened() {
    let closed = prepared(|d| drop(drop_key(d, &schema("ErrorCode/x-extensible-enum"))));
    assert_word("value added", &closed, |d| push(d, &schema("ErrorCode/enum"), json!("GONE")), Breaking);
    // Else it could be opened in one release and widened in the next.
    assert_word(
        "opened",
        &closed,
        |d| {
            let values = at(d, &schema("ErrorCode/enum")).clone();
            put(d, &schema("ErrorCode/x-extensible-enum"), values);
        },
        Breaking,
    );
}

#[test]
fn changes_within_all_of_are_seen() {
    let document = prepared(|d| {
        let own = at(d, &schema("Contact")).clone();
        let more = json!({ "type": "object", "properties": { "kind": { "type": "string" } }, "required": ["kind"] });
        put(d, &schema("Contact"), json!({ "allOf": [own, more], "description": "A person." }));
        let status = drop_key(d, &schema("Customer/properties/status"));
        put(d, &schema("Customer/properties/status"), json!({ "allOf": [status], "description": "It." }));
    });
    let rows: [(&str, Mutation, Verdict); 7] = [
        ("field removed", |d| drop(drop_key(d, &schema("Contact/allOf/1/properties/kind"))), Breaking),
        ("type changed", |d| put(d, &schema("Contact/allOf/1/properties/kind/type"), json!("integer")), Breaking),
        ("field added", |d| put(d, &schema("Contact/allOf/1/properties/x"), json!({ "type": "string" })), Compatible),
        ("part added", |d| push(d, &schema("Contact/allOf"), json!({ "type": "object" })), Breaking),
        ("description", |d| put(d, &schema("Contact/allOf/1/description"), json!("More.")), Compatible),
        ("null beside a reference", |d| put(d, &schema("Customer/properties/status/nullable"), json!(true)), Breaking),
        (
            "description beside a reference",
            |d| {
                put(d, &schema("Customer/properties/status/description"), json!("Other."));
            },
            Compatible,
        ),
    ];
    for (name, mutation, word) in rows {
        assert_word(name, &document, mutation, word);
    }
}

#[test]
fn a_schema_that_contains_itself_is_compared_once() {
    let document = prepared(|d| {
        put(d, &schema("Contact/properties/manager"), json!({ "$ref": "#/components/schemas/Contact" }));
    });
    assert_word("removed", &document, |d| drop(drop_key(d, &schema("Contact/properties/name"))), Breaking);
    assert_word("added", &document, |d| put(d, &schema("Contact/properties/x"), json!({})), Compatible);
}

/// Lists whose total is a number for all, as those of an older contract.
fn with_totals() -> Value {
    prepared(|d| {
        for key in ["nullable", "x-null-by"] {
            let total = at(d, &schema("ContactList/properties/total")).as_object_mut().unwrap();
            total.shift_remove(key);
        }
        retain_parameters(d, |parameter| parameter["name"] != "total");
    })
}

fn without_total_on_request(d: &mut Value) {
    put(d, &schema("ContactList/properties/total/nullable"), json!(true));
    put(d, &schema("ContactList/properties/total/x-null-by"), json!("total"));
    let total = json!({ "name": "total", "in": "query", "schema": { "type": "boolean", "default": true } });
    push(d, "/paths/~1contacts/get/parameters", total);
}

#[test]
fn null_may_come_where_a_new_parameter_asks_for_it() {
    let rows: [(&str, Mutation, Verdict); 6] = [
        ("asked for", without_total_on_request, Compatible),
        (
            "asked for by nothing",
            |d| {
                without_total_on_request(d);
                drop_key(d, &schema("ContactList/properties/total/x-null-by"));
            },
            Breaking,
        ),
        (
            "asked for by a parameter that there is not",
            |d| {
                without_total_on_request(d);
                retain_parameters(d, |parameter| parameter["name"] != "total");
            },
            Breaking,
        ),
        (
            "asked for by a parameter that there was",
            |d| {
                without_total_on_request(d);
                put(d, &schema("ContactList/properties/total/x-null-by"), json!("page"));
            },
            Breaking,
        ),
        (
            "asked for by a header",
            |d| {
                without_total_on_request(d);
                parameter(d, "total")["in"] = json!("header");
            },
            Breaking,
        ),
        (
            "asked for by a parameter that is required",
            |d| {
                without_total_on_request(d);
                parameter(d, "total")["required"] = json!(true);
            },
            Breaking,
        ),
    ];
    let document = with_totals();
    for (name, mutation, word) in rows {
        assert_word(name, &document, mutation, word);
    }
    let mut asked = document.clone();
    without_total_on_request(&mut asked);
    let outcome = compare(&document, &asked);
    let told = outcome.differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(told.contains("total: it may be null now, where the new parameter `total` asks for that"), "{told}");
    // Who never asked may not get it in a later contract either.
    let drop = |d: &mut Value| drop(drop_key(d, &schema("ContactList/properties/total/x-null-by")));
    assert_word("no longer only asked for", &asked, drop, Breaking);
}
