//! The operations on contacts.

use futures_util::FutureExt;
use poem::web::Data;
use poem_openapi::{OpenApi, param::Path};

use super::{
    Contact, ContactCreate, ContactUpdate,
    entity::{CONTACTS, Entity, SEALED},
    store,
};
use crate::{
    app::App,
    change::Intent,
    error::Result,
    http::{
        body::Body,
        caller::{Caller, CanRead, CanWrite},
        listing::Listing,
        precondition::{IfMatch, IfNoneMatch},
        query::Query,
        reply::{Created, Current, Found, FoundList, NoContent, Tagged},
    },
    pii::{EmailRule, PhoneRule, PiiFilter, search::Searched},
    resource::searching::{fields, holding},
    values::{
        IdempotencyKey,
        id::PathId,
        query::{BooleanFilter, IdFilter},
    },
};

/// The operations on contacts.
#[derive(Default)]
pub(crate) struct ContactsApi;

#[OpenApi(tag = "CONTACTS")]
impl ContactsApi {
    /// List contacts
    ///
    /// The tenant's contacts that match all filters, newest first unless sorted. Searching by a phone number or an e-mail
    /// address needs the scope `crm:pii:read` (403 without it), unless the service shows personal data to everybody.
    #[oai(path = "/contacts", method = "get", operation_id = "listContacts")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the contract")]
    async fn list(
        &self,
        caller: Caller<CanRead>,
        app: Data<&App>,
        /// Only contacts of this customer.
        #[oai(name = "customerId")]
        customer: Query<IdFilter>,
        /// Only contacts with this phone number, in any notation; without an extension, also those with one. Needs the scope
        /// `crm:pii:read`, because an answer confirms the number; what is found is noted in the audit trail.
        phone: Query<PiiFilter<PhoneRule>>,
        /// Only contacts with this e-mail address, in any notation. Needs the scope `crm:pii:read`, likewise.
        email: Query<PiiFilter<EmailRule>>,
        /// Only contacts whose name holds all these words, each as a part of it, without regard to case, accents, width and style;
        /// at most 10 words and 200 characters, at least one word of two characters (one of Chinese, Japanese, Korean, emoji and
        /// symbols). A whole phone number (7 digits or more) or e-mail address also finds the contacts that have it, and needs the
        /// scope `crm:pii:read`, likewise.
        q: Query<Searched>,
        /// Only primary contacts; with `false`, only others.
        #[oai(name = "isPrimary")]
        primary: Query<BooleanFilter>,
        /// In which order: by `createdAt`, `updatedAt` and `name`, at most three of them separated by
        /// commas, each with a `-` before it to sort downwards. Equal contacts come in the order of their creation, in the
        /// direction of the last key. Without it, the newest come first.
        #[oai(name = "sort")]
        listing: Listing<Entity>,
    ) -> Result<FoundList<Contact>> {
        let (cipher, tenant) = (app.cipher(), caller.tenant());
        let page = listing.page(cipher, tenant)?;
        let database = app.database().read_recent(tenant, &caller.recency);
        let lookups = SEALED.lookups(cipher, tenant, (phone.0.as_ref(), email.0.as_ref()))?;
        let mut searched = fields(&lookups);
        let mut criteria = store::Filter { lookups, is_primary: primary.0 }.criteria();
        if let Some(q) = &q.0 {
            let also = q.lookups(cipher, tenant, SEALED)?;
            searched.extend(fields(&also));
            criteria.extend(holding(&database, tenant, q.text.as_ref(), also).await?);
        }
        let rows = store::list(&database, tenant, (customer.0, criteria), &listing, page.slice.clone()).await?;
        app.project_found(&caller, &searched, &page, rows)
    }

    /// Create a contact
    ///
    /// A primary contact demotes the customer's previous one.
    #[oai(path = "/contacts", method = "post", operation_id = "createContact")]
    async fn create(
        &self,
        caller: Caller<CanWrite>,
        app: Data<&App>,
        key: IdempotencyKey,
        body: Body<ContactCreate>,
    ) -> Result<Created<Tagged<Contact>>> {
        let id = app.new_id();
        let intent = Intent::create(caller, key, CONTACTS, id);
        let resource = app
            .changes()
            .apply_and_project(intent, move |change| store::insert(change, body.0.clone()).boxed())
            .await?;
        Ok(Created { location: CONTACTS.address(id), resource })
    }

    /// Get a contact
    ///
    /// One contact of the tenant.
    #[oai(path = "/contacts/:contact_id", method = "get", operation_id = "getContact")]
    async fn get(
        &self,
        caller: Caller<CanRead>,
        app: Data<&App>,
        #[oai(name = "If-None-Match")] known: IfNoneMatch,
        /// The contact's id.
        contact_id: Path<PathId>,
    ) -> Result<Current<Contact>> {
        app.get(&caller, contact_id.0.uuid(), &known).await
    }

    /// Change a contact
    ///
    /// Changes the fields in the body and leaves the others unchanged; `{}` is accepted and changes nothing. Making the
    /// contact primary demotes the customer's previous primary contact.
    #[oai(path = "/contacts/:contact_id", method = "patch", operation_id = "updateContact")]
    async fn update(
        &self,
        caller: Caller<CanWrite>,
        app: Data<&App>,
        key: IdempotencyKey,
        #[oai(name = "If-Match")] only_if: IfMatch,
        /// The contact's id.
        contact_id: Path<PathId>,
        body: Body<ContactUpdate>,
    ) -> Result<Found<Tagged<Contact>>> {
        let intent = Intent::update(caller, key, CONTACTS, contact_id.0.uuid()).only_if(only_if);
        let changed = app
            .changes()
            .apply_and_project(intent, move |change| store::update(change, body.0.clone()).boxed())
            .await?;
        Ok(Found(changed))
    }

    /// Delete a contact
    ///
    /// Deletes the contact; its follow-ups stay, without their reference to it. No other contact becomes primary.
    #[oai(path = "/contacts/:contact_id", method = "delete", operation_id = "deleteContact")]
    async fn delete(
        &self,
        caller: Caller<CanWrite>,
        app: Data<&App>,
        #[oai(name = "If-Match")] only_if: IfMatch,
        /// The contact's id.
        contact_id: Path<PathId>,
    ) -> Result<NoContent> {
        let intent = Intent::inherent(caller, CONTACTS, contact_id.0.uuid()).only_if(only_if);
        app.changes().apply(intent, |change| store::delete(change).boxed()).await?;
        Ok(NoContent)
    }
}
