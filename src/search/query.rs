//! What is searched, and of which types it is looked up as a whole.

use poem::Request;

use super::types::TypesFilter;
use crate::{
    contacts, customers,
    error::{Error, Result},
    events::changes::types::ChangedType,
    http::query::{Query, query_parameter},
    pii::{SealedColumns, search::Searched},
    values::{SearchText, query::QueryValue},
};

/// Where resources of a type have a phone number and an e-mail address, if they have.
pub(super) fn sealed(resource_type: ChangedType) -> Option<SealedColumns> {
    match resource_type {
        ChangedType::Customer => Some(customers::SEALED),
        ChangedType::Contact => Some(contacts::SEALED),
        ChangedType::Opportunity | ChangedType::FollowUp => None,
    }
}

/// The `q` parameter. In types that have no phone number and no e-mail address, a whole one is words as any other text.
#[derive(Debug)]
pub struct SearchQuery(pub(super) Searched);

impl SearchQuery {
    fn of(request: &Request, name: &str) -> Result<Self> {
        let types = Query::<TypesFilter>::of(request, "types")?.0;
        let searched = match types.into_iter().any(|resource_type| sealed(resource_type).is_some()) {
            true => Query::<Searched>::of(request, name)?.0,
            false => Query::<SearchText>::of(request, name)?.0.map(Searched::words),
        };
        searched.map(Self).ok_or_else(|| Error::invalid(format!("{name}: is required")))
    }
}

query_parameter!(SearchQuery, required: true, schema: SearchText::schema());
