//! What holds of all differences: how they are told, what they do to the version, and that none goes unseen.

use crm::service::compatibility::{
    Outcome,
    Verdict::{Breaking, Compatible, Identical},
    compare,
};
use serde_json::{Value, json};

use super::{FLOW, Mutation, api, at, drop_key, prepared, put, retain_parameters, schema};

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
    // An example means the same wherever it stands.
    let moved = differences(|d| {
        let example = at(d, "/components/examples/AuditLogListEmpty").clone();
        put(d, "/paths/~1audit-logs/get/responses/200/content/application~1json/examples/empty", example);
    });
    assert_eq!(moved, Vec::<String>::new());
    let scope = differences(|d| put(d, &format!("{FLOW}/scopes/crm:export"), json!("Export.")));
    let place = "component `oauth2`, flow `clientCredentials`, scope `crm:export`";
    assert_eq!(scope, [format!("the document, {place}: a new scope (compatible)")]);
    let spelled = differences(|d| put(d, "/components/parameters/TenantId/name", json!("X-TENANT-ID")));
    assert_eq!(spelled.len(), 1, "once for all operations: {spelled:?}");
    let reason = "the name is spelled `X-TENANT-ID`, before `X-Tenant-Id` (documentation)";
    assert!(spelled[0].ends_with(&format!(" more, header parameter `X-Tenant-Id`: {reason}")), "{spelled:?}");
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
