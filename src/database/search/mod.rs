//! The index by which text is found: tables and triggers of its own, beside the rows of resources.
//!
//! A resource has a [document]: the [normal form](crate::values::normal_form) of its text, and the [parts](crate::values::grams)
//! of its words, which FTS5 (SQLite) or GIN (PostgreSQL) has an index of. It is written in the transaction of the change.
//! It is revised before its row gets another text. Where it is not, triggers delete it with that text, and note in `search_queue` that
//! a new one is missing.

pub mod build;
pub mod document;
pub mod lookup;
pub mod ranked;

use sea_orm::{
    Condition, ConnectionTrait,
    sea_query::{SelectStatement, UnionType},
};

use self::lookup::{holds, look_up};
use super::{list::Criterion, tenancy::Listed};
use crate::{
    error::{Error, Result},
    values::{SearchText, Tenant},
};

/// The criterion of a list that its rows of this type hold all words. `also` are other rows that meet it: their condition, and a
/// query of their ids.
///
/// # Errors
/// A fault of the database; unavailable, as long as the index does not have all that was there before it.
pub async fn criterion<E: Listed>(
    db: &impl ConnectionTrait,
    tenant: &Tenant,
    (resource_type, text): (&str, &SearchText),
    also: impl IntoIterator<Item = (Condition, SelectStatement)>,
) -> Result<Criterion<E>> {
    let found = look_up(db, tenant, resource_type, text).await?;
    if !found.is_built {
        return Err(Error::unavailable("the index of searches is being built"));
    }
    let words = holds::<E>(db.get_database_backend(), tenant, text);
    Ok(match found.ids {
        Some(ids) => any_of((words, ids), also),
        None => {
            let any = also.into_iter().fold(Condition::any().add(words), |any, (other, _)| any.add(other));
            Criterion::only(any).unaudited()
        }
    })
}

/// The criterion of a list that its rows meet one of these conditions, each with a query of the ids of those that do.
pub fn any_of<E: Listed>(
    (condition, ids): (Condition, SelectStatement),
    also: impl IntoIterator<Item = (Condition, SelectStatement)>,
) -> Criterion<E> {
    let (mut any, mut ids) = (Condition::any().add(condition), ids);
    for (other, others) in also {
        any = any.add(other);
        ids.union(UnionType::Distinct, others);
    }
    Criterion::found_by(any, ids).unaudited()
}
