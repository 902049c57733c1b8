//! The operations on contacts.

use futures_util::FutureExt;
use poem::web::Data;
use poem_openapi::{OpenApi, param::Path};

use super::{CONTACTS, Contact, ContactCreate, ContactUpdate, store};
use crate::{
    app::App,
    change::Intent,
    error::Result,
    http::{
        body::Body,
        caller::{Caller, CanRead, CanWrite},
        contract::Tag,
        page::{List, PageNumber, PageSize, Paging},
        query::{IdFilter, Query},
        reply::{Created, Found, NoContent},
        request_id::RequestId,
    },
    values::id::PathId,
};

/// The operations on contacts.
pub struct ContactsApi;

#[OpenApi(tag = "Tag::Contacts")]
impl ContactsApi {
    /// List contacts
    ///
    /// The tenant's contacts, or those of one customer, newest first.
    #[oai(path = "/contacts", method = "get", operation_id = "listContacts")]
    async fn list(
        &self,
        caller: Caller<CanRead>,
        app: Data<&App>,
        /// Only those of this customer.
        #[oai(name = "customerId")]
        customer: Query<IdFilter>,
        /// Which page, counted from 1.
        page: Query<PageNumber>,
        /// How many contacts a page holds.
        #[oai(name = "pageSize")]
        page_size: Query<PageSize>,
    ) -> Result<Found<List<Contact>>> {
        let rows =
            store::list(app.database().read(), &caller.tenant, customer.0.0, Paging::new(page, page_size)).await?;
        Ok(Found(rows.map(|row| Contact::shown(row, caller.sight))))
    }

    /// Create a contact
    ///
    /// A primary contact demotes the customer's former one.
    #[oai(path = "/contacts", method = "post", operation_id = "createContact")]
    async fn create(
        &self,
        caller: Caller<CanWrite>,
        app: Data<&App>,
        request_id: RequestId,
        body: Body<ContactCreate>,
    ) -> Result<Created<Contact>> {
        let (id, sight) = (app.new_id(), caller.sight);
        let intent = Intent::once(caller, request_id, CONTACTS, id);
        let row = app.change(intent, move |change| store::insert(change, body.0.clone()).boxed()).await?;
        Ok(Created { location: CONTACTS.address(id), resource: Contact::shown(row, sight) })
    }

    /// Get a contact
    ///
    /// One contact of the tenant.
    #[oai(path = "/contacts/:contact_id", method = "get", operation_id = "getContact")]
    async fn get(
        &self,
        caller: Caller<CanRead>,
        app: Data<&App>,
        /// The contact's id.
        contact_id: Path<PathId>,
    ) -> Result<Found<Contact>> {
        let row = store::find(app.database().read(), &caller.tenant, contact_id.0.0).await?;
        Ok(Found(Contact::shown(row, caller.sight)))
    }

    /// Change a contact
    ///
    /// Changes the fields in the body and leaves the others; `{}` changes nothing and is accepted. Making the contact
    /// primary demotes the customer's former one.
    #[oai(path = "/contacts/:contact_id", method = "patch", operation_id = "updateContact")]
    async fn update(
        &self,
        caller: Caller<CanWrite>,
        app: Data<&App>,
        request_id: RequestId,
        /// The contact's id.
        contact_id: Path<PathId>,
        body: Body<ContactUpdate>,
    ) -> Result<Found<Contact>> {
        let sight = caller.sight;
        let intent = Intent::once(caller, request_id, CONTACTS, contact_id.0.0);
        let row = app.change(intent, move |change| store::update(change, body.0.clone()).boxed()).await?;
        Ok(Found(Contact::shown(row, sight)))
    }

    /// Delete a contact
    ///
    /// Deletes the contact; its follow-ups stay, without the reference. No other contact becomes primary.
    #[oai(path = "/contacts/:contact_id", method = "delete", operation_id = "deleteContact")]
    async fn delete(
        &self,
        caller: Caller<CanWrite>,
        app: Data<&App>,
        /// The contact's id.
        contact_id: Path<PathId>,
    ) -> Result<NoContent> {
        let intent = Intent::unkeyed(caller, CONTACTS, contact_id.0.0);
        app.change(intent, |change| store::delete(change).boxed()).await?;
        Ok(NoContent)
    }
}
