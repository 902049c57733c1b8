//! The operation on the audit trail.

use poem::web::Data;
use poem_openapi::OpenApi;

use super::{
    store::{self, Sought},
    types::{ActionFilter, AuditLog},
};
use crate::{
    app::App,
    error::Result,
    http::{
        caller::{Caller, CanAudit},
        contract::Tag,
        page::{List, PageNumber, PageSize, Paging},
        query::{IdFilter, InstantFilter, Query, TextFilter},
        reply::Found,
    },
};

/// The operation on the audit trail.
pub struct AuditLogsApi;

#[OpenApi(tag = "Tag::AuditLogs")]
impl AuditLogsApi {
    /// List audit entries
    ///
    /// Who did what to the tenant's data, newest first: every change of a resource, every reply that showed phone numbers or
    /// e-mail addresses in clear without having changed anything, and what was refused to a known caller. Needs the scope
    /// `crm:audit:read`.
    #[oai(path = "/audit-logs", method = "get", operation_id = "listAuditLogs")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the contract")]
    async fn list(
        &self,
        caller: Caller<CanAudit>,
        app: Data<&App>,
        /// Only those about this kind of resource: `customer`, `contact`, `opportunity`, `followUp`.
        #[oai(name = "resourceType")]
        resource_type: Query<TextFilter>,
        /// Only those about this resource.
        #[oai(name = "resourceId")]
        resource_id: Query<IdFilter>,
        /// Only those of this actor.
        actor: Query<TextFilter>,
        /// Only those of this action.
        action: Query<ActionFilter>,
        /// Only those at this instant or later.
        from: Query<InstantFilter>,
        /// Only those before this instant.
        to: Query<InstantFilter>,
        /// Which page, counted from 1.
        page: Query<PageNumber>,
        /// How many entries a page holds.
        #[oai(name = "pageSize")]
        page_size: Query<PageSize>,
    ) -> Result<Found<List<AuditLog>>> {
        let sought = Sought {
            resource_type: resource_type.0.0,
            resource_id: resource_id.0.0,
            actor: actor.0.0,
            action: action.0.0,
            from: from.0.0,
            to: to.0.0,
        };
        let entries =
            store::list(&app.database().read(), caller.tenant(), sought, Paging::new(page, page_size)).await?;
        Ok(Found(entries.try_map(AuditLog::shown)?))
    }
}
