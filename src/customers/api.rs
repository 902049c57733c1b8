//! The operations on customers.

use futures_util::FutureExt;
use poem::web::Data;
use poem_openapi::{OpenApi, param::Path};

use super::{
    Customer, CustomerCreate, CustomerUpdate,
    entity::{CUSTOMERS, Entity, SEALED},
    status::CustomerStatus,
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
        query::{BooleanFilter, EnumFilter},
    },
};

/// The operations on customers.
#[derive(Default)]
pub(crate) struct CustomersApi;

#[OpenApi(tag = "CUSTOMERS")]
impl CustomersApi {
    /// List customers
    ///
    /// The tenant's customers that match all filters, newest first unless sorted. Searching by a phone number or an e-mail address
    /// needs the scope `crm:pii:read` (403 without it), unless the service shows personal data to everybody.
    #[oai(path = "/customers", method = "get", operation_id = "listCustomers")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the contract")]
    async fn list(
        &self,
        caller: Caller<CanRead>,
        app: Data<&App>,
        /// Only customers with this phone number, in any notation; without an extension, also those with one. Needs the scope
        /// `crm:pii:read`, because an answer confirms the number; what is found is noted in the audit trail.
        #[oai(name = "contactPhone")]
        phone: Query<PiiFilter<PhoneRule>>,
        /// Only customers with this e-mail address, in any notation. Needs the scope `crm:pii:read`, likewise.
        #[oai(name = "contactEmail")]
        email: Query<PiiFilter<EmailRule>>,
        /// Only customers whose name holds all these words, each as a part of it, without regard to case, accents, width and style;
        /// at most 10 words and 200 characters, at least one word of two characters (one of Chinese, Japanese, Korean, emoji and
        /// symbols). A whole phone number (7 digits or more) or e-mail address also finds the customers that have it, and needs the
        /// scope `crm:pii:read`, likewise.
        q: Query<Searched>,
        /// Only customers with this status, or one of several separated by commas.
        status: Query<EnumFilter<CustomerStatus>>,
        /// Only customers that have an opportunity that is open; with `false`, only those that have none.
        #[oai(name = "hasOpenOpportunities")]
        open_opportunities: Query<BooleanFilter>,
        /// In which order: by `createdAt`, `updatedAt`, `name` and `status`, at most three of them separated by
        /// commas, each with a `-` before it to sort downwards. Equal customers come in the order of their creation, in the
        /// direction of the last key. Without it, the newest come first.
        #[oai(name = "sort")]
        listing: Listing<Entity>,
    ) -> Result<FoundList<Customer>> {
        let (cipher, tenant) = (app.cipher(), caller.tenant());
        let page = listing.page(cipher, tenant)?;
        let database = app.database().read_recent(tenant, &caller.recency);
        let lookups = SEALED.lookups(cipher, tenant, (phone.0.as_ref(), email.0.as_ref()))?;
        let mut searched = fields(&lookups);
        let filter = store::Filter { lookups, statuses: status.0, has_open_opportunities: open_opportunities.0 };
        let mut criteria = filter.criteria(tenant);
        if let Some(q) = &q.0 {
            let also = q.lookups(cipher, tenant, SEALED)?;
            searched.extend(fields(&also));
            criteria.extend(holding(&database, tenant, q.text.as_ref(), also).await?);
        }
        let rows = store::list(&database, tenant, criteria, &listing, page.slice.clone()).await?;
        app.project_found(&caller, &searched, &page, rows)
    }

    /// Create a customer
    ///
    /// The new customer is a prospect (`status` 0).
    #[oai(path = "/customers", method = "post", operation_id = "createCustomer")]
    async fn create(
        &self,
        caller: Caller<CanWrite>,
        app: Data<&App>,
        key: IdempotencyKey,
        body: Body<CustomerCreate>,
    ) -> Result<Created<Tagged<Customer>>> {
        let id = app.new_id();
        let intent = Intent::create(caller, key, CUSTOMERS, id);
        let resource = app
            .changes()
            .apply_and_project(intent, move |change| store::insert(change, body.0.clone()).boxed())
            .await?;
        Ok(Created { location: CUSTOMERS.address(id), resource })
    }

    /// Get a customer
    ///
    /// One customer of the tenant.
    #[oai(path = "/customers/:customer_id", method = "get", operation_id = "getCustomer")]
    async fn get(
        &self,
        caller: Caller<CanRead>,
        app: Data<&App>,
        #[oai(name = "If-None-Match")] known: IfNoneMatch,
        /// The customer's id.
        customer_id: Path<PathId>,
    ) -> Result<Current<Customer>> {
        app.get(&caller, customer_id.0.uuid(), &known).await
    }

    /// Change a customer
    ///
    /// Changes the fields in the body and leaves the others unchanged; `{}` is accepted and changes nothing.
    #[oai(path = "/customers/:customer_id", method = "patch", operation_id = "updateCustomer")]
    async fn update(
        &self,
        caller: Caller<CanWrite>,
        app: Data<&App>,
        key: IdempotencyKey,
        #[oai(name = "If-Match")] only_if: IfMatch,
        /// The customer's id.
        customer_id: Path<PathId>,
        body: Body<CustomerUpdate>,
    ) -> Result<Found<Tagged<Customer>>> {
        let intent = Intent::update(caller, key, CUSTOMERS, customer_id.0.uuid()).only_if(only_if);
        let changed = app
            .changes()
            .apply_and_project(intent, move |change| store::update(change, body.0.clone()).boxed())
            .await?;
        Ok(Found(changed))
    }

    /// Delete a customer
    ///
    /// Deletes the customer and everything that belongs to it. All of it is gone at once; events about what went along
    /// follow.
    #[oai(path = "/customers/:customer_id", method = "delete", operation_id = "deleteCustomer")]
    async fn delete(
        &self,
        caller: Caller<CanWrite>,
        app: Data<&App>,
        #[oai(name = "If-Match")] only_if: IfMatch,
        /// The customer's id.
        customer_id: Path<PathId>,
    ) -> Result<NoContent> {
        let intent = Intent::inherent(caller, CUSTOMERS, customer_id.0.uuid()).only_if(only_if);
        app.changes().apply(intent, |change| store::delete(change).boxed()).await?;
        Ok(NoContent)
    }
}
