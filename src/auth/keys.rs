//! JSON Web Tokens by the book (RFC 7519, RFC 8725).
//!
//! - The configured key decides the algorithm; the token's `alg` only may agree (RFC 8725, section 3.1).
//! - `exp` is required; `nbf`, `iss`, `aud` are checked when the token has them or the configuration names them. A token
//!   that names an audience is refused where none is configured: it may be meant for another service (RFC 7519, 4.1.3).
//! - A claim of the wrong type is refused, never ignored.
//! - Clocks may differ by [`LEEWAY`].

use std::{collections::HashSet, fs, io, path::Path, time::Duration};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde_json::{Map, Value, json};

use crate::{
    config::{Config, JwtKey, Secret},
    secret_file::{self, about},
    values::Timestamp,
};

/// How far the issuer's clock may be off.
pub const LEEWAY: Duration = Duration::from_secs(60);

/// What a valid token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Whose it is.
    pub bearer: Bearer,
    /// `scope` (RFC 8693) and `scp`, together.
    pub scopes: Vec<String>,
}

/// Why a token is not valid, in words that repeat nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal(pub &'static str);

/// A token that is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// Whose it is, where the signature shows that it is theirs: an expired token, one for another audience.
    pub bearer: Option<Bearer>,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, bearer: None }
    }
}

/// Whose a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bearer {
    /// `sub`: who acts.
    pub subject: Option<String>,
    /// `client_id`, or `azp`: through which program.
    pub client: Option<String>,
    /// `tenant_id`: the tenants the token is held to, or `None` where it names none.
    pub tenants: Option<Vec<String>>,
}

/// What verifies tokens.
pub struct Keys {
    key: DecodingKey,
    validation: Validation,
    issuer: Option<String>,
    audience: Option<String>,
}

impl Keys {
    /// The keys that the configuration names; where it names none, the development secret, made when missing.
    ///
    /// # Errors
    /// A key file that cannot be read or holds no supported public key.
    pub fn from_config(config: &Config) -> io::Result<Self> {
        let (key, algorithms) = match &config.jwt_key {
            JwtKey::Secret(secret) => hs256(secret),
            JwtKey::Development => hs256(&development_secret(&config.data_dir)?),
            JwtKey::PublicKeyFile(file) => {
                let pem = fs::read(file).map_err(|error| about(file, &error.to_string()))?;
                public_key(&pem)
                    .ok_or_else(|| about(file, "holds no public key of type RSA, EC P-256 or Ed25519 in PEM form"))?
            }
        };
        // The library checks the signature; the claims are checked below, by type and against the service's own clock.
        let validation = Validation {
            algorithms,
            required_spec_claims: HashSet::new(),
            validate_exp: false,
            validate_aud: false,
            ..Validation::default()
        };
        Ok(Self { key, validation, issuer: config.jwt_issuer.clone(), audience: config.jwt_audience.clone() })
    }

    /// Verifies a token at the instant `now`.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, Refused> {
        let token = jsonwebtoken::decode::<Map<String, Value>>(token, &self.key, &self.validation)
            .map_err(|_| Refusal("the token is malformed, or not signed with the configured key and algorithm"))?;
        if token.header.crit.is_some() {
            return Err(Refusal("the token demands extensions that this service does not know (crit)").into());
        }
        let bearer = bearer(&token.claims)?;
        match self.check(&token.claims, now) {
            Ok(scopes) => Ok(Claims { bearer, scopes }),
            Err(refusal) => Err(Refused { refusal, bearer: Some(bearer) }),
        }
    }

    /// Checks the claims; gives the scopes.
    fn check(&self, claims: &Map<String, Value>, now: Timestamp) -> Result<Vec<String>, Refusal> {
        let now = now.0.timestamp_millis() as f64 / 1000.0;
        let leeway = LEEWAY.as_secs_f64();
        let expires = instant(claims, "exp", Refusal("the claim exp must be a number"))?;
        let expires = expires.ok_or(Refusal("the token has no claim exp"))?;
        if now >= expires + leeway {
            return Err(Refusal("the token has expired"));
        }
        let begins = instant(claims, "nbf", Refusal("the claim nbf must be a number"))?;
        if begins.is_some_and(|begins| now < begins - leeway) {
            return Err(Refusal("the token is not valid yet"));
        }
        instant(claims, "iat", Refusal("the claim iat must be a number"))?;

        let issuer = text(claims, "iss", Refusal("the claim iss must be a string"))?;
        if self.issuer.is_some() && issuer != self.issuer {
            return Err(Refusal("the token is from another issuer"));
        }
        let audience = texts(claims, "aud", Refusal("the claim aud must be a string or an array of strings"))?;
        let ours = |audience: &Vec<String>| self.audience.as_ref().is_some_and(|own| audience.contains(own));
        match audience {
            Some(audience) if !ours(&audience) => return Err(Refusal("the token is meant for another audience")),
            None if self.audience.is_some() => return Err(Refusal("the token names no audience")),
            _ => {}
        }

        let scope = text(claims, "scope", Refusal("the claim scope must be a string"))?.unwrap_or_default();
        let scp = texts(claims, "scp", Refusal("the claim scp must be a string or an array of strings"))?;
        let scp = scp.unwrap_or_default().join(" ");
        Ok(scope.split(' ').chain(scp.split(' ')).filter(|s| !s.is_empty()).map(str::to_owned).collect())
    }
}

