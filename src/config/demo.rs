//! The configuration of `crm demo`: of the environment, only the port and what is logged. What a shell on somebody's machine
//! has set for a real service, such as the address of its database, must neither be used nor keep the demo from starting.

use std::{
    error::Error,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
};

use super::{Config, environment, pii_keys::PiiKey, secret::Secret};

/// The variables that the demo takes from the environment.
const TAKEN: [&str; 4] = ["PORT", "CRM_PORT", "CRM_LOG", "CRM_LOG_FORMAT"];

/// How long history is kept: longer than the past of the demo's customers, of which nothing is to be purged.
const RETENTION_DAYS: &str = "365";

/// How the demo is served.
#[derive(Debug)]
pub struct DemoConfig {
    /// The configuration. Its keys are new and only in it.
    pub config: Config,
    /// What signs tokens.
    pub token_secret: Secret,
    /// Variables that are set, and that the demo does not use.
    pub unused: Vec<&'static str>,
}

impl DemoConfig {
    /// The configuration of a demo in this directory. With a `port`, those of the environment are not read.
    ///
    /// # Errors
    /// No randomness from the operating system, or a variable that is wrong.
    pub fn new(host: IpAddr, port: Option<u16>, directory: &Path) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let (pii_key, token_secret) = (PiiKey::generate()?, Secret::generate()?);
        let set = |name: &str| environment(name).filter(|value| !value.is_empty());
        let lookup = |name: &str| match name {
            "CRM_HOST" => Some(host.to_string()),
            "PORT" | "CRM_PORT" if port.is_some() => port.map(|port| port.to_string()),
            // Any that is free: the usual one may be that of a service beside the demo.
            "CRM_METRICS_ADDR" => Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).to_string()),
            "CRM_DATA_DIR" => Some(directory.display().to_string()),
            "CRM_JWT_SECRET" => Some(token_secret.reveal().to_owned()),
            "CRM_PII_KEYS" => Some(pii_key.to_string()),
            // Each token names its tenant and its scopes.
            "CRM_TENANCY" => Some("token".to_owned()),
            "CRM_SCOPES" => Some("required".to_owned()),
            "CRM_PHONE_COUNTRY" => Some("GB".to_owned()),
            "CRM_AUDIT_RETENTION_DAYS"
            | "CRM_CHANGES_RETENTION_DAYS"
            | "CRM_EVENTS_RETENTION_DAYS"
            | "CRM_IDEMPOTENCY_RETENTION_DAYS" => Some(RETENTION_DAYS.to_owned()),
            "CRM_LOG" => set(name).or_else(|| Some("warn".to_owned())),
            "CRM_LOG_FORMAT" => set(name).or_else(|| Some("text".to_owned())),
            name if TAKEN.contains(&name) => set(name),
            _ => None,
        };
        let (config, variables) = Config::read(&lookup);
        let is_unused = |name: &&'static str| !TAKEN.contains(name) && set(name).is_some();
        let unused = variables.into_iter().map(|variable| variable.name).filter(is_unused).collect();
        Ok(Self { config: config?, token_secret, unused })
    }
}
