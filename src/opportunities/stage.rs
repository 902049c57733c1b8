//! The stage of an opportunity in the sales pipeline, and its status: open, won or lost.

use sea_orm::{DeriveActiveEnum, EnumIter};

use crate::{
    error::{Error, Result},
    values::integer_enum::{IntegerEnum, integer_enum},
};

/// The stage of an opportunity in the sales pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "i32", db_type = "Integer")]
pub enum OpportunityStage {
    /// Nothing is known yet.
    #[sea_orm(num_value = 0)]
    New,
    /// The customer is being approached.
    #[sea_orm(num_value = 1)]
    Prospecting,
    /// Need and budget are being established.
    #[sea_orm(num_value = 2)]
    Qualification,
    /// An offer has been made.
    #[sea_orm(num_value = 3)]
    Proposal,
    /// The offer is being negotiated.
    #[sea_orm(num_value = 4)]
    Negotiation,
    /// The customer buys.
    #[sea_orm(num_value = 5)]
    Won,
    /// The customer does not buy.
    #[sea_orm(num_value = 6)]
    Lost,
}

/// Whether an opportunity is open, won or lost; always follows from its stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "i32", db_type = "Integer")]
pub enum OpportunityStatus {
    /// Not decided yet.
    #[sea_orm(num_value = 0)]
    Open,
    /// The customer buys.
    #[sea_orm(num_value = 1)]
    Won,
    /// The customer does not buy.
    #[sea_orm(num_value = 2)]
    Lost,
}

impl IntegerEnum for OpportunityStage {
    const NAME: &'static str = "OpportunityStage";
    const DESCRIPTION: &'static str = "The stage in the sales pipeline, with its win probability: 0 New 5 % \
         (the default), 1 Prospecting 10 %, 2 Qualification 20 %, 3 Proposal 50 %, 4 Negotiation 80 %, 5 Won 100 %, \
         6 Lost 0 %. New values may be added: of one that you do not know, the status says whether it is open.";
    const ALL: &'static [Self] =
        &[Self::New, Self::Prospecting, Self::Qualification, Self::Proposal, Self::Negotiation, Self::Won, Self::Lost];

    fn code(self) -> i32 {
        match self {
            Self::New => 0,
            Self::Prospecting => 1,
            Self::Qualification => 2,
            Self::Proposal => 3,
            Self::Negotiation => 4,
            Self::Won => 5,
            Self::Lost => 6,
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::New => "Nothing is known yet; 5 %.",
            Self::Prospecting => "The customer is being approached; 10 %.",
            Self::Qualification => "Need and budget are being established; 20 %.",
            Self::Proposal => "An offer has been made; 50 %.",
            Self::Negotiation => "The offer is being negotiated; 80 %.",
            Self::Won => "The customer buys; 100 %.",
            Self::Lost => "The customer does not buy; 0 %.",
        }
    }
}

impl IntegerEnum for OpportunityStatus {
    const NAME: &'static str = "OpportunityStatus";
    const DESCRIPTION: &'static str = "Whether the opportunity is open, won or lost, according to its stage: 0 open (0 to 4), 1 won (5), 2 lost (6). \
         New values may be added: treat one that you do not know as decided.";
    const ALL: &'static [Self] = &[Self::Open, Self::Won, Self::Lost];

    fn code(self) -> i32 {
        match self {
            Self::Open => 0,
            Self::Won => 1,
            Self::Lost => 2,
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::Open => "Not decided yet.",
            Self::Won => "The customer buys.",
            Self::Lost => "The customer does not buy.",
        }
    }
}

integer_enum!(OpportunityStage);
integer_enum!(OpportunityStatus);

impl OpportunityStage {
    /// How likely the customer buys, in per cent.
    #[must_use]
    pub fn probability(self) -> u8 {
        match self {
            Self::New => 5,
            Self::Prospecting => 10,
            Self::Qualification => 20,
            Self::Proposal => 50,
            Self::Negotiation => 80,
            Self::Won => 100,
            Self::Lost => 0,
        }
    }

    /// The stages of this status, in their order.
    pub fn of(status: OpportunityStatus) -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(move |stage| stage.kind() == status)
    }

    /// The status that follows from the stage.
    #[must_use]
    pub fn kind(self) -> OpportunityStatus {
        match self {
            Self::New | Self::Prospecting | Self::Qualification | Self::Proposal | Self::Negotiation => {
                OpportunityStatus::Open
            }
            Self::Won => OpportunityStatus::Won,
            Self::Lost => OpportunityStatus::Lost,
        }
    }
}

/// Checks that a stage and a status, where both are given, do not contradict each other.
///
/// # Errors
/// Invalid, where they do.
pub fn agree(stage: Option<OpportunityStage>, status: Option<OpportunityStatus>) -> Result<()> {
    match (stage, status) {
        (Some(stage), Some(status)) if stage.kind() != status => Err(Error::invalid("status: contradicts the stage")),
        _ => Ok(()),
    }
}

/// An opportunity's stage, and the stage that it returns to when reopened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageState {
    /// The current stage.
    pub stage: OpportunityStage,
    /// The most recent open stage.
    pub last_open: OpportunityStage,
}

impl StageState {
    /// The state of a new opportunity.
    #[must_use]
    pub fn new(stage: OpportunityStage) -> Self {
        Self { stage: OpportunityStage::New, last_open: OpportunityStage::New }.moved_to(stage)
    }

    /// Sets the stage, the status, both or neither.
    ///
    /// # Errors
    /// As for [`agree`].
    pub fn moved(self, stage: Option<OpportunityStage>, status: Option<OpportunityStatus>) -> Result<Self> {
        agree(stage, status)?;
        match (stage, status) {
            (None, None) => Ok(self),
            (Some(stage), _) => Ok(self.moved_to(stage)),
            (None, Some(status)) if status == self.stage.kind() => Ok(self),
            (None, Some(OpportunityStatus::Open)) => Ok(self.moved_to(self.last_open)),
            (None, Some(OpportunityStatus::Won)) => Ok(self.moved_to(OpportunityStage::Won)),
            (None, Some(OpportunityStatus::Lost)) => Ok(self.moved_to(OpportunityStage::Lost)),
        }
    }

    fn moved_to(self, stage: OpportunityStage) -> Self {
        let last_open = if stage.kind() == OpportunityStatus::Open { stage } else { self.last_open };
        Self { stage, last_open }
    }
}
