//! Finding documents by the parts of words.
//!
//! A part that many documents have is no way to the few that a search is about, and to read who has it would take the longer the
//! more there are. So it is estimated first, from the samples that the index has of each tenant: what is common is not looked up.

use sea_orm::{
    Condition, ConnectionTrait, DbBackend, ExprTrait, QueryResult, Statement, Value,
    sea_query::{Alias, Expr, Func, Query, SelectStatement},
};

use super::document::{tag, token};
use crate::{
    database::{list::BOUND, tenancy::Listed},
    error::Result,
    values::{SearchText, Tenant},
};

/// How many parts of the searched words are estimated at most, and how many of these documents are looked up by.
const ESTIMATED: usize = 8;
const LOOKED_UP: usize = 6;
/// One of so many documents is in the sample of this level.
const SAMPLES: [u64; 3] = [1, 64, 4096];
/// A part is common where so many in a sample have it: more than may be looked at in all documents.
const COMMON: [u64; 3] = [0, BOUND / SAMPLES[1], 10];

/// What the index says of a searched text, among a tenant's documents of one type.
#[derive(Debug, Clone)]
pub struct Lookup {
    /// A query of the ids of resources that may hold all words; none where too many do.
    pub ids: Option<SelectStatement>,
    /// Whether all that was there before the index was made is in it.
    pub is_built: bool,
    /// Whether all that a process of the release before has written is in it too.
    pub is_current: bool,
}

/// Looks a text up among the tenant's documents of a type.
///
/// # Errors
/// A fault of the database.
pub async fn look_up(
    db: &impl ConnectionTrait,
    tenant: &Tenant,
    resource_type: &str,
    text: &SearchText,
) -> Result<Lookup> {
    let backend = db.get_database_backend();
    let tag = tag(tenant, resource_type);
    let parts = text.parts(ESTIMATED);
    let row = db.query_one_raw(estimates(backend, tenant, &tag, &parts)).await?;
    let Some(row) = row else { return Ok(Lookup { ids: None, is_built: false, is_current: false }) };
    let mut rare = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let found = row.try_get_by_index::<i64>(2 + index)?.unsigned_abs();
        if found < COMMON[1] {
            rare.push((found, part));
        }
    }
    rare.sort_unstable();
    let tokens: Vec<String> = rare.iter().take(LOOKED_UP).map(|(_, part)| token(&tag, 0, part)).collect();
    let ids = (!tokens.is_empty()).then(|| ids(backend, tenant, &tokens));
    Ok(Lookup { ids, is_built: !is_true(&row, 0)?, is_current: !is_true(&row, 1)? })
}

/// The rows of `E` whose documents hold all words.
#[must_use]
pub fn holds<E: Listed>(backend: DbBackend, tenant: &Tenant, text: &SearchText) -> Condition {
    let document = Query::select()
        .expr(Expr::val(1_i32))
        .from("search_documents")
        .and_where(Expr::col(("search_documents", "tenant_id")).eq(tenant.as_str()))
        .and_where(Expr::col(("search_documents", "resource_id")).equals((E::default(), E::ID)))
        .cond_where(text.words().fold(Condition::all(), |all, word| all.add(position(backend, word).gt(0_i32))))
        .take();
    Condition::all().add(Expr::exists(document))
}

/// Where a document's text holds this, from 1; 0 where it does not.
#[must_use]
pub fn position(backend: DbBackend, part: &str) -> Expr {
    let function = if backend == DbBackend::Postgres { "strpos" } else { "instr" };
    Func::cust(Alias::new(function)).arg(Expr::col(("search_documents", "text"))).arg(part).into()
}

/// One row: whether the index is not built, whether something is queued, and for each part how many of the first sample have it,
/// as far as that says that it is rare.
fn estimates(backend: DbBackend, tenant: &Tenant, tag: &str, parts: &[String]) -> Statement {
    let mut values: Vec<Value> = vec![tenant.as_str().into()];
    let mut columns = vec![
        "EXISTS (SELECT 1 FROM search_builds WHERE tenant_id = '' AND is_first)".to_owned(),
        "EXISTS (SELECT 1 FROM search_queue WHERE tenant_id = $1)".to_owned(),
    ];
    for part in parts {
        let mut at_most = |level: usize, most: u64| {
            values.push(match backend {
                DbBackend::Postgres => token(tag, level, part).into(),
                _ => format!("\"{}\"", token(tag, level, part)).into(),
            });
            let found = match backend {
                DbBackend::Postgres => format!(
                    "search_documents WHERE search_tokens(tag, grams, sample) @@ (SELECT CAST(${} AS tsquery))",
                    values.len()
                ),
                _ => format!("search_index WHERE search_index MATCH ${}", values.len()),
            };
            format!("(SELECT count(*) FROM (SELECT 1 FROM {found} LIMIT {most}) AS found)")
        };
        // SQLite stops at the last one that is counted; PostgreSQL reads them all first, and a smaller sample of those.
        columns.push(match backend {
            DbBackend::Postgres => format!(
                "CASE WHEN {} >= {} THEN {} ELSE {} END",
                at_most(2, COMMON[2]),
                COMMON[2],
                COMMON[1],
                at_most(1, COMMON[1])
            ),
            _ => at_most(1, COMMON[1]),
        });
    }
    Statement::from_sql_and_values(backend, format!("SELECT {}", columns.join(", ")), values)
}

/// The tenant is hidden from the planner, which might otherwise read all its documents.
fn ids(backend: DbBackend, tenant: &Tenant, tokens: &[String]) -> SelectStatement {
    let found = match backend {
        // In a query of its own the tokens are not known to the planner, which might otherwise believe statistics of others.
        DbBackend::Postgres => Expr::cust_with_values(
            "search_tokens(tag, grams, sample) @@ (SELECT CAST($1 AS tsquery))",
            [tokens.join(" & ")],
        ),
        _ => Expr::cust_with_values(
            "document IN (SELECT rowid FROM search_index WHERE search_index MATCH ?)",
            [tokens.iter().map(|token| format!("\"{token}\"")).collect::<Vec<_>>().join(" AND ")],
        ),
    };
    let of_tenant = Expr::from(Func::coalesce([Expr::col("tenant_id"), Expr::col("tenant_id")])).eq(tenant.as_str());
    Query::select().column("resource_id").from("search_documents").and_where(found).and_where(of_tenant).take()
}

fn is_true(row: &QueryResult, index: usize) -> Result<bool> {
    Ok(row.try_get_by_index::<bool>(index)?)
}
