//! Which contract may take the place of which: changes of the real document, each with its word.

use crm::service::{
    asyncapi,
    compatibility::{Outcome, Verdict, compare},
    contract::contract,
};
use serde_json::{Map, Value, json};

use Verdict::{Breaking, Compatible, Identical};

/// A change of a document.
type Mutation = fn(&mut Value);

/// The part of a document behind a JSON pointer, which must be there.
fn at<'d>(document: &'d mut Value, pointer: &str) -> &'d mut Value {
    document.pointer_mut(pointer).unwrap_or_else(|| panic!("there is no {pointer}"))
}

fn put(document: &mut Value, pointer: &str, value: Value) {
    let (above, key) = pointer.rsplit_once('/').unwrap();
    let key = key.replace("~1", "/");
    at(document, above).as_object_mut().unwrap_or_else(|| panic!("no object at {above}")).insert(key, value);
}

fn drop_key(document: &mut Value, pointer: &str) -> Value {
    let (above, key) = pointer.rsplit_once('/').unwrap();
    let key = key.replace("~1", "/").replace("~0", "~");
    let removed = at(document, above).as_object_mut().unwrap().shift_remove(&key);
    removed.unwrap_or_else(|| panic!("there is no {pointer}"))
}

fn rename(document: &mut Value, from: &str, to: &str) {
    let value = drop_key(document, from);
    put(document, to, value);
}

fn push(document: &mut Value, pointer: &str, value: Value) {
    at(document, pointer).as_array_mut().unwrap_or_else(|| panic!("no array at {pointer}")).push(value);
}

/// Takes an element out of an array.
fn pull(document: &mut Value, pointer: &str, value: &Value) {
    let array = at(document, pointer).as_array_mut().unwrap();
    let position = array.iter().position(|known| known == value).unwrap_or_else(|| panic!("{pointer} has no {value}"));
    array.remove(position);
}

/// The query parameter of the list of contacts.
fn parameter<'d>(document: &'d mut Value, name: &str) -> &'d mut Value {
    let all = at(document, "/paths/~1contacts/get/parameters").as_array_mut().unwrap();
    all.iter_mut().find(|one| one["name"] == name).unwrap()
}

fn retain_parameters(document: &mut Value, keep: impl Fn(&Value) -> bool) {
    at(document, "/paths/~1contacts/get/parameters").as_array_mut().unwrap().retain(keep);
}

fn add_parameter(document: &mut Value, location: &str, is_required: bool) {
    let parameter =
        json!({ "name": "X-Extra", "in": location, "required": is_required, "schema": { "type": "string" } });
    push(document, "/paths/~1contacts/get/parameters", parameter);
}

const SCHEMAS: &str = "/components/schemas";
const FLOW: &str = "/components/securitySchemes/oauth2/flows/clientCredentials";

fn schema(rest: &str) -> String {
    format!("{SCHEMAS}/{rest}")
}

/// Applies a mutation and judges the outcome; the message names the row.
#[track_caller]
fn assert_word(name: &str, original: &Value, mutation: Mutation, word: Verdict) {
    let mut changed = original.clone();
    mutation(&mut changed);
    assert_ne!((&changed, word), (original, Compatible), "{name}: nothing was changed");
    let outcome = compare(original, &changed);
    assert_eq!(outcome.verdict, word, "{name}: {:#?}", outcome.differences);
    assert_eq!(outcome.differences.is_empty(), word == Identical, "{name}");
}

#[track_caller]
fn assert_words(original: &Value, word: Verdict, rows: &[(&str, Mutation)]) {
    for (name, mutation) in rows {
        assert_word(name, original, *mutation, word);
    }
}

fn api() -> Value {
    contract().document().clone()
}

#[test]
fn notation_and_order_of_keys_make_no_difference() {
    fn turned(value: &Value) -> Value {
        match value {
            Value::Object(object) => {
                object.iter().rev().map(|(key, value)| (key.clone(), turned(value))).collect::<Map<_, _>>().into()
            }
            Value::Array(items) => items.iter().map(turned).collect(),
            other => other.clone(),
        }
    }
    let contract = contract();
    let document = contract.document();
    for (name, text) in [
        ("YAML", contract.yaml()),
        ("CRLF", contract.yaml().replace('\n', "\r\n")),
        ("JSON", contract.json()),
        ("JSON in one line", document.to_string()),
        ("a byte order mark", format!("\u{feff}{}", contract.yaml())),
        ("another order of keys", turned(document).to_string()),
    ] {
        let baseline = crm::service::compatibility::baseline::Baseline::parse("contract", &text).unwrap();
        assert_eq!(compare(&baseline.document, document).verdict, Identical, "{name}");
    }
}

