//! Rows: read in the order of their keys, written, compared.

use std::{collections::BTreeMap, fmt::Write as _};

use chrono::{DateTime, SecondsFormat, Utc};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, Statement, Value as Bound};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    state::Key,
    tables::{Column, Kind, Table},
};

/// The values of a row, in the order of the table's columns. As JSON they are alike on both databases, and can be kept.
pub(super) type Row = Vec<Value>;

/// How many rows a table has.
pub(super) async fn count(db: &impl ConnectionTrait, table: &str) -> Result<u64, DbErr> {
    let statement = Statement::from_string(db.get_database_backend(), format!("SELECT count(*) FROM {table}"));
    let row = db.query_one_raw(statement).await?;
    let count: i64 = row.map_or(Ok(0), |row| row.try_get_by_index(0))?;
    Ok(count.unsigned_abs())
}

/// The next rows behind a key, or the first ones.
pub(super) async fn after(db: &impl ConnectionTrait, table: &Table, key: Option<&Key>) -> Result<Vec<Row>, DbErr> {
    let keys = list(table.key_columns().map(|column| column.name.as_str()));
    let (mut behind, mut values) = (String::new(), Vec::new());
    if let Some(key) = key {
        behind = format!(" WHERE ({keys}) > ({})", places(1, key.len()));
        values = bind(table.key_columns(), key);
    }
    let sql = format!("{}{behind} ORDER BY {keys} LIMIT {}", select(table, &table.read_from), table.batch());
    read(db, table, sql, values).await
}

/// Writes rows.
pub(super) async fn insert(db: &impl ConnectionTrait, table: &Table, rows: Vec<Row>) -> Result<(), DbErr> {
    if rows.is_empty() {
        return Ok(());
    }
    // A number that the database gives by itself, for the rows that come later, is that of the source.
    let overriding = if db.get_database_backend() == DbBackend::Postgres { " OVERRIDING SYSTEM VALUE" } else { "" };
    let columns = list(table.columns.iter().map(|column| column.name.as_str()));
    let mut sql = format!("INSERT INTO {} ({columns}){overriding} VALUES ", table.name);
    let mut values = Vec::with_capacity(rows.len() * table.columns.len());
    for (number, row) in rows.iter().enumerate() {
        let comma = if number == 0 { "" } else { ", " };
        let _infallible = write!(sql, "{comma}({})", places(values.len() + 1, row.len()));
        values.extend(bind(table.columns.iter(), row));
    }
    db.execute_raw(Statement::from_sql_and_values(db.get_database_backend(), sql, values)).await?;
    Ok(())
}

/// The key of the first of these rows that is not there as it is here.
pub(super) async fn first_difference(
    db: &impl ConnectionTrait,
    table: &Table,
    rows: &[Row],
) -> Result<Option<String>, DbErr> {
    if rows.is_empty() {
        return Ok(None);
    }
    let keys = list(table.key_columns().map(|column| column.name.as_str()));
    let (mut tuples, mut values) = (String::new(), Vec::new());
    for row in rows {
        let key = key_of(table, row);
        let comma = if tuples.is_empty() { "" } else { ", " };
        let _infallible = write!(tuples, "{comma}({})", places(values.len() + 1, key.len()));
        values.extend(bind(table.key_columns(), &key));
    }
    let sql = format!("{} WHERE ({keys}) IN (VALUES {tuples})", select(table, &table.name));
    let there: BTreeMap<String, Row> =
        read(db, table, sql, values).await?.into_iter().map(|row| (name(&key_of(table, &row)), row)).collect();
    let differs = |row: &&Row| there.get(&name(&key_of(table, row))) != Some(*row);
    Ok(rows.iter().find(differs).map(|row| name(&key_of(table, row))))
}

/// The primary key of a row.
pub(super) fn key_of(table: &Table, row: &Row) -> Key {
    table.key.iter().filter_map(|place| row.get(*place).cloned()).collect()
}

fn name(key: &Key) -> String {
    Value::from(key.clone()).to_string()
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

fn places(first: usize, count: usize) -> String {
    (first..first + count).map(|place| format!("${place}")).collect::<Vec<_>>().join(", ")
}

fn select(table: &Table, from: &str) -> String {
    let column = |Column { name, kind }: &Column| match kind {
        // Of any width.
        Kind::Integer => format!("CAST(\"{name}\" AS bigint)"),
        _ => format!("\"{name}\""),
    };
    format!("SELECT {} FROM {from}", table.columns.iter().map(column).collect::<Vec<_>>().join(", "))
}

async fn read(db: &impl ConnectionTrait, table: &Table, sql: String, values: Vec<Bound>) -> Result<Vec<Row>, DbErr> {
    let found = db.query_all_raw(Statement::from_sql_and_values(db.get_database_backend(), sql, values)).await?;
    let row = |row: &QueryResult| {
        table.columns.iter().enumerate().map(|(place, column)| value(row, place, column.kind)).collect()
    };
    found.iter().map(row).collect()
}

fn value(row: &QueryResult, place: usize, kind: Kind) -> Result<Value, DbErr> {
    Ok(match kind {
        Kind::Uuid => json!(row.try_get_by_index::<Option<Uuid>>(place)?),
        Kind::Instant => json!(
            row.try_get_by_index::<Option<DateTime<Utc>>>(place)?
                .map(|instant| instant.to_rfc3339_opts(SecondsFormat::AutoSi, true))
        ),
        Kind::Boolean => json!(row.try_get_by_index::<Option<bool>>(place)?),
        Kind::Integer => json!(row.try_get_by_index::<Option<i64>>(place)?),
        Kind::Text => json!(row.try_get_by_index::<Option<String>>(place)?),
    })
}

/// The values to be bound.
fn bind<'a>(columns: impl Iterator<Item = &'a Column>, values: &[Value]) -> Vec<Bound> {
    let bound = |(column, value): (&Column, &Value)| match column.kind {
        Kind::Uuid => value.as_str().and_then(|text| Uuid::parse_str(text).ok()).into(),
        Kind::Instant => value
            .as_str()
            .and_then(|text| DateTime::parse_from_rfc3339(text).ok())
            .map(|instant| instant.with_timezone(&Utc))
            .into(),
        Kind::Boolean => value.as_bool().into(),
        Kind::Integer => value.as_i64().into(),
        Kind::Text => value.as_str().map(ToOwned::to_owned).into(),
    };
    columns.zip(values).map(bound).collect()
}
