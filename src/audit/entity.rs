//! The rows of the trail: [`logs`] the entries · [`queue`] those not chained yet · [`chain`] the chain · [`heads`] where each
//! tenant's chain ends.

use poem_openapi::Enum;
use sea_orm::{DeriveActiveEnum, EnumIter};
use serde::{Deserialize, Serialize};

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumIter, DeriveActiveEnum, Enum, Serialize, Deserialize)]
#[sea_orm(rs_type = "String", db_type = "Text")]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum AuditAction {
    /// A resource was made.
    #[sea_orm(string_value = "create")]
    Create,
    /// A resource was changed.
    #[sea_orm(string_value = "update")]
    Update,
    /// A resource was deleted.
    #[sea_orm(string_value = "delete")]
    Delete,
    /// Phone numbers or e-mail addresses were seen in clear.
    #[sea_orm(string_value = "read")]
    Read,
    /// A request was refused: 401, 403 or 409.
    #[sea_orm(string_value = "refuse")]
    Refuse,
}

/// Entries. The table refuses every change, and every deletion but the retention's.
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
    }
}

/// Entries that are not chained yet: written with the entry, deleted when it is chained.
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

/// The chain: which entry is the n-th of its tenant, and the hash over it and all before it.
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

/// Where each tenant's chain ends, and where it begins since the retention took its oldest entries.
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
        /// The number of the last entry that the retention deleted; 0 where it deleted none.
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
