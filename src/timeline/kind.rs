//! What something is to a customer.

use poem_openapi::Enum;
use serde::Serialize;

/// What something is to the customer: `created`: the customer was created; `changed`: fields of the customer, or of what belongs to
/// it, were changed; `contractSigned`: the customer has signed a contract; `contactAdded`, `contactRemoved`, `opportunityAdded`,
/// `opportunityRemoved`, `followUpAdded`, `followUpRemoved`: something was created for the customer, or moved to it, or was deleted,
/// or moved away; `stageMoved`: an opportunity went to another stage; `closed`: an opportunity was won or lost; `reopened`: one that
/// was is open again; `erased`: personal data was erased. New values may be added: show one that you do not know by its summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub enum TimelineType {
    /// The customer was created.
    Created,
    /// Fields were changed.
    Changed,
    /// The customer has signed a contract.
    ContractSigned,
    /// A contact was created.
    ContactAdded,
    /// A contact was deleted.
    ContactRemoved,
    /// An opportunity was created.
    OpportunityAdded,
    /// An opportunity was deleted.
    OpportunityRemoved,
    /// A follow-up was created, or moved to the customer.
    FollowUpAdded,
    /// A follow-up was deleted, or moved away.
    FollowUpRemoved,
    /// An opportunity went to another stage.
    StageMoved,
    /// An opportunity was won or lost.
    Closed,
    /// An opportunity is open again.
    Reopened,
    /// Personal data was erased.
    Erased,
}

/// How many types there are.
pub(super) const TYPES: usize = 13;

impl TimelineType {
    /// All types, and in the database a bit for each, in this order.
    pub const ALL: [Self; TYPES] = [
        Self::Created,
        Self::Changed,
        Self::ContractSigned,
        Self::ContactAdded,
        Self::ContactRemoved,
        Self::OpportunityAdded,
        Self::OpportunityRemoved,
        Self::FollowUpAdded,
        Self::FollowUpRemoved,
        Self::StageMoved,
        Self::Closed,
        Self::Reopened,
        Self::Erased,
    ];

    /// Its name in the contract.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Changed => "changed",
            Self::ContractSigned => "contractSigned",
            Self::ContactAdded => "contactAdded",
            Self::ContactRemoved => "contactRemoved",
            Self::OpportunityAdded => "opportunityAdded",
            Self::OpportunityRemoved => "opportunityRemoved",
            Self::FollowUpAdded => "followUpAdded",
            Self::FollowUpRemoved => "followUpRemoved",
            Self::StageMoved => "stageMoved",
            Self::Closed => "closed",
            Self::Reopened => "reopened",
            Self::Erased => "erased",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }
}

/// These types, a bit for each.
pub(super) fn bits(types: &[TimelineType]) -> i32 {
    let set = |(bit, one)| if types.contains(one) { 1 << bit } else { 0 };
    TimelineType::ALL.iter().enumerate().map(|(bit, one)| set((bit, one))).sum()
}

/// The types of these bits.
pub(super) fn of_bits(bits: i32) -> Vec<TimelineType> {
    let is_set = |(bit, _): &(usize, TimelineType)| bits & (1 << bit) != 0;
    TimelineType::ALL.into_iter().enumerate().filter(is_set).map(|(_, one)| one).collect()
}
