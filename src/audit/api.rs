//! The operation on the audit trail.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::OpenApi;

use super::{
    store::{self, Filter},
    types::{ActionFilter, AuditLog},
};
use crate::{
    database::Database,
    error::Result,
    http::{
        caller::{Caller, CanAudit},
        pages::After,
        query::Query,
        reply::Found,
        tag::Tag,
    },
    pii::PiiCipher,
    values::{
        page::{List, PageNumber, PageSize},
        query::{IdFilter, InstantFilter, OnSwitch, TextFilter},
    },
};

const AUDIT_LOGS: Tag = Tag { name: "Audit logs", description: "Who did what, and when." };

/// The operation on the audit trail.
pub struct AuditLogsApi;

#[OpenApi(tag = "AUDIT_LOGS")]
impl AuditLogsApi {
    /// List audit entries
    ///
    /// Who did what to the tenant's data, newest first: every change of a resource, every response that showed phone
    /// numbers or e-mail addresses unmasked without changing anything, and rejected requests of callers with a valid
    /// token. Rejections that repeat share one entry a minute, whose summary has their number. A token with any `crm:`
    /// scope needs `crm:audit:read`.
    #[oai(path = "/audit-logs", method = "get", operation_id = "listAuditLogs")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the contract")]
    async fn list(
        &self,
        caller: Caller<CanAudit>,
        database: Data<&Arc<Database>>,
        cipher: Data<&Arc<PiiCipher>>,
        /// Only entries about this type of resource, for example `customer`.
        #[oai(name = "resourceType")]
        resource_type: Query<TextFilter>,
        /// Only entries about this resource.
        #[oai(name = "resourceId")]
        resource_id: Query<IdFilter>,
        /// Only entries of this actor.
        actor: Query<TextFilter>,
        /// Only entries with this action.
        action: Query<ActionFilter>,
        /// Only entries at or after this time.
        from: Query<InstantFilter>,
        /// Only entries before this time.
        to: Query<InstantFilter>,
        /// Page number, starting at 1.
        page: Query<PageNumber>,
        /// Number of entries per page.
        #[oai(name = "pageSize")]
        page_size: Query<PageSize>,
        /// Only what comes behind this cursor: the `nextCursor` of a page, asked with the same filters.
        after: After,
        /// Whether the entries across all pages are counted, as without it; with `false`, `total` is `null`.
        total: Query<OnSwitch>,
    ) -> Result<Found<List<AuditLog>>> {
        let filter = Filter {
            resource_type: resource_type.0,
            resource_id: resource_id.0,
            actor: actor.0,
            action: action.0,
            from: from.0,
            to: to.0,
        };
        let page = after.page(&cipher, caller.tenant(), page.0, page_size.0)?;
        let database = database.read_recent(caller.tenant(), &caller.recency);
        let entries = store::list(&database, caller.tenant(), filter, page.slice.clone(), total.0).await?;
        Ok(Found(page.answer(&cipher, entries, AuditLog::from_row)?))
    }
}
