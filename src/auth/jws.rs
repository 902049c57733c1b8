//! A signed token taken apart (JSON Web Signature in its compact form, RFC 7515, section 3.1): once, within bounds, and
//! before anything is decoded that its header does not vouch for.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use super::{
    json,
    key::Algorithm,
    refusal::{Refusal, malformed},
};

/// The longest token, in bytes.
pub const MAX_TOKEN: usize = 8192;

/// The longest JOSE header as it is sent, in bytes: room for a certificate, which is not looked at.
const MAX_HEADER: usize = 4096;

/// The longest key id, in bytes.
const MAX_KID: usize = 255;

const TYPE: &str = "the header parameter typ must be JWT or at+jwt";

/// A token of three parts, whose header is that of a signature.
#[derive(Debug)]
pub(super) struct Jws<'t> {
    /// The algorithm that it says it is signed with.
    pub(super) algorithm: Algorithm,
    /// The name of the key that it says it is signed with.
    pub(super) kid: Option<String>,
    /// What is signed.
    pub(super) signed: &'t str,
    /// The signature, decoded.
    pub(super) signature: Vec<u8>,
    payload: &'t str,
}

impl<'t> Jws<'t> {
    /// Takes a token apart; `None` where it is no JSON Web Token at all.
    ///
    /// # Errors
    /// A header that is not accepted.
    pub(super) fn parse(token: &'t str) -> Result<Option<Self>, Refusal> {
        let Some((signed, signature)) = token.rsplit_once('.') else { return Ok(None) };
        let Some((header, payload)) = signed.split_once('.') else { return Ok(None) };
        if payload.contains('.') || header.is_empty() {
            return Ok(None);
        }
        if header.len() > MAX_HEADER {
            return Err(malformed("the token's header is too long"));
        }
        let Ok(header) = URL_SAFE_NO_PAD.decode(header) else { return Ok(None) };
        if header.first() != Some(&b'{') {
            return Ok(None);
        }
        let members = json::members(&header, ["alg", "kid", "typ", "crit"]);
        let [alg, kid, typ, crit] =
            members.ok_or(malformed("the token's header is malformed, nests too deeply or has a name twice"))?;
        if crit.is_some() {
            return Err(malformed("the token demands extensions that this service does not know (crit)"));
        }
        check_type(typ.as_ref())?;
        let algorithm = alg.as_ref().and_then(Value::as_str).and_then(Algorithm::of);
        let algorithm = algorithm.ok_or(malformed("the token is not signed with an algorithm that is accepted"))?;
        let kid = match kid {
            None => None,
            Some(Value::String(kid)) if kid.len() <= MAX_KID => Some(kid),
            Some(_) => return Err(malformed("the header parameter kid must be a string of at most 255 bytes")),
        };
        let signature =
            URL_SAFE_NO_PAD.decode(signature).map_err(|_| malformed("the token's signature is malformed"))?;
        Ok(Some(Self { algorithm, kid, signed, signature, payload }))
    }

    /// The claims. They are decoded here: call this once the signature is verified.
    ///
    /// # Errors
    /// A payload that is no JSON object, nests too deeply, or has a claim twice.
    pub(super) fn claims(&self) -> Result<Map<String, Value>, Refusal> {
        let payload = URL_SAFE_NO_PAD.decode(self.payload).ok();
        payload
            .and_then(|payload| json::object(&payload))
            .ok_or(malformed("the token's payload is no JSON object, nests too deeply or has a claim twice"))
    }
}

/// A token may say that it is one, or an access token (RFC 9068, section 2.1), and nothing else: what is signed for another
/// purpose, like a security event, is no token (RFC 8725, section 3.11).
fn check_type(typ: Option<&Value>) -> Result<(), Refusal> {
    let Some(typ) = typ else { return Ok(()) };
    let typ = typ.as_str().ok_or(malformed(TYPE))?.to_ascii_lowercase();
    match typ.strip_prefix("application/").unwrap_or(&typ) {
        "jwt" | "at+jwt" => Ok(()),
        _ => Err(malformed(TYPE)),
    }
}
