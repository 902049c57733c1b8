//! What several units of work write alike, as one statement of PostgreSQL: an array for each column, with the values of all of them. So
//! its text is the same however many there are, and is planned once.

use chrono::{DateTime, NaiveDate, Utc};
use sea_orm::{
    Value,
    sqlx::{Arguments, error::BoxDynError, postgres::PgArguments},
};
use uuid::Uuid;

use super::{
    at_end::Piece,
    rows::{RowUpdate, Rows, quoted},
};

/// How long the values of a statement become, in bytes, unless one unit writes more. With these it is sent in one record of TLS, of 16 kB: a
/// second one would wait until the server acknowledges the first, because the driver leaves Nagle's algorithm on (RFC 896).
const LONGEST: usize = 14_000;
/// How long a value is that is no text, at most, with what the protocol adds to each.
const FIXED: usize = 20;

/// A statement that writes rows and returns how many it updated.
pub(super) struct ArrayStatement {
    pub(super) sql: String,
    arrays: Vec<Array>,
    /// How many it is to update.
    pub(super) updates: i64,
}

/// What is written of one kind.
struct Part {
    /// The first row of it, by which its text is made.
    kind: Kind,
    arrays: Vec<Array>,
    rows: i64,
    /// How long its values are, in bytes.
    bytes: usize,
}

/// What is written to the same columns of the same table, in the same way.
#[derive(PartialEq, Eq)]
struct Kind {
    table: &'static str,
    columns: Vec<&'static str>,
    does: Does,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Does {
    Insert,
    InsertIfAbsent,
    /// Updates the rows told by as many of the last columns.
    Update(usize),
}

/// The values of a column.
enum Array {
    Bool(Vec<Option<bool>>),
    SmallInt(Vec<Option<i16>>),
    Int(Vec<Option<i32>>),
    BigInt(Vec<Option<i64>>),
    Text(Vec<Option<String>>),
    Uuid(Vec<Option<Uuid>>),
    Instant(Vec<Option<DateTime<Utc>>>),
    Date(Vec<Option<NaiveDate>>),
}

/// The statements for what units of work left to their ends: one for as many of those that write alike as are not too long. `None` where a value has a type of which
/// there are no arrays here.
pub(super) fn together(units: impl IntoIterator<Item = Vec<Piece>>) -> Option<Vec<ArrayStatement>> {
    let mut alike = Vec::<Vec<Part>>::new();
    for pieces in units {
        let parts = parts(pieces)?;
        let bytes = |parts: &[Part]| parts.iter().map(|part| part.bytes).sum::<usize>();
        let takes = |others: &Vec<Part>| {
            others.iter().map(Part::kind).eq(parts.iter().map(Part::kind)) && bytes(others) + bytes(&parts) <= LONGEST
        };
        match alike.iter_mut().find(|others| takes(others)) {
            Some(others) => others.iter_mut().zip(parts).try_for_each(|(part, more)| part.extend(more))?,
            None => alike.push(parts),
        }
    }
    Some(alike.into_iter().map(ArrayStatement::of).collect())
}

/// What one unit writes, by kind.
fn parts(pieces: Vec<Piece>) -> Option<Vec<Part>> {
    let mut parts = Vec::<Part>::new();
    for piece in pieces {
        let part = match piece {
            Piece::Insertion(rows) => Part::insertion(rows)?,
            Piece::Update(update) => Part::update(update)?,
            Piece::Change(..) => return None,
        };
        match parts.iter_mut().find(|known| known.kind == part.kind) {
            Some(known) => known.extend(part)?,
            None => parts.push(part),
        }
    }
    Some(parts)
}

impl Part {
    fn kind(&self) -> &Kind {
        &self.kind
    }

    fn insertion(Rows { table, columns, values, if_absent }: Rows) -> Option<Self> {
        let does = if if_absent { Does::InsertIfAbsent } else { Does::Insert };
        let bytes = values.iter().map(length).sum();
        let mut arrays = Vec::<Array>::with_capacity(columns.len());
        for (index, value) in values.into_iter().enumerate() {
            match arrays.get_mut(index % columns.len()) {
                Some(array) => array.push(value)?,
                None => arrays.push(Array::of(value)?),
            }
        }
        let rows = arrays.first().map_or(0, Array::len);
        Some(Self { kind: Kind { table, columns, does }, arrays, rows, bytes })
    }

    fn update(RowUpdate { table, set, which }: RowUpdate) -> Option<Self> {
        let does = Does::Update(which.len());
        let (columns, values): (_, Vec<Value>) = set.into_iter().chain(which).unzip();
        let bytes = values.iter().map(length).sum();
        let arrays = values.into_iter().map(Array::of).collect::<Option<_>>()?;
        Some(Self { kind: Kind { table, columns, does }, arrays, rows: 1, bytes })
    }

    fn extend(&mut self, more: Self) -> Option<()> {
        self.rows += more.rows;
        self.bytes += more.bytes;
        self.arrays.iter_mut().zip(more.arrays).try_for_each(|(array, more)| array.append(more))
    }

