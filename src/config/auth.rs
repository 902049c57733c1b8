//! How tokens are verified, and what is asked of their claims.

use std::{
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    platform::{Introspection, Platform, PlatformAccess},
    secret::Secret,
    variables::{FILE, SecretName, Variables, duration, path, text},
};

/// The shortest secret: a key as long as the hash that it is used with (RFC 7518, section 3.2).
const MIN_SECRET: usize = 32;

const MAX_AGE: Duration = Duration::from_secs(365 * 86_400);

const SECRET: SecretName = SecretName { name: "CRM_JWT_SECRET", file: "CRM_JWT_SECRET_FILE" };

/// How tokens are verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthConfig {
    /// What JSON Web Tokens are verified with here.
    pub keys: TokenKeys,
    /// Where the platform is asked about a token.
    pub introspection: Option<Introspection>,
    /// How the platform is asked.
    pub access: PlatformAccess,
    /// The `iss` that a token must have.
    pub issuer: Option<String>,
    /// The `aud` that a token must name.
    pub audience: Option<String>,
    /// How long after its `iat` a token is valid at most.
    pub max_age: Option<Duration>,
    /// The claim that names a token's tenants.
    pub tenant_claim: String,
    /// Who says for which tenant a request is.
    pub tenancy: Tenancy,
    /// What a token may do that names no `crm:` scope.
    pub scopes: ScopePolicy,
}

/// What JSON Web Tokens are verified with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenKeys {
    /// A shared secret: HS256.
    Secret(Secret),
    /// A PEM file with public keys of the issuer.
    PublicKeyFile(PathBuf),
    /// A file with a JSON Web Key Set (RFC 7517), read again when it changes.
    JwksFile(PathBuf),
    /// A JSON Web Key Set at this address.
    JwksUrl(String),
    /// The key set of this issuer, by OpenID Connect Discovery.
    Issuer(String),
    /// None: the platform is asked about each token.
    None,
    /// Nothing is configured: a development secret, only on a loopback address.
    Development,
}

impl fmt::Display for TokenKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(_) => f.write_str("a shared secret"),
            Self::PublicKeyFile(file) | Self::JwksFile(file) => write!(f, "keys in {}", file.display()),
            Self::JwksUrl(url) => write!(f, "keys at {url}"),
            Self::Issuer(issuer) => write!(f, "keys of {issuer}"),
            Self::None => f.write_str("by asking the platform"),
            Self::Development => f.write_str("a development secret"),
        }
    }
}

/// Who says for which tenant a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tenancy {
    /// The header, within the tenants that the token names; a token that names none may name any.
    Header,
    /// The token: one that names no tenant is refused.
    Token,
}

impl fmt::Display for Tenancy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "header",
            Self::Token => "token",
        })
    }
}

impl fmt::Display for ScopePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Optional => "optional",
            Self::Required => "required",
        })
    }
}

/// What a token may do that names no `crm:` scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScopePolicy {
    /// Read and write: the platform's gateway has decided.
    Optional,
    /// Nothing.
    Required,
}

/// As read: `None` where it is not set, and after a mistake.
pub(super) struct Auth {
    secret: Option<Secret>,
    public_key_file: Option<PathBuf>,
    jwks_file: Option<PathBuf>,
    issuer: Option<String>,
    audience: Option<String>,
    max_age: Option<Duration>,
    tenant_claim: Option<String>,
    tenancy: Option<Tenancy>,
    scopes: Option<ScopePolicy>,
    platform: Platform,
}

impl Auth {
    pub(super) fn read(env: &mut Variables<'_>) -> Self {
        env.about("Tokens");
        Self {
            secret: env.secret(SECRET, ("shared secret of HS256 tokens, at least 32 bytes", FILE), secret),
            public_key_file: env.optional(
                "CRM_JWT_PUBLIC_KEY_FILE",
                "PEM file with one or several public keys of tokens: RSA from 2048 bits on, EC P-256, Ed25519",
                path,
            ),
            jwks_file: env.optional(
                "CRM_JWKS_FILE",
                "file with public keys as a JSON Web Key Set, read again when it changes",
                path,
            ),
            platform: Platform::read(env),
            issuer: env.optional("CRM_JWT_ISSUER", "the `iss` that every token must have", text),
            audience: env.optional(
                "CRM_JWT_AUDIENCE",
                "the `aud` that every token must name; where it is not set, tokens that name an audience are refused",
                text,
            ),
            max_age: env.optional(
                "CRM_JWT_MAX_AGE",
                "how long after its `iat` a token is valid at most, whatever its `exp`; needs the claim `iat`",
                max_age,
            ),
            tenant_claim: env.value(
                "CRM_TENANT_CLAIM",
                "tenant_id",
                "claim that names a token's tenants, a string or an array of strings; dots for a claim within another",
                claim,
            ),
            tenancy: env.value(
                "CRM_TENANCY",
                "header",
                "a token that names no tenant may act for any that `X-Tenant-Id` names (`header`), or is refused (`token`)",
                tenancy,
            ),
            scopes: env.value(
                "CRM_SCOPES",
                "optional",
                "a token that names no `crm:` scope may read and write (`optional`), or nothing (`required`)",
                scopes,
            ),
        }
    }