#[test]
fn what_only_adds_or_describes_is_compatible() {
    let rows: &[(&str, Mutation)] = &[
        ("new path", |d| {
            let health = at(d, "/paths/~1livez").clone();
            put(d, "/paths/~1alive", health);
            put(d, "/paths/~1alive/get/operationId", json!("alive"));
        }),
        ("new operation", |d| {
            let get = at(d, "/paths/~1contacts/get").clone();
            put(d, "/paths/~1contacts/put", get);
            put(d, "/paths/~1contacts/put/operationId", json!("putContacts"));
        }),
        ("new optional query parameter", |d| add_parameter(d, "query", false)),
        ("new optional header", |d| add_parameter(d, "header", false)),
        ("new optional request field", |d| put(d, &schema("ContactCreate/properties/x"), json!({ "type": "string" }))),
        ("new reply field", |d| put(d, &schema("Contact/properties/x"), json!({ "type": "string" }))),
        ("new reply field, always answered", |d| {
            put(d, &schema("Contact/properties/x"), json!({ "type": "string" }));
            push(d, &schema("Contact/required"), json!("x"));
        }),
        ("wider maxLength of a request", |d| put(d, &schema("ContactCreate/properties/name/maxLength"), json!(300))),
        ("wider maxLength of request and reply", |d| {
            put(d, &schema("ContactCreate/properties/name/maxLength"), json!(300));
            put(d, &schema("Contact/properties/name/maxLength"), json!(300));
        }),
        ("bound of a request dropped", |d| drop(drop_key(d, &schema("ContactCreate/properties/name/maxLength")))),
        ("pattern of a request dropped", |d| drop(drop_key(d, &schema("ContactCreate/properties/name/pattern")))),
        ("pattern of a reply differs", |d| put(d, &schema("Contact/properties/name/pattern"), json!("^.+$"))),
        ("null accepted in a request", |d| put(d, &schema("ContactCreate/properties/name/nullable"), json!(true))),
        ("required field of a request made optional", |d| {
            pull(d, &schema("ContactCreate/required"), &json!("name"));
        }),
        ("null no longer answered", |d| drop(drop_key(d, &schema("Contact/properties/phone/nullable")))),
        ("open enum of request and reply gets a value", |d| {
            push(d, &schema("Currency/enum"), json!("XYZ"));
            push(d, &schema("Currency/x-extensible-enum"), json!("XYZ"));
            push(d, &schema("Currency/x-enum-varnames"), json!("CURRENCY_XYZ"));
        }),
        ("open enum of replies gets a value", |d| push(d, &schema("ErrorCode/enum"), json!("GONE"))),
        ("open enum of replies loses a value", |d| pull(d, &schema("ErrorCode/enum"), &json!("NOT_FOUND"))),
        ("required fields in another order", |d| at(d, &schema("Contact/required")).as_array_mut().unwrap().reverse()),
        ("parameters in another order", |d| {
            at(d, "/paths/~1contacts/get/parameters").as_array_mut().unwrap().reverse();
        }),
        ("open integer enum gets a value", |d| {
            push(d, &schema("OpportunityStage/enum"), json!(7));
            push(d, &schema("OpportunityStage/x-enum-varnames"), json!("OPPORTUNITY_STAGE_PARKED"));
        }),
        ("description of a field", |d| put(d, &schema("Contact/properties/name/description"), json!("Other."))),
        ("description of the document", |d| put(d, "/info/description", json!("Other."))),
        ("summary of an operation", |d| put(d, "/paths/~1contacts/get/summary", json!("Other"))),
        ("example of a field", |d| put(d, &schema("Contact/properties/name/example"), json!("Other"))),
        ("example of an error", |d| {
            put(d, "/components/responses/Unauthorized/content/application~1json/example", json!({}));
        }),
        ("new error status", |d| {
            let gone = json!({ "$ref": "#/components/responses/Unauthorized" });
            put(d, "/paths/~1contacts/get/responses/410", gone);
        }),
        ("default reply for all other errors", |d| {
            let any = json!({ "$ref": "#/components/responses/InternalError" });
            put(d, "/paths/~1contacts/get/responses/default", any);
        }),
        ("error status dropped", |d| drop(drop_key(d, "/paths/~1contacts/get/responses/414"))),
        ("reply to conditional requests", |d| {
            put(d, "/paths/~1contacts/get/responses/304", json!({ "description": "Not modified." }));
        }),
        ("new response header", |d| {
            let header = json!({ "schema": { "type": "string" } });
            put(d, "/paths/~1contacts/get/responses/200/headers/ETag", header);
        }),
        ("tag added to the list", |d| push(d, "/tags", json!({ "name": "Pipeline" }))),
        ("tag added to an operation", |d| push(d, "/paths/~1contacts/get/tags", json!("People"))),
        ("patch version raised", |d| put(d, "/info/version", json!("1.9999.1"))),
        ("operation deprecated", |d| put(d, "/paths/~1contacts/get/deprecated", json!(true))),
        ("field deprecated", |d| put(d, &schema("Contact/properties/name/deprecated"), json!(true))),
        ("parameter no longer required", |d| put(d, "/components/parameters/RequiredRequestId/required", json!(false))),
        ("second server", |d| push(d, "/servers", json!({ "url": "/crm" }))),
        ("description beside a reference", |d| {
            let status = drop_key(d, &schema("Customer/properties/status"));
            put(d, &schema("Customer/properties/status"), json!({ "allOf": [status], "description": "It." }));
        }),
        ("token no longer needed", |d| put(d, "/paths/~1contacts/get/security", json!([]))),
        ("another scheme accepted too", |d| {
            put(d, "/components/securitySchemes/key", json!({ "type": "apiKey", "in": "header", "name": "X-Key" }));
            push(d, "/paths/~1contacts/get/security", json!({ "key": [] }));
        }),
        ("media type accepted too", |d| {
            let content = "/paths/~1contacts~1{contact_id}/patch/requestBody/content";
            let body = at(d, &format!("{content}/application~1json")).clone();
            put(d, &format!("{content}/application~1merge-patch+json"), body);
        }),
        ("default documented", |d| put(d, &schema("ContactCreate/properties/isPrimary/default"), json!(false))),
        ("new schema", |d| put(d, &schema("New"), json!({ "type": "string" }))),
        ("new scope", |d| put(d, &format!("{FLOW}/scopes/crm:export"), json!("Export."))),
        ("description of a scope", |d| put(d, &format!("{FLOW}/scopes/crm:read"), json!("Read."))),
        ("new flow", |d| {
            let flow = at(d, FLOW).clone();
            put(d, "/components/securitySchemes/oauth2/flows/password", flow);
        }),
        ("header spelled in another way", |d| {
            rename(
                d,
                "/paths/~1contacts/post/responses/201/headers/Location",
                "/paths/~1contacts/post/responses/201/headers/location",
            );
        }),
        ("parameter of a header spelled in another way", |d| {
            put(d, "/components/parameters/TenantId/name", json!("X-TENANT-ID"));
        }),
        ("value of an example", |d| put(d, "/components/examples/AuditLogListEmpty/value/total", json!(1))),
    ];
    assert_words(&api(), Compatible, rows);
}

