//! Contract types of follow-ups.

use poem_openapi::Object;
use serde::{Deserialize, Serialize};

use super::entity::{Entity, Model};
use crate::{
    error::Result,
    pii::PiiView,
    resource::{Projection, Published},
    values::{Clearable, Field, Id, Nullable, Tenant, Text, TextRule, Timestamp, text},
};

/// A new follow-up.
#[derive(Debug, Clone, Object, Deserialize)]
#[oai(rename_all = "camelCase", deny_unknown_fields)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FollowUpCreate {
    /// What was said or done.
    pub content: Content,
    /// The customer it is about. Default: the customer of the opportunity or contact.
    #[serde(default)]
    pub customer_id: Clearable<Id>,
    /// The opportunity it is about; it must belong to the customer.
    #[serde(default)]
    pub opportunity_id: Clearable<Id>,
    /// The contact it is about; it must belong to the customer.
    #[serde(default)]
    pub contact_id: Clearable<Id>,
    /// The type of follow-up, in the tenant's own words. Default: `note`.
    #[serde(default)]
    pub follow_up_type: Field<FollowUpType>,
}

/// Changes to a follow-up; absent fields stay unchanged.
#[derive(Debug, Clone, Object, Deserialize)]
#[oai(rename_all = "camelCase", deny_unknown_fields)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FollowUpUpdate {
    /// What was said or done.
    #[serde(default)]
    pub content: Field<Content>,
    /// The type of follow-up, in the tenant's own words.
    #[serde(default)]
    pub follow_up_type: Field<FollowUpType>,
    /// The customer it is about; `null` only if neither opportunity nor contact remains.
    #[serde(default)]
    pub customer_id: Clearable<Id>,
    /// The opportunity it is about; `null` clears it.
    #[serde(default)]
    pub opportunity_id: Clearable<Id>,
    /// The contact it is about; `null` clears it.
    #[serde(default)]
    pub contact_id: Clearable<Id>,
}

/// What was said or done.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct FollowUp {
    /// The follow-up's id.
    pub follow_up_id: Id,
    /// The tenant that the follow-up belongs to.
    pub tenant_id: Tenant,
    /// The customer it is about.
    pub customer_id: Nullable<Id>,
    /// The opportunity it is about.
    pub opportunity_id: Nullable<Id>,
    /// The contact it is about.
    pub contact_id: Nullable<Id>,
    /// What was said or done.
    pub content: Content,
    /// The type of follow-up, in the tenant's own words.
    pub follow_up_type: FollowUpType,
    /// When the follow-up was created.
    pub created_at: Timestamp,
    /// When the follow-up was last changed.
    pub updated_at: Timestamp,
}

impl Projection for FollowUp {
    type Entity = Entity;

    fn project(row: Model, _view: &PiiView<'_>) -> Result<Self> {
        let Model {
            tenant_id,
            follow_up_id,
            customer_id,
            opportunity_id,
            contact_id,
            content,
            follow_up_type,
            created_at,
            updated_at,
            version: _,
        } = row;
        Ok(Self {
            follow_up_id: Id(follow_up_id),
            tenant_id: Tenant::stored(tenant_id),
            customer_id: Nullable(customer_id.map(Id)),
            opportunity_id: Nullable(opportunity_id.map(Id)),
            contact_id: Nullable(contact_id.map(Id)),
            content: Content::stored(content),
            follow_up_type: FollowUpType::stored(follow_up_type),
            created_at: Timestamp(created_at),
            updated_at: Timestamp(updated_at),
        })
    }
}

impl Published for Entity {
    type Projection = FollowUp;
}

/// The rule for [`Content`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentRule;

impl TextRule for ContentRule {
    const NAME: &'static str = "Content";
    const MIN: usize = 1;
    const MAX: usize = 10_000;
    const PATTERN: &'static str = text::LINES;
    const EXPECTED: &'static str =
        "must be 1 to 10000 characters without control characters other than line feed, carriage return and tab";
    const EXAMPLE: &'static str = "Called about the renewal; they want an offer by Friday.";

    fn check(text: &str) -> text::Verdict {
        text::check_lines(text, Self::EXPECTED)
    }
}

/// What was said or done, in one or more lines.
pub type Content = Text<ContentRule>;

/// The rule for [`FollowUpType`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowUpTypeRule;

impl TextRule for FollowUpTypeRule {
    const NAME: &'static str = "FollowUpType";
    const MIN: usize = 1;
    const MAX: usize = 50;
    const PATTERN: &'static str = text::LINE;
    const EXPECTED: &'static str = "must be 1 to 50 characters without control characters";
    const EXAMPLE: &'static str = "call";

    fn check(text: &str) -> text::Verdict {
        text::check_line(text, Self::EXPECTED)
    }
}

/// The type of follow-up.
pub type FollowUpType = Text<FollowUpTypeRule>;
