//! What is looked at, in this order: whoever reads the first line that is not well, knows where to begin.

use std::{io, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};

use super::{counts, finding::Finding, machine};
use crate::{
    audit::chain,
    auth::TokenVerifier,
    broker,
    cli::context::{ExitOutcome, fault, open_database, progress_bar},
    config::{Config, DatabaseUrl, Masked, TokenKeys},
    database::{
        Database,
        facts::{Facts, facts},
        horizon, migrate,
        standby::{self, Followed},
    },
    pii::key_registry,
    relay,
    telemetry::metrics::Metrics,
    values::Clock,
};

/// How long the database, the broker and the platform may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How far this machine's clock may be from the database's before somebody should look at it.
const CLOCKS: TimeDelta = TimeDelta::seconds(2);
/// How far the clock may be ahead of the retention: it gives itself a day at a start.
const RETENTION: TimeDelta = TimeDelta::days(1);

/// Where findings go.
pub(super) type Tell<'t> = dyn FnMut(Finding) -> io::Result<()> + Send + 't;

/// Looks at everything. Where the database cannot be used, what depends on it is left out.
pub(super) async fn all(config: &Config, is_quick: bool, tell: &mut Tell<'_>) -> ExitOutcome {
    configuration(config).into_iter().try_for_each(&mut *tell)?;
    machine::files(config).into_iter().try_for_each(&mut *tell)?;
    machine::disk(config).into_iter().try_for_each(&mut *tell)?;
    tell(tokens(config).await)?;
    if let Some(finding) = broker(config).await {
        tell(finding)?;
    }
    let now = Clock::System.now().0;
    match facts(&config.database_url, PATIENCE).await {
        Err(error) => {
            let advice = "see that it runs, and that CRM_DATABASE_URL is its address";
            return Ok(tell(Finding::failed("database", error.to_string(), advice))?);
        }
        Ok(facts) => {
            settings(config, &facts).into_iter().try_for_each(&mut *tell)?;
            facts.clock.map(|theirs| clock(theirs, now)).into_iter().try_for_each(&mut *tell)?;
        }
    }
    if let Some(finding) = standby(config).await {
        tell(finding)?;
    }
    let (finding, is_usable) = schema(config).await;
    tell(finding)?;
    if is_usable {
        let database = open_database(config).await?;
        let outcome = data(config, &database, is_quick, tell).await;
        database.close().await?;
        outcome?;
    }
    Ok(())
}

/// What the data itself says.
async fn data(config: &Config, database: &Database, is_quick: bool, tell: &mut Tell<'_>) -> ExitOutcome {
    tell(keys(config, database).await)?;
    tell(retention(database, Clock::System.now().0).await?)?;
    if config.events_url.is_some() {
        tell(outbox(database).await?)?;
    }
    if !is_quick {
        tell(totals(database).await?)?;
        tell(trail(database).await?)?;
    }
    Ok(())
}

fn configuration(config: &Config) -> Vec<Finding> {
    const WHAT: &str = "environment";
    let noticed = |warning: &String| Finding::noticed(WHAT, warning, "see `crm config show`");
    let mut findings: Vec<Finding> = config.warnings.iter().map(noticed).collect();
    if let Err(error) = key_registry::check_source(config) {
        findings.push(Finding::failed(WHAT, error.to_string(), "set one of them"));
    }
    if findings.is_empty() {
        findings.push(Finding::well(WHAT, "every variable is known and valid"));
    }
    findings
}

/// Whether tokens can be verified: keys that are fetched are fetched now.
async fn tokens(config: &Config) -> Finding {
    const WHAT: &str = "token keys";
    if config.auth.keys == TokenKeys::Development {
        let advice = "for more than trying it out, set CRM_OIDC_ISSUER or another source of keys";
        return Finding::noticed(WHAT, "tokens are verified with a development secret", advice);
    }
    let metrics: Arc<Metrics> = Arc::default();
    let verifier = match TokenVerifier::from_config(config, &Clock::System, &metrics) {
        Ok(verifier) => verifier,
        Err(error) => return Finding::failed(WHAT, error.to_string(), "put the file right, or name another"),
    };
    let advice = "see that the platform runs and can be reached from here; until then tokens are refused with 503";
    match tokio::time::timeout(PATIENCE, verifier.keep_fresh()).await {
        Ok(Ok(())) => Finding::well(WHAT, "they can be read"),
        Ok(Err(error)) => Finding::failed(WHAT, fault(error), advice),
        Err(_) => Finding::failed(WHAT, "the platform did not answer in time", advice),
    }
}

