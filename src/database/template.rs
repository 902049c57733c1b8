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

/// The statements that read the row of an entity by its id.
#[derive(Default)]
pub(super) struct Templates(RwLock<HashMap<TypeId, Arc<Template>>>);

/// A statement about a tenant's row.
struct Template {
    sql: String,
    values: Vec<Value>,
    /// Which of the values are the tenant, and which the id.
    slots: Vec<(usize, Slot)>,
}

#[derive(Clone, Copy)]
enum Slot {
    Tenant,
    Id,
}

impl Templates {
    /// The statement of [`Listed::one`].
    pub(super) fn one<E: Listed>(&self, backend: DbBackend, tenant: &Tenant, id: Uuid) -> Statement {
        let entity = TypeId::of::<E>();
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&entity).map(Arc::clone);
        if let Some(template) = known {
            return template.fill(backend, tenant, id);
        }
        let Some(template) = Template::of_one::<E>(backend).map(Arc::new) else {
            return E::one(tenant, id).build(backend);
        };
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(entity, Arc::clone(&template));
        template.fill(backend, tenant, id)
    }
}

impl Template {
    fn of_one<E: Listed>(backend: DbBackend) -> Option<Self> {
        // No other of its values is one of these.
        let (tenant, id) = (Tenant::parse("the-tenant-of-the-template")?, Uuid::max());
        let statement = E::one(&tenant, id).build(backend);
        let values = statement.values.map(|values| values.0).unwrap_or_default();
        let (is_tenant, is_id) = (Value::from(tenant.as_str()), Value::from(id));
        let slot = |value: &Value| match value {
            value if *value == is_tenant => Some(Slot::Tenant),
            value if *value == is_id => Some(Slot::Id),
            _ => None,
        };
        let slots = values.iter().enumerate().filter_map(|(index, value)| Some((index, slot(value)?))).collect();
        Some(Self { sql: statement.sql, values, slots })
    }

    fn fill(&self, backend: DbBackend, tenant: &Tenant, id: Uuid) -> Statement {
        let mut values = self.values.clone();
        for (index, slot) in &self.slots {
            if let Some(value) = values.get_mut(*index) {
                *value = match slot {
                    Slot::Tenant => tenant.as_str().into(),
                    Slot::Id => id.into(),
                };
            }
        }
        Statement::from_sql_and_values(backend, self.sql.as_str(), values)
    }
}