    /// Its statement, whose arrays begin behind so many others.
    fn sql(&self, behind: usize) -> String {
        let Kind { table, columns, does } = &self.kind;
        let arrays =
            self.arrays.iter().zip(behind + 1..).map(|(array, number)| format!("${number}::{}[]", array.name()));
        let unnested = format!("unnest({})", arrays.collect::<Vec<_>>().join(", "));
        let Does::Update(which) = does else {
            let tail = if *does == Does::InsertIfAbsent { " ON CONFLICT DO NOTHING" } else { "" };
            return format!(r#"INSERT INTO "{table}" ({}) SELECT * FROM {unnested}{tail}"#, quoted(columns));
        };
        let fields = |columns: &[&str], from: usize, table: &str, between: &str| {
            let fields = columns.iter().zip(from..);
            fields.map(|(column, n)| format!(r#"{table}"{column}" = v.c{n}"#)).collect::<Vec<_>>().join(between)
        };
        let (set, told) = columns.split_at(columns.len() - which);
        let names = (0..columns.len()).map(|n| format!("c{n}")).collect::<Vec<_>>().join(", ");
        format!(
            r#"UPDATE "{table}" AS t SET {} FROM {unnested} AS v ({names}) WHERE {} RETURNING 1"#,
            fields(set, 0, "", ", "),
            fields(told, set.len(), "t.", " AND ")
        )
    }
}

impl ArrayStatement {
    fn of(parts: Vec<Part>) -> Self {
        let (mut written, mut counts, mut arrays, mut updates) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for (index, part) in parts.into_iter().enumerate() {
            written.push(format!("part_{index} AS ({})", part.sql(arrays.len())));
            if let Does::Update(_) = part.kind.does {
                counts.push(format!("(SELECT count(*) FROM part_{index})"));
                updates += part.rows;
            }
            arrays.extend(part.arrays);
        }
        counts.push("CAST(0 AS bigint)".to_owned());
        let sql = format!("WITH {} SELECT {}", written.join(", "), counts.join(" + "));
        Self { sql, arrays, updates }
    }

    /// Its text and its values, as the driver takes them.
    pub(super) fn into_parts(self) -> Result<(String, PgArguments), BoxDynError> {
        let mut arguments = PgArguments::default();
        self.arrays.into_iter().try_for_each(|array| array.bind(&mut arguments))?;
        Ok((self.sql, arguments))
    }
}

/// How long a value is, in bytes.
fn length(value: &Value) -> usize {
    FIXED + if let Value::String(Some(text)) = value { text.len() } else { 0 }
}

/// Does the same with whatever array it is.
macro_rules! each {
    ($array:expr, $values:ident => $does:expr) => {
        match $array {
            Array::Bool($values) => $does,
            Array::SmallInt($values) => $does,
            Array::Int($values) => $does,
            Array::BigInt($values) => $does,
            Array::Text($values) => $does,
            Array::Uuid($values) => $does,
            Array::Instant($values) => $does,
            Array::Date($values) => $does,
        }
    };
}

impl Array {
    /// An array of one value.
    fn of(value: Value) -> Option<Self> {
        Some(match value {
            Value::Bool(value) => Self::Bool(vec![value]),
            Value::SmallInt(value) => Self::SmallInt(vec![value]),
            Value::Int(value) => Self::Int(vec![value]),
            Value::BigInt(value) => Self::BigInt(vec![value]),
            Value::String(value) => Self::Text(vec![value]),
            Value::Uuid(value) => Self::Uuid(vec![value]),
            Value::ChronoDateTimeUtc(value) => Self::Instant(vec![value]),
            Value::ChronoDate(value) => Self::Date(vec![value]),
            _ => return None,
        })
    }

    /// The type of its elements, in PostgreSQL.
    fn name(&self) -> &'static str {
        match self {
            Self::Bool(_) => "bool",
            Self::SmallInt(_) => "int2",
            Self::Int(_) => "int4",
            Self::BigInt(_) => "int8",
            Self::Text(_) => "text",
            Self::Uuid(_) => "uuid",
            Self::Instant(_) => "timestamptz",
            Self::Date(_) => "date",
        }
    }

    fn push(&mut self, value: Value) -> Option<()> {
        self.append(Self::of(value)?)
    }

    fn append(&mut self, more: Self) -> Option<()> {
        match (self, more) {
            (Self::Bool(values), Self::Bool(more)) => values.extend(more),
            (Self::SmallInt(values), Self::SmallInt(more)) => values.extend(more),
            (Self::Int(values), Self::Int(more)) => values.extend(more),
            (Self::BigInt(values), Self::BigInt(more)) => values.extend(more),
            (Self::Text(values), Self::Text(more)) => values.extend(more),
            (Self::Uuid(values), Self::Uuid(more)) => values.extend(more),
            (Self::Instant(values), Self::Instant(more)) => values.extend(more),
            (Self::Date(values), Self::Date(more)) => values.extend(more),
            _ => return None,
        }
        Some(())
    }

    fn len(&self) -> i64 {
        i64::try_from(each!(self, values => values.len())).unwrap_or(i64::MAX)
    }

    fn bind(self, arguments: &mut PgArguments) -> Result<(), BoxDynError> {
        each!(self, values => arguments.add(values))
    }
}
