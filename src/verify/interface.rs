//! Section 4.2: probes, tokens, headers.

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    client::Client,
    line::{Found, Trouble, ensure},
    operations::Operation,
    sample::new_id,
    target::Target,
};

/// Health is answered to whoever asks.
pub(super) async fn health(client: &Client, target: &Target) -> Found {
    let up = json!({ "status": "up", "cell": "crm" });
    let mut asked = vec!["/health"];
    if target.own.is_some() {
        asked.push("/api/v1/crm/health");
    }
    for path in &asked {
        for token in [None, Some("Bearer no-token-at-all")] {
            let ask = client.get(path);
            let ask = if let Some(token) = token { ask.header("Authorization", token) } else { ask };
            let reply = ask.send().await?.expect(&[200])?;
            ensure(reply.body == up, || format!("{} was answered {}, and not {up}", reply.what, reply.text.trim()))?;
        }
    }
    Ok(format!("GET {}: 200 {up}, without a token and with a wrong one", asked.join(" and ")))
}

/// Nothing is answered to whoever has no valid token.
pub(super) async fn tokens(client: &Client, target: &Target, operations: &[Operation]) -> Found {
    let guarded: Vec<&Operation> = operations.iter().filter(|operation| !operation.is_public).collect();
    ensure(!guarded.is_empty(), || "the contract has no operation that needs a token".to_owned())?;
    for operation in &guarded {
        let reply = client.operation(operation).request_id(&new_id()).send().await?.expect(&[401])?;
        let challenge = reply.header("WWW-Authenticate").unwrap_or_default();
        ensure(challenge.starts_with("Bearer"), || format!("{}: 401 without WWW-Authenticate: Bearer", reply.what))?;
    }
    let forged = forged(&target.caller.token);
    for token in ["no-token-at-all", forged.as_str()] {
        let ask = client.get("/customers").header("Authorization", &format!("Bearer {token}"));
        ask.send().await?.expect(&[401])?;
    }
    client.get("/customers").by(&target.caller).send().await?.expect(&[200])?;
    let count = guarded.len();
    Ok(format!("{count} operations without a token, and one with a forged token: 401; with a valid token: 200"))
}

/// A token whose signature, or whose end, is another one.
fn forged(token: &str) -> String {
    // The last character of a signature may hold bits that nobody reads; the one in the middle of it does not.
    let place = token.rfind('.').map_or(token.len() / 2, |dot| (dot + token.len()) / 2);
    let changed = |(at, c): (usize, char)| match c {
        'A' if at == place => 'B',
        _ if at == place => 'A',
        c => c,
    };
    token.char_indices().map(changed).collect()
}

/// POST and PATCH need an `X-Request-ID`. What is sent besides would be refused, or find nothing, with one.
pub(super) async fn request_ids(client: &Client, target: &Target, operations: &[Operation]) -> Found {
    let needing = |operation: &&Operation| [Method::POST, Method::PATCH].contains(&operation.method);
    let (mut refused, mut forbidden) = (0, 0);
    for operation in operations.iter().filter(needing) {
        let reply = client.operation(operation).by(&target.caller).json(&json!({})).send().await?;
        if reply.status == 403 {
            forbidden += 1;
            continue;
        }
        let reply = reply.expect(&[400])?;
        let details = reply.field("details").unwrap_or_default();
        ensure(details.contains("X-Request-ID"), || {
            format!("{} without X-Request-ID was answered {}: it was not missed", reply.what, reply.shown())
        })?;
        refused += 1;
    }
    if refused == 0 {
        let why = format!("the token may not write: all {forbidden} POST and PATCH operations were answered 403");
        return Err(Trouble::NotChecked(why));
    }
    let with_one = client.ask(Method::POST, "/customers").by(&target.caller).request_id(&new_id()).json(&json!({}));
    let reply = with_one.send().await?.expect(&[400])?;
    ensure(!reply.field("details").unwrap_or_default().contains("X-Request-ID"), || {
        format!("{} with X-Request-ID was answered {}", reply.what, reply.shown())
    })?;
    let rest = if forbidden == 0 { String::new() } else { format!("; {forbidden} the token may not use") };
    Ok(format!("{refused} POST and PATCH operations without it: 400 BAD_REQUEST that names it{rest}"))
}

/// Every reply said how long it took.
pub(super) fn response_times(client: &Client) -> Found {
    let times = client.times();
    match times.missing {
        Some(missing) => Err(missing.into()),
        None => {
            Ok(format!("on all {} replies of this walk, of any status; {} ms at most", times.replies, times.longest))
        }
    }
}

/// The contract that is served, as it was sent.
pub(super) async fn contract(client: &Client) -> Result<(Value, String), String> {
    let reply = client.get("/openapi.yaml").send().await?.expect(&[200])?;
    let document =
        yaml_serde::from_str(&reply.text).map_err(|error| format!("GET /openapi.yaml is no YAML: {error}"))?;
    Ok((document, reply.text))
}
