//! Writing the document of a resource.

use sea_orm::{
    ConnectionTrait, DbErr, Statement,
    sea_query::{Expr, InsertStatement, Query},
};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::values::{Tenant, grams::grams, normal_form::normal_form};

/// What the tokens of a tenant's documents of one type begin with, so that a search reads no others. Two may have the same: then
/// it reads more, and finds the same.
pub(super) fn tag(tenant: &Tenant, resource_type: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(tenant.as_str());
    hash.update([0]);
    hash.update(resource_type);
    hash.finalize().iter().take(4).map(|byte| format!("{byte:02x}")).collect()
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

/// The insertion of the document of a resource that has none. For a new resource it comes before that of the row: a row without is
/// queued.
pub fn insertion(tenant: &Tenant, (resource_type, id): (&str, Uuid), text: &str) -> InsertStatement {
    let normal = normal_form(text);
    let grams: String = grams(&normal).into_iter().map(|gram| format!(" {gram}")).collect();
    let values: [Expr; 6] = [
        tenant.as_str().into(),
        id.into(),
        tag(tenant, resource_type).into(),
        sample(id, &grams).into(),
        normal.into(),
        grams.into(),
    ];
    let columns = ["tenant_id", "resource_id", "tag", "sample", "text", "grams"];
    let mut insertion = Query::insert();
    insertion.into_table("search_documents").columns(columns).values_panic(values);
    insertion
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
    db.execute(&insertion(tenant, resource, text)).await.map(drop)
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
