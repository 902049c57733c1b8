//! Statements whose text is built once: to build it takes longer than to look up a row.

use std::{
    any::TypeId,
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use sea_orm::{DbBackend, QueryTrait, Statement, Value};
use uuid::Uuid;

use super::tenancy::Listed;
use crate::values::Tenant;

/// The statements that read what entities are asked for most, by the entity and by what is asked of it.
#[derive(Default)]
pub(super) struct Templates(RwLock<HashMap<(TypeId, String), Arc<Template>>>);

/// A statement with places for values.
struct Template {
    backend: DbBackend,
    sql: String,
    values: Vec<Value>,
    /// Which of the values is replaced by which one.
    places: Vec<(usize, usize)>,
}

/// The tenant that stands for others in a statement that becomes a template.
pub(super) fn any_tenant() -> Option<Tenant> {
    Tenant::parse("the-tenant-of-the-template")
}

impl Templates {
    /// The statement of [`Listed::one`].
    pub(super) fn one<E: Listed>(&self, backend: DbBackend, tenant: &Tenant, id: Uuid) -> Statement {
        let standing = || {
            let any = any_tenant()?;
            Some((E::one(&any, Uuid::max()).build(backend), [any.as_str().into(), Uuid::max().into()]))
        };
        let filled = self.filled::<E, 2>(String::new(), [tenant.as_str().into(), id.into()], standing);
        filled.unwrap_or_else(|| E::one(tenant, id).build(backend))
    }

    /// The statement by which `E` is asked for something, with these values. `standing` makes it once, with others in their places, which
    /// are none of its values otherwise.
    pub(super) fn filled<E: Listed, const N: usize>(
        &self,
        asked: String,
        values: [Value; N],
        standing: impl FnOnce() -> Option<(Statement, [Value; N])>,
    ) -> Option<Statement> {
        let key = (TypeId::of::<E>(), asked);
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&key).map(Arc::clone);
        let template = match known {
            Some(template) => template,
            None => {
                let (statement, standing) = standing()?;
                let template = Arc::new(Template::of(statement, &standing));
                self.0.write().unwrap_or_else(PoisonError::into_inner).insert(key, Arc::clone(&template));
                template
            }
        };
        Some(template.fill(&values))
    }
}

impl Template {
    fn of(statement: Statement, standing: &[Value]) -> Self {
        let Statement { sql, values, db_backend: backend } = statement;
        let values = values.map(|values| values.0).unwrap_or_default();
        let place = |value: &Value| standing.iter().position(|standing| standing == value);
        let places = values.iter().enumerate().filter_map(|(index, value)| Some((index, place(value)?))).collect();
        Self { backend, sql, values, places }
    }

    fn fill(&self, with: &[Value]) -> Statement {
        let mut values = self.values.clone();
        for (index, place) in &self.places {
            if let (Some(value), Some(with)) = (values.get_mut(*index), with.get(*place)) {
                value.clone_from(with);
            }
        }
        Statement::from_sql_and_values(self.backend, self.sql.as_str(), values)
    }
}
