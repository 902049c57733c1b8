//! Contract types of privacy.

use std::borrow::Cow;

use poem_openapi::{
    Object,
    registry::{MetaSchema, MetaSchemaRef, Registry},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::entity::Model;
use crate::{
    contacts::Contact,
    customers::Customer,
    follow_ups::FollowUp,
    opportunities::Opportunity,
    values::{
        ContractValue, Field, Id, Nullable, Shown, Tenant, Timestamp, Violation, contract_type, figure::Count,
        shown::ActorName,
    },
};

/// What is to be erased besides the customer and its contacts.
#[derive(Debug, Clone, Object, Deserialize)]
#[oai(rename_all = "camelCase", deny_unknown_fields)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ErasureCreate {
    /// Whether the texts of the customer's follow-ups (`content`, `followUpType`) are erased too. Default: `keep`.
    #[serde(default)]
    pub follow_ups: Field<FollowUpTexts>,
}

/// What becomes of the texts of follow-ups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FollowUpTexts {
    /// They stay.
    Keep,
    /// They are erased.
    Erase,
}

impl ContractValue for FollowUpTexts {
    fn name() -> Cow<'static, str> {
        "FollowUpTexts".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Reference(<Self as ContractValue>::name().into_owned())
    }

    fn register(registry: &mut Registry) {
        registry.create_schema::<Self, _>(<Self as ContractValue>::name().into_owned(), |_| MetaSchema {
            description: Some(
                "What becomes of the texts of follow-ups: they stay, or are erased. New values may be added: treat one that \
                 you do not know as `erase`.",
            ),
            enum_items: vec!["keep".into(), "erase".into()],
            example: Some("erase".into()),
            ..MetaSchema::new("string")
        });
    }

    fn from_value(value: Value) -> Result<Self, Violation> {
        match value.as_str() {
            Some("keep") => Ok(Self::Keep),
            Some("erase") => Ok(Self::Erase),
            _ => Err("must be keep or erase".into()),
        }
    }
}

contract_type!(FollowUpTexts);

/// The certificate of an erasure. It holds no personal data, and stays when the customer is deleted.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct Erasure {
    /// The erasure's id.
    pub erasure_id: Id,
    /// The tenant that the customer belongs to.
    pub tenant_id: Tenant,
    /// The customer whose personal data is erased.
    pub customer_id: Id,
    /// When it was accepted: from then on no reply shows the personal data of the customer itself.
    pub at: Timestamp,
    /// Who asked for it: the token's `sub`, else its client, else `unknown`.
    pub actor: Shown<ActorName>,
    /// Whether the texts of follow-ups are erased too.
    pub follow_ups: FollowUpTexts,
    /// What held personal data and was erased so far.
    pub counts: ErasureCounts,
    /// When nothing was left of it in the database; `null` while stored events, and what else may be much, are still being
    /// erased. What is written about the customer until then may be erased too.
    pub completed_at: Nullable<Timestamp>,
}

/// How much was erased.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct ErasureCounts {
    /// Customers.
    pub customers: Count,
    /// Contacts.
    pub contacts: Count,
    /// Follow-ups.
    pub follow_ups: Count,
    /// Stored events.
    pub events: Count,
}

impl Erasure {
    pub(super) fn from_row(row: Model) -> Self {
        let Model {
            tenant_id,
            erasure_id,
            customer_id,
            requested_at,
            actor,
            client: _,
            request_id: _,
            trace_id: _,
            with_follow_ups,
            customers,
            contacts,
            follow_ups,
            events,
            events_done: _,
            events_until: _,
            completed_at,
        } = row;
        Self {
            erasure_id: Id(erasure_id),
            tenant_id: Tenant::stored(tenant_id),
            customer_id: Id(customer_id),
            at: Timestamp(requested_at),
            actor: actor.into(),
            follow_ups: if with_follow_ups { FollowUpTexts::Erase } else { FollowUpTexts::Keep },
            counts: ErasureCounts {
                customers: Count(customers),
                contacts: Count(contacts),
                follow_ups: Count(follow_ups),
                events: Count(events),
            },
            completed_at: Nullable(completed_at.map(Timestamp)),
        }
    }
}

/// All that is kept about a customer, as it was at one instant. Personal data is in clear.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
pub struct CustomerExport {
    /// When it was exported.
    pub exported_at: Timestamp,
    /// The tenant that the customer belongs to.
    pub tenant_id: Tenant,
    /// The customer.
    pub customer: Customer,
    /// Its contacts, oldest first.
    pub contacts: Vec<Contact>,
    /// Its opportunities, oldest first.
    pub opportunities: Vec<Opportunity>,
    /// Its follow-ups, oldest first.
    pub follow_ups: Vec<FollowUp>,
}