async fn broker(config: &Config) -> Option<Finding> {
    const WHAT: &str = "broker";
    let url = config.events_url.as_ref()?;
    let at = url.masked();
    let advice =
        "see that it runs, and that CRM_EVENTS_URL is its address; until then events wait, and nothing is lost";
    let broker = broker::connect(url);
    Some(match tokio::time::timeout(PATIENCE, broker.publisher()).await {
        Ok(Ok(_)) => Finding::well(WHAT, format!("{at} answers")),
        Ok(Err(down)) => Finding::failed(WHAT, format!("{at}: {down}"), advice),
        Err(_) => Finding::failed(WHAT, format!("{at} did not answer in time"), advice),
    })
}

fn settings(config: &Config, facts: &Facts) -> Vec<Finding> {
    const WHAT: &str = "database";
    let Facts { version, size, .. } = facts;
    let named = |name: &str| format!("{name}={}", facts.setting(name).unwrap_or_default());
    let shown: Vec<String> = facts.settings.iter().map(|(name, _)| named(name)).collect();
    let at = config.database_url.masked();
    let found = format!("{version} at {at}, {} MiB; {}", size / 1024 / 1024, shown.join(" "));
    let mut findings = vec![Finding::well(WHAT, found.trim_end_matches("; "))];
    for (name, advice) in [
        (
            "synchronous_commit",
            "set it to on: changes are acknowledged that a crash loses, and the service does not start",
        ),
        ("fsync", "set it to on: a crash of its machine loses acknowledged changes, or all data"),
        ("full_page_writes", "set it to on, unless the file system writes whole pages: a crash may damage the data"),
    ] {
        if facts.setting(name) == Some("off") {
            findings.push(Finding::failed(WHAT, named(name), advice));
        }
    }
    if facts.setting("default_transaction_read_only") == Some("on") {
        let advice = "name the primary in CRM_DATABASE_URL: this one takes no writes";
        findings.push(Finding::failed(WHAT, named("default_transaction_read_only"), advice));
    }
    let most = facts.setting("max_connections").and_then(|most| most.parse::<u16>().ok());
    if let (DatabaseUrl::Postgres(_), Some(most)) = (&config.database_url, most)
        && config.database_connections >= most
    {
        let found =
            format!("CRM_DATABASE_CONNECTIONS={} and {}", config.database_connections, named("max_connections"));
        findings.push(Finding::failed(WHAT, found, "let fewer connections be made, or more be accepted"));
    }
    findings
}

fn clock(theirs: DateTime<Utc>, ours: DateTime<Utc>) -> Finding {
    const WHAT: &str = "clock";
    let apart = (ours - theirs).abs();
    let found = format!("this machine and the database are {} ms apart", apart.num_milliseconds());
    match apart > CLOCKS {
        true => Finding::noticed(WHAT, found, "have both set by NTP"),
        false => Finding::well(WHAT, found),
    }
}

/// Whether the standby can be read. Where it cannot, the service reads from the primary.
async fn standby(config: &Config) -> Option<Finding> {
    const WHAT: &str = "standby";
    let at = config.database_read_url.as_ref()?.masked();
    Some(match standby::look(config, PATIENCE).await? {
        Ok(Followed { missing, caught_up_after: Some(after) }) => {
            let found = format!("{at} lacked {missing} bytes of the log, and had them after {} ms", after.as_millis());
            Finding::well(WHAT, found)
        }
        Ok(Followed { missing, caught_up_after: None }) => {
            let found = format!("{at} lacks {missing} bytes of the log for too long: reads go to the primary");
            Finding::noticed(WHAT, found, "see what keeps it: its own log, and pg_stat_replication on the primary")
        }
        Err(cause) => {
            let found = format!("{at}: {cause}: reads go to the primary");
            let advice = "see that it runs and follows the primary, and that CRM_DATABASE_READ_URL is its address";
            Finding::noticed(WHAT, found, advice)
        }
    })
}

