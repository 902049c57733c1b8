//! What clients send: operations, parameters and bodies.

use crm::service::compatibility::{
    Verdict::{self, Breaking, Compatible},
    compare,
};
use serde_json::json;

use super::{
    FLOW, Mutation, add_parameter, api, assert_word, assert_words, at, drop_key, parameter, prepared, pull, push, put,
    rename, retain_parameters, schema,
};

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
fn a_list_of_values_in_a_request_gets_more_and_loses_none() {
    let stages = |pattern: &str| json!({ "type": "string", "pattern": pattern });
    let listed = r"^(0|1)(,(0|1)){0,19}$";
    let document = |pattern: &str| {
        let mut document = api();
        let parameter = json!({ "name": "values", "in": "query", "schema": stages(pattern) });
        push(&mut document, "/paths/~1contacts/get/parameters", parameter);
        document
    };
    for (pattern, word) in [
        (r"^(0|1|2)(,(0|1|2)){0,19}$", Compatible),
        (r"^(1|2|0)(,(1|2|0)){0,29}$", Compatible),
        (r"^(0)(,(0)){0,19}$", Breaking),
        (r"^(0|2)(,(0|2)){0,19}$", Breaking),
        (r"^(0|1|2)(,(0|1)){0,19}$", Breaking),
        (r"^(0|1|2)(,(0|1|2)){0,9}$", Breaking),
        (r"^(0|1|2)$", Breaking),
        (r"^-?(0|1|2)(,-?(0|1|2)){0,19}$", Breaking),
        (r"^(0|1|.)(,(0|1|.)){0,19}$", Breaking),
    ] {
        let outcome = compare(&document(listed), &document(pattern));
        assert_eq!(outcome.verdict, word, "{pattern}: {:#?}", outcome.differences);
    }
    let outcome = compare(&document("^-?(a)(,-?(a)){0,2}$"), &document("^-?(a|b)(,-?(a|b)){0,2}$"));
    assert_eq!(outcome.verdict, Compatible, "{:#?}", outcome.differences);
}
