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

/// A statement of SQLite about a row of values, which can be about any number of them.
#[derive(Debug, Clone)]
pub struct ForEach {
    /// Before and behind the rows, whose columns are `column1`, `column2`, …
    pub(super) sql: [&'static str; 2],
    /// One row after the other.
    pub(super) values: Vec<Value>,
    /// How many rows these are.
    pub(super) rows: usize,
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

    /// Whether others are as many, and have values for the same columns, in the same way.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        (self.table, self.if_absent, self.values.len()) == (other.table, other.if_absent, other.values.len())
            && self.columns == other.columns
    }

    /// How many these are.
    pub(super) fn count(&self) -> usize {
        self.values.len() / self.columns.len().max(1)
    }

    /// These, and more that are [like](Self::is_like) them.
    pub(super) fn and(mut self, more: Self) -> Self {
        self.values.extend(more.values);
        self
    }

    /// Writes the statement that inserts them, with places for so many, into a text of SQLite's. Places that are left are empty.
    pub(super) fn write_among(self, text: &mut Text, places: usize) {
        let columns = self.columns.len();
        text.push(&format!(r#"INSERT INTO "{}" ("#, self.table));
        text.list(&self.columns, |text, _, column| text.quoted(column));
        text.push(") SELECT ");
        text.list(&self.columns, |text, number, _| text.column(number + 1));
        text.push(" FROM (");
        let mut values = Vec::with_capacity((columns + 1) * places);
        let mut rows = self.values.into_iter().peekable();
        while rows.peek().is_some() {
            values.push(Value::from(true));
            values.extend(rows.by_ref().take(columns));
        }
        text.places(values, columns + 1, places);
        text.push(") WHERE column1");
        text.push(if self.if_absent { " ON CONFLICT DO NOTHING" } else { "" });
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
        text.list(&self.columns, |text, _, column| text.quoted(column));
        text.push(") ");
        text.rows(self.values, self.columns.len());
        text.push(if self.if_absent { " ON CONFLICT DO NOTHING" } else { "" });
    }
}

impl ForEach {
    /// It, about one row.
    #[must_use]
    pub fn of(sql: [&'static str; 2], values: impl IntoIterator<Item = Value>) -> Self {
        Self { sql, values: values.into_iter().collect(), rows: 1 }
    }

    /// It, about more rows.
    pub(super) fn and(mut self, more: Self) -> Self {
        self.values.extend(more.values);
        Self { rows: self.rows + more.rows, ..self }
    }

    /// It, as a statement with places for so many rows. Those that are left are empty.
    #[must_use]
    pub fn statement(self, places: usize) -> Statement {
        let Self { sql: [before, behind], values, rows } = self;
        let mut text = Text::new(DbBackend::Sqlite);
        text.push(before);
        let columns = values.len() / rows.max(1);
        text.places(values, columns, places);
        text.push(behind);
        text.statement()
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

    /// Whether another one sets and is told by the same columns.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let columns = |fields: &[Field], others: &[Field]| {
            fields.iter().map(|(column, _)| column).eq(others.iter().map(|(column, _)| column))
        };
        self.table == other.table && columns(&self.set, &other.set) && columns(&self.which, &other.which)
    }

    /// The statement of SQLite for updates that are [alike](Self::is_like), with places for so many. Those that are left are empty.
    pub(super) fn all(updates: Vec<Self>, places: usize) -> Option<Statement> {
        let (mut text, first) = (Text::new(DbBackend::Sqlite), updates.first()?);
        text.push(&format!(r#"UPDATE "{}" AS t SET "#, first.table));
        text.list(&first.set, |text, number, (column, _)| {
            text.quoted(column);
            text.push(" = v.");
            text.column(number);
        });
        let columns = first.set.len() + first.which.len();
        let told: Vec<_> = first.which.iter().map(|(column, _)| *column).zip(first.set.len()..).collect();
        text.push(" FROM (");
        let values = updates.into_iter().flat_map(|update| update.set.into_iter().chain(update.which));
        text.places(values.map(|(_, value)| value).collect(), columns, places);
        text.push(") AS v");
        for (word, (column, number)) in std::iter::once(" WHERE t.").chain(std::iter::repeat(" AND t.")).zip(told) {
            text.push(word);
            text.quoted(column);
            text.push(" = v.");
            text.column(number);
        }
        Some(text.statement())
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

    /// Rows of so many values.
    fn rows(&mut self, values: Vec<Value>, columns: usize) {
        self.push("VALUES ");
        for (index, value) in values.into_iter().enumerate() {
            self.push(match index % columns {
                0 if index == 0 => "(",
                0 => "), (",
                _ => ", ",
            });
            self.value(value);
        }
        self.push(")");
    }

    /// Rows of so many values, and empty ones behind them, so many in all.
    fn places(&mut self, mut values: Vec<Value>, columns: usize, places: usize) {
        values.resize(columns * places, Value::Bool(None));
        self.rows(values, columns);
    }

    /// The column of rows with this number, from 0.
    fn column(&mut self, number: usize) {
        let _in_memory = write!(self.sql, "column{}", number + 1);
    }

    /// Items separated by commas.
    fn list<T>(&mut self, items: &[T], write: impl Fn(&mut Self, usize, &T)) {
        for (number, item) in items.iter().enumerate() {
            self.push(if number == 0 { "" } else { ", " });
            write(self, number, item);
        }
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
