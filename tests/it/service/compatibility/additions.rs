//! What a contract may gain.

use crm::service::compatibility::Verdict::Compatible;
use serde_json::json;

use super::{FLOW, Mutation, add_parameter, api, assert_words, at, drop_key, pull, push, put, rename, schema};

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
