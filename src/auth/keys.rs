//! How tokens are verified: JSON Web Tokens (RFC 7519) by the best current practices (RFC 8725).
//!
//! - The configured key decides the algorithm; the token's `alg` must agree (RFC 8725, section 3.1).
//! - A token whose header has `crit` is refused: it demands extensions, and none is known here (RFC 7515, section 4.1.11).
//! - `exp` is required; `nbf`, `iss` and `aud` are checked where the token has them or the configuration names them. A token
//!   that names an audience is refused where none is configured: it may be meant for another service (RFC 7519, section
//!   4.1.3).
//! - Clocks may differ by [`LEEWAY`] (RFC 7519, sections 4.1.4 and 4.1.5).

use std::{collections::HashSet, fs, io, time::Duration};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Map, Value};

use super::{
    claims::{self, Claims, Refusal, Refused, instant, text, texts},
    development::development_secret,
};
use crate::{
    config::{Config, JwtKey, Secret, secret_file::about},
    values::Timestamp,
};

/// How far the issuer's clock may be off.
pub const LEEWAY: Duration = Duration::from_secs(60);

/// What verifies tokens.
pub struct Keys {
    key: DecodingKey,
    validation: Validation,
    issuer: Option<String>,
    audience: Option<String>,
}

impl Keys {
    /// The configured key; where none is configured, the development secret, made when missing.
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
        // The library checks the signature only: it would ignore claims of the wrong type, and has a clock of its own.
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
        let bearer = claims::bearer(&token.claims)?;
        match self.check(&token.claims, now).and_then(|()| claims::scopes(&token.claims)) {
            Ok(scopes) => Ok(Claims { bearer, scopes }),
            Err(refusal) => Err(Refused { refusal, bearer: Some(bearer) }),
        }
    }

    fn check(&self, claims: &Map<String, Value>, now: Timestamp) -> Result<(), Refusal> {
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
            Some(audience) if !ours(&audience) => Err(Refusal("the token is meant for another audience")),
            None if self.audience.is_some() => Err(Refusal("the token names no audience")),
            _ => Ok(()),
        }
    }
}

fn hs256(secret: &Secret) -> (DecodingKey, Vec<Algorithm>) {
    (DecodingKey::from_secret(secret.reveal().as_bytes()), vec![Algorithm::HS256])
}

/// The key, and the algorithms that fit it (RFC 7518, sections 3.3 to 3.5; RFC 8037, section 3.1).
fn public_key(pem: &[u8]) -> Option<(DecodingKey, Vec<Algorithm>)> {
    if let Ok(key) = DecodingKey::from_rsa_pem(pem) {
        return Some((key, vec![Algorithm::RS256, Algorithm::PS256]));
    }
    if let Ok(key) = DecodingKey::from_ec_pem(pem) {
        return is_p256(&key).then(|| (key, vec![Algorithm::ES256]));
    }
    DecodingKey::from_ed_pem(pem).ok().map(|key| (key, vec![Algorithm::EdDSA]))
}

/// Whether an elliptic curve key is on the curve of ES256. jsonwebtoken takes one on any curve, with which no token would
/// ever be valid.
fn is_p256(key: &DecodingKey) -> bool {
    key.try_get_as_bytes().is_ok_and(|point| ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).is_ok())
}
