//! What stands in for what a request does not say.

use super::variables::Variables;
use crate::values::{ContractValue, Currency, Tenant};

/// As read: `None` after a mistake.
pub(super) struct Defaults {
    pub(super) tenant: Option<Tenant>,
    pub(super) currency: Option<Currency>,
}

impl Defaults {
    pub(super) fn read(env: &mut Variables<'_>) -> Self {
        Self {
            tenant: env.value("CRM_DEFAULT_TENANT", "default", "tenant of a request that names none", |text| {
                Tenant::parse(text).ok_or_else(|| Tenant::EXPECTED.to_owned())
            }),
            currency: env.value("CRM_DEFAULT_CURRENCY", "CNY", "currency of an amount that names none", |text| {
                Currency::from_value(text.into()).map_err(String::from)
            }),
        }
    }
}
