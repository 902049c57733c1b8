//! Section 4.2: one body for every error.

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    client::{Ask, Client, Reply},
    line::{Found, ensure},
    sample::new_id,
    target::Target,
};

/// An error that is provoked: the request, and the status and code that must come. A token that may not write is told so.
struct Provoked<'c> {
    ask: Ask<'c>,
    expected: &'static [(u16, &'static str)],
}

/// Provokes an error of each kind that can be without changing anything, and looks at their bodies.
pub(super) async fn one_body(client: &Client, target: &Target, duplicate: Option<&Reply>) -> Found {
    let mut codes = Vec::new();
    for Provoked { ask, expected } in provoked(client, target) {
        let id = new_id();
        let reply = ask.request_id(&id).send().await?;
        let Some((_, code)) = expected.iter().find(|(status, _)| *status == reply.status) else {
            let wanted = expected.iter().map(|(status, code)| format!("{status} {code}")).collect::<Vec<_>>();
            return Err(
                format!("{} must be answered {}, and was {}", reply.what, wanted.join(" or "), reply.shown()).into()
            );
        };
        judge(&reply, code)?;
        let echoed = reply.field("requestId").unwrap_or_default();
        ensure(echoed == id, || format!("{}: requestId is {echoed}, and X-Request-ID was {id}", reply.what))?;
        codes.push((reply.status, *code));
    }
    if let Some(reply) = duplicate {
        judge(reply, "IDEMPOTENT_CONFLICT")?;
        codes.push((reply.status, "IDEMPOTENT_CONFLICT"));
    }
    codes.sort_unstable();
    codes.dedup();
    let codes = codes.iter().map(|(status, code)| format!("{status} {code}")).collect::<Vec<_>>().join(", ");
    Ok(format!("code, message, details and requestId in {codes}"))
}

fn provoked<'c>(client: &'c Client, target: &Target) -> Vec<Provoked<'c>> {
    let by = |method: Method, path: &str| client.ask(method, path).by(&target.caller);
    let mut all = vec![
        Provoked { ask: client.get("/customers"), expected: &[(401, "UNAUTHORIZED")] },
        Provoked { ask: by(Method::GET, "/customers?page=0"), expected: &[(400, "BAD_REQUEST")] },
        Provoked { ask: by(Method::GET, "/customers/nobody"), expected: &[(404, "NOT_FOUND")] },
        Provoked { ask: by(Method::GET, "/no-such-collection"), expected: &[(404, "NOT_FOUND")] },
        Provoked { ask: by(Method::PUT, "/customers"), expected: &[(405, "METHOD_NOT_ALLOWED")] },
        Provoked {
            ask: by(Method::POST, "/customers").text("text/plain", "no JSON".to_owned()),
            expected: &[(415, "UNSUPPORTED_MEDIA_TYPE"), (403, "FORBIDDEN")],
        },
    ];
    if let Some(own) = &target.own {
        let large = json!({ "name": "x".repeat(256 * 1024) });
        all.push(Provoked {
            ask: by(Method::POST, "/customers").json(&large),
            expected: &[(413, "PAYLOAD_TOO_LARGE")],
        });
        let forbidden = client.ask(Method::POST, "/customers").by(&own.reader).json(&json!({ "name": "x" }));
        all.push(Provoked { ask: forbidden, expected: &[(403, "FORBIDDEN")] });
    }
    all
}

/// Whether the body of an error is the common one.
pub(super) fn judge(reply: &Reply, code: &str) -> Result<(), String> {
    let about = format!("{}, answered {}", reply.what, reply.status);
    let media_type = reply.header("Content-Type").unwrap_or_default();
    ensure(media_type.starts_with("application/json"), || format!("{about}: its Content-Type is {media_type:?}"))?;
    let said = reply.field("code").unwrap_or_default();
    ensure(said == code, || format!("{about}: its code is {said:?}, and not {code}"))?;
    ensure(reply.field("message").is_some_and(|text| !text.is_empty()), || format!("{about}: it has no message"))?;
    let details = reply.body.get("details");
    ensure(details.is_some_and(|details| details.is_null() || details.is_string()), || {
        format!("{about}: it has no details, which may be null: {}", details.unwrap_or(&Value::Null))
    })?;
    let (body, header) = (reply.field("requestId"), reply.header("X-Request-ID"));
    ensure(body.is_some_and(|id| !id.is_empty()), || format!("{about}: it has no requestId"))?;
    ensure(body == header, || format!("{about}: requestId is {body:?}, and X-Request-ID {header:?}"))
}