fn bearer(claims: &Map<String, Value>) -> Result<Bearer, Refusal> {
    let client = text(claims, "client_id", Refusal("the claim client_id must be a string without control characters"))?;
    let party = text(claims, "azp", Refusal("the claim azp must be a string without control characters"))?;
    Ok(Bearer {
        subject: text(claims, "sub", Refusal("the claim sub must be a string without control characters"))?,
        client: client.or(party),
        tenants: texts(claims, "tenant_id", Refusal("the claim tenant_id must be a string or an array of strings"))?,
    })
}

/// Signs a development token with `secret`, valid for `ttl` from `now`, with the issuer and audience configured.
///
/// # Errors
/// A fault of the cryptography library.
pub fn sign(
    secret: &Secret,
    config: &Config,
    now: Timestamp,
    ttl: Duration,
    tenant: Option<&str>,
    scope: Option<&str>,
) -> jsonwebtoken::errors::Result<String> {
    let issued = now.0.timestamp();
    let expires = issued.saturating_add(i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX));
    let mut claims = json!({ "sub": "developer", "client_id": "crm-token", "iat": issued, "exp": expires });
    for (name, value) in [
        ("tenant_id", tenant),
        ("scope", scope),
        ("iss", config.jwt_issuer.as_deref()),
        ("aud", config.jwt_audience.as_deref()),
    ] {
        if let (Some(value), Some(claims)) = (value, claims.as_object_mut()) {
            claims.insert(name.to_owned(), Value::from(value));
        }
    }
    jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(secret.reveal().as_bytes()))
}

/// The development secret: 32 random bytes, made once in the data directory, readable by its owner only.
///
/// # Errors
/// A data directory that cannot be read or written.
pub fn development_secret(data_dir: &Path) -> io::Result<Secret> {
    let file = data_dir.join("jwt_secret");
    secret_file::make_once(&file, || {
        let mut bytes = [0_u8; 32];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    })?;
    match secret_file::read(&file)?.trim() {
        secret if secret.len() >= 32 => Ok(Secret::new(secret.to_owned())),
        _ => Err(about(&file, "holds less than 32 bytes; delete it and a new one is made")),
    }
}

fn hs256(secret: &Secret) -> (DecodingKey, Vec<Algorithm>) {
    (DecodingKey::from_secret(secret.reveal().as_bytes()), vec![Algorithm::HS256])
}

/// The key and the algorithms that fit it.
fn public_key(pem: &[u8]) -> Option<(DecodingKey, Vec<Algorithm>)> {
    if let Ok(key) = DecodingKey::from_rsa_pem(pem) {
        return Some((key, vec![Algorithm::RS256, Algorithm::PS256]));
    }
    if let Ok(key) = DecodingKey::from_ec_pem(pem) {
        return is_p256(pem).then(|| (key, vec![Algorithm::ES256]));
    }
    DecodingKey::from_ed_pem(pem).ok().map(|key| (key, vec![Algorithm::EdDSA]))
}

/// Whether an elliptic curve key is on the curve of ES256: with another one no token would ever verify.
fn is_p256(pem: &[u8]) -> bool {
    /// The curve's object identifier, 1.2.840.10045.3.1.7, in DER (RFC 5480, section 2.1.1.1).
    const PRIME256V1: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    let text = String::from_utf8_lossy(pem);
    let base64: String = text.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect();
    let der = STANDARD.decode(base64).unwrap_or_default();
    der.windows(PRIME256V1.len()).any(|window| window == PRIME256V1)
}

/// A claim that is a NumericDate (RFC 7519, section 2): seconds since 1970, perhaps with a fraction.
fn instant(claims: &Map<String, Value>, name: &str, refusal: Refusal) -> Result<Option<f64>, Refusal> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::Number(seconds)) => Ok(seconds.as_f64()),
        Some(_) => Err(refusal),
    }
}

fn text(claims: &Map<String, Value>, name: &str, refusal: Refusal) -> Result<Option<String>, Refusal> {
    match claims.get(name) {
        None => Ok(None),
        // What a claim says goes into logs and the audit trail; a database would refuse a NUL.
        Some(Value::String(text)) if !text.contains(char::is_control) => Ok(Some(text.clone())),
        Some(_) => Err(refusal),
    }
}

fn texts(claims: &Map<String, Value>, name: &str, refusal: Refusal) -> Result<Option<Vec<String>>, Refusal> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(vec![text.clone()])),
        Some(Value::Array(texts)) => {
            texts.iter().map(|text| text.as_str().map(str::to_owned).ok_or(refusal)).collect::<Result<_, _>>().map(Some)
        }
        Some(_) => Err(refusal),
    }
}
