//! The export of a customer: one JSON document from one snapshot, written while it is read, so that its size costs no memory.
//!
//! An export goes on for as long as its reader takes what there is, up to a limit: its snapshot holds a connection that reads.
//! Whatever goes wrong on the way, the reader sees: the document has no end, and the connection is closed without one.

use std::{io, mem, time::Duration};

use futures_util::stream;
use poem::{Body, IntoResponse, Response, http::header};
use poem_openapi::{
    ApiResponse,
    registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry},
    types::Type,
};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait};
use serde::Serialize;
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::timeout,
};
use uuid::Uuid;

use super::types::CustomerExport;
use crate::{
    app::App,
    audit::{AuditAction, AuditEntry, AuditedAction, field_change::FieldChange},
    contacts::Contact,
    customers::{self, CUSTOMERS, Customer},
    database::{Transaction, read, tenancy::Tenanted},
    error::{Error, Result},
    follow_ups::FollowUp,
    http::caller::{Caller, CanExport},
    opportunities::Opportunity,
    pii::{PiiCipher, PiiView, PiiVisibility},
    resource::{OfCustomer, Projection},
    values::Tenant,
};

/// Rows that are read at a time.
const ROWS: u64 = 50;
/// Parts of the document that wait to be sent.
const PARTS: usize = 2;
/// How large a part of the document is, in bytes: a row may make it larger.
const PART: usize = 64 << 10;
/// How long a reader may take for a part.
const PART_LIMIT: Duration = Duration::from_secs(10);
/// How long an export may take, from its snapshot to its end.
const LIMIT: Duration = Duration::from_secs(120);
/// The same where it holds the only connection that its tenant may read with: others wait for it.
const LIMIT_ALONE: Duration = Duration::from_secs(5);

/// The document of a customer, which is still being read.
pub struct Exported {
    customer: Uuid,
    body: Body,
}

/// A part of the document.
enum Part {
    Some(Vec<u8>),
    /// The last one: without it, the document has broken off.
    Last(Vec<u8>),
}

/// What an export reads from, and where it goes.
struct Export {
    snapshot: Transaction,
    tenant: Tenant,
    customer: Uuid,
    parts: mpsc::Sender<Part>,
}

/// Begins the export of a customer.
///
/// # Errors
/// Not found; too many, if as many exports as may be are under way; or a database error.
pub(super) async fn export(app: &App, caller: &Caller<CanExport>, customer: Uuid) -> Result<Exported> {
    // Whoever asks for a customer that is not there must not take the place of another.
    read::one::<customers::Entity>(&app.database().read_for(caller.tenant()), caller.tenant(), customer).await?;
    let place = app.exports().clone().try_acquire_owned();
    let place = place.map_err(|_| Error::too_many("as many exports as may be are under way"))?;
    let limit = if app.database().reads_of_a_tenant() > 1 { LIMIT } else { LIMIT_ALONE };
    let snapshot = app.database().snapshot_for(caller.tenant(), limit).await?;
    let row = read::one::<customers::Entity>(&snapshot, caller.tenant(), customer).await?;
    let head = Head {
        exported_at: app.now(),
        tenant_id: caller.tenant(),
        customer: Customer::project(row, &PiiView::new(app.cipher(), PiiVisibility::Clear))?,
    };
    let mut head = serde_json::to_vec(&head).map_err(Error::internal)?;
    // The document goes on.
    head.pop();
    app.audit_queue().record(reading(app, caller, customer));

    let (parts, receiver) = mpsc::channel(PARTS);
    let export = Export { snapshot, tenant: caller.tenant().clone(), customer, parts };
    tokio::spawn(write((export, limit), head, app.clone(), place));
    Ok(Exported { customer, body: body(receiver) })
}

/// The entry about the export: it showed all, whether it was read to its end or not.
fn reading(app: &App, caller: &Caller<CanExport>, customer: Uuid) -> Option<AuditEntry> {
    let fields = ["contactPhone", "contactEmail", "contacts.phone", "contacts.email"];
    let changes = fields.map(|field| FieldChange { field: field.to_owned(), old: None, new: None });
    let summary = "exported the customer in clear, with its contacts, opportunities and follow-ups".to_owned();
    let (action, kind, id) = (AuditAction::Read, Some(CUSTOMERS), Some(customer));
    let action = AuditedAction { action, kind, id, changes: changes.into(), summary };
    AuditEntry::new(app.ids(), &caller.actor, action).ok()
}

/// The beginning of the document: the fields of [`CustomerExport`] before the lists.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Head<'e> {
    exported_at: crate::values::Timestamp,
    tenant_id: &'e Tenant,
    customer: Customer,
}

