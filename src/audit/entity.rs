//! The tables of the audit trail: [`logs`] entries · [`queue`] entries not chained yet · [`chain`] the hash chain ·
//! [`heads`] the end of each tenant's chain.

use poem_openapi::Enum;
use sea_orm::{DeriveActiveEnum, EnumIter};
use serde::{Deserialize, Serialize};

/// What was done to a resource: `create`, `update`, `delete`; `read`: its phone numbers or e-mail addresses were shown
/// unmasked; `refuse`: a request of a caller with a valid token was rejected. New values may be added: show one that you do
/// not know as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumIter, DeriveActiveEnum, Enum, Serialize, Deserialize)]
#[sea_orm(rs_type = "String", db_type = "Text")]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum AuditAction {
    /// A resource was created.
    #[sea_orm(string_value = "create")]
    Create,
    /// A resource was changed.
    #[sea_orm(string_value = "update")]
    Update,
    /// A resource was deleted.
    #[sea_orm(string_value = "delete")]
    Delete,
    /// Phone numbers or e-mail addresses were shown unmasked.
    #[sea_orm(string_value = "read")]
    Read,
    /// A request of a caller with a valid token was rejected: 403 or 409.
    #[sea_orm(string_value = "refuse")]
    Refuse,
}

/// Entries. The database rejects updates, and all deletions but those by retention.
pub mod logs {
    use sea_orm::entity::prelude::*;

    use super::AuditAction;
    use crate::database::tenancy::{Listed, Tenanted};

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "audit_logs")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub tenant_id: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub audit_log_id: Uuid,
        pub occurred_at: DateTimeUtc,
        pub actor: String,
        pub client: Option<String>,
        pub action: AuditAction,
        pub resource_type: Option<String>,
        pub resource_id: Option<Uuid>,
        pub request_id: String,
        pub trace_id: String,
        /// The changed fields, as JSON.
        pub changes: String,
        pub summary: String,
        /// Whether whoever wrote the entry wrote its places in timelines too; empty where the release before did.
        pub knows_timeline: Option<bool>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}

    impl Tenanted for Entity {
        const TENANT: Column = Column::TenantId;
    }

    impl Listed for Entity {
        const ID: Column = Column::AuditLogId;
        const CREATED: Column = Column::OccurredAt;
        const FILTERED: &'static [Column] =
            &[Column::OccurredAt, Column::ResourceId, Column::Actor, Column::Action, Column::ResourceType];
        // Entries come with what is read, too, and are chained later.
        const IS_KEPT: bool = false;
    }
}

/// Entries that are not chained yet: inserted with the entry, deleted once it is chained.
pub mod queue {
    use sea_orm::entity::prelude::*;

    use crate::database::tenancy::Tenanted;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "audit_queue")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub tenant_id: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub audit_log_id: Uuid,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}

    impl Tenanted for Entity {
        const TENANT: Column = Column::TenantId;
    }
}

/// The hash chain: each entry's number within its tenant, and the hash over it and all entries before it.
pub mod chain {
    use sea_orm::entity::prelude::*;

    use crate::database::tenancy::Tenanted;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "audit_chain")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub tenant_id: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub sequence: i64,
        pub audit_log_id: Uuid,
        pub hash: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}

    impl Tenanted for Entity {
        const TENANT: Column = Column::TenantId;
    }
}

/// Where each tenant's chain ends, and where it begins after retention has deleted the oldest entries.
pub mod heads {
    use sea_orm::entity::prelude::*;

    use crate::database::tenancy::Tenanted;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "audit_heads")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub tenant_id: String,
        /// The number of the last chained entry.
        pub sequence: i64,
        /// Its hash.
        pub hash: String,
        /// The number of the last entry that retention deleted, or 0.
        pub purged_sequence: i64,
        /// Its hash, to which the next one is chained.
        pub purged_hash: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}

    impl Tenanted for Entity {
        const TENANT: Column = Column::TenantId;
    }
}
