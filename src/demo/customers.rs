//! Who the demo's customers are. Times are numbers of days before today.

use serde::Deserialize;

/// The files, one for each tenant.
pub(super) const FILES: [&str; 2] = [include_str!("acme-trading.yaml"), include_str!("globex.yaml")];

/// A tenant with its customers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TenantData {
    pub tenant: String,
    pub customers: Vec<CustomerData>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CustomerData {
    pub name: String,
    pub phone: String,
    pub email: String,
    /// Who of the tenant looks after the customer: the actor in the audit trail.
    pub owner: String,
    pub since: u16,
    #[serde(default)]
    pub contacts: Vec<ContactData>,
    #[serde(default)]
    pub opportunities: Vec<OpportunityData>,
    /// Those that are about no opportunity.
    #[serde(default)]
    pub follow_ups: Vec<FollowUpData>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ContactData {
    pub name: String,
    pub phone: Option<String>,
    pub email: String,
    #[serde(default)]
    pub primary: bool,
    /// By default as long as the customer.
    pub since: Option<u16>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OpportunityData {
    pub title: String,
    pub amount: i64,
    pub currency: String,
    pub opened: u16,
    /// When it moved where.
    #[serde(default)]
    pub stages: Vec<(u16, Move)>,
    #[serde(default)]
    pub follow_ups: Vec<FollowUpData>,
}

/// Where an opportunity moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Move {
    Prospecting,
    Qualification,
    Proposal,
    Negotiation,
    Won,
    Lost,
    /// Won, because the platform says that the contract is signed; the customer is signed from then on.
    Signed,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FollowUpData {
    pub ago: u16,
    #[serde(rename = "type")]
    pub kind: String,
    /// The name of the contact.
    pub with: Option<String>,
    pub content: String,
}
