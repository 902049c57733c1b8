//! How the platform is asked about tokens: for its keys, and whether one is active.

use std::{net::IpAddr, time::Duration};

use reqwest::Url;

use super::{
    ca_file::CaFile,
    secret::Secret,
    variables::{FILE, SecretName, Variables, duration, on_or_off, text},
};

const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3600);

const CLIENT_SECRET: SecretName =
    SecretName { name: "CRM_PLATFORM_AUTH_CLIENT_SECRET", file: "CRM_PLATFORM_AUTH_CLIENT_SECRET_FILE" };

/// Where the platform is asked about a token (RFC 7662).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Introspection {
    /// The address.
    pub url: String,
    /// As whom the service asks.
    pub client: Option<(String, Secret)>,
    /// Whether it is asked about every token, or only where it cannot be verified here.
    pub all: bool,
}

/// How the platform is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformAccess {
    /// Whose certificates are trusted; `None` for the system's.
    pub ca_file: Option<CaFile>,
    /// Whether it may be asked without TLS beyond this machine.
    pub plain_http: bool,
    /// How often the keys are fetched.
    pub refresh: Duration,
    /// How long after a fetch for a key that was not there no other is made for one.
    pub cooldown: Duration,
    /// How long what the platform said last holds while it is away.
    pub grace: Duration,
    /// How long what it said about a token is not asked again.
    pub cache: Duration,
}

/// As read: `None` where it is not set, and after a mistake.
pub(super) struct Platform {
    pub(super) jwks_url: Option<String>,
    pub(super) oidc_issuer: Option<String>,
    pub(super) plain_http: Option<bool>,
    url: Option<String>,
    prefixed_url: Option<String>,
    client_id: Option<String>,
    client_secret: Option<Secret>,
    all: Option<bool>,
    ca_file: Option<CaFile>,
    times: Times,
}

/// How often it is asked, and for how long an answer holds; as read.
struct Times {
    refresh: Option<Duration>,
    cooldown: Option<Duration>,
    grace: Option<Duration>,
    cache: Option<Duration>,
}

impl Times {
    fn read(env: &mut Variables<'_>) -> Self {
        Self {
            refresh: env.value(
                "CRM_JWKS_REFRESH",
                "5m",
                "how often keys are fetched, `1s` to `1day`; at least twice within `CRM_AUTH_GRACE`",
                |text| between(text, Duration::from_secs(1), DAY),
            ),
            cooldown: env.value(
                "CRM_JWKS_COOLDOWN",
                "30s",
                "how long after a fetch that did not find a token's key no other is made for one, `1s` to `1h`",
                |text| between(text, Duration::from_secs(1), HOUR),
            ),
            grace: env.value(
                "CRM_AUTH_GRACE",
                "1h",
                "how long keys, and what the platform said about a token, hold while it is away; at most `1day`",
                |text| duration(text, DAY),
            ),
            cache: env.value(
                "CRM_AUTH_CACHE",
                "60s",
                "how long the platform is not asked again about a token; at most `1h`",
                |text| duration(text, HOUR),
            ),
        }
    }
}

impl Platform {
    pub(super) fn read(env: &mut Variables<'_>) -> Self {
        let plain_http = env.value(
            "CRM_AUTH_PLAIN_HTTP",
            "off",
            "the platform may be asked over `http://` also beyond this machine (`on`)",
            on_or_off,
        );
        let address = |text: &str| address(text, plain_http.unwrap_or_default());
        Self {
            plain_http,
            jwks_url: env.optional("CRM_JWKS_URL", "address of a JSON Web Key Set", address),
            oidc_issuer: env.optional(
                "CRM_OIDC_ISSUER",
                "issuer, whose keys are found by OpenID Connect Discovery; it is also the `iss` that every token must have",
                address,
            ),
            url: env.optional(
                "PLATFORM_AUTH_URL",
                "address where the platform says whether a token is active (RFC 7662)",
                address,
            ),
            prefixed_url: env.optional("CRM_PLATFORM_AUTH_URL", "the same, where a prefix is wanted", address),
            client_id: env.optional(
                "CRM_PLATFORM_AUTH_CLIENT_ID",
                "as whom the service asks there (HTTP Basic); with the secret, or not at all",
                text,
            ),
            client_secret: env
                .secret(CLIENT_SECRET, ("the secret of that client", FILE), |text| Ok(Secret::new(text.to_owned()))),
            all: env.value(
                "CRM_AUTH_INTROSPECT",
                "others",
                "where both keys and `PLATFORM_AUTH_URL` are set: the platform is asked about tokens that are no JSON Web \
                 Tokens (`others`), or about each (`all`)",
                all_or_others,
            ),
            ca_file: env.optional(
                "CRM_AUTH_CA_FILE",
                "PEM file with the certificates by which the platform's is trusted, in place of the system's",
                CaFile::parse,
            ),
            times: Times::read(env),
        }
    }

