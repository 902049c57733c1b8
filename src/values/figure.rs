//! Whole numbers that are only answered, never read: counts, sums of money, times and shares.

use std::borrow::Cow;

use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use serde::Serialize;
use serde_json::Value;

use super::{ContractValue, Nullable, Violation, contract_type, number::LARGEST};

/// Declares a number from 0 on.
macro_rules! figures {
    ($(#[doc = $doc:literal] $name:ident: $largest:expr, $example:literal;)+) => {
        $(
            #[doc = $doc]
            #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
            #[serde(transparent)]
            pub struct $name(pub i64);

            impl ContractValue for $name {
                const WHOLE_NUMBER: bool = true;

                fn name() -> Cow<'static, str> {
                    stringify!($name).into()
                }

                fn schema_ref() -> MetaSchemaRef {
                    MetaSchemaRef::Inline(Box::new(MetaSchema {
                        minimum: Some(0.0),
                        maximum: Some($largest as f64),
                        example: Some(Value::from($example)),
                        ..MetaSchema::new_with_format("integer", "int64")
                    }))
                }

                fn from_value(_: Value) -> Result<Self, Violation> {
                    Err("is only ever answered".into())
                }
            }

            contract_type!($name);
        )+
    };
}

figures! {
    /// How many there are.
    Count: LARGEST, 12;
    /// A sum of amounts, in the currency's minor unit.
    SumCents: LARGEST, 37_500_000;
    /// A time in whole seconds.
    Seconds: LARGEST, 1_209_600;
    /// A share of a hundred.
    Percent: 100, 40;
}

impl SumCents {
    /// The sum; none if JSON has no exact number for it (RFC 8259, section 6).
    #[must_use]
    pub fn exact(sum: i128) -> Nullable<Self> {
        Nullable(i64::try_from(sum).ok().filter(|sum| (0..=LARGEST).contains(sum)).map(Self))
    }
}

/// `number / by`, rounded to the nearest whole number, a half to the even one; 0 where `by` is.
#[must_use]
pub fn half_even(number: i128, by: i128) -> i128 {
    if by == 0 {
        return 0;
    }
    let (whole, rest) = (number.div_euclid(by), number.rem_euclid(by));
    let is_up = match (2 * rest).cmp(&by.abs()) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => whole % 2 != 0,
        std::cmp::Ordering::Greater => true,
    };
    whole + i128::from(is_up)
}

#[cfg(test)]
mod tests {
    use super::{LARGEST, Nullable, SumCents, half_even};

    #[test]
    fn a_half_goes_to_the_even_number() {
        for (number, by, rounded) in
            [(5, 10, 0), (15, 10, 2), (25, 10, 2), (26, 10, 3), (24, 10, 2), (-5, 10, 0), (-15, 10, -2), (7, 0, 0)]
        {
            assert_eq!(half_even(number, by), rounded, "{number} / {by}");
        }
    }

    #[test]
    fn a_sum_that_json_has_no_exact_number_for_is_none() {
        assert_eq!(SumCents::exact(i128::from(LARGEST)), Nullable(Some(SumCents(LARGEST))));
        assert_eq!(SumCents::exact(i128::from(LARGEST) + 1), Nullable(None));
        assert_eq!(SumCents::exact(1 << 70), Nullable(None));
    }
}
