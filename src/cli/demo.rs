//! `crm demo`: the service on a temporary database of invented customers, for trying it out.

use std::{
    error::Error,
    fmt::Write as _,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use clap::Args;

use super::{
    context::{ExitOutcome, StopSignal, print},
    serve::{begin, serve, start},
};
use crate::{
    auth::{DevelopmentToken, sign},
    config::DemoConfig,
    demo::{DemoDirectory, FilledTenant, fill},
    http::server::{descriptors::most_connections, port::Port},
    service::private::PrivateListener,
    telemetry::{self, StandardError},
    values::Clock,
};

/// How long the tokens are valid: longer than anybody leaves a demo running.
const VALID: Duration = Duration::from_secs(30 * 86_400);

/// Whose tokens are printed: the subject, the scopes, and what they are good for.
const TOKENS: [(&str, &str, &str); 2] = [
    (
        "demo.manager",
        "crm:read crm:write crm:pii:read crm:pii:erase crm:audit:read",
        "may do everything, and sees phone numbers and e-mail addresses",
    ),
    ("demo.reader", "crm:read", "may only read, and sees phone numbers and e-mail addresses masked"),
];

#[derive(Debug, Args)]
#[command(
    after_help = "The demo takes CRM_PORT (else PORT), CRM_LOG and CRM_LOG_FORMAT from the environment, and TMPDIR, where it \
                        keeps its database; nothing else: it uses no database, broker or key that is configured there."
)]
pub(super) struct DemoArgs {
    /// Port to listen on; 0 lets the system choose [default: that of CRM_PORT, else 8080]
    #[arg(long)]
    port: Option<u16>,
    /// Address to listen on
    #[arg(long, default_value_t = Ipv4Addr::LOCALHOST.into())]
    host: IpAddr,
}

pub(super) async fn run(args: &DemoArgs, stderr: &StandardError) -> ExitOutcome {
    let mut stop_signal = StopSignal::listen_with_hangup()?;
    let directory = DemoDirectory::create().map_err(|error| format!("cannot make a temporary directory: {error}"))?;
    let demo = DemoConfig::new(args.host, args.port, directory.path())?;
    telemetry::start(&demo.config.log, demo.config.log_format, stderr);
    let address = demo.config.address();
    let port = Port::bind(address).map_err(|error| cannot_listen(address, &error))?;
    if !demo.unused.is_empty() {
        print(&format!("Set, but not used by the demo: {}.", demo.unused.join(", ")))?;
    }
    print("Filling a temporary database with invented customers …")?;
    let (stopwatch, now) = (Clock::System.stopwatch(), Clock::System.now());
    let filled = async {
        let tenants = fill(&demo, now).await?;
        Ok::<_, Box<dyn Error + Send + Sync>>((tenants, start(demo.config.clone()).await?))
    };
    let (tenants, app) = tokio::select! {
        filled = filled => filled?,
        () = stop_signal.received() => return forget(directory),
    };
    let connections = most_connections(demo.config.database_sessions());
    let listener = port.listen().map_err(|error| cannot_listen(address, &error))?;
    let begun = begin(&app, connections);
    let addresses = (listener.address()?, begun.private.as_ref().map(PrivateListener::address));
    let greeting = greeting(&demo, &tenants, stopwatch.elapsed(), addresses)?;
    // Requests are answered from here on: the system keeps those that come before `serve` accepts them.
    print(&greeting)?;
    let served = serve(&app, listener, begun, stop_signal).await;
    drop(app);
    forget(directory)?;
    served
}

/// Why it cannot listen there, and what to do about it.
fn cannot_listen(address: SocketAddr, error: &io::Error) -> String {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => "; `crm demo --port 0` listens on a port that is free",
        _ => "",
    };
    format!("cannot listen on {address}: {error}{advice}")
}

/// Removes the database, and says so.
fn forget(directory: DemoDirectory) -> ExitOutcome {
    let path = directory.path().display().to_string();
    directory.remove().map_err(|error| format!("the demo's directory {path} cannot be removed: {error}"))?;
    // It is so, whether somebody still reads that or not.
    let _closed = print("Everything is forgotten.");
    Ok(())
}

/// What is printed once the demo is served.
fn greeting(
    demo: &DemoConfig,
    tenants: &[FilledTenant],
    took: Duration,
    (address, private): (SocketAddr, Option<SocketAddr>),
) -> Result<String, Box<dyn Error + Send + Sync>> {
    let base = format!("http://{}", reachable(address));
    let customers: usize = tenants.iter().map(|tenant| tenant.customers).sum();
    let mut text = format!(
        "Ready after {:.1} s: {customers} customers of {} tenants, with contacts, opportunities and follow-ups.\n\n",
        took.as_secs_f64(),
        tenants.len()
    );
    let mut addresses = vec![
        (format!("{base}/"), "links to all of these"),
        (format!("{base}/docs"), "Swagger UI: press Authorize, paste a token, and try the operations"),
        (format!("{base}/redoc"), "the same contract, to read"),
        (format!("{base}/api/v1/crm/customers"), "the API: /customers, /contacts, /opportunities, /follow-ups, …"),
    ];
    addresses.extend(private.map(|private| (format!("http://{private}/metrics"), "metrics")));
    let width = addresses.iter().map(|(address, _)| address.len()).max().unwrap_or_default();
    for (address, what) in addresses {
        writeln!(text, "  {address:width$}  {what}")?;
    }
    let mut first_token = None;
    for FilledTenant { name, customers } in tenants {
        writeln!(text, "\nTokens of the tenant {name}, which has {customers} customers:")?;
        for (subject, scope, what) in TOKENS {
            let claims = DevelopmentToken { subject, client: "crm-demo", tenant: Some(name), scope: Some(scope) };
            let token = sign(&demo.token_secret, &demo.config, Clock::System.now(), VALID, claims)?;
            writeln!(text, "\n  {subject} {what}:\n{token}")?;
            first_token.get_or_insert(token);
        }
    }
    let token = first_token.unwrap_or_default();
    writeln!(text, "\nThe first customers, in another terminal:")?;
    writeln!(text, "\ncurl -sS -w '\\n' '{base}/api/v1/crm/customers?pageSize=3' -H 'Authorization: Bearer {token}'")?;
    write!(
        text,
        "\nCtrl-C ends the demo. Everything is forgotten then: the database, its keys, and what the tokens are good for."
    )?;
    Ok(text)
}

/// The address to call: one that means all addresses of this machine cannot be called everywhere.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::from((Ipv4Addr::LOCALHOST, address.port())),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::from((Ipv6Addr::LOCALHOST, address.port())),
        _ => address,
    }
}
