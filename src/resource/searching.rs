//! Lists of what holds searched words.

use sea_orm::{Condition, ConnectionTrait, sea_query::SelectStatement};

use super::Resource;
use crate::{
    database::{list::Criterion, search::criterion},
    error::Result,
    values::{SearchText, Tenant},
};

/// The criterion that the text of the rows of `E` holds all words, or that they meet one of these conditions, each with a query of
/// the ids that do; none where nothing is searched.
///
/// # Errors
/// A database error; unavailable, as long as the index of searches is being built.
pub async fn holding<E: Resource>(
    db: &impl ConnectionTrait,
    tenant: &Tenant,
    text: Option<&SearchText>,
    also: impl IntoIterator<Item = (Condition, SelectStatement)>,
) -> Result<Option<Criterion<E>>> {
    match text {
        Some(text) => criterion(db, tenant, (E::KIND.name, text), also).await.map(Some),
        None => Ok(None),
    }
}
