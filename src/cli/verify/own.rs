//! An instance that is started to be verified, and for nothing else: its database, its keys and its secret are made for it.

use std::{
    error::Error,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::{
    auth::{DevelopmentToken, sign},
    cli::{
        context::{StopSignal, interruptible},
        serve::{begin, serve, start},
    },
    config::{Config, DatabaseUrl, PiiKey, Secret},
    database::scratch::ScratchDatabase,
    demo::DemoDirectory,
    http::server::{descriptors::most_connections, port::Port},
    telemetry::{self, StandardError},
    values::Clock,
    verify::{Caller, Documents, Line, Own, Target, walk},
};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The tenants of the instance: the one that is looked at, and another.
const TENANTS: [&str; 2] = ["verify-here", "verify-there"];
/// Who may do everything, and who may only read.
const EVERYTHING: &str = "crm:read crm:write crm:pii:read crm:pii:erase crm:audit:read";
const READING: &str = "crm:read";
/// How long the tokens are valid: longer than any walk.
const VALID: Duration = Duration::from_secs(3600);

/// Starts an instance on a temporary database, walks the list, and removes all of it.
pub(super) async fn walked(database: Option<&str>, documents: Documents, stderr: &StandardError) -> Outcome<Vec<Line>> {
    let directory = DemoDirectory::create().map_err(|error| format!("cannot make a temporary directory: {error}"))?;
    let scratch = match database.map(str::parse).transpose().map_err(|error| format!("--database {error}"))? {
        None => None,
        Some(DatabaseUrl::Postgres(url)) => {
            let made = ScratchDatabase::create(&url).await;
            Some(made.map_err(|error| format!("--database: no temporary database can be made there: {error}"))?)
        }
        Some(DatabaseUrl::Sqlite(_)) => return Err("--database must begin with postgres://".into()),
    };
    let secret = Secret::generate()?;
    let url = scratch.as_ref().map(ScratchDatabase::url);
    let config = config(&directory, url, &secret)?;
    telemetry::start(&config.log, config.log_format, stderr);
    let lines = served(config, &secret, documents).await;
    if let Some(scratch) = scratch {
        scratch.remove().await.map_err(|error| format!("the temporary database cannot be dropped: {error}"))?;
    }
    directory.remove().map_err(|error| format!("the temporary directory cannot be removed: {error}"))?;
    lines
}

/// The configuration of the instance: what is not set here is as the service has it where nothing is set.
fn config(directory: &DemoDirectory, url: Option<&DatabaseUrl>, secret: &Secret) -> Outcome<Config> {
    let key = PiiKey::generate()?;
    let lookup = |name: &str| match name {
        "CRM_PORT" => Some("0".to_owned()),
        "CRM_METRICS_ADDR" => Some("off".to_owned()),
        "CRM_DATA_DIR" => Some(directory.path().display().to_string()),
        "CRM_JWT_SECRET" => Some(secret.reveal().to_owned()),
        "CRM_PII_KEYS" => Some(key.to_string()),
        "CRM_TENANCY" => Some("token".to_owned()),
        "CRM_SCOPES" => Some("required".to_owned()),
        "CRM_LOG" => Some("error".to_owned()),
        "CRM_LOG_FORMAT" => Some("text".to_owned()),
        _ => None,
    };
    let mut config = Config::read(&lookup).0?;
    if let Some(url) = url {
        config.database_url = url.clone();
    }
    Ok(config)
}

/// Serves for as long as the walk takes.
async fn served(config: Config, secret: &Secret, documents: Documents) -> Outcome<Vec<Line>> {
    let stop_signal = StopSignal::listen()?;
    let port = Port::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let (connections, database) = (most_connections(config.database_connections), config.database_url.clone());
    let caller = |tenant: &str, scope: &str| -> Outcome<Caller> {
        let claims =
            DevelopmentToken { subject: "crm.verify", client: "crm-verify", tenant: Some(tenant), scope: Some(scope) };
        Ok(Caller { token: sign(secret, &config, Clock::System.now(), VALID, claims)?, tenant: None })
    };
    let [here, there] = TENANTS;
    let (everything, elsewhere, reader) =
        (caller(here, EVERYTHING)?, caller(there, EVERYTHING)?, caller(here, READING)?);
    let app = start(config.clone()).await?;
    let listener = port.listen()?;
    let begun = begin(&app, connections);
    let target = Target {
        base: format!("http://{}", listener.address()?),
        caller: everything,
        may_write: true,
        own: Some(Own { database, elsewhere, reader }),
        documents,
    };
    let stop = CancellationToken::new();
    let walking = async {
        let lines = interruptible(async { Ok(walk(&target).await?) }, "run it again").await;
        stop.cancel();
        lines
    };
    let (served, lines) = tokio::join!(serve(&app, listener, begun, stop_signal.or_asked(stop.clone())), walking);
    served?;
    lines
}
