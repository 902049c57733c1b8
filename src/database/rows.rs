//! What is written of rows, in parts: an insertion or an update whose table, columns and values are known, so that what several
//! changes write alike can become one statement ([`super::arrays`]).

use std::fmt::Write as _;

use sea_orm::{ActiveModelTrait, ActiveValue, DbBackend, EntityTrait, IdenStatic, Iterable, Statement, Value};

/// A column and a value in it.
pub type Field = (&'static str, Value);

/// Rows to insert into a table, all with values for the same columns.
#[derive(Debug, Clone)]
pub struct Rows {
    pub(super) table: &'static str,
    pub(super) columns: Vec<&'static str>,
    /// One after the other.
    pub(super) values: Vec<Value>,
    /// Whether rows that are there stay as they are.
    pub(super) if_absent: bool,
}

/// A row to update.
#[derive(Debug, Clone)]
pub struct RowUpdate {
    pub(super) table: &'static str,
    /// What it gets.
    pub(super) set: Vec<Field>,
    /// What tells which row it is.
    pub(super) which: Vec<Field>,
}

impl Rows {
    /// Rows of an entity. What is not set is left to the database, in all of them.
    #[must_use]
    pub fn of<A: ActiveModelTrait>(rows: impl IntoIterator<Item = A>) -> Self {
        let (mut columns, mut values) = (Vec::new(), Vec::new());
        for row in rows {
            let fields: Vec<Field> = fields(&row, |value| value.into_value());
            columns = fields.iter().map(|(column, _)| *column).collect();
            values.extend(fields.into_iter().map(|(_, value)| value));
        }
        Self { table: table::<A::Entity>(), columns, values, if_absent: false }
    }

    /// A row of a table.
    #[must_use]
    pub fn row(table: &'static str, fields: impl IntoIterator<Item = Field>) -> Self {
        let (columns, values) = fields.into_iter().unzip();
        Self { table, columns, values, if_absent: false }
    }

    /// The same, but for rows that are there already: those stay as they are.
    #[must_use]
    pub fn if_absent(self) -> Self {
        Self { if_absent: true, ..self }
    }

    /// The statement that inserts them.
    #[must_use]
    pub fn statement(&self, backend: DbBackend) -> Statement {
        let mut text = Text::new(backend);
        self.write(&mut text);
        text.statement()
    }

    /// Writes the statement into a text, which may hold others.
    pub(super) fn write(&self, text: &mut Text) {
        text.push(&self.head());
        text.push(" VALUES ");
        for (index, row) in self.values.chunks(self.columns.len().max(1)).enumerate() {
            text.push(if index == 0 { "(" } else { ", (" });
            for (index, value) in row.iter().enumerate() {
                text.push(if index == 0 { "" } else { ", " });
                text.value(value.clone());
            }
            text.push(")");
        }
        text.push(self.tail());
    }

    /// What comes before the values.
    pub(super) fn head(&self) -> String {
        format!(r#"INSERT INTO "{}" ({})"#, self.table, quoted(&self.columns))
    }

    /// What comes behind them.
    pub(super) fn tail(&self) -> &'static str {
        if self.if_absent { " ON CONFLICT DO NOTHING" } else { "" }
    }
}

impl RowUpdate {
    /// Sets what is set in `changed` in the row of which these values are known.
    #[must_use]
    pub fn of<A: ActiveModelTrait>(changed: &A, which: Vec<Field>) -> Self {
        let set = fields(changed, |value| match value {
            ActiveValue::Set(value) => Some(value),
            ActiveValue::Unchanged(_) | ActiveValue::NotSet => None,
        });
        Self { table: table::<A::Entity>(), set, which }
    }

    /// Sets these values in the row of a table of which those are known.
    #[must_use]
    pub fn row(table: &'static str, set: Vec<Field>, which: Vec<Field>) -> Self {
        Self { table, set, which }
    }

    /// The statement that updates it.
    #[must_use]
    pub fn statement(&self, backend: DbBackend) -> Statement {
        let mut text = Text::new(backend);
        text.push(&format!(r#"UPDATE "{}" SET "#, self.table));
        for (separator, (column, value)) in std::iter::once("").chain(std::iter::repeat(", ")).zip(&self.set) {
            text.push(&format!(r#"{separator}"{column}" = "#));
            text.value(value.clone());
        }
        for (word, (column, value)) in std::iter::once(" WHERE ").chain(std::iter::repeat(" AND ")).zip(&self.which) {
            text.push(&format!(r#"{word}"{column}" = "#));
            text.value(value.clone());
        }
        text.statement()
    }
}

/// The text of one or more statements, with their values.
pub(super) struct Text {
    backend: DbBackend,
    sql: String,
    values: Vec<Value>,
}

impl Text {
    pub(super) fn new(backend: DbBackend) -> Self {
        Self { backend, sql: String::new(), values: Vec::new() }
    }

    pub(super) fn push(&mut self, sql: &str) {
        self.sql.push_str(sql);
    }

    /// A place for a value: PostgreSQL's have numbers.
    pub(super) fn value(&mut self, value: Value) {
        self.values.push(value);
        match self.backend {
            DbBackend::Postgres => {
                let _in_memory = write!(self.sql, "${}", self.values.len());
            }
            _ => self.sql.push('?'),
        }
    }

    pub(super) fn statement(self) -> Statement {
        Statement::from_sql_and_values(self.backend, self.sql, self.values)
    }
}

/// The fields of a row that have values, by the columns of its entity.
fn fields<A: ActiveModelTrait>(row: &A, value: impl Fn(ActiveValue<Value>) -> Option<Value>) -> Vec<Field> {
    let columns = <A::Entity as EntityTrait>::Column::iter();
    columns.filter_map(|column| Some((column.as_str(), value(row.get(column))?))).collect()
}

fn table<E: EntityTrait>() -> &'static str {
    E::default().table_name()
}

/// Names of columns, in quotes.
pub(super) fn quoted(columns: &[&str]) -> String {
    columns.iter().map(|column| format!(r#""{column}""#)).collect::<Vec<_>>().join(", ")
}
