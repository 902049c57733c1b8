//! Section 4.3: tenants, and what is personal.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    client::{Client, Reply},
    line::{Found, Trouble, ensure},
    sample::{PHONE_DIGITS, Sample, new_id},
    stored,
    target::{Caller, ELSEWHERE, Target},
};

/// The scope by which personal data is shown in clear.
const PII_SCOPE: &str = "crm:pii:read";

/// Nobody of another tenant sees or changes anything.
pub(super) async fn tenants(client: &Client, target: &Target, sample: Option<&Sample>) -> Found {
    let outside = Caller { token: target.caller.token.clone(), tenant: Some(ELSEWHERE.to_owned()) };
    let mut others = vec![outside];
    others.extend(target.own.as_ref().map(|own| own.elsewhere.clone()));
    let known = match sample {
        Some(sample) => Some(sample.id.clone()),
        None => first_customer(client, &target.caller).await?,
    };
    let mut seen = Vec::new();
    for other in &others {
        seen.push(foreign(client, other, known.as_deref(), sample.is_some()).await?);
    }
    let malformed = client.get("/customers").by(&target.caller);
    // The caller's own tenant is named already, where there is one: then the header stands twice.
    malformed.header("X-Tenant-Id", "no tenant!").send().await?.expect(&[400, 403])?;
    if let Some(sample) = sample {
        let still = client.get(&sample.path).by(&target.caller).send().await?.expect(&[200])?;
        let tenant = still.field("tenantId").unwrap_or_default();
        ensure(!tenant.is_empty() && tenant != ELSEWHERE, || format!("the customer is of the tenant {tenant:?}"))?;
    }
    let about = match (&known, sample) {
        (_, Some(_)) => "the customer that was made is unseen and unchanged there",
        (Some(_), None) => "a customer of the caller's tenant is unseen there",
        (None, None) => "the caller's tenant has no customer to look for there",
    };
    seen.dedup();
    Ok(format!("as another tenant: {}; {about}; a malformed X-Tenant-Id is refused", seen.join(", ")))
}

async fn first_customer(client: &Client, caller: &Caller) -> Result<Option<String>, String> {
    let list = client.get("/customers?pageSize=1").by(caller).send().await?.expect(&[200])?;
    Ok(list.items().first().and_then(|item| item.get("customerId")).and_then(Value::as_str).map(str::to_owned))
}

/// What another tenant is answered about the lists, and about a customer that it does not have.
async fn foreign(client: &Client, other: &Caller, known: Option<&str>, may_write: bool) -> Result<String, String> {
    let list = client.get("/customers?pageSize=100").by(other).send().await?.expect(&[200, 403])?;
    for item in list.items() {
        let text = |field: &str| item.get(field).and_then(Value::as_str).unwrap_or_default();
        ensure(Some(text("customerId")) != known, || "another tenant's list has the customer".to_owned())?;
        let named = other.tenant.as_deref();
        ensure(named.is_none_or(|tenant| tenant == text("tenantId")), || {
            format!("the list of the tenant {} has a customer of {}", named.unwrap_or_default(), text("tenantId"))
        })?;
    }
    if let Some(id) = known {
        let path = format!("/customers/{id}");
        let mut asks = vec![client.get(&path).by(other)];
        if may_write {
            let rename = json!({ "name": "of another tenant" });
            asks.push(client.ask(Method::PATCH, &path).by(other).request_id(&new_id()).json(&rename));
            asks.push(client.ask(Method::DELETE, &path).by(other));
        }
        for ask in asks {
            let reply = ask.send().await?;
            ensure([403, 404].contains(&reply.status), || {
                format!("{} as another tenant was answered {}, and not 404", reply.what, reply.status)
            })?;
        }
    }
    Ok(if list.status == 403 { "403".to_owned() } else { format!("a list of {} customers", list.items().len()) })
}