#[test]
fn what_takes_an_operation_or_parameter_away_is_breaking() {
    let rows: &[(&str, Mutation)] = &[
        ("path removed", |d| drop(drop_key(d, "/paths/~1audit-logs"))),
        ("path renamed", |d| rename(d, "/paths/~1audit-logs", "/paths/~1audit")),
        ("path parameter renamed", |d| {
            rename(d, "/paths/~1contacts~1{contact_id}", "/paths/~1contacts~1{id}");
            for method in ["get", "patch", "delete"] {
                let all = format!("/paths/~1contacts~1{{id}}/{method}/parameters");
                for one in at(d, &all).as_array_mut().unwrap().iter_mut().filter(|one| one["in"] == "path") {
                    one["name"] = json!("id");
                }
            }
        }),
        ("operation removed", |d| drop(drop_key(d, "/paths/~1contacts/post"))),
        ("method changed", |d| {
            rename(d, "/paths/~1contacts~1{contact_id}/patch", "/paths/~1contacts~1{contact_id}/put");
        }),
        ("operationId renamed", |d| put(d, "/paths/~1contacts/get/operationId", json!("findContacts"))),
        ("first tag changed", |d| put(d, "/paths/~1contacts/get/tags", json!(["People"]))),
        ("parameter removed", |d| retain_parameters(d, |one| one["name"] != "phone")),
        ("parameter renamed", |d| parameter(d, "phone")["name"] = json!("telephone")),
        ("required parameter added", |d| add_parameter(d, "query", true)),
        ("required header added", |d| add_parameter(d, "header", true)),
        ("parameter made required", |d| parameter(d, "phone")["required"] = json!(true)),
        ("parameter moved", |d| parameter(d, "phone")["in"] = json!("header")),
        ("type of a parameter changed", |d| parameter(d, "page")["schema"]["type"] = json!("string")),
        ("default of a parameter changed", |d| parameter(d, "pageSize")["schema"]["default"] = json!(50)),
        ("maximum of a parameter lowered", |d| parameter(d, "pageSize")["schema"]["maximum"] = json!(50)),
        ("style of a parameter changed", |d| parameter(d, "phone")["style"] = json!("spaceDelimited")),
        ("shared parameter made required", |d| put(d, "/components/parameters/TenantId/required", json!(true))),
        ("shared parameter narrower", |d| put(d, "/components/parameters/TenantId/schema/maxLength", json!(32))),
        ("shared parameter renamed", |d| put(d, "/components/parameters/TenantId/name", json!("X-Tenant"))),
        ("reference to another parameter", |d| {
            retain_parameters(d, |one| one["$ref"] != "#/components/parameters/RequestId");
            push(d, "/paths/~1contacts/get/parameters", json!({ "$ref": "#/components/parameters/RequiredRequestId" }));
        }),
        ("parameter of the whole path, required", |d| {
            let own = json!([{ "name": "x", "in": "query", "required": true, "schema": { "type": "string" } }]);
            put(d, "/paths/~1contacts/parameters", own);
        }),
        ("security added", |d| put(d, "/paths/~1health/get/security", json!([{ "bearerAuth": [] }]))),
        ("another scheme needed too", |d| {
            put(d, "/components/securitySchemes/key", json!({ "type": "apiKey", "in": "header", "name": "X-Key" }));
            put(d, "/paths/~1contacts/get/security/0/key", json!([]));
        }),
        ("scope needed", |d| put(d, "/paths/~1contacts/get/security/0/bearerAuth", json!(["crm:read"]))),
        ("security scheme changed", |d| put(d, "/components/securitySchemes/bearerAuth/scheme", json!("basic"))),
        ("security scheme removed", |d| drop(drop_key(d, "/components/securitySchemes/bearerAuth"))),
        ("scope removed", |d| drop(drop_key(d, &format!("{FLOW}/scopes/crm:read")))),
        ("scopes removed", |d| drop(drop_key(d, &format!("{FLOW}/scopes")))),
        ("flow removed", |d| drop(drop_key(d, FLOW))),
        ("address for tokens changed", |d| put(d, &format!("{FLOW}/tokenUrl"), json!("/token"))),
        ("server path changed", |d| put(d, "/servers/0/url", json!("/api/v2/crm"))),
        ("server of its own for an operation", |d| {
            put(d, "/paths/~1contacts/get/servers", json!([{ "url": "/elsewhere" }]));
        }),
        ("major version raised", |d| put(d, "/info/version", json!("2.0.0"))),
        ("version lowered", |d| put(d, "/info/version", json!("1.0.0"))),
        ("OpenAPI 3.1", |d| put(d, "/openapi", json!("3.1.0"))),
        ("key that no rule knows", |d| put(d, "/paths/~1contacts/get/callbacks", json!({ "done": {} }))),
    ];
    assert_words(&api(), Breaking, rows);
}

