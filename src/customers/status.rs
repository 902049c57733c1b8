//! Whether a customer has signed a contract.

use sea_orm::{DeriveActiveEnum, EnumIter};

use crate::values::integer_enum::{IntegerEnum, integer_enum};

/// Whether the customer has signed a contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "i32", db_type = "Integer")]
pub enum CustomerStatus {
    /// No contract yet.
    #[sea_orm(num_value = 0)]
    Prospect,
    /// A contract has been signed.
    #[sea_orm(num_value = 1)]
    Signed,
}

impl IntegerEnum for CustomerStatus {
    const NAME: &'static str = "CustomerStatus";
    const DESCRIPTION: &'static str = "0 prospect, 1 signed. A new customer is a prospect; signing a contract, not this API, makes it signed. \
         New values may be added: treat one that you do not know like 0.";
    const ALL: &'static [Self] = &[Self::Prospect, Self::Signed];

    fn code(self) -> i32 {
        match self {
            Self::Prospect => 0,
            Self::Signed => 1,
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::Prospect => "No contract yet.",
            Self::Signed => "A contract has been signed.",
        }
    }
}

integer_enum!(CustomerStatus);
