//! The row of `opportunities`.

use sea_orm::entity::prelude::*;

use super::{Opportunity, OpportunityStage, OpportunityStatus};
use crate::{
    audit::{Audited, Fact},
    database::tenancy::{Listed, Resource, Tenanted},
    events::{Action, Evented},
    kind::{Kind, OPPORTUNITIES},
};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "opportunities")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub opportunity_id: Uuid,
    pub customer_id: Uuid,
    pub title: String,
    pub amount_cents: i64,
    pub currency: String,
    pub stage: OpportunityStage,
    pub status: OpportunityStatus,
    pub last_open_stage: OpportunityStage,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
    pub version: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Tenanted for Entity {
    const TENANT: Column = Column::TenantId;
}

impl Listed for Entity {
    const ID: Column = Column::OpportunityId;
    const CREATED: Column = Column::CreatedAt;
}

impl Resource for Entity {
    fn id(row: &Model) -> Uuid {
        row.opportunity_id
    }

    fn updated_at(row: &mut Model) -> &mut DateTimeUtc {
        &mut row.updated_at
    }

    fn version(row: &mut Model) -> &mut i64 {
        &mut row.version
    }
}

impl Audited for Entity {
    const KIND: Kind = OPPORTUNITIES;

    fn facts(row: &Model) -> Vec<Fact<'_>> {
        let Model {
            tenant_id: _,
            opportunity_id: _,
            customer_id,
            title,
            amount_cents,
            currency,
            stage,
            status,
            last_open_stage: _,
            created_at: _,
            updated_at: _,
            version: _,
        } = row;
        vec![
            Fact::Plain("customerId", Some(customer_id.to_string())),
            Fact::Personal("title", Some(title)),
            Fact::Plain("amountCents", Some(amount_cents.to_string())),
            Fact::Plain("currency", Some(currency.clone())),
            Fact::Plain("stage", Some(format!("{stage:?}"))),
            Fact::Plain("status", Some(format!("{status:?}"))),
        ]
    }
}

impl Evented for Entity {
    type Shown = Opportunity;

    const ACTIONS: &'static [Action] =
        &[Action::Created, Action::Updated, Action::Closed, Action::Reopened, Action::Deleted];

    fn actions(before: Option<&Model>, after: Option<&Model>) -> Vec<Action> {
        let is_open = |row: &Model| row.status == OpportunityStatus::Open;
        match (before.map(is_open), after.map(is_open)) {
            (None, Some(false)) => vec![Action::Created, Action::Closed],
            (None, _) => vec![Action::Created],
            (Some(true), Some(false)) => vec![Action::Closed],
            (Some(false), Some(true)) => vec![Action::Reopened],
            _ => vec![Action::Updated],
        }
    }
}
