//! The finders of resources, which hide what is deleted.

use sea_orm::Select;

use super::{Resource, deletion::without_deleted};
use crate::{
    database::tenancy::{Listed, Tenanted},
    values::Tenant,
};

impl<E: Resource> Tenanted for E {
    const TENANT: E::Column = <E as Resource>::TENANT;

    #[expect(clippy::disallowed_methods, reason = "here what is deleted is hidden from every query")]
    fn of(tenant: &Tenant) -> Select<E> {
        without_deleted(tenant, E::stored_of(tenant), E::DELETED_AT.map(|_| E::ID), E::REFERENCES)
    }
}

impl<E: Resource> Listed for E {
    const ID: E::Column = <E as Resource>::ID;
    const CREATED: E::Column = <E as Resource>::CREATED;
}
