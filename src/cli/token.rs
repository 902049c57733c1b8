//! `crm token`: a token for trying the service out.

use std::time::Duration;

use clap::Args;

use super::context::{ExitOutcome, print};
use crate::{
    auth::{DevelopmentToken, development_secret, sign},
    config::{Config, TokenKeys},
    values::{Clock, Tenant},
};

#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    /// Limit the token to this tenant, in the claim that CRM_TENANT_CLAIM names; by default it is not limited to any
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
    let secret = match &config.auth.keys {
        TokenKeys::Secret(secret) => secret.clone(),
        TokenKeys::Development => development_secret(&config.data_dir)?,
        TokenKeys::PublicKeyFile(_)
        | TokenKeys::JwksFile(_)
        | TokenKeys::JwksUrl(_)
        | TokenKeys::Issuer(_)
        | TokenKeys::None => {
            return Err("tokens are signed by the platform, which holds the private key: here only a shared secret can sign one \
                        (CRM_JWT_SECRET)"
                .into());
        }
    };
    if let Some(tenant) = &args.tenant
        && Tenant::parse(tenant).is_none()
    {
        return Err(format!("--tenant {}", Tenant::EXPECTED).into());
    }
    let claims = DevelopmentToken {
        subject: "developer",
        client: "crm-token",
        tenant: args.tenant.as_deref(),
        scope: args.scope.as_deref(),
    };
    Ok(print(&sign(&secret, config, Clock::System.now(), args.ttl, claims)?)?)
}
