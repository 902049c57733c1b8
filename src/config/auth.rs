//! How tokens are verified.

use std::{net::IpAddr, path::PathBuf};

use super::{
    secret::Secret,
    variables::{Variables, path, text},
};

/// The shortest secret: a key as long as the hash that it is used with (RFC 7518, section 3.2).
const MIN_SECRET: usize = 32;

/// What tokens are signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JwtKey {
    /// A shared secret: HS256.
    Secret(Secret),
    /// A PEM file with the issuer's public key: RS256 or PS256, ES256, EdDSA, depending on the key.
    PublicKeyFile(PathBuf),
    /// Nothing is configured: a development secret, only on a loopback address.
    Development,
}

/// As read: `None` where it is not set, and after a mistake.
pub(super) struct Auth {
    secret: Option<Secret>,
    public_key_file: Option<PathBuf>,
    pub(super) issuer: Option<String>,
    pub(super) audience: Option<String>,
}

impl Auth {
    pub(super) fn read(env: &mut Variables<'_>) -> Self {
        Self {
            secret: env.optional("CRM_JWT_SECRET", "shared secret of HS256 tokens, at least 32 bytes", secret),
            public_key_file: env.optional(
                "CRM_JWT_PUBLIC_KEY_FILE",
                "PEM file with the public key of RS256, PS256, ES256 or EdDSA tokens",
                path,
            ),
            issuer: env.optional("CRM_JWT_ISSUER", "the iss that every token must have", text),
            audience: env.optional("CRM_JWT_AUDIENCE", "the aud that every token must name", text),
        }
    }

    /// The one key; `None` where there are two. Beyond the loopback address a development secret will not do.
    pub(super) fn key(&self, env: &mut Variables<'_>, host: Option<IpAddr>) -> Option<JwtKey> {
        match (&self.secret, &self.public_key_file) {
            (Some(_), Some(_)) => {
                env.mistake("CRM_JWT_SECRET, CRM_JWT_PUBLIC_KEY_FILE: set one of the two, not both");
                None
            }
            (Some(secret), None) => Some(JwtKey::Secret(secret.clone())),
            (None, Some(file)) => Some(JwtKey::PublicKeyFile(file.clone())),
            (None, None) => {
                let is_set = env.is_set("CRM_JWT_SECRET") || env.is_set("CRM_JWT_PUBLIC_KEY_FILE");
                if !is_set && host.is_some_and(|host| !host.is_loopback()) {
                    env.mistake(
                        "CRM_JWT_SECRET or CRM_JWT_PUBLIC_KEY_FILE: one is needed where CRM_HOST is not a loopback \
                         address",
                    );
                }
                Some(JwtKey::Development)
            }
        }
    }
}

fn secret(text: &str) -> Result<Secret, String> {
    // Whoever has the public key could sign with it (RFC 8725, section 2.1).
    if text.trim_start().starts_with("-----BEGIN") {
        return Err("is a PEM key; name its file in CRM_JWT_PUBLIC_KEY_FILE".to_owned());
    }
    if text.len() < MIN_SECRET {
        return Err(format!("must be at least {MIN_SECRET} bytes"));
    }
    Ok(Secret::new(text.to_owned()))
}
