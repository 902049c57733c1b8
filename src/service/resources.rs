//! The only list of resources. Operations, tags and names in the contract, the AsyncAPI document and key rotation
//! derive from it.
//!
//! A resource that is declared in `lib.rs` but missing here is dead code, which does not compile.

use std::collections::HashMap;

use poem::{endpoint::BoxEndpoint, http::Method};
use poem_openapi::{
    OpenApi,
    registry::{MetaApi, Registry},
    types::Type,
};
use sea_orm::IdenStatic;

use crate::{
    change::Removal,
    contacts::{self, ContactsApi},
    customers::{self, CustomersApi},
    database::search::build::SearchedTable,
    follow_ups::{self, FollowUpsApi},
    opportunities::{self, OpportunitiesApi},
    pii::PiiTable,
    resource::{Action, Kind, Projection, Published},
    timeline::fill::OwnedTable,
    values::integer_enum::ValueNames,
};

/// The resources, in the order of the contract; each may refer to those before it.
#[must_use]
pub fn resources() -> [ResourceEntry; 4] {
    [
        ResourceEntry::of::<customers::Entity, CustomersApi>(),
        ResourceEntry::of::<contacts::Entity, ContactsApi>(),
        ResourceEntry::of::<opportunities::Entity, OpportunitiesApi>(),
        ResourceEntry::of::<follow_ups::Entity, FollowUpsApi>(),
    ]
}

/// The types of the events that are published.
#[must_use]
pub fn event_types() -> Vec<String> {
    let of = |resource: &ResourceEntry| {
        let kind = resource.kind;
        resource.actions.iter().map(move |action| action.event_type(kind)).collect::<Vec<_>>()
    };
    resources().iter().flat_map(of).collect()
}

/// The tables with personal data.
#[must_use]
pub fn pii_tables() -> Vec<PiiTable> {
    resources().into_iter().filter_map(|resource| resource.pii).collect()
}

/// The tables whose rows are searched by their text.
#[must_use]
pub fn searched_tables() -> Vec<SearchedTable> {
    resources().into_iter().map(|resource| resource.searched).collect()
}

/// The tables whose rows belong to customers.
#[must_use]
pub fn owned_tables() -> Vec<OwnedTable> {
    resources().into_iter().map(|resource| resource.owned).collect()
}

/// How the rows of each resource are removed. The last resources come first, because resources may refer to earlier ones.
#[must_use]
pub fn removals() -> Vec<Removal> {
    resources().iter().rev().map(|resource| resource.removal).collect()
}

/// Handlers by path and method, as poem-openapi stores them.
pub type Routes = HashMap<String, HashMap<Method, BoxEndpoint<'static>>>;

/// What the rest of the service knows about a resource.
pub struct ResourceEntry {
    /// Its names.
    pub kind: Kind,
    /// The actions that can occur.
    pub actions: &'static [Action],
    /// The name of its schema in the contract.
    pub schema: String,
    /// Its integer enums, with names for their values.
    pub integer_enums: Vec<ValueNames>,
    /// Its columns with personal data.
    pub pii: Option<PiiTable>,
    /// By which text its rows are searched.
    pub searched: SearchedTable,
    /// To whom its rows belong.
    pub owned: OwnedTable,
    /// How its rows are removed.
    pub removal: Removal,
    /// Its operations in the contract.
    pub meta: fn() -> Vec<MetaApi>,
    /// Adds their types to the contract.
    pub register: fn(&mut Registry),
    /// Adds their handlers.
    pub add_routes: fn(&mut Routes),
}

impl ResourceEntry {
    fn of<E: Published, A: OpenApi + Default>() -> Self {
        Self {
            kind: E::KIND,
            actions: E::ACTIONS,
            schema: <E::Projection as Type>::name().into_owned(),
            integer_enums: E::Projection::integer_enums(),
            pii: E::PII,
            searched: SearchedTable {
                resource_type: E::KIND.name,
                name: E::default().table_name(),
                id: E::ID.as_str(),
                text: E::TEXT.as_str(),
                sort: E::TEXT_SORT.as_ref().map(IdenStatic::as_str),
            },
            owned: OwnedTable {
                resource_type: E::KIND.name,
                name: E::default().table_name(),
                id: E::ID.as_str(),
                owner: E::OWNER.as_str(),
            },
            removal: Removal::of::<E>(),
            meta: A::meta,
            register: A::register,
            add_routes: |routes| A::default().add_routes(routes),
        }
    }
}