async fn write((export, limit): (Export, Duration), head: Vec<u8>, app: App, _place: OwnedSemaphorePermit) {
    match timeout(limit, export.write(head, app.cipher())).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(cause = error.cause(), "an export broke off"),
        Err(_) => tracing::warn!("an export broke off: it was not read in time"),
    }
}

impl Export {
    async fn write(&self, head: Vec<u8>, cipher: &PiiCipher) -> Result<()> {
        let view = PiiView::new(cipher, PiiVisibility::Clear);
        self.send(Part::Some(head)).await?;
        self.rows::<Contact>("contacts", &view).await?;
        self.rows::<Opportunity>("opportunities", &view).await?;
        self.rows::<FollowUp>("followUps", &view).await?;
        self.send(Part::Last(b"}".to_vec())).await
    }

    /// The customer's rows of one kind, oldest first.
    async fn rows<V>(&self, name: &str, view: &PiiView<'_>) -> Result<()>
    where
        V: Projection<Entity: OfCustomer> + Serialize,
    {
        self.send(Part::Some(format!(",\"{name}\":[").into_bytes())).await?;
        let mut last: Option<<V::Entity as EntityTrait>::Model> = None;
        loop {
            let rows = self.next::<V>(last.as_ref()).await?;
            let Some(newest) = rows.last().cloned() else { break };
            let is_full = rows.len() as u64 == ROWS;
            let (mut part, mut is_first) = (Vec::new(), last.is_none());
            for row in rows {
                if !mem::take(&mut is_first) {
                    part.push(b',');
                }
                serde_json::to_writer(&mut part, &V::project(row, view)?).map_err(Error::internal)?;
                if part.len() >= PART {
                    self.send(Part::Some(mem::take(&mut part))).await?;
                }
            }
            self.send(Part::Some(part)).await?;
            last = Some(newest);
            if !is_full {
                break;
            }
        }
        self.send(Part::Some(b"]".to_vec())).await
    }

    async fn next<V>(
        &self,
        after: Option<&<V::Entity as EntityTrait>::Model>,
    ) -> Result<Vec<<V::Entity as EntityTrait>::Model>>
    where
        V: Projection<Entity: OfCustomer>,
    {
        use sea_orm::ModelTrait;
        let (created, id) =
            (<V::Entity as crate::resource::Resource>::CREATED, <V::Entity as crate::resource::Resource>::ID);
        let rows = V::Entity::of(&self.tenant).filter(<V::Entity as OfCustomer>::CUSTOMER.eq(self.customer));
        let rows = rows.apply_if(after, |rows, after| {
            let same_instant = Condition::all().add(created.eq(after.get(created))).add(id.gt(after.get(id)));
            rows.filter(created.gte(after.get(created)))
                .filter(Condition::any().add(created.gt(after.get(created))).add(same_instant))
        });
        Ok(rows.order_by_asc(created).order_by_asc(id).limit(ROWS).all(&self.snapshot).await?)
    }

    async fn send(&self, part: Part) -> Result<()> {
        let sent = timeout(PART_LIMIT, self.parts.send(part)).await;
        let sent = sent.map_err(|_| Error::unavailable("its reader is too slow"))?;
        sent.map_err(|_| Error::unavailable("its reader is gone"))
    }
}

/// What is sent of the document. Where the parts end before the last one, so does the connection, with an error.
fn body(parts: mpsc::Receiver<Part>) -> Body {
    Body::from_bytes_stream(stream::unfold(Some(parts), |parts| async {
        let mut parts = parts?;
        Some(match parts.recv().await {
            Some(Part::Some(bytes)) => (Ok(bytes), Some(parts)),
            Some(Part::Last(bytes)) => (Ok(bytes), None),
            None => (Err(io::Error::other("the export broke off")), None),
        })
    }))
}

impl ApiResponse for Exported {
    fn meta() -> MetaResponses {
        let schema = CustomerExport::schema_ref();
        let header = |name: &str, description: &str| MetaHeader {
            name: name.to_owned(),
            description: Some(description.to_owned()),
            required: true,
            deprecated: false,
            schema: MetaSchemaRef::Inline(Box::new(MetaSchema { max_length: Some(255), ..MetaSchema::new("string") })),
        };
        let response = MetaResponse {
            description: "OK: the customer's data.",
            status: Some(200),
            status_range: None,
            content: vec![MetaMediaType { content_type: "application/json", schema }],
            headers: vec![header("Content-Disposition", "That it is a file, and how to call it.")],
        };
        MetaResponses { responses: vec![response] }
    }

    fn register(registry: &mut Registry) {
        CustomerExport::register(registry);
    }
}

impl IntoResponse for Exported {
    fn into_response(self) -> Response {
        let file = format!("attachment; filename=\"customer-{}.json\"", self.customer);
        let response = Response::builder().content_type("application/json").header(header::CONTENT_DISPOSITION, file);
        response.header(header::CACHE_CONTROL, "no-store").body(self.body)
    }
}
