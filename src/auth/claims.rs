//! The claims of a token (RFC 7519, section 4), or of what the platform says about one (RFC 7662, section 2.2), read by type: a
//! claim of the wrong type is refused, never ignored.

use serde_json::{Map, Value};

use super::refusal::{Refusal, bad_claim};

/// What a valid token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Whose it is.
    pub bearer: Bearer,
    /// `scope` (RFC 8693, section 4.2) and `scp` (as some issuers name it), together.
    pub scopes: Vec<String>,
}

/// Whose a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bearer {
    /// `sub` (RFC 7519, section 4.1.2): who acts.
    pub subject: Option<String>,
    /// `client_id` (RFC 8693, section 4.3), or else `azp` (OpenID Connect Core, section 2): the client program.
    pub client: Option<String>,
    /// The only tenants that the token is valid for; `None` where it names none.
    pub tenants: Option<Vec<String>>,
}

/// Between which instants a token is valid, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Times {
    pub(super) expires: Option<f64>,
    pub(super) begins: Option<f64>,
    pub(super) issued: Option<f64>,
}

/// The longest name of a subject or a client, in characters: it is stored with every change (OpenID Connect Core, section 2).
const MAX_NAME: usize = 255;

/// The last second of the year 9999.
const LAST: f64 = 253_402_300_799.0;

/// Whose the token is; `tenant_claim` names its tenants, with dots for one claim within another.
pub(super) fn bearer(claims: &Map<String, Value>, tenant_claim: &str) -> Result<Bearer, Refusal> {
    let client = name(claims, "client_id")?;
    let party = name(claims, "azp")?;
    let tenants = texts(named(claims, tenant_claim));
    Ok(Bearer {
        subject: name(claims, "sub")?,
        client: client.or(party),
        tenants: tenants.map_err(|()| bad_claim(tenant_claim, "a string or an array of strings"))?,
    })
}

/// The scopes, however they are written: names separated by spaces, by commas, or in an array of such.
pub(super) fn scopes(claims: &Map<String, Value>) -> Result<Vec<String>, Refusal> {
    let mut scopes = Vec::new();
    for claim in ["scope", "scp"] {
        let texts = texts(claims.get(claim)).map_err(|()| bad_claim(claim, "a string or an array of strings"))?;
        for text in texts.iter().flatten() {
            let separated = text.split(|c: char| c.is_whitespace() || c == ',');
            scopes.extend(separated.filter(|scope| !scope.is_empty()).map(str::to_owned));
        }
    }
    Ok(scopes)
}

/// When the token is valid.
pub(super) fn times(claims: &Map<String, Value>) -> Result<Times, Refusal> {
    Ok(Times { expires: instant(claims, "exp")?, begins: instant(claims, "nbf")?, issued: instant(claims, "iat")? })
}

/// A string without control characters.
pub(super) fn text(claims: &Map<String, Value>, name: &str) -> Result<Option<String>, Refusal> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if !text.contains(char::is_control) => Ok(Some(text.clone())),
        Some(_) => Err(bad_claim(name, "a string")),
    }
}

/// A string, or an array of strings.
pub(super) fn texts(claim: Option<&Value>) -> Result<Option<Vec<String>>, ()> {
    match claim {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(vec![text.clone()])),
        Some(Value::Array(texts)) => {
            texts.iter().map(|text| text.as_str().map(str::to_owned).ok_or(())).collect::<Result<_, _>>().map(Some)
        }
        Some(_) => Err(()),
    }
}

/// A NumericDate (RFC 7519, section 2): seconds since 1970, perhaps with a fraction, up to the year 9999.
fn instant(claims: &Map<String, Value>, name: &str) -> Result<Option<f64>, Refusal> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => match value.as_f64() {
            Some(seconds) if (0.0..=LAST).contains(&seconds) => Ok(Some(seconds)),
            _ => Err(bad_claim(name, "a number of seconds since 1970, before the year 10000")),
        },
    }
}

/// A name that goes into logs and the audit trail: control characters break lines there, and PostgreSQL refuses a NUL; format
/// characters make one name look like another.
fn name(claims: &Map<String, Value>, claim: &str) -> Result<Option<String>, Refusal> {
    let is_plain = |text: &str| !text.contains(|c: char| c.is_control() || is_format(c));
    match claims.get(claim) {
        None => Ok(None),
        Some(Value::String(text)) if text.chars().count() <= MAX_NAME && is_plain(text) => Ok(Some(text.clone())),
        Some(_) => {
            Err(bad_claim(claim, "a string of at most 255 characters, none of them a control or format character"))
        }
    }
}

/// A claim by its name, which may hold dots itself (`https://example.com/tenant`), or within others.
fn named<'c>(claims: &'c Map<String, Value>, name: &str) -> Option<&'c Value> {
    claims.get(name).or_else(|| {
        let (outer, inner) = name.split_once('.')?;
        named(claims.get(outer)?.as_object()?, inner)
    })
}

/// Unicode's category Cf.
fn is_format(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}'
        | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}'
        | '\u{2066}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}'
        | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0001}'
        | '\u{e0020}'..='\u{e007f}')
}
