//! Writing the document of a resource.

use std::collections::BTreeSet;

use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement, Value};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    database::{ForEach, RowUpdate, Rows, Transaction},
    values::{Tenant, grams::grams, normal_form::normal_form},
};

/// What the tokens of a tenant's documents of one type begin with, so that a search reads no others. Two may have the same: then
/// it reads more, and finds the same.
pub(super) fn tag(tenant: &Tenant, resource_type: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(tenant.as_str());
    hash.update([0]);
    hash.update(resource_type);
    hash.finalize().iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

/// What the index has of a part of a word, in documents with this tag, in the sample of this level.
pub(super) fn token(tag: &str, level: usize, part: &str) -> String {
    format!("{tag}{level}{part}")
}

/// The longest parts of a document, in bytes, with which it is in a sample: for that, an index has them up to three times, and a
/// `tsvector` holds 1 MiB.
const SAMPLED: usize = 100_000;

/// In which samples a document is: 2 for one in 4,096, 1 for one in 64, 0 for the others.
fn sample(id: Uuid, grams: &str) -> i16 {
    match Sha256::digest(id).as_slice() {
        _ if grams.len() > SAMPLED => 0,
        [0, second, ..] if *second < 16 => 2,
        [first, ..] if *first < 4 => 1,
        _ => 0,
    }
}

/// What is stored of the text of a resource.
struct Document {
    tag: String,
    sample: i16,
    text: String,
    grams: String,
}

impl Document {
    fn of(tenant: &Tenant, (resource_type, id): (&str, Uuid), text: &str) -> Self {
        let text = normal_form(text);
        let grams = joined(&grams(&text));
        Self { tag: tag(tenant, resource_type), sample: sample(id, &grams), text, grams }
    }

    /// What the index has of it.
    fn tokens(&self) -> BTreeSet<String> {
        let of = |level| self.grams.split_ascii_whitespace().map(move |gram| token(&self.tag, level, gram));
        (0..=usize::from(self.sample.unsigned_abs())).flat_map(of).collect()
    }
}

/// Parts of words, as a document has them, or tokens, as the index takes them.
fn joined<'g>(grams: impl IntoIterator<Item = &'g String>) -> String {
    grams.into_iter().map(|gram| format!(" {gram}")).collect()
}

/// The insertion of the document of a resource that has none. For a new resource it comes before that of the row: a row without is
/// queued.
pub fn insertion(tenant: &Tenant, resource: (&str, Uuid), text: &str) -> Rows {
    let Document { tag, sample, text, grams } = Document::of(tenant, resource, text);
    let values: [Value; 6] =
        [tenant.as_str().into(), resource.1.into(), tag.into(), sample.into(), text.into(), grams.into()];
    let columns = ["tenant_id", "resource_id", "tag", "sample", "text", "grams"];
    Rows::row("search_documents", columns.into_iter().zip(values))
}

/// Revises the document of a resource for another text than `before`. It comes before the row gets that text and this version: the
/// trigger keeps a document of the row's new version. Most texts are changed a little, so the index loses the tokens that are gone and
/// gets those that are new. Nothing is done where the resource has not the document of the text before, which another release may have
/// cut up differently: then a trigger deletes it with that text. Whether it is known already that it is revised.
///
/// # Errors
/// A fault of the database.
pub async fn revise(
    transaction: &Transaction,
    tenant: &Tenant,
    resource: (&str, Uuid),
    [before, text]: [&str; 2],
    version: i64,
) -> Result<bool, DbErr> {
    let [before, after] = [before, text].map(|text| Document::of(tenant, resource, text));
    let its = || -> Vec<(&'static str, Value)> {
        let values: [Value; 5] = [
            tenant.as_str().into(),
            resource.1.into(),
            before.tag.as_str().into(),
            before.sample.into(),
            before.grams.as_str().into(),
        ];
        ITS.into_iter().zip(values).collect()
    };
    // PostgreSQL's index follows by itself; SQLite's has nothing to follow where the parts stay.
    if transaction.get_database_backend() == DbBackend::Sqlite && before.grams != after.grams {
        let (old, new) = (before.tokens(), after.tokens());
        let tokens = [joined(old.difference(&new)), joined(new.difference(&old))].map(Value::from);
        let values = tokens.into_iter().chain(its().into_iter().map(|(_, value)| value));
        transaction.for_each(ForEach::of(REINDEX, values)).await?;
    }
    let (sample, text, grams) = (after.sample.into(), after.text.into(), after.grams.into());
    let set = vec![("sample", sample), ("text", text), ("grams", grams), ("version", version.into())];
    Ok(transaction.update(RowUpdate::row("search_documents", set, its()), None).await? == Some(1))
}

/// What tells which document is to be revised, in this order.
const ITS: [&str; 5] = ["tenant_id", "resource_id", "tag", "sample", "grams"];
/// Takes tokens of the document out of the index, and puts others in: in one statement, because with each the index writes to its
/// tables what it holds of the one before.
const REINDEX: [&str; 2] = [
    "INSERT INTO search_index (search_index, rowid, tokens) \
     SELECT command, document, CASE WHEN command IS NULL THEN column2 ELSE column1 END FROM (",
    ") CROSS JOIN search_documents CROSS JOIN (SELECT 'delete' AS command UNION ALL SELECT NULL) \
     WHERE tenant_id = column3 AND resource_id = column4 AND tag = column5 AND sample = column6 AND grams = column7",
];

/// Writes the document of a resource whose row has got its text, if it has none.
///
/// # Errors
/// A fault of the database.
pub async fn insert_where_none_is(
    transaction: &Transaction,
    tenant: &Tenant,
    resource: (&str, Uuid),
    text: &str,
) -> Result<(), DbErr> {
    let document = insertion(tenant, resource, text).if_absent();
    match transaction.get_database_backend() {
        DbBackend::Sqlite => transaction.insert_at_end(document),
        // There, what is left to the end comes in no order, and a trigger may delete the document of the text before.
        backend => drop(transaction.change(document.statement(backend), None).await?),
    }
    Ok(())
}

/// Writes the document of a resource that has none.
///
/// # Errors
/// A fault of the database.
pub async fn insert(
    db: &impl ConnectionTrait,
    tenant: &Tenant,
    resource: (&str, Uuid),
    text: &str,
) -> Result<(), DbErr> {
    let insertion = insertion(tenant, resource, text).statement(db.get_database_backend());
    db.execute_raw(insertion).await.map(drop)
}

/// Deletes the document of a resource.
///
/// # Errors
/// A fault of the database.
pub async fn delete(db: &impl ConnectionTrait, tenant: &Tenant, id: Uuid) -> Result<(), DbErr> {
    let sql = "DELETE FROM search_documents WHERE tenant_id = $1 AND resource_id = $2";
    let delete = Statement::from_sql_and_values(db.get_database_backend(), sql, [tenant.as_str().into(), id.into()]);
    db.execute_raw(delete).await.map(drop)
}
