//! Who calls, and for which tenant.

mod tenants;
mod tokens;