#[test]
fn what_accepts_less_in_a_request_is_breaking() {
    let rows: &[(&str, Mutation)] = &[
        ("field removed", |d| drop(drop_key(d, &schema("ContactCreate/properties/phone")))),
        ("field renamed", |d| {
            rename(d, &schema("ContactCreate/properties/phone"), &schema("ContactCreate/properties/telephone"));
        }),
        ("field made required", |d| push(d, &schema("ContactCreate/required"), json!("phone"))),
        ("required field added", |d| {
            put(d, &schema("ContactCreate/properties/x"), json!({ "type": "string" }));
            push(d, &schema("ContactCreate/required"), json!("x"));
        }),
        ("narrower maxLength", |d| put(d, &schema("ContactCreate/properties/name/maxLength"), json!(100))),
        ("minLength raised", |d| put(d, &schema("ContactCreate/properties/name/minLength"), json!(2))),
        ("minimum raised", |d| put(d, &schema("OpportunityCreate/properties/amountCents/minimum"), json!(1))),
        ("maximum lowered", |d| put(d, &schema("OpportunityCreate/properties/amountCents/maximum"), json!(1000))),
        ("bound made exclusive", |d| {
            put(d, &schema("OpportunityCreate/properties/amountCents/exclusiveMinimum"), json!(true));
        }),
        ("steps asked for", |d| put(d, &schema("OpportunityCreate/properties/amountCents/multipleOf"), json!(100))),
        ("another pattern", |d| put(d, &schema("ContactCreate/properties/name/pattern"), json!("^[a-z]+$"))),
        ("pattern added", |d| put(d, &schema("ContactCreate/properties/customerId/pattern"), json!("^[a-z]+$"))),
        ("enum value removed", |d| pull(d, &schema("Currency/enum"), &json!("CNY"))),
        ("integer enum value removed", |d| pull(d, &schema("OpportunityStage/enum"), &json!(4))),
        ("enum where there was none", |d| put(d, &schema("ContactCreate/properties/name/enum"), json!(["a"]))),
        ("type changed", |d| put(d, &schema("ContactCreate/properties/isPrimary/type"), json!("string"))),
        ("format changed", |d| put(d, &schema("ContactCreate/properties/customerId/format"), json!("email"))),
        ("null no longer accepted", |d| drop(drop_key(d, &schema("ContactUpdate/properties/phone/nullable")))),
        ("media type changed", |d| {
            let content = "/paths/~1contacts/post/requestBody/content";
            rename(d, &format!("{content}/application~1json"), &format!("{content}/application~1xml"));
        }),
        ("body is gone", |d| drop(drop_key(d, "/paths/~1contacts/post/requestBody"))),
        ("body where there was none", |d| {
            let body = at(d, "/paths/~1contacts/post/requestBody").clone();
            put(d, "/paths/~1contacts/get/requestBody", body);
        }),
        ("another schema", |d| {
            let content = "/paths/~1contacts/post/requestBody/content/application~1json";
            put(d, &format!("{content}/schema"), json!({ "$ref": "#/components/schemas/CustomerCreate" }));
        }),
    ];
    assert_words(&api(), Breaking, rows);
}

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

