//! Plans are tests: every statement that the service runs is collected and explained over tables of 100,000 rows. None may read
//! a whole table that grows, sort without a bound, or do more work in a larger tenant.
//!
//! | file | what |
//! |---|---|
//! | [`data`], [`rows`] | tables, and what they are filled with |
//! | [`walk`] | what runs statements: operations, tasks, commands |
//! | [`watch`] | which statements these are |
//! | [`sources`] | whether any line of the source was left out |
//! | [`sqlite`], [`postgres`] | what the database says of a statement |
//! | [`explain`], [`exceptions`] | what is wrong with it, and what is forgiven |

mod data;
mod exceptions;
mod explain;
mod postgres;
mod rows;
mod sources;
mod sqlite;
mod walk;
mod watch;

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::{ConnectionTrait, Value};
use uuid::Uuid;

use data::{LARGE, MIDDLE, fill_tables, tables};
use exceptions::{EXCEPTIONS, WITHOUT_STATEMENT};
use explain::{Explained, bound_for, complaint, is_of_commands};
use postgres::Postgres;
use rows::{HUBS, hub};
use sqlite::Sqlite;
use watch::{Seen, Watch};

use crate::harness::{Service, contract_walk::ResourceIds, on_postgres};

enum Explainer {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

impl Explainer {
    async fn open(service: &Service) -> Self {
        let (url, tables) = (service.database.url(), tables(&service.database.connect().await).await);
        match on_postgres() {
            true => Self::Postgres(Postgres::open(&url, tables).await),
            false => Self::Sqlite(Sqlite::open(&url, tables).await),
        }
    }

    async fn explain(&mut self, seen: &Seen, values: [Vec<Value>; 2], is_analyzed: bool) -> Explained {
        let is_measured = !is_of_commands(seen);
        match self {
            Self::Sqlite(sqlite) => sqlite.explain(&seen.sql, values, is_measured).await,
            Self::Postgres(postgres) => postgres.explain(&seen.sql, values, is_measured, is_analyzed).await,
        }
    }

    async fn analyze(&mut self) {
        match self {
            Self::Sqlite(sqlite) => sqlite.analyze().await,
            Self::Postgres(postgres) => postgres.analyze().await,
        }
    }
}

/// What is deleted and still there makes lists dearer: in both tenants that are compared.
async fn even_deletions(service: &Service) {
    let even = format!(
        "INSERT INTO deletions (tenant_id, resource_id, resource_type, deleted_at, actor, request_id, trace_id) \
         SELECT '{MIDDLE}', resource_id, resource_type, deleted_at, actor, request_id, trace_id FROM deletions \
         WHERE tenant_id = '{LARGE}'"
    );
    service.database.connect().await.execute_unprepared(&even).await.unwrap();
}

/// Each resource that was made, and the one of its kind that has much.
fn hubs_of(ids: &ResourceIds) -> Vec<(Uuid, Uuid)> {
    let of = |(name, kind): &(&str, u8)| Some((ids.get(*name)?.parse().unwrap(), hub(*kind)));
    HUBS.iter().filter_map(of).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_statement_has_a_plan_that_stays_cheap() {
    let watch = Watch::default();
    // What goes through all there is would take long among many rows. How a list is read is chosen by what there is: so that is
    // looked at among many.
    let few = Service::start().await;
    walk::customers_to_compare(&few).await;
    watch.observe(few.app.database());
    let ids = walk::operations_of(&few, &watch, false).await;
    walk::changes_at_once(&few, &watch).await;
    walk::tasks(&few, &watch).await;
    walk::commands(&few, &watch).await;
    walk::retention(&few, &watch).await;

    let many = Service::start().await;
    walk::customers_to_compare(&many).await;
    fill_tables(&many.database.connect().await).await;
    watch.observe(many.app.database());
    assert_eq!(walk::operations_of(&many, &watch, true).await, ids, "the same resources");

    let statements = watch.take();
    let left_out = left_out(&many, &statements);
    let hubs = hubs_of(&ids);
    even_deletions(&many).await;
    // It would make statistics while there is nothing to do.
    many.app.database().close().await.unwrap();
    let mut explainer = Explainer::open(&many).await;
    let (mut complaints, mut needed) = (Vec::new(), BTreeSet::new());
    for is_analyzed in [false, true] {
        if is_analyzed {
            explainer.analyze().await;
        }
        for seen in statements.values() {
            for values in &seen.values {
                let values = [LARGE, MIDDLE].map(|tenant| bound_for(tenant, values, &hubs));
                let explained = explainer.explain(seen, values, is_analyzed).await;
                if let Some(complaint) = complaint(seen, &explained, EXCEPTIONS, &mut needed) {
                    let analyzed = if is_analyzed { "with statistics" } else { "never analyzed" };
                    complaints.push(format!("{analyzed}: {complaint}"));
                    break;
                }
            }
        }
    }
    complaints.extend(left_out);
    assert!(complaints.is_empty(), "{} complaints:\n\n{}", complaints.len(), complaints.join("\n\n"));
    let idle: Vec<_> = EXCEPTIONS
        .iter()
        .enumerate()
        .filter(|(number, exception)| exception.is_for_this_database() && !needed.contains(number))
        .map(|(_, exception)| exception.describe())
        .collect();
    assert!(idle.is_empty(), "no longer needed: {idle:?}");
}

/// The operations that ran no statement, and the lines that run one and were not reached.
fn left_out(service: &Service, statements: &BTreeMap<String, Seen>) -> Vec<String> {
    let during: BTreeSet<&str> = statements
        .values()
        .flat_map(|seen| seen.during.keys())
        .map(|during| during.split(' ').next().unwrap_or_default())
        .collect();
    let operations = service.contract.operations();
    let secured = operations.iter().filter(|operation| operation.is_secured());
    let names = secured.map(|operation| operation.definition["operationId"].as_str().unwrap());
    let silent = names.filter(|name| !during.contains(name) && !WITHOUT_STATEMENT.contains(name));
    let silent = silent.map(|name| format!("{name} runs no statement"));
    let lines: BTreeSet<_> = statements.values().flat_map(|seen| seen.lines.iter().cloned()).collect();
    let unseen =
        sources::unseen(&lines).into_iter().map(|line| format!("{line} runs statements that were not explained"));
    silent.chain(unseen).collect()
}
