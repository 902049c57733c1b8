//! Tokens for development: `crm token` signs them, with a secret that the service makes at its first start.

use std::{io, path::Path, time::Duration};

use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::{
    config::{Config, Secret, development_secret_file, secret_file},
    values::Timestamp,
};

/// The development secret: 32 random bytes, made once in the data directory, readable by its owner only.
///
/// # Errors
/// A data directory that cannot be read or written.
pub fn development_secret(data_dir: &Path) -> io::Result<Secret> {
    let file = development_secret_file(data_dir);
    secret_file::make_once(&file, || Ok(Zeroizing::new(Secret::generate()?.reveal().to_owned())))?;
    read_development_secret(&file)
}

/// The development secret in this file, which must be there.
///
/// # Errors
/// A file that is missing or cannot be read; the message names it.
pub fn read_development_secret(file: &Path) -> io::Result<Secret> {
    match secret_file::read(file)?.trim() {
        secret if secret.len() >= 32 => Ok(Secret::new(secret.to_owned())),
        _ => Err(secret_file::about(file, "holds less than 32 bytes; delete it and a new one is made")),
    }
}

/// Whom a development token is for, and what it allows.
#[derive(Debug, Clone, Copy)]
pub struct DevelopmentToken<'a> {
    /// Its subject: the actor in audit entries.
    pub subject: &'a str,
    /// The client that it was issued to.
    pub client: &'a str,
    /// The tenant that it is limited to.
    pub tenant: Option<&'a str>,
    /// The scopes that it is limited to, separated by spaces.
    pub scope: Option<&'a str>,
}

/// Signs a development token with `secret` (HS256), valid for `ttl` from `now`, with the issuer and audience configured.
///
/// # Errors
/// A fault of the cryptography library.
pub fn sign(
    secret: &Secret,
    config: &Config,
    now: Timestamp,
    ttl: Duration,
    DevelopmentToken { subject, client, tenant, scope }: DevelopmentToken<'_>,
) -> jsonwebtoken::errors::Result<String> {
    let issued = now.0.timestamp();
    let expires = issued.saturating_add(i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX));
    let mut claims = json!({ "sub": subject, "client_id": client, "iat": issued, "exp": expires });
    for (name, value) in [
        (config.auth.tenant_claim.as_str(), tenant),
        ("scope", scope),
        ("iss", config.auth.issuer.as_deref()),
        ("aud", config.auth.audience.as_deref()),
    ] {
        if let (Some(value), Some(claims)) = (value, claims.as_object_mut()) {
            claims.insert(name.to_owned(), Value::from(value));
        }
    }
    jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(secret.reveal().as_bytes()))
}