/// The contract with one part changed beforehand, as an older one might have been.
fn prepared(prepare: Mutation) -> Value {
    let mut document = api();
    prepare(&mut document);
    document
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
fn an_enum_of_requests_alone_may_get_values() {
    let document = prepared(|d| {
        let texts = json!({ "type": "string", "enum": ["a", "b"] });
        put(d, &schema("ContactCreate/properties/kind"), texts);
    });
    let values = "ContactCreate/properties/kind/enum";
    let rows: [(Mutation, Verdict); 3] = [
        (|d| push(d, &schema("ContactCreate/properties/kind/enum"), json!("c")), Compatible),
        (|d| drop(drop_key(d, &schema("ContactCreate/properties/kind/enum"))), Compatible),
        (|d| pull(d, &schema("ContactCreate/properties/kind/enum"), &json!("a")), Breaking),
    ];
    for (mutation, word) in rows {
        assert_word(values, &document, mutation, word);
    }
}

#[test]
fn unlisted_fields_of_a_request_are_judged_in_both_directions() {
    let refused = api();
    let accepted = prepared(|d| drop(drop_key(d, &schema("ContactCreate/additionalProperties"))));
    assert_eq!(compare(&refused, &accepted).verdict, Compatible);
    assert_eq!(compare(&accepted, &refused).verdict, Breaking);
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

#[test]
fn each_difference_names_its_operation_its_field_and_a_reason() {
    let differences = |mutation: Mutation| -> Vec<String> {
        let mut changed = api();
        mutation(&mut changed);
        put(&mut changed, "/info/version", json!("1.9999.0"));
        let Outcome { differences, .. } = compare(&api(), &changed);
        differences.iter().map(ToString::to_string).filter(|line| !line.contains("info.version")).collect()
    };
    let removed = differences(|d| retain_parameters(d, |one| one["name"] != "phone"));
    assert_eq!(removed, ["GET /contacts, query parameter `phone`: the parameter is gone (breaking)"]);
    let nullable = differences(|d| put(d, &schema("Contact/properties/name/nullable"), json!(true)));
    assert_eq!(nullable.len(), 1, "{nullable:?}");
    assert!(nullable[0].starts_with("GET /contacts and "), "{nullable:?}");
    assert!(nullable[0].ends_with(" more, 200 reply: data[].name: it may be null now (breaking)"), "{nullable:?}");
    let narrower = differences(|d| put(d, &schema("ContactCreate/properties/name/maxLength"), json!(100)));
    let reason = "`maxLength` is 100, before 200: less is accepted (breaking)";
    assert_eq!(narrower, [format!("POST /contacts, request body: name: {reason}")]);
    let header = differences(|d| drop(drop_key(d, "/paths/~1contacts/post/responses/201/headers/Location")));
    assert_eq!(header, ["POST /contacts, 201 reply, header `Location`: the header is gone (breaking)"]);
    let example = differences(|d| put(d, "/components/examples/AuditLogListEmpty/value/total", json!(1)));
    assert_eq!(example, ["the document, component `AuditLogListEmpty`: the example differs (documentation)"]);
    let scope = differences(|d| put(d, &format!("{FLOW}/scopes/crm:export"), json!("Export.")));
    let place = "component `oauth2`, flow `clientCredentials`, scope `crm:export`";
    assert_eq!(scope, [format!("the document, {place}: a new scope (compatible)")]);
    let spelled = differences(|d| put(d, "/components/parameters/TenantId/name", json!("X-TENANT-ID")));
    assert_eq!(spelled.len(), 1, "once for all operations: {spelled:?}");
    let reason = "the name is spelled `X-TENANT-ID`, before `X-Tenant-Id` (documentation)";
    assert!(spelled[0].ends_with(&format!(" more, header parameter `X-Tenant-Id`: {reason}")), "{spelled:?}");
}

#[test]
fn what_means_the_same_however_it_is_written_is_identical() {
    fn unwhole(value: &mut Value) {
        match value {
            Value::Number(number) if number.as_i64().is_some_and(|number| number.abs() < 1 << 53) => {
                *value = json!(number.as_f64().unwrap());
            }
            Value::Object(object) => object.values_mut().for_each(unwhole),
            Value::Array(items) => items.iter_mut().for_each(unwhole),
            _ => {}
        }
    }
    let amount = "OpportunityCreate/properties/amountCents";
    assert_eq!(at(&mut api(), &schema(&format!("{amount}/maximum"))), 9_007_199_254_740_991_i64);
    let rows: &[(&str, Mutation)] = &[
        ("whole numbers with a fraction", unwhole),
        ("exclusiveMinimum", |d| {
            put(d, &schema("OpportunityCreate/properties/amountCents/exclusiveMinimum"), json!(false));
        }),
        ("uniqueItems", |d| put(d, &schema("EventData/properties/changedFields/uniqueItems"), json!(false))),
        ("nullable", |d| put(d, &schema("Contact/properties/name/nullable"), json!(false))),
        ("readOnly", |d| put(d, &schema("Contact/properties/name/readOnly"), json!(false))),
        ("deprecated", |d| put(d, "/paths/~1contacts/get/deprecated", json!(false))),
        ("required", |d| drop(drop_key(d, "/components/parameters/TenantId/required"))),
    ];
    assert_words(&api(), Identical, rows);
    assert_word("of events", &asyncapi::document(), unwhole, Identical);
    let fraction: Mutation = |d| put(d, &schema("ContactCreate/properties/name/maxLength"), json!(200.5));
    assert_word("a number that is not whole", &api(), fraction, Breaking);
    // What a person may see in an example is not what the keyword of that name says.
    let example = "/components/examples/AuditLogListEmpty/value/nullable";
    let shown = prepared(|d| put(d, "/components/examples/AuditLogListEmpty/value/nullable", json!(false)));
    let mut hidden = shown.clone();
    drop_key(&mut hidden, example);
    assert_eq!(compare(&shown, &hidden).verdict, Compatible);
}

#[test]
fn the_version_rises_with_what_differs() {
    let judged = |mutation: Mutation, version: &str| {
        let old = prepared(|d| put(d, "/info/version", json!("1.4.2")));
        let mut new = old.clone();
        mutation(&mut new);
        put(&mut new, "/info/version", json!(version));
        let outcome = compare(&old, &new);
        (outcome.verdict, outcome.version_is_due)
    };
    let described: Mutation = |d| put(d, "/info/description", json!("Other."));
    let added: Mutation = |d| put(d, &schema("Contact/properties/x"), json!({ "type": "string" }));
    let nothing: Mutation = |_| {};
    assert_eq!(judged(nothing, "1.4.2"), (Identical, false));
    assert_eq!(judged(described, "1.4.2"), (Compatible, true));
    assert_eq!(judged(described, "1.4.3"), (Compatible, false));
    assert_eq!(judged(described, "1.4.10"), (Compatible, false));
    assert_eq!(judged(added, "1.4.3"), (Compatible, true));
    assert_eq!(judged(added, "1.5.0"), (Compatible, false));
    assert_eq!(judged(nothing, "1.5.0"), (Compatible, false));
    assert_eq!(judged(nothing, "1.4.1"), (Breaking, true));
    assert_eq!(judged(added, "2.0.0"), (Breaking, false));
    assert_eq!(judged(added, "1.5"), (Breaking, true));
}

#[test]
fn events_are_judged_by_the_same_rules() {
    let rows: &[(&str, Mutation, Verdict)] = &[
        (
            "new event",
            |d| {
                let message = at(d, "/components/messages/ContactCreated").clone();
                put(d, "/components/messages/ContactMerged", message);
                put(d, "/components/messages/ContactMerged/name", json!("ContactMerged"));
                let reference = json!({ "$ref": "#/components/messages/ContactMerged" });
                put(d, "/channels/events/messages/ContactMerged", reference);
                let reference = json!({ "$ref": "#/channels/events/messages/ContactMerged" });
                push(d, "/operations/publishEvents/messages", reference);
            },
            Compatible,
        ),
        ("new field", |d| put(d, &schema("Contact/properties/x"), json!({ "type": "string" })), Compatible),
        ("new channel", |d| put(d, "/channels/more", json!({ "address": "more" })), Compatible),
        ("another AsyncAPI 3", |d| put(d, "/asyncapi", json!("3.1.0")), Compatible),
        ("AsyncAPI 2", |d| put(d, "/asyncapi", json!("2.6.0")), Breaking),
        (
            "another order",
            |d| at(d, "/operations/publishEvents/messages").as_array_mut().unwrap().reverse(),
            Compatible,
        ),
        ("description", |d| put(d, "/channels/events/description", json!("Other.")), Compatible),
        ("open enum gets a value", |d| push(d, &schema("OpportunityStage/enum"), json!(7)), Compatible),
        (
            "optional field of a consumed event",
            |d| {
                put(d, &schema("ErpContractSignedData/properties/x"), json!({ "type": "string" }));
            },
            Compatible,
        ),
        (
            "event removed",
            |d| {
                let gone = json!({ "$ref": "#/channels/events/messages/ContactCreated" });
                pull(d, "/operations/publishEvents/messages", &gone);
            },
            Breaking,
        ),
        ("operation removed", |d| drop(drop_key(d, "/operations/consumeEvents")), Breaking),
        ("direction changed", |d| put(d, "/operations/publishEvents/action", json!("receive")), Breaking),
        ("channel removed", |d| drop(drop_key(d, "/channels/platform")), Breaking),
        ("address changed", |d| put(d, "/channels/events/address", json!("crm.more")), Breaking),
        ("exchange changed", |d| put(d, "/channels/events/bindings/amqp/exchange/type", json!("fanout")), Breaking),
        ("field removed", |d| drop(drop_key(d, &schema("Contact/properties/name"))), Breaking),
        (
            "field may be null",
            |d| {
                put(d, &schema("Contact/properties/name/type"), json!(["string", "null"]));
            },
            Breaking,
        ),
        ("type changed", |d| put(d, &schema("Contact/properties/name/type"), json!("integer")), Breaking),
        (
            "field of the envelope removed",
            |d| {
                drop_key(d, &schema("ContactCreated/properties/traceId"));
            },
            Breaking,
        ),
        (
            "constant changed",
            |d| {
                put(d, &schema("CrmSource/const"), json!("other"));
            },
            Breaking,
        ),
        (
            "consumed event needs more",
            |d| {
                push(d, &schema("ErpContractSigned/required"), json!("traceId"));
            },
            Breaking,
        ),
        (
            "consumed event of another type",
            |d| {
                put(d, &schema("OaTaskCompleted/properties/timestamp/type"), json!("integer"));
            },
            Breaking,
        ),
        (
            "content type changed",
            |d| {
                put(d, "/components/messages/ContactCreated/contentType", json!("application/xml"));
            },
            Breaking,
        ),
        (
            "header removed",
            |d| {
                drop_key(d, &schema("MessageHeaders/properties/traceparent"));
            },
            Breaking,
        ),
        (
            "message renamed",
            |d| {
                put(d, "/components/messages/ContactCreated/name", json!("ContactMade"));
            },
            Breaking,
        ),
    ];
    for (name, mutation, word) in rows {
        assert_word(name, &asyncapi::document(), *mutation, *word);
    }
    assert_eq!(compare(&asyncapi::document(), &api()).verdict, Breaking, "another kind of document");
}

#[test]
fn headers_of_messages_are_judged_by_their_direction() {
    const HEADERS: &str = "/components/schemas/MessageHeaders";
    // As if those that are sent had headers of their own.
    let document = {
        let mut document = asyncapi::document();
        let headers = at(&mut document, HEADERS).clone();
        put(&mut document, &schema("SentHeaders"), headers);
        for (name, message) in at(&mut document, "/components/messages").as_object_mut().unwrap() {
            if !["ErpContractSigned", "OaTaskCompleted"].contains(&name.as_str()) {
                message["headers"] = json!({ "$ref": "#/components/schemas/SentHeaders" });
            }
        }
        put(&mut document, &schema("MessageHeaders/required"), json!(["traceparent"]));
        put(&mut document, &schema("SentHeaders/required"), json!(["traceparent"]));
        document
    };
    let rows: &[(&str, Mutation, Verdict)] = &[
        ("sent: removed", |d| drop(drop_key(d, &schema("SentHeaders/properties/traceparent"))), Breaking),
        ("sent: new", |d| put(d, &schema("SentHeaders/properties/x"), json!({ "type": "string" })), Compatible),
        ("sent: always there", |d| push(d, &schema("SentHeaders/required"), json!("x-tenant-id")), Compatible),
        ("sent: not always there", |d| drop(drop_key(d, &schema("SentHeaders/required"))), Breaking),
        ("sent: type", |d| put(d, &schema("SentHeaders/properties/x-tenant-id/type"), json!("integer")), Breaking),
        // Brokers tell them apart.
        (
            "sent: spelled in another way",
            |d| rename(d, &schema("SentHeaders/properties/traceparent"), &schema("SentHeaders/properties/Traceparent")),
            Breaking,
        ),
        ("sent: none", |d| drop(drop_key(d, "/components/messages/ContactCreated/headers")), Breaking),
        ("received: needed", |d| push(d, &schema("MessageHeaders/required"), json!("x-tenant-id")), Breaking),
        ("received: not needed", |d| drop(drop_key(d, &schema("MessageHeaders/required"))), Compatible),
        (
            "received: described",
            |d| put(d, &schema("MessageHeaders/properties/traceparent/description"), json!("It.")),
            Compatible,
        ),
    ];
    for (name, mutation, word) in rows {
        assert_word(name, &document, *mutation, *word);
    }
    let without = |name: &str| {
        let mut document = document.clone();
        drop_key(&mut document, &format!("/components/messages/{name}/headers"));
        document
    };
    assert_eq!(compare(&without("ContactCreated"), &document).verdict, Compatible, "sent where there were none");
    assert_eq!(compare(&without("OaTaskCompleted"), &document).verdict, Breaking, "needed where there were none");
}

#[test]
fn channels_servers_and_bindings_may_gain_but_not_lose() {
    let rows: &[(&str, Mutation, Verdict)] = &[
        ("message of a channel removed", |d| drop(drop_key(d, "/channels/events/messages/ContactCreated")), Breaking),
        (
            "message of a channel added",
            |d| put(d, "/channels/oaEvents/messages/More", json!({ "$ref": "#/components/messages/OaTaskCompleted" })),
            Compatible,
        ),
        (
            "another message under the same name",
            |d| {
                let other = json!({ "$ref": "#/components/messages/ContactUpdated" });
                put(d, "/channels/events/messages/ContactCreated", other);
            },
            Breaking,
        ),
        (
            "messages of a channel in another order",
            |d| {
                let messages = at(d, "/channels/events/messages").as_object().unwrap().clone();
                put(d, "/channels/events/messages", messages.into_iter().rev().collect::<Map<_, _>>().into());
            },
            Identical,
        ),
        ("new server", |d| put(d, "/servers/nats", json!({ "host": "nats", "protocol": "nats" })), Compatible),
        ("server removed", |d| drop(drop_key(d, "/servers/kafka")), Breaking),
        ("server described", |d| put(d, "/servers/kafka/description", json!("It.")), Compatible),
        ("protocol of a server changed", |d| put(d, "/servers/kafka/protocol", json!("kafka")), Breaking),
        ("variable described", |d| put(d, "/servers/kafka/variables/host/description", json!("It.")), Compatible),
        ("variable of another value", |d| put(d, "/servers/kafka/variables/host/default", json!("other")), Breaking),
        ("variable removed", |d| drop(drop_key(d, "/servers/kafka/variables/host")), Breaking),
        (
            "channel on another server too",
            |d| push(d, "/channels/platform/servers", json!({ "$ref": "#/servers/kafka" })),
            Compatible,
        ),
        (
            "channel gone from a server",
            |d| pull(d, "/channels/events/servers", &json!({ "$ref": "#/servers/kafka" })),
            Breaking,
        ),
        ("channel on every server", |d| drop(drop_key(d, "/channels/platform/servers")), Compatible),
        (
            "servers in another order",
            |d| at(d, "/channels/events/servers").as_array_mut().unwrap().reverse(),
            Compatible,
        ),
        ("protocol bound too", |d| put(d, "/channels/events/bindings/nats", json!({})), Compatible),
        ("more bound", |d| put(d, "/channels/events/bindings/kafka/partitions", json!(3)), Compatible),
        (
            "edition of a binding",
            |d| put(d, "/channels/events/bindings/kafka/bindingVersion", json!("0.6.0")),
            Compatible,
        ),
        ("binding removed", |d| drop(drop_key(d, "/channels/events/bindings/kafka")), Breaking),
        (
            "part of a binding removed",
            |d| drop(drop_key(d, "/channels/events/bindings/amqp/exchange/durable")),
            Breaking,
        ),
        ("topic changed", |d| put(d, "/channels/events/bindings/kafka/topic", json!("other")), Breaking),
        (
            "edition of a message's binding",
            |d| put(d, "/components/messages/ContactCreated/bindings/kafka/bindingVersion", json!("0.6.0")),
            Compatible,
        ),
        (
            "key of a message described",
            |d| put(d, "/components/messages/ContactCreated/bindings/kafka/key/description", json!("It.")),
            Compatible,
        ),
        (
            "type of a message changed",
            |d| put(d, "/components/messages/ContactCreated/bindings/amqp/messageType", json!("other")),
            Breaking,
        ),
    ];
    for (name, mutation, word) in rows {
        assert_word(name, &asyncapi::document(), *mutation, *word);
    }
    let few = {
        let mut document = asyncapi::document();
        drop_key(&mut document, "/channels/platform/servers");
        document
    };
    assert_eq!(compare(&few, &asyncapi::document()).verdict, Breaking, "no longer on every server");
}

/// Calls `visit` with the JSON pointer of every key in the document.
fn keys(value: &Value, pointer: &str, visit: &mut dyn FnMut(String)) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let pointer = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
                visit(pointer.clone());
                keys(value, &pointer, visit);
            }
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, value)| keys(value, &format!("{pointer}/{index}"), visit));
        }
        _ => {}
    }
}

#[test]
fn no_key_can_be_removed_unseen() {
    let original = api();
    let mut pointers = Vec::new();
    keys(&original, "", &mut |pointer| pointers.push(pointer));
    let relied_on =
        ["$ref", "type", "operationId", "schema", "properties", "items", "content", "responses", "in", "name"];
    // Each of them takes a while: a sample, in steps that fall on other keys each time.
    for pointer in pointers.iter().step_by(67) {
        // A flag that is not set is left out as well.
        if pointer.ends_with("/required") && original.pointer(pointer) == Some(&json!(false)) {
            continue;
        }
        let mut changed = original.clone();
        drop_key(&mut changed, pointer);
        let outcome = compare(&original, &changed);
        assert_ne!(outcome.verdict, Identical, "{pointer}");
        let (above, key) = pointer.rsplit_once('/').unwrap();
        let is_field = above.ends_with("/properties") || pointer.contains("/example") || pointer.starts_with("/info");
        if relied_on.contains(&key) && !is_field && !pointer.starts_with("/tags") {
            assert_eq!(outcome.verdict, Breaking, "{pointer}: {:#?}", outcome.differences);
        }
    }
}
