//! `crm doctor`: what it finds, and what it says to do about it.

use std::{fs::Permissions, os::unix::fs::PermissionsExt as _};

use sea_orm::ConnectionTrait as _;

use crate::harness::{
    CommandOutput, PII_KEYS, SECRET, Service, TestDatabase, audit::drop_triggers, free_port, on_postgres,
    postgres::PostgresServer, run_crm,
};

/// What the doctor says of this: its state, and the advice behind it.
fn finding(output: &CommandOutput, what: &str) -> (String, String) {
    let mut lines = output.stdout.lines();
    let line = lines.find(|line| line.get(6..).is_some_and(|rest| rest.starts_with(what)));
    let line = line.unwrap_or_else(|| panic!("nothing is said of {what}: {}", output.stdout));
    let advice = lines.next().and_then(|next| next.trim_start().strip_prefix("-> ")).unwrap_or_default();
    (line[..4].trim_end().to_owned(), advice.to_owned())
}

fn well() -> (String, String) {
    ("ok".to_owned(), String::new())
}

fn doctor(url: &str, more: &[(&str, &str)]) -> CommandOutput {
    let own = [("CRM_DATABASE_URL", url), ("CRM_PII_KEYS", PII_KEYS), ("CRM_JWT_SECRET", SECRET)];
    run_crm(&["doctor"], &[&own[..], more].concat())
}

#[tokio::test]
async fn of_a_healthy_service_all_is_well_and_nothing_is_changed() {
    let service = Service::start().await;
    service.customer().await;
    if let TestDatabase::Sqlite { directory } = &service.database {
        // As the service makes them; the test's own process has another umask.
        std::fs::set_permissions(directory, Permissions::from_mode(0o700)).unwrap();
        for file in std::fs::read_dir(directory).unwrap() {
            std::fs::set_permissions(file.unwrap().path(), Permissions::from_mode(0o600)).unwrap();
        }
    }
    let url = service.database.url();
    let output = doctor(&url, &[]);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.stdout.ends_with("all is well\n"), "{output:?}");
    for what in
        ["environment", "files", "token keys", "database", "schema", "keys", "retention", "totals", "audit trail"]
    {
        assert_eq!(finding(&output, what), well(), "{what}");
    }
    match on_postgres() {
        true => assert_eq!(finding(&output, "clock"), well()),
        false => assert_eq!(finding(&output, "disk"), well()),
    }
    let quick = run_crm(&["doctor", "--quick"], &[("CRM_DATABASE_URL", &url), ("CRM_PII_KEYS", PII_KEYS)]);
    assert!(quick.code == Some(0) && !quick.stdout.contains("audit trail"), "{quick:?}");
    assert_eq!(finding(&quick, "token keys").0, "look");
}

#[tokio::test]
async fn what_is_wrong_with_the_data_is_told_with_what_to_do() {
    let service = Service::start().await;
    service.customer().await;
    crm::audit::chain::link_entries(service.app.database()).await.unwrap();
    // On PostgreSQL the changes of totals are not in them until they are folded.
    crm::database::counts::fold::fold(service.app.database(), None).await.unwrap();
    let connection = service.database.connect().await;
    drop_triggers(&connection).await;
    connection.execute_unprepared("UPDATE audit_logs SET actor = 'nobody'").await.unwrap();
    connection.execute_unprepared("UPDATE list_counts SET count = count + 7").await.unwrap();
    let url = service.database.url();
    let missing = "other:YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=";
    let output = doctor(&url, &[("CRM_PII_KEYS", missing)]);
    assert_eq!(output.code, Some(1), "{output:?}");
    assert_eq!(output.error(), "to be put right: 3", "{output:?}");
    for (what, advice) in [
        ("keys", "provide the key"),
        ("totals", "`crm doctor counts --mend`"),
        ("audit trail", "`crm audit verify` names them"),
    ] {
        let (state, told) = finding(&output, what);
        assert!(state == "FAIL" && told.starts_with(advice), "{what}: {told}");
    }
}

