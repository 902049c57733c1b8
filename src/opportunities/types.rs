//! Contract types of opportunities.

use poem_openapi::Object;
use serde::{Deserialize, Serialize};

use super::{
    entity::{Entity, Model},
    stage::{OpportunityStage, OpportunityStatus, agree},
};
use crate::{
    error::Result,
    pii::PiiView,
    resource::{Action, Projection, Published},
    values::{
        AmountCents, Currency, Field, Id, Tenant, Text, TextRule, Timestamp,
        integer_enum::{ValueNames, names},
        text,
    },
};

/// A new opportunity.
#[derive(Debug, Clone, Object, Deserialize)]
#[oai(rename_all = "camelCase", deny_unknown_fields)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OpportunityCreate {
    /// The customer that the opportunity belongs to; it must exist and cannot be changed later.
    pub customer_id: Id,
    /// A title: what might be sold.
    pub title: Title,
    /// The amount in the currency's minor unit (cents, fen). Default: 0.
    #[serde(default)]
    pub amount_cents: Field<AmountCents>,
    /// The currency of the amount. Default: the service's default currency.
    #[serde(default)]
    pub currency: Field<Currency>,
    /// The stage in the sales pipeline. Default: 0 (New).
    #[serde(default)]
    pub stage: Field<OpportunityStage>,
}

/// Changes to an opportunity; absent fields stay unchanged.
#[derive(Debug, Clone, Object, Deserialize)]
#[oai(rename_all = "camelCase", deny_unknown_fields)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OpportunityUpdate {
    /// A title: what might be sold.
    #[serde(default)]
    pub title: Field<Title>,
    /// The amount in the currency's minor unit (cents, fen).
    #[serde(default)]
    pub amount_cents: Field<AmountCents>,
    /// The currency of the amount.
    #[serde(default)]
    pub currency: Field<Currency>,
    /// The stage in the sales pipeline; also sets the status.
    #[serde(default)]
    pub stage: Field<OpportunityStage>,
    /// Whether the opportunity is open, won or lost; moves the stage if sent alone, must agree with it otherwise.
    #[serde(default)]
    pub status: Field<OpportunityStatus>,
}

impl OpportunityUpdate {
    /// Checks what the body says by itself.
    ///
    /// # Errors
    /// Invalid, if the stage and the status contradict each other.
    pub fn check(&self) -> Result<()> {
        agree(self.stage.clone().into_option(), self.status.clone().into_option())
    }
}

/// A possible sale to a customer.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct Opportunity {
    /// The opportunity's id.
    pub opportunity_id: Id,
    /// The tenant that the opportunity belongs to.
    pub tenant_id: Tenant,
    /// The customer that the opportunity belongs to.
    pub customer_id: Id,
    /// A title: what might be sold.
    pub title: Title,
    /// The amount in the currency's minor unit (cents, fen).
    pub amount_cents: AmountCents,
    /// The currency of the amount.
    pub currency: Currency,
    /// The stage in the sales pipeline.
    pub stage: OpportunityStage,
    /// Whether the opportunity is open, won or lost.
    pub status: OpportunityStatus,
    /// When the opportunity was created.
    pub created_at: Timestamp,
    /// When the opportunity was last changed.
    pub updated_at: Timestamp,
}

impl Projection for Opportunity {
    type Entity = Entity;

    fn integer_enums() -> Vec<ValueNames> {
        vec![names::<OpportunityStage>(), names::<OpportunityStatus>()]
    }

    fn project(row: Model, _view: &PiiView<'_>) -> Result<Self> {
        let Model {
            tenant_id,
            opportunity_id,
            customer_id,
            title,
            amount_cents,
            currency,
            stage,
            status,
            last_open_stage: _,
            created_at,
            updated_at,
            version: _,
            deleted_at: _,
            title_sort: _,
            stage_entered_at: _,
            idle_since: _,
        } = row;
        Ok(Self {
            opportunity_id: Id(opportunity_id),
            tenant_id: Tenant::stored(tenant_id),
            customer_id: Id(customer_id),
            title: Title::stored(title),
            amount_cents: AmountCents(amount_cents),
            currency: Currency::stored(currency),
            stage,
            status,
            created_at: Timestamp(created_at),
            updated_at: Timestamp(updated_at),
        })
    }
}

impl Published for Entity {
    type Projection = Opportunity;

    /// Triggers note when it was moved last, and since when nothing has happened to it.
    const IS_STORED_AS_WRITTEN: bool = false;

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

/// The rule for [`Title`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TitleRule;

impl TextRule for TitleRule {
    const NAME: &'static str = "Title";
    const MIN: usize = 1;
    const MAX: usize = 200;
    const PATTERN: &'static str = text::LINE;
    const EXPECTED: &'static str = "must be 1 to 200 characters without control characters";
    const EXAMPLE: &'static str = "Annual licence, 40 seats";

    fn check(text: &str) -> text::Verdict {
        text::check_line(text, Self::EXPECTED)
    }
}

/// An opportunity's title, a single line.
pub type Title = Text<TitleRule>;
