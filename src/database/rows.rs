//! What is written of rows, in parts: an insertion or an update whose table, columns and values are known, so that what several
//! changes write alike can become one statement ([`super::arrays`]).

use std::fmt::Write as _;

use sea_orm::{ActiveModelTrait, DbBackend, EntityTrait, IdenStatic, Iterable, Statement, Value};

/// How many columns most rows have, and how long a text with all of them becomes, at most.
const MANY: usize = 16;
const LONG: usize = 512;

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
        let (mut columns, mut values) = (Vec::with_capacity(MANY), Vec::with_capacity(MANY));
        for mut row in rows {
            columns.clear();
            for column in <A::Entity as EntityTrait>::Column::iter() {
                if let Some(value) = row.take(column).into_value() {
                    columns.push(column.as_str());
                    values.push(value);
                }
            }
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
    pub fn statement(self, backend: DbBackend) -> Statement {
        let mut text = Text::new(backend);
        self.write(&mut text);
        text.statement()
    }

    /// Writes the statement into a text, which may hold others.
    pub(super) fn write(self, text: &mut Text) {
        text.push(&format!(r#"INSERT INTO "{}" ("#, self.table));
        for (separator, column) in std::iter::once("").chain(std::iter::repeat(", ")).zip(&self.columns) {
            text.push(separator);
            text.quoted(column);
        }
        text.push(") VALUES ");
        for (index, value) in self.values.into_iter().enumerate() {
            text.push(match index % self.columns.len() {
                0 if index == 0 => "(",
                0 => "), (",
                _ => ", ",
            });
            text.value(value);
        }
        text.push(")");
        text.push(if self.if_absent { " ON CONFLICT DO NOTHING" } else { "" });
    }
}

impl RowUpdate {
    /// Sets these values in the row of an entity of which those are known.
    #[must_use]
    pub fn of<E: EntityTrait>(set: Vec<Field>, which: Vec<Field>) -> Self {
        Self { table: table::<E>(), set, which }
    }

    /// Sets these values in the row of a table of which those are known.
    #[must_use]
    pub fn row(table: &'static str, set: Vec<Field>, which: Vec<Field>) -> Self {
        Self { table, set, which }
    }

    /// The statement that updates it.
    #[must_use]
    pub fn statement(self, backend: DbBackend) -> Statement {
        let mut text = Text::new(backend);
        text.push(&format!(r#"UPDATE "{}" SET "#, self.table));
        for (separator, (column, value)) in std::iter::once("").chain(std::iter::repeat(", ")).zip(self.set) {
            text.push(separator);
            text.quoted(column);
            text.push(" = ");
            text.value(value);
        }
        for (word, (column, value)) in std::iter::once(" WHERE ").chain(std::iter::repeat(" AND ")).zip(self.which) {
            text.push(word);
            text.quoted(column);
            text.push(" = ");
            text.value(value);
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
        Self { backend, sql: String::with_capacity(LONG), values: Vec::with_capacity(MANY) }
    }

    pub(super) fn push(&mut self, sql: &str) {
        self.sql.push_str(sql);
    }

    /// The name of a column.
    fn quoted(&mut self, column: &str) {
        self.sql.extend(["\"", column, "\""]);
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

fn table<E: EntityTrait>() -> &'static str {
    E::default().table_name()
}