    /// Whether one of its two variables is set.
    pub(super) fn names_introspection(&self, env: &Variables<'_>) -> bool {
        env.is_set("PLATFORM_AUTH_URL") || env.is_set("CRM_PLATFORM_AUTH_URL")
    }

    pub(super) fn introspection(&self, env: &mut Variables<'_>) -> Option<Introspection> {
        if let (Some(one), Some(other)) = (&self.url, &self.prefixed_url)
            && one != other
        {
            env.mistake("PLATFORM_AUTH_URL, CRM_PLATFORM_AUTH_URL: are not the same; set one of the two");
        }
        let is_named = self.names_introspection(env);
        if self.all == Some(true) && !is_named {
            env.mistake("CRM_AUTH_INTROSPECT: is of no use without PLATFORM_AUTH_URL");
        }
        let has_secret = env.is_secret_set(CLIENT_SECRET);
        if env.is_set("CRM_PLATFORM_AUTH_CLIENT_ID") != has_secret {
            env.mistake("CRM_PLATFORM_AUTH_CLIENT_ID, CRM_PLATFORM_AUTH_CLIENT_SECRET: set both, or neither");
        } else if has_secret && !is_named {
            env.mistake("CRM_PLATFORM_AUTH_CLIENT_ID: is of no use without PLATFORM_AUTH_URL");
        }
        let url = self.url.clone().or_else(|| self.prefixed_url.clone())?;
        Some(Introspection { url, client: self.client_id.clone().zip(self.client_secret.clone()), all: self.all? })
    }

    pub(super) fn access(self, plain_http: bool) -> Option<PlatformAccess> {
        Some(PlatformAccess {
            ca_file: self.ca_file,
            plain_http,
            refresh: self.times.refresh?,
            cooldown: self.times.cooldown?,
            grace: self.times.grace?,
            cache: self.times.cache?,
        })
    }
}

/// Whether the platform may be asked at this address: with TLS, on this machine, or where plain HTTP is allowed.
#[must_use]
pub fn is_allowed(url: &Url, plain_http: bool) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let is_here = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    match url.scheme() {
        "https" => true,
        "http" => is_here || plain_http,
        _ => false,
    }
}

/// The address as it was written: an issuer is compared by its characters. No message repeats it, for it may hold a password.
fn address(text: &str, plain_http: bool) -> Result<String, String> {
    let url = Url::parse(text).map_err(|_| "must be an address, https://HOST/PATH".to_owned())?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must hold no user and no password".to_owned());
    }
    if url.fragment().is_some() || url.host_str().is_none_or(str::is_empty) {
        return Err("must be an address, https://HOST/PATH".to_owned());
    }
    match is_allowed(&url, plain_http) {
        true => Ok(text.to_owned()),
        false => {
            Err("must begin with https://; http:// is for this machine, or needs CRM_AUTH_PLAIN_HTTP=on".to_owned())
        }
    }
}

fn between(text: &str, least: Duration, most: Duration) -> Result<Duration, String> {
    match duration(text, most)? {
        duration if duration >= least => Ok(duration),
        _ => Err(format!("must be at least {}", humantime::format_duration(least))),
    }
}

fn all_or_others(text: &str) -> Result<bool, String> {
    match text {
        "all" => Ok(true),
        "others" => Ok(false),
        _ => Err("must be others or all".to_owned()),
    }
}
