//! The audit trail: who did what, when, to what.
//!
//! - **Changes.** Every resource that a change makes, changes or deletes leaves one entry, written in the change's own
//!   transaction ([`crate::change`]): both are there or neither. What is refused or changes nothing leaves none.
//! - **Readings and refusals.** That somebody saw a phone number or an e-mail address in clear without changing the resource,
//!   and what was refused to a known caller (401, 403, 409), is written beside the request, through a bounded queue ([`queue`]): it can neither slow a
//!   request nor fail it, and what the queue cannot hold is counted in the log.
//! - **No personal data.** An entry names the fields that changed; old and new values stand only for those that are not
//!   personal ([`field_change`]).
//! - **Append-only.** The database refuses to change an entry, and to delete one that is not due ([`retention`]).
//! - **Chained.** Each tenant's entries are chained by hash ([`chain`]), shortly after the commit, so that writers of one tenant do
//!   not wait for each other. `crm audit verify` finds what was changed, removed or slipped in.
//!
//! Reading order: [`field_change`] what a change is · [`entry`] an entry · [`queue`], [`reading`] · [`chain`] · [`retention`] ·
//! then as for every resource [`api`] · [`types`] · [`store`] · [`entity`].

pub mod api;
pub mod chain;
mod entity;
pub mod entry;
pub mod field_change;
pub mod queue;
pub mod reading;
pub mod retention;
pub(crate) mod store;
pub mod types;

pub use api::AuditLogsApi;
pub use entity::AuditAction;
pub use entry::{AuditEntry, AuditedAction};
pub use queue::AuditQueue;
