//! Who calls, and for which tenant.

mod claims;
mod cost;
mod files;
mod introspection;
mod keys;
mod outages;
mod scopes;
mod tenants;
mod tokens;
