//! Removing what is deleted.
//!
//! A deletion takes effect at once: finders hide the resource and all that goes with it. Rows are removed afterwards, in
//! steps, so that a deletion of any size neither waits for its rows nor keeps other changes from the database. A step is a
//! change by whoever deleted the resource: it leaves an audit entry and an event for each row. What is left to do is what
//! still refers to the resource, so a step that is cut off is simply taken again.

#![expect(clippy::disallowed_methods, reason = "here are found and removed the rows that finders hide")]

use futures_util::FutureExt;
use sea_orm::{
    ColumnTrait, EntityTrait, ModelTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait, Value,
    sea_query::{Expr, ExprTrait, LockBehavior, LockType},
};

use super::{
    changes::Changes,
    intent::Intent,
    open::{Change, Removal, RemovalStep},
};
use crate::{
    auth::Actor,
    database::tenancy::Tenanted,
    error::{Error, Result},
    resource::{
        OnDelete, Published, Reference,
        deletion::{self, Column},
    },
    values::Tenant,
};

/// Maximum number of deletions that are read at once.
pub const DELETIONS: u64 = 20;

/// A deleted resource whose row is still there.
#[derive(Debug, Clone)]
pub struct Deletion(deletion::Model);

impl Changes {
    /// The deletions whose rows are still there, of all tenants, oldest first and at most [`DELETIONS`]; `after` one of them,
    /// those that follow.
    ///
    /// # Errors
    /// A database error.
    pub async fn deletions(&self, after: Option<&Deletion>) -> Result<Vec<Deletion>> {
        let order = [Column::DeletedAt, Column::ResourceId];
        let later = after.map(|Deletion(after)| {
            let key = Expr::tuple(order.map(|column| column.into_expr()));
            key.gt(Expr::tuple([Expr::val(after.deleted_at), Expr::val(after.resource_id)]))
        });
        let rows = deletion::Entity::find().apply_if(later, QueryFilter::filter);
        let rows = order.into_iter().fold(rows, QueryOrder::order_by_asc);
        Ok(rows.limit(DELETIONS).all(&self.database.read()).await?.into_iter().map(Deletion).collect())
    }

    /// Removes at most `rows` rows that refer to a deleted resource; when there are none, its own row.
    ///
    /// # Errors
    /// A database error, or a row that cannot be removed: then nothing is.
    pub async fn remove(&self, Deletion(deletion): Deletion, rows: u64) -> Result<RemovalStep> {
        let kind = self.removals.iter().map(|removal| removal.kind).find(|kind| kind.name == deletion.resource_type);
        let kind = kind.ok_or_else(|| Error::internal("a deleted resource is of an unknown type"))?;
        let deletion::Model { tenant_id, resource_id, actor, client, request_id, trace_id, .. } = deletion;
        let actor = Actor { tenant: Tenant::stored(tenant_id), name: actor, client, request_id, trace_id };
        let intent = Intent::on_behalf_of(actor, kind, resource_id);
        self.apply(intent, move |change| change.remove(rows).boxed()).await
    }
}

impl Removal {
    /// How the rows of `E` are removed.
    #[must_use]
    pub fn of<E: Published>() -> Self {
        Self {
            kind: E::KIND,
            follow: |change, rows| change.follow::<E>(rows).boxed(),
            finish: |change| change.delete_marked::<E>().boxed(),
        }
    }
}

impl Change<'_> {
    async fn remove(&mut self, rows: u64) -> Result<RemovalStep> {
        let (kind, id) = self.intent.resource;
        self.removes = true;
        let deletion = deletion::Entity::of(self.tenant()).filter(Column::ResourceId.eq(id));
        let deletion = deletion.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked);
        if deletion.all(self.db()).await?.is_empty() {
            return Ok(RemovalStep::Elsewhere);
        }
        for removal in self.removals {
            match (removal.follow)(self, rows).await? {
                RemovalStep::Done => {}
                step => return Ok(step),
            }
        }
        for removal in self.removals.iter().filter(|removal| removal.kind.name == kind.name) {
            (removal.finish)(self).await?;
        }
        deletion::Entity::delete_of(self.tenant()).filter(Column::ResourceId.eq(id)).exec(self.db()).await?;
        Ok(RemovalStep::Done)
    }

    /// Deletes or clears the rows of `E` that refer to the resource of the change, at most so many.
    async fn follow<E: Published>(&mut self, rows: u64) -> Result<RemovalStep> {
        let (to, _) = self.intent.resource;
        for reference in E::REFERENCES.iter().filter(|reference| reference.to.name == to.name) {
            let step = match reference.on_delete {
                OnDelete::Delete => self.delete_referring::<E>(reference, rows).await?,
                OnDelete::Clear => self.clear_referring::<E>(reference, rows).await?,
            };
            if step != RemovalStep::Done {
                return Ok(step);
            }
        }
        Ok(RemovalStep::Done)
    }

    async fn delete_referring<E: Published>(&mut self, reference: &Reference<E>, limit: u64) -> Result<RemovalStep> {
        let referring = E::stored_of(self.tenant()).filter(reference.column.eq(self.id()));
        let rows = match E::DELETED_AT {
            Some(deleted_at) => referring.clone().filter(deleted_at.is_null()),
            None => referring.clone(),
        };
        let rows = rows.order_by_asc(E::CREATED).order_by_asc(E::ID).limit(limit);
        let rows = rows.lock(LockType::Update).all(self.db()).await?;
        if !rows.is_empty() {
            return self.delete::<E>(rows).await.map(|()| RemovalStep::Removed);
        }
        // What was deleted before by itself has its own removal.
        let left = referring.limit(1).all(self.db()).await?;
        Ok(if left.is_empty() { RemovalStep::Done } else { RemovalStep::Waiting })
    }

    /// Not with `ON DELETE SET NULL`: on a composite key it would clear the tenant too.
    async fn clear_referring<E: Published>(&mut self, reference: &Reference<E>, limit: u64) -> Result<RemovalStep> {
        let referring = E::stored_of(self.tenant()).filter(reference.column.eq(self.id()));
        let rows = referring.order_by_asc(E::CREATED).order_by_asc(E::ID).limit(limit);
        let rows = rows.lock(LockType::Update).all(self.db()).await?;
        let step = if rows.is_empty() { RemovalStep::Done } else { RemovalStep::Removed };
        for before in rows {
            let mut row = before.clone();
            row.try_set(reference.column, Value::Uuid(None))?;
            self.update::<E>(before, row).await?;
        }
        Ok(step)
    }
}
