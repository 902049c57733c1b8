//! The claims of a token (RFC 7519, section 4), read by type: a claim of the wrong type is refused, never ignored.

use serde_json::{Map, Value};

/// What a valid token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Whose it is.
    pub bearer: Bearer,
    /// `scope` (RFC 8693, section 4.2) and `scp` (an array or a string, as some issuers write it), together.
    pub scopes: Vec<String>,
}

/// Whose a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bearer {
    /// `sub` (RFC 7519, section 4.1.2): who acts.
    pub subject: Option<String>,
    /// `client_id` (RFC 8693, section 4.3), or else `azp` (OpenID Connect Core, section 2): the client program.
    pub client: Option<String>,
    /// `tenant_id`: the only tenants that the token is valid for; `None` where it names none.
    pub tenants: Option<Vec<String>>,
}

/// Why a token is not valid, in words that repeat nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal(pub &'static str);

/// A token that is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// Whose it is, where the signature is valid: an expired token, one for another audience.
    pub bearer: Option<Bearer>,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, bearer: None }
    }
}

pub(super) fn bearer(claims: &Map<String, Value>) -> Result<Bearer, Refusal> {
    let client = text(claims, "client_id", Refusal("the claim client_id must be a string without control characters"))?;
    let party = text(claims, "azp", Refusal("the claim azp must be a string without control characters"))?;
    Ok(Bearer {
        subject: text(claims, "sub", Refusal("the claim sub must be a string without control characters"))?,
        client: client.or(party),
        tenants: texts(claims, "tenant_id", Refusal("the claim tenant_id must be a string or an array of strings"))?,
    })
}

pub(super) fn scopes(claims: &Map<String, Value>) -> Result<Vec<String>, Refusal> {
    let scope = text(claims, "scope", Refusal("the claim scope must be a string"))?.unwrap_or_default();
    let scp = texts(claims, "scp", Refusal("the claim scp must be a string or an array of strings"))?;
    let scp = scp.unwrap_or_default().join(" ");
    Ok(scope.split(' ').chain(scp.split(' ')).filter(|s| !s.is_empty()).map(str::to_owned).collect())
}

/// A NumericDate (RFC 7519, section 2): seconds since 1970, perhaps with a fraction.
pub(super) fn instant(claims: &Map<String, Value>, name: &str, refusal: Refusal) -> Result<Option<f64>, Refusal> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::Number(seconds)) => Ok(seconds.as_f64()),
        Some(_) => Err(refusal),
    }
}

pub(super) fn text(claims: &Map<String, Value>, name: &str, refusal: Refusal) -> Result<Option<String>, Refusal> {
    match claims.get(name) {
        None => Ok(None),
        // Claims go into logs and the audit trail, and PostgreSQL refuses a NUL.
        Some(Value::String(text)) if !text.contains(char::is_control) => Ok(Some(text.clone())),
        Some(_) => Err(refusal),
    }
}

/// A string, or an array of strings.
pub(super) fn texts(claims: &Map<String, Value>, name: &str, refusal: Refusal) -> Result<Option<Vec<String>>, Refusal> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(vec![text.clone()])),
        Some(Value::Array(texts)) => {
            texts.iter().map(|text| text.as_str().map(str::to_owned).ok_or(refusal)).collect::<Result<_, _>>().map(Some)
        }
        Some(_) => Err(refusal),
    }
}
