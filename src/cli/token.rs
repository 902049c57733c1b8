//! `crm token`: a token for trying the service out.

use std::{error::Error, path::absolute, time::Duration};

use clap::Args;

use super::context::{ExitOutcome, print};
use crate::{
    auth::{DevelopmentToken, read_development_secret, sign},
    config::{Config, Secret, Source, TokenKeys, Variable, development_secret_file},
    http::access,
    telemetry::StandardError,
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

pub(super) fn run(args: &TokenArgs, stderr: &StandardError) -> ExitOutcome {
    let (config, variables) = Config::inspect();
    let config = config?;
    if let Some(tenant) = &args.tenant
        && Tenant::parse(tenant).is_none()
    {
        return Err(format!("--tenant {}", Tenant::EXPECTED).into());
    }
    check_scopes(args.scope.as_deref().unwrap_or_default())?;
    let (secret, from) = secret(&config, &variables)?;
    let claims = DevelopmentToken {
        subject: "developer",
        client: "crm-token",
        tenant: args.tenant.as_deref(),
        scope: args.scope.as_deref(),
    };
    let token = sign(&secret, &config, Clock::System.now(), args.ttl, claims)?;
    stderr.say(&format!("crm: signed with {from}"));
    Ok(print(&token)?)
}

/// The secret that the service verifies tokens with, and where it was read. None is made here: the service would not know it.
fn secret(config: &Config, variables: &[Variable]) -> Result<(Secret, String), Box<dyn Error + Send + Sync>> {
    match &config.auth.keys {
        TokenKeys::Secret(secret) => {
            let source = variables.iter().find(|variable| variable.name == "CRM_JWT_SECRET").map(|found| &found.source);
            let from = match source {
                Some(Source::File(file)) => format!("the secret in {}", absolute(file)?.display()),
                _ => "the secret in CRM_JWT_SECRET".to_owned(),
            };
            Ok((secret.clone(), from))
        }
        TokenKeys::Development => {
            let file = absolute(development_secret_file(&config.data_dir))?;
            let name = file.display().to_string();
            if !file.exists() {
                return Err(format!(
                    "there is no secret in {name}: the service makes it at its first start; run this in the service's \
                     directory, or with its CRM_DATA_DIR"
                )
                .into());
            }
            Ok((read_development_secret(&file)?, format!("the secret in {name}")))
        }
        TokenKeys::PublicKeyFile(_)
        | TokenKeys::JwksFile(_)
        | TokenKeys::JwksUrl(_)
        | TokenKeys::Issuer(_)
        | TokenKeys::None => Err(
            "tokens are signed by the platform, which holds the private key: here only a shared secret can sign one \
                 (CRM_JWT_SECRET)"
                .into(),
        ),
    }
}

/// Refuses what looks like a scope of this service and is none: a token with it would allow less than it seems to.
fn check_scopes(scopes: &str) -> ExitOutcome {
    for scope in scopes.split([' ', ',']) {
        let is_ours = scope.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("crm:"));
        if is_ours && access::scope(scope).is_none() {
            let known = access::scopes().collect::<Vec<_>>().join(", ");
            return Err(format!("--scope: {scope} is not a scope of this service, which are {known}").into());
        }
    }
    Ok(())
}
