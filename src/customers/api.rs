//! The operations on customers.

use futures_util::FutureExt;
use poem::web::Data;
use poem_openapi::{OpenApi, param::Path};

use super::{Customer, CustomerCreate, CustomerUpdate, entity::CUSTOMERS, store};
use crate::{
    app::App,
    change::Intent,
    error::Result,
    http::{
        body::Body,
        caller::{Caller, CanRead, CanWrite},
        pages::After,
        precondition::{IfMatch, IfNoneMatch},
        query::Query,
        reply::{Created, Current, Found, NoContent, Tagged},
    },
    pii::{EmailRule, PhoneRule, PiiFilter},
    values::{
        IdempotencyKey,
        id::PathId,
        page::{List, PageNumber, PageSize},
    },
};

/// The operations on customers.
#[derive(Default)]
pub(crate) struct CustomersApi;

#[OpenApi(tag = "CUSTOMERS")]
impl CustomersApi {
    /// List customers
    ///
    /// The tenant's customers, newest first, optionally only those with a phone number or e-mail address. Searching by one
    /// needs the scope `crm:pii:read` (403 without it), unless the service shows personal data to everybody.
    #[oai(path = "/customers", method = "get", operation_id = "listCustomers")]
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
        /// Page number, starting at 1.
        page: Query<PageNumber>,
        /// Number of customers per page.
        #[oai(name = "pageSize")]
        page_size: Query<PageSize>,
        /// Only what comes behind this cursor: the `nextCursor` of a page, asked with the same filters.
        after: After,
    ) -> Result<Found<List<Customer>>> {
        let (filter, page) = (
            store::Filter { phone: phone.0, email: email.0 },
            after.page(app.cipher(), caller.tenant(), page.0, page_size.0)?,
        );
        let searched = filter.searched();
        let database = app.database().read_for(caller.tenant());
        let rows = store::list(&database, app.cipher(), caller.tenant(), filter, page.slice.clone()).await?;
        Ok(Found(app.project_found(&caller, &searched, &page, rows)?))
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