#[tokio::test]
async fn what_the_service_cannot_reach_or_lacks_is_told_with_what_to_do() {
    let database = TestDatabase::new().await;
    let (url, closed) = (database.url(), free_port());
    let broker = format!("amqp://crm:canary@127.0.0.1:{closed}");
    let platform = format!("http://127.0.0.1:{closed}/keys");
    let more = [("CRM_JWT_SECRET", ""), ("CRM_JWKS_URL", &platform), ("CRM_EVENTS_URL", &broker), ("CRM_PROT", "9")];
    let output = doctor(&url, &more.map(|(name, value): (_, &str)| (name, value)));
    assert_eq!(output.code, Some(1), "{output:?}");
    for (what, state, advice) in [
        ("environment", "look", "see `crm config show`"),
        ("token keys", "FAIL", "see that the platform runs"),
        ("broker", "FAIL", "see that it runs, and that CRM_EVENTS_URL is its address"),
        ("schema", "look", "`crm migrate up`"),
    ] {
        let (found, told) = finding(&output, what);
        assert!(found == state && told.starts_with(advice), "{what}: {found} {told}");
    }
    assert!(!output.stdout.contains("canary"), "{output:?}");

    let nowhere = format!("postgres://crm:canary@127.0.0.1:{closed}/crm?sslmode=disable");
    let output = doctor(&nowhere, &[("CRM_DATABASE_WAIT", "0s")]);
    assert!(output.code == Some(1) && !output.stdout.contains("canary"), "{output:?}");
    assert_eq!(finding(&output, "database").0, "FAIL");
}

#[tokio::test]
async fn files_that_others_may_open_are_told_with_the_chmod() {
    let service = Service::on(TestDatabase::sqlite(), &[("CRM_PII_KEYS", "")]).await;
    let TestDatabase::Sqlite { directory } = &service.database else { panic!("not on SQLite") };
    let url = service.database.url();
    let keys = directory.path().join("crm.db.keys");
    std::fs::set_permissions(directory.path().join("crm.db"), Permissions::from_mode(0o644)).unwrap();
    std::fs::set_permissions(&keys, Permissions::from_mode(0o644)).unwrap();
    let output = doctor(&url, &[("CRM_PII_KEYS", "")]);
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stdout.contains("crm.db: others on this machine may open it (mode 0644)"), "{output:?}");
    assert!(output.stdout.contains(&format!("-> chmod 600 {}", keys.display())), "{output:?}");
}

#[tokio::test]
async fn how_the_standby_follows_is_told_or_why_it_is_not_read() {
    let Some(primary) = PostgresServer::start().await else { return };
    let migrated = run_crm(&["migrate", "up"], &[("CRM_DATABASE_URL", &primary.url())]);
    assert_eq!(migrated.code, Some(0), "{migrated:?}");
    let mut standby = primary.standby("standby").await;
    let look = |read_url: &str| {
        let output = doctor(&primary.url(), &[("CRM_DATABASE_READ_URL", read_url)]);
        let found = output.stdout.lines().find(|line| line.contains("standby")).unwrap_or_default().to_owned();
        (output.code, finding(&output, "standby"), found)
    };
    let (code, judged, found) = look(&standby.url());
    assert_eq!((code, judged), (Some(0), well()), "{found}");
    let advice = "see that it runs and follows the primary, and that CRM_DATABASE_READ_URL is its address";
    let (code, judged, found) = look(&primary.url());
    assert_eq!((code, judged), (Some(0), ("look".to_owned(), advice.to_owned())), "{found}");
    assert!(found.contains("it is no standby: reads go to the primary"), "{found}");

    standby.pause_replay(true).await;
    primary.run(&["CREATE TABLE written_since (id integer)"]).await;
    let (code, (state, advice), found) = look(&standby.url());
    assert_eq!((code, state.as_str()), (Some(0), "look"), "{found}");
    assert!(advice.contains("pg_stat_replication") && found.contains("of the log for too long"), "{found}: {advice}");

    standby.kill();
    let (code, (state, _), found) = look(&standby.url());
    assert_eq!((code, state.as_str()), (Some(0), "look"), "{found}");
    assert!(found.contains("it does not answer"), "{found}");
}