/// Phone numbers and e-mail addresses are masked where they are shown, and sealed where they are stored.
pub(super) async fn personal_data(client: &Client, target: &Target, sample: Option<&Sample>) -> Found {
    let reader = target.own.as_ref().map_or(&target.caller, |own| &own.reader);
    let may_see = names_scope(&reader.token, PII_SCOPE);
    if may_see == Some(true) {
        let why = format!("the token names {PII_SCOPE}, to which all is shown in clear: take one without");
        return Err(Trouble::NotChecked(why));
    }
    let shown = match sample {
        Some(sample) => {
            let one = client.get(&sample.path).by(reader).send().await?.expect(&[200])?;
            masked(&one, sample)?;
            refused_masked(client, target, sample, &one).await?;
            "the customer that was made is shown masked, and a masked number is refused in a write".to_owned()
        }
        None => listed(client, reader, may_see).await?,
    };
    let (Some(own), Some(sample)) = (&target.own, sample) else {
        return Ok(format!("{shown}; how it is stored cannot be seen from here"));
    };
    let clear = client.get(&sample.path).by(&target.caller).send().await?.expect(&[200])?;
    ensure(clear.field("contactEmail") == Some(sample.email.as_str()), || {
        format!("with {PII_SCOPE} the address is {:?}, and not the one that was written", clear.field("contactEmail"))
    })?;
    let needles = [sample.email.as_str(), PHONE_DIGITS];
    if let Some(found) = stored::clear_text(&own.database, &needles).await? {
        return Err(format!("the database holds {found} in clear").into());
    }
    Ok(format!("{shown}; with {PII_SCOPE} it is shown as it was written; the database holds neither in clear"))
}

/// Whether a JSON Web Token names a scope; nothing where it is none, or no scope stands in it.
fn names_scope(token: &str, scope: &str) -> Option<bool> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    let scopes = [claims.get("scope"), claims.get("scp")].into_iter().flatten();
    Some(scopes.map(|scopes| scopes.to_string().to_lowercase()).any(|scopes| scopes.contains(scope)))
}

fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

fn masked(reply: &Reply, sample: &Sample) -> Result<(), String> {
    let (phone, email) =
        (reply.field("contactPhone").unwrap_or_default(), reply.field("contactEmail").unwrap_or_default());
    ensure(phone.contains('*') && !digits(phone).contains(PHONE_DIGITS), || {
        format!("{} shows the phone number as {phone:?} to a token without {PII_SCOPE}", reply.what)
    })?;
    ensure(email.contains('*') && email != sample.email, || {
        format!("{} shows the e-mail address as {email:?} to a token without {PII_SCOPE}", reply.what)
    })
}

/// What was masked is not taken for a value: nobody who reads, changes and writes stores stars.
async fn refused_masked(client: &Client, target: &Target, sample: &Sample, shown: &Reply) -> Result<(), String> {
    let body = json!({ "contactPhone": shown.body.get("contactPhone") });
    let write = client.ask(Method::PATCH, &sample.path).by(&target.caller).request_id(&new_id()).json(&body);
    write.send().await?.expect(&[400]).map(drop)
}

/// What the first page of a list shows.
async fn listed(client: &Client, reader: &Caller, may_see: Option<bool>) -> Result<String, Trouble> {
    let list = client.get("/customers?pageSize=100").by(reader).send().await?.expect(&[200])?;
    let values = list.items().iter().flat_map(|item| [item.get("contactPhone"), item.get("contactEmail")]);
    let values: Vec<&str> = values.flatten().filter_map(Value::as_str).collect();
    if values.is_empty() {
        return Err(Trouble::NotChecked(
            "no customer that is shown has a phone number or an e-mail address".to_owned(),
        ));
    }
    let in_clear = values.iter().filter(|value| !value.contains('*')).count();
    if in_clear > 0 && may_see.is_none() {
        let why =
            format!("{in_clear} values are shown in clear, and whether the token names {PII_SCOPE} cannot be seen");
        return Err(Trouble::NotChecked(why));
    }
    ensure(in_clear == 0, || {
        format!("{in_clear} of {} values are shown in clear to a token without {PII_SCOPE}", values.len())
    })?;
    Ok(format!("{} values are shown, all of them masked", values.len()))
}