/// Whether the schema is up to date, and whether this program can work on it.
async fn schema(config: &Config) -> (Finding, bool) {
    const WHAT: &str = "schema";
    let steps = match migrate::status(config.schema_url()).await {
        Ok(steps) => steps,
        Err(error) => return (Finding::failed(WHAT, error.to_string(), "see the database's own log"), false),
    };
    let pending: Vec<&str> = steps.iter().filter(|step| !step.applied).map(|step| step.name.as_str()).collect();
    if let Some(first) = pending.first() {
        let found = format!("{} migrations are pending, the first is {first}", pending.len());
        return (Finding::noticed(WHAT, found, "`crm migrate up`, or start the service with CRM_MIGRATE=auto"), false);
    }
    match migrate::check(config.schema_url()).await {
        Err(error) => (Finding::failed(WHAT, error.to_string(), "run the newer crm"), false),
        Ok(()) => (Finding::well(WHAT, format!("all {} migrations are applied", steps.len())), true),
    }
}

async fn keys(config: &Config, database: &Database) -> Finding {
    const WHAT: &str = "keys";
    match key_registry::check(config, database).await {
        Ok(0) => Finding::well(WHAT, "nothing is encrypted yet"),
        Ok(needed) => {
            Finding::well(WHAT, format!("all {needed} that stored phone numbers and addresses need are there"))
        }
        Err(error) => {
            let advice = "provide the key: without it what is encrypted cannot be read, and the service does not start";
            Finding::failed(WHAT, error.to_string(), advice)
        }
    }
}

/// Whether the clock is where the retention believes it to be.
async fn retention(database: &Database, now: DateTime<Utc>) -> Result<Finding, String> {
    const WHAT: &str = "retention";
    let Some(horizon) = horizon::stored(database).await.map_err(fault)? else {
        return Ok(Finding::well(WHAT, "nothing was purged yet"));
    };
    let horizon = horizon.instant();
    let found = format!("it takes {} for the time, the clock says {}", horizon.to_rfc3339(), now.to_rfc3339());
    Ok(match now - horizon {
        ahead if ahead > RETENTION => {
            let advice =
                "if the clock is right, and the service was off for days: `crm retention confirm` where it runs";
            Finding::noticed(WHAT, found, advice)
        }
        behind if behind < -RETENTION => Finding::noticed(WHAT, found, "set the clock right"),
        _ => Finding::well(WHAT, "it follows the clock"),
    })
}

async fn outbox(database: &Database) -> Result<Finding, String> {
    const WHAT: &str = "events";
    let status = relay::status(database).await.map_err(fault)?;
    let (waiting, parked) = (status.head - status.position, status.parked);
    let found = format!("{waiting} wait to be published, {} are blocked, {parked} parked", status.blocked);
    Ok(match parked {
        0 => Finding::well(WHAT, found),
        _ => Finding::noticed(WHAT, found, "`crm outbox status` says why; once that is mended: `crm outbox retry`"),
    })
}

async fn totals(database: &Database) -> Result<Finding, Box<dyn std::error::Error + Send + Sync>> {
    const WHAT: &str = "totals";
    Ok(match counts::compare(database, false).await? {
        (tenants, 0) => Finding::well(WHAT, format!("those of the lists of {tenants} tenants are right")),
        (_, wrong) => Finding::failed(WHAT, format!("{wrong} are wrong"), "`crm doctor counts --mend` corrects them"),
    })
}

async fn trail(database: &Database) -> Result<Finding, Box<dyn std::error::Error + Send + Sync>> {
    const WHAT: &str = "audit trail";
    let bar = progress_bar(chain::length(database).await.map_err(fault)?, "entries")?;
    let verdicts = chain::verify_with(database, &|entries| bar.inc(entries)).await;
    bar.finish_and_clear();
    let verdicts = verdicts.map_err(fault)?;
    let faults: usize = verdicts.iter().map(|verdict| verdict.faults.len()).sum();
    let verified: u64 = verdicts.iter().map(|verdict| verdict.verified).sum();
    Ok(match faults {
        0 => Finding::well(WHAT, format!("{verified} entries are as they were written")),
        _ => Finding::failed(
            WHAT,
            format!("{faults} faults"),
            "`crm audit verify` names them: somebody changed the trail",
        ),
    })
}
