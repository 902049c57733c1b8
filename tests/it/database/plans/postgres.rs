//! PostgreSQL: the plan and the rows that it visits by `EXPLAIN (ANALYZE)`, what triggers and functions read besides by the
//! counters of the transaction.

use std::collections::{BTreeMap, BTreeSet};

use crm::database::connect::planning;
use sea_orm::{
    Value as SqlValue, Values,
    sqlx::{self, Connection, Executor, PgConnection, Row, postgres::PgConnectOptions},
};
use sea_query_sqlx::SqlxValues;
use serde_json::Value;

use super::explain::{BOUND, Explained, Fault, Finding, grows};

pub struct Postgres {
    connection: PgConnection,
    tables: Vec<String>,
    /// Indexes of some rows of their tables alone.
    partial: Vec<String>,
}

impl Postgres {
    pub async fn open(url: &str, tables: Vec<String>) -> Self {
        let options: PgConnectOptions = url.parse().unwrap();
        let mut connection = PgConnection::connect_with(&options.extra_float_digits(None)).await.unwrap();
        // As in the service's sessions.
        let settings = planning("SET");
        connection.execute(sqlx::AssertSqlSafe(settings)).await.unwrap();
        let partial = "SELECT relname::text FROM pg_index JOIN pg_class ON oid = indexrelid WHERE indpred IS NOT NULL";
        let partial = connection.fetch_all(partial).await.unwrap().iter().map(|row| row.get(0)).collect();
        Self { connection, tables, partial }
    }

    /// Explains a statement, and runs it in vain with the values of each tenant. Without statistics, which autovacuum makes within
    /// a minute, no more is asked than that there is an index: what it gives in order may be sorted.
    pub async fn explain(
        &mut self,
        sql: &str,
        values: [Vec<SqlValue>; 2],
        is_measured: bool,
        is_analyzed: bool,
    ) -> Explained {
        let (mut findings, mut plan) = (BTreeSet::new(), Vec::new());
        let without = format!("EXPLAIN (FORMAT JSON) {sql}");
        let row = self.connection.fetch_one(query(&without, values[0].clone())).await;
        let document: Value = row.unwrap_or_else(|error| panic!("{sql}: {error}")).get(0);
        self.unkeyed(&document[0]["Plan"], false, &mut findings);
        self.visits(&document[0]["Plan"], 0, &mut plan, &mut BTreeSet::new());
        if is_measured && is_analyzed {
            for values in values {
                plan = self.measure(sql, values, &mut findings).await.unwrap_or(plan);
            }
        }
        Explained { plan: plan.join("\n"), findings }
    }

    /// Runs it in vain. Nothing is known of one that is refused, as a second row with the same key is.
    async fn measure(
        &mut self,
        sql: &str,
        values: Vec<SqlValue>,
        findings: &mut BTreeSet<Finding>,
    ) -> Option<Vec<String>> {
        self.connection.execute("BEGIN").await.unwrap();
        let before = self.read().await;
        let measured = format!("EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {sql}");
        let row = self.connection.fetch_one(query(&measured, values)).await;
        if row.is_ok() {
            for (table, rows) in self.read().await {
                let rows = rows - before.get(&table).copied().unwrap_or_default();
                if rows as f64 > BOUND && grows(&self.tables, &table) {
                    findings.insert(Finding::new(Fault::Visits, format!("{rows} rows of {table} are read one by one")));
                }
            }
        }
        self.connection.execute("ROLLBACK").await.unwrap();
        let (document, mut lines): (Value, _) = (row.ok()?.get(0), Vec::new());
        self.visits(&document[0]["Plan"], 0, &mut lines, findings);
        Some(lines)
    }

    /// Finds tables and indexes that are read from their beginning. Of an index that may be, for the first rows that it has, where
    /// nothing is left out and the rest is not read; and of one that has few rows of its table alone.
    fn unkeyed(&self, node: &Value, is_limited: bool, findings: &mut BTreeSet<Finding>) {
        let text = |field: &str| node[field].as_str().unwrap_or_default();
        let (kind, index) = (text("Node Type"), text("Index Name"));
        let is_index = kind.contains("Index") && node["Index Cond"].is_null();
        let is_kept_short = is_limited && node["Filter"].is_null();
        let is_unkeyed =
            kind == "Seq Scan" || (is_index && !is_kept_short && !self.partial.iter().any(|one| one == index));
        if is_unkeyed && (grows(&self.tables, text("Relation Name")) || kind == "Bitmap Index Scan") {
            findings.insert(Finding::new(Fault::Scan, format!("{kind} {} {index}", text("Relation Name"))));
        }
        let is_limited = kind == "Limit" || (is_limited && !kind.contains("Sort") && kind != "Aggregate");
        for child in node["Plans"].as_array().into_iter().flatten() {
            self.unkeyed(child, is_limited, findings);
        }
    }

    /// How many rows of each table this transaction has read in whole tables.
    async fn read(&mut self) -> BTreeMap<String, i64> {
        let sql = "SELECT relname::text, seq_tup_read FROM pg_stat_xact_user_tables";
        let rows = self.connection.fetch_all(sql).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    /// Finds what visits or sorts more rows than the bound.
    fn visits(&self, node: &Value, depth: usize, lines: &mut Vec<String>, findings: &mut BTreeSet<Finding>) {
        let text = |field: &str| node[field].as_str().unwrap_or_default();
        let number = |node: &Value, field: &str| node[field].as_f64().unwrap_or_default();
        let rows = |node: &Value| number(node, "Actual Rows") * number(node, "Actual Loops");
        let removed = number(node, "Rows Removed by Filter") + number(node, "Rows Removed by Index Recheck");
        let visited = rows(node) + removed * number(node, "Actual Loops");
        let kind = text("Node Type");
        let line =
            format!("{kind} {} {} {} visited {visited}", text("Relation Name"), text("Index Name"), text("Index Cond"));
        let children: Vec<&Value> = node["Plans"].as_array().into_iter().flatten().collect();
        let sorted: f64 = children.iter().copied().map(rows).sum();
        if kind.contains("Sort") && sorted > BOUND {
            findings.insert(Finding::new(Fault::Sort, format!("{sorted} rows")));
        }
        if visited > BOUND {
            findings.insert(Finding::new(Fault::Visits, &line));
        }
        lines.push(format!("{}{line}", "  ".repeat(depth)));
        for child in children {
            self.visits(child, depth + 1, lines, findings);
        }
    }

    pub async fn analyze(&mut self) {
        self.connection.execute("ANALYZE").await.unwrap();
    }
}

fn query(sql: &str, values: Vec<SqlValue>) -> sqlx::query::Query<'_, sqlx::Postgres, SqlxValues> {
    sqlx::query_with(sqlx::AssertSqlSafe(sql), SqlxValues(Values(values))).persistent(false)
}
