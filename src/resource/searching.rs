//! Lists of what holds searched words, or has a phone number or an e-mail address.

use sea_orm::ConnectionTrait;

use super::Resource;
use crate::{
    database::{
        list::Criterion,
        search::{any_of, criterion},
    },
    error::Result,
    pii::Lookup,
    values::{SearchText, Tenant},
};

/// The criterion that the rows of `E` are found by the lookup.
pub fn found_by<E: Resource>(lookup: Lookup) -> Criterion<E> {
    Criterion::found_by(lookup.condition, lookup.ids).unaudited()
}

/// The fields with personal data that are looked up.
#[must_use]
pub fn fields(lookups: &[Lookup]) -> Vec<&'static str> {
    lookups.iter().map(|lookup| lookup.field).collect()
}

/// The criterion that the text of the rows of `E` holds all words, or that they are found by one of the lookups; none where
/// nothing is searched.
///
/// # Errors
/// A database error; unavailable, as long as the index of searches is being built.
pub async fn holding<E: Resource>(
    db: &impl ConnectionTrait,
    tenant: &Tenant,
    text: Option<&SearchText>,
    also: Vec<Lookup>,
) -> Result<Option<Criterion<E>>> {
    let mut also = also.into_iter().map(|lookup| (lookup.condition, lookup.ids));
    match text {
        Some(text) => criterion(db, tenant, (E::KIND.name, text), also).await.map(Some),
        None => Ok(also.next().map(|first| any_of(first, also))),
    }
}
