//! `crm token`: a token for trying the service out.

use std::time::Duration;

use clap::Args;

use super::context::{ExitOutcome, print};
use crate::{
    auth::{development_secret, sign},
    config::{Config, JwtKey},
    values::{Clock, Tenant},
};

#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    /// Limit the token to this tenant; by default it is not limited to any
    #[arg(long)]
    tenant: Option<String>,
    /// Limit the token to these scopes, separated by spaces; by default it may read and write, and sees personal data
    /// masked
    #[arg(long)]
    scope: Option<String>,
    /// How long the token is valid
    #[arg(long, default_value = "1h", value_parser = humantime::parse_duration)]
    ttl: Duration,
}

pub(super) fn run(config: &Config, args: &TokenArgs) -> ExitOutcome {
    let secret = match &config.jwt_key {
        JwtKey::Secret(secret) => secret.clone(),
        JwtKey::Development => development_secret(&config.data_dir)?,
        JwtKey::PublicKeyFile(_) => {
            return Err("tokens are signed by whoever holds the private key of CRM_JWT_PUBLIC_KEY_FILE".into());
        }
    };
    if let Some(tenant) = &args.tenant
        && Tenant::parse(tenant).is_none()
    {
        return Err(format!("--tenant {}", Tenant::EXPECTED).into());
    }
    let now = Clock::System.now();
    let token = sign(&secret, config, now, args.ttl, args.tenant.as_deref(), args.scope.as_deref())?;
    Ok(print(&token)?)
}
