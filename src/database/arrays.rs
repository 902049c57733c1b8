//! What several units of work write or read alike, as one statement of PostgreSQL: an array for each column, with the values of all of them. So
//! its text is the same however many there are, and is planned once.

use std::fmt::Write as _;

use sea_orm::{
    DbErr, QueryResult, Statement, Value,
    sqlx::{error::BoxDynError, postgres::PgArguments},
};

use super::{
    array::Array,
    at_end::Piece,
    rows::{RowUpdate, Rows},
};

/// How long the message becomes that has the values of a statement, in bytes, unless one unit writes more: it is sent in one record of TLS,
/// of 16 kB at most. A second one would wait until the server acknowledges the first, because the driver leaves Nagle's algorithm on
/// (RFC 896).
const LONGEST: usize = 16_000;

/// How long a text becomes, about.
const TEXT: usize = 4096;

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

/// The statements for what units of work left to their ends: one for those that write alike, unless it becomes too long. `None` where a
/// value has a type of which there are no arrays.
pub(super) fn together(units: impl IntoIterator<Item = Vec<Piece>>) -> Option<Vec<ArrayStatement>> {
    let mut alike = Vec::<Vec<Part>>::new();
    for pieces in units {
        let parts = parts(pieces)?;
        let bytes = |parts: &[Part]| parts.iter().map(Part::bytes).sum::<usize>();
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

/// The statement for claims, which returns the resources of those that were not there already. `None` as for [`together`], or where they
/// are not alike.
pub(super) fn claims(claims: Vec<Rows>) -> Option<ArrayStatement> {
    let mut parts = parts(claims.into_iter().map(|rows| Piece::Insertion(rows.if_absent())).collect())?;
    let part = parts.pop().filter(|_| parts.is_empty())?;
    let mut sql = String::with_capacity(TEXT);
    let _in_memory = part.write(&mut sql, 0);
    sql.push_str(r#" RETURNING "resource_id""#);
    Some(ArrayStatement { sql, arrays: part.arrays, updates: 0 })
}

/// One statement that reads what each of these does, which differ in nothing but their values; each row comes with the place of its
/// statement among them, from 1, as `n`. `None` as for [`together`].
pub(super) fn each_of(statements: &[&Statement]) -> Option<ArrayStatement> {
    let (first, others) = statements.split_first()?;
    let values = |statement: &Statement| statement.values.as_ref().map_or_else(Vec::new, |values| values.0.clone());
    let mut arrays = values(first).into_iter().map(Array::of).collect::<Option<Vec<_>>>()?;
    for statement in others {
        arrays.iter_mut().zip(values(statement)).try_for_each(|(array, value)| array.push(value))?;
    }
    let mut sql = "SELECT v.n, r.* FROM ".to_owned();
    unnest(&mut sql, &arrays, 0);
    sql.push_str(" WITH ORDINALITY AS v (");
    for number in 1..=arrays.len() {
        let _in_memory = write!(sql, "c{number}, ");
    }
    let _in_memory = write!(sql, "n), LATERAL ({}) AS r", first.sql.replace('$', "v.c"));
    Some(ArrayStatement { sql, arrays, updates: 0 })
}

/// The place of the statement by which [`each_of`] has found a row, from 0.
pub(super) fn place(row: &QueryResult) -> Result<Option<usize>, DbErr> {
    let number = row.try_get::<i64>("", "n")?;
    Ok(usize::try_from(number).ok().and_then(|number| number.checked_sub(1)))
}

/// Writes the rows of arrays, which begin behind so many others.
fn unnest(sql: &mut String, arrays: &[Array], behind: usize) {
    sql.push_str("unnest(");
    for (separator, (array, number)) in between(", ").zip(arrays.iter().zip(behind + 1..)) {
        let _in_memory = write!(sql, "{separator}${number}::{}[]", array.name());
    }
    sql.push(')');
}

/// Nothing, and then this each time.
fn between(separator: &str) -> impl Iterator<Item = &str> {
    std::iter::once("").chain(std::iter::repeat(separator))
}

/// What one unit writes, by kind.
fn parts(pieces: Vec<Piece>) -> Option<Vec<Part>> {
    let mut parts = Vec::<Part>::new();
    for piece in pieces {
        let part = match piece {
            Piece::Insertion(rows) | Piece::Claim(_, rows) => Part::insertion(rows)?,
            Piece::Update(update, _) => Part::update(update)?,
            Piece::ForEach(_) | Piece::Change(..) => return None,
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
        let mut arrays = Vec::<Array>::with_capacity(columns.len());
        for (index, value) in values.into_iter().enumerate() {
            match arrays.get_mut(index % columns.len()) {
                Some(array) => array.push(value)?,
                None => arrays.push(Array::of(value)?),
            }
        }
        let rows = arrays.first().map_or(0, Array::len);
        Some(Self { kind: Kind { table, columns, does }, arrays, rows })
    }

    fn update(RowUpdate { table, set, which }: RowUpdate) -> Option<Self> {
        let does = Does::Update(which.len());
        let (columns, values): (_, Vec<Value>) = set.into_iter().chain(which).unzip();
        let arrays = values.into_iter().map(Array::of).collect::<Option<_>>()?;
        Some(Self { kind: Kind { table, columns, does }, arrays, rows: 1 })
    }

    /// How long its values make a message.
    fn bytes(&self) -> usize {
        self.arrays.iter().map(Array::bytes).sum()
    }

    fn extend(&mut self, more: Self) -> Option<()> {
        self.rows += more.rows;
        self.arrays.iter_mut().zip(more.arrays).try_for_each(|(array, more)| array.append(more))
    }

    /// Writes its statement, whose arrays begin behind so many others.
    fn write(&self, sql: &mut String, behind: usize) -> std::fmt::Result {
        let Kind { table, columns, does } = &self.kind;
        let Does::Update(which) = does else {
            write!(sql, r#"INSERT INTO "{table}" ("#)?;
            for (separator, column) in between(", ").zip(columns) {
                write!(sql, r#"{separator}"{column}""#)?;
            }
            sql.push_str(") SELECT * FROM ");
            unnest(sql, &self.arrays, behind);
            sql.push_str(if *does == Does::InsertIfAbsent { " ON CONFLICT DO NOTHING" } else { "" });
            return Ok(());
        };
        let (set, told) = columns.split_at(columns.len() - which);
        write!(sql, r#"UPDATE "{table}" AS t SET "#)?;
        for (number, (separator, column)) in between(", ").zip(set).enumerate() {
            write!(sql, r#"{separator}"{column}" = v.c{number}"#)?;
        }
        sql.push_str(" FROM ");
        unnest(sql, &self.arrays, behind);
        sql.push_str(" AS v (");
        for (number, (separator, _)) in between(", ").zip(columns).enumerate() {
            write!(sql, "{separator}c{number}")?;
        }
        sql.push_str(") WHERE ");
        for (number, (separator, column)) in (set.len()..).zip(between(" AND ").zip(told)) {
            write!(sql, r#"{separator}t."{column}" = v.c{number}"#)?;
        }
        sql.push_str(" RETURNING 1");
        Ok(())
    }
}

impl ArrayStatement {
    fn of(parts: Vec<Part>) -> Self {
        let (mut sql, mut count) = (String::with_capacity(TEXT), "CAST(0 AS bigint)".to_owned());
        let (mut arrays, mut updates) = (Vec::new(), 0);
        for ((index, part), word) in
            parts.into_iter().enumerate().zip(std::iter::once("WITH").chain(std::iter::repeat(",")))
        {
            let _in_memory = write!(sql, "{word} part_{index} AS (");
            let _in_memory = part.write(&mut sql, arrays.len());
            sql.push(')');
            if let Does::Update(_) = part.kind.does {
                let _in_memory = write!(count, " + (SELECT count(*) FROM part_{index})");
                updates += part.rows;
            }
            arrays.extend(part.arrays);
        }
        let _in_memory = write!(sql, " SELECT {count}");
        Self { sql, arrays, updates }
    }

    /// Its text and its values, as the driver takes them.
    pub(super) fn into_parts(self) -> Result<(String, PgArguments), BoxDynError> {
        let mut arguments = PgArguments::default();
        self.arrays.into_iter().try_for_each(|array| array.bind(&mut arguments))?;
        Ok((self.sql, arguments))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    /// What a unit writes that creates something with a text of this length, and changes something else.
    fn unit(length: usize) -> Vec<Piece> {
        let text = "x".repeat(length);
        let row = Rows::row("things", [("id", Uuid::max().into()), ("text", text.into()), ("at", None::<i64>.into())]);
        let update = RowUpdate::row("others", vec![("number", 1_i32.into())], vec![("id", Uuid::max().into())]);
        vec![Piece::Insertion(row.clone()), Piece::Update(update, Some(1)), Piece::Insertion(row)]
    }

    fn texts(units: usize, length: usize) -> Vec<(String, i64)> {
        let statements = together((0..units).map(|_| unit(length))).unwrap_or_default();
        statements.into_iter().map(|statement| (statement.sql, statement.updates)).collect()
    }

    #[test]
    fn what_is_written_alike_is_one_statement_with_one_text() {
        let [(one, of_one)] = texts(1, 10).try_into().expect("one statement");
        let [(many, of_many)] = texts(40, 10).try_into().expect("one statement");
        assert_eq!((one.as_str(), of_one, of_many), (many.as_str(), 1, 40));
        assert_eq!(
            one,
            "WITH part_0 AS (INSERT INTO \"things\" (\"id\", \"text\", \"at\") \
             SELECT * FROM unnest($1::uuid[], $2::text[], $3::int8[])), \
             part_1 AS (UPDATE \"others\" AS t SET \"number\" = v.c0 FROM unnest($4::int4[], $5::uuid[]) AS v (c0, c1) \
             WHERE t.\"id\" = v.c1 RETURNING 1) SELECT CAST(0 AS bigint) + (SELECT count(*) FROM part_1)"
        );
    }

    #[test]
    fn a_statement_fits_into_one_record_unless_one_unit_is_longer() {
        let statements = together((0..40).map(|_| unit(1000))).unwrap_or_default();
        let bytes = |statement: &ArrayStatement| statement.arrays.iter().map(Array::bytes).sum::<usize>();
        assert!((2..=10).contains(&statements.len()) && statements.iter().all(|statement| bytes(statement) <= LONGEST));
        assert_eq!(statements.iter().map(|statement| statement.updates).sum::<i64>(), 40);
        assert_eq!(texts(3, LONGEST).len(), 3);
    }

    #[test]
    fn what_is_not_written_alike_is_a_statement_of_its_own() {
        let other = vec![Piece::Insertion(Rows::row("things", [("id", Uuid::max().into())]).if_absent())];
        let statements = together([unit(1), other, unit(1)]).unwrap_or_default();
        assert_eq!(statements.iter().map(|statement| statement.updates).collect::<Vec<_>>(), [2, 0]);
        let mixed = [Uuid::max().into(), 1_i32.into()].map(|id: Value| Rows::row("things", [("resource_id", id)]));
        assert!(claims(mixed.to_vec()).is_none() && claims(vec![mixed[0].clone(); 2]).is_some());
    }

    #[test]
    fn reads_that_differ_in_their_values_are_one() {
        let read = |id: Uuid| {
            Statement::from_sql_and_values(sea_orm::DbBackend::Postgres, "SELECT a FROM b WHERE c = $1", [id.into()])
        };
        let statement = each_of(&[&read(Uuid::max()), &read(Uuid::nil())]).expect("values of one type");
        assert_eq!(
            statement.sql,
            "SELECT v.n, r.* FROM unnest($1::uuid[]) WITH ORDINALITY AS v (c1, n), \
             LATERAL (SELECT a FROM b WHERE c = v.c1) AS r"
        );
    }
}