    /// What was read, if it fits together. Beyond the loopback address a development secret will not do.
    pub(super) fn check(self, env: &mut Variables<'_>, host: Option<IpAddr>) -> Option<AuthConfig> {
        let plain_http = self.platform.plain_http;
        let introspection = self.platform.introspection(env);
        let keys = self.keys(env, host, introspection.is_some());
        if let (Some(TokenKeys::Issuer(discovered)), Some(issuer)) = (&keys, &self.issuer)
            && discovered != issuer
        {
            env.mistake("CRM_JWT_ISSUER: is not the issuer in CRM_OIDC_ISSUER; leave it out");
        }
        let issuer = match &keys {
            Some(TokenKeys::Issuer(issuer)) => Some(issuer.clone()),
            _ => self.issuer,
        };
        Some(AuthConfig {
            keys: keys?,
            introspection,
            access: self.platform.access(plain_http?)?,
            issuer,
            audience: self.audience,
            max_age: self.max_age,
            tenant_claim: self.tenant_claim?,
            tenancy: self.tenancy?,
            scopes: self.scopes?,
        })
    }

    /// The one source of keys; `None` where there are two.
    fn keys(&self, env: &mut Variables<'_>, host: Option<IpAddr>, introspects: bool) -> Option<TokenKeys> {
        let sources = [
            ("CRM_JWT_SECRET", self.secret.clone().map(TokenKeys::Secret), env.is_secret_set(SECRET)),
            file(env, "CRM_JWT_PUBLIC_KEY_FILE", self.public_key_file.as_ref(), TokenKeys::PublicKeyFile),
            file(env, "CRM_JWKS_FILE", self.jwks_file.as_ref(), TokenKeys::JwksFile),
            address(env, "CRM_JWKS_URL", self.platform.jwks_url.as_ref(), TokenKeys::JwksUrl),
            address(env, "CRM_OIDC_ISSUER", self.platform.oidc_issuer.as_ref(), TokenKeys::Issuer),
        ];
        let named: Vec<&str> = sources.iter().filter(|(_, _, is_set)| *is_set).map(|(name, ..)| *name).collect();
        if named.len() > 1 {
            env.mistake(&format!("{}: set one of them, not several", named.join(", ")));
            return None;
        }
        match sources.into_iter().find(|(_, _, is_set)| *is_set) {
            Some((_, keys, _)) => keys,
            None if introspects || self.platform.names_introspection(env) => Some(TokenKeys::None),
            None => {
                if host.is_some_and(|host| !host.is_loopback()) {
                    env.mistake(
                        "CRM_JWT_SECRET, CRM_JWT_PUBLIC_KEY_FILE, CRM_JWKS_FILE, CRM_JWKS_URL, CRM_OIDC_ISSUER or \
                         PLATFORM_AUTH_URL: one is needed where CRM_HOST is not a loopback address",
                    );
                }
                Some(TokenKeys::Development)
            }
        }
    }
}

/// Where the development secret is, made when missing.
#[must_use]
pub fn development_secret_file(data_dir: &Path) -> PathBuf {
    data_dir.join("jwt_secret")
}

/// A possible source of keys: the variable, what it says, and whether it is set.
type Source = (&'static str, Option<TokenKeys>, bool);

fn file(env: &Variables<'_>, name: &'static str, file: Option<&PathBuf>, keys: fn(PathBuf) -> TokenKeys) -> Source {
    (name, file.cloned().map(keys), env.is_set(name))
}

fn address(env: &Variables<'_>, name: &'static str, url: Option<&String>, keys: fn(String) -> TokenKeys) -> Source {
    (name, url.cloned().map(keys), env.is_set(name))
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

fn max_age(text: &str) -> Result<Duration, String> {
    match duration(text, MAX_AGE)? {
        Duration::ZERO => Err("must be longer than 0s".to_owned()),
        age => Ok(age),
    }
}

fn claim(name: &str) -> Result<String, String> {
    match (1..=128).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(name.to_owned()),
        false => Err("must be the name of a claim, 1 to 128 visible ASCII characters".to_owned()),
    }
}

fn tenancy(text: &str) -> Result<Tenancy, String> {
    match text {
        "header" => Ok(Tenancy::Header),
        "token" => Ok(Tenancy::Token),
        _ => Err("must be header or token".to_owned()),
    }
}

fn scopes(text: &str) -> Result<ScopePolicy, String> {
    match text {
        "optional" => Ok(ScopePolicy::Optional),
        "required" => Ok(ScopePolicy::Required),
        _ => Err("must be optional or required".to_owned()),
    }
}
