//! Parameters that are numbers, or true or false.

use poem_openapi::registry::{MetaSchema, MetaSchemaRef};

use super::{QueryValue, inline};
use crate::values::{Violation, number::LARGEST};

/// The whole numbers from `min` to `max`, inclusive.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    min: u64,
    max: u64,
}

impl Bounds {
    fn schema(self, format: &'static str) -> MetaSchema {
        MetaSchema {
            minimum: Some(self.min as f64),
            maximum: Some(self.max as f64),
            ..MetaSchema::new_with_format("integer", format)
        }
    }

    fn read(self, text: &str) -> Result<u64, Violation> {
        // `parse` would also accept a leading `+`.
        let number = if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None };
        number
            .filter(|number| (self.min..=self.max).contains(number))
            .ok_or_else(|| format!("must be a whole number from {} to {}", self.min, self.max).into())
    }
}

/// An integer parameter with a range and a default.
pub struct IntegerRange {
    /// The value if the parameter is not sent.
    pub default: u64,
    /// Minimum, inclusive.
    pub min: u64,
    /// Maximum, inclusive.
    pub max: u64,
    /// The OpenAPI `format`.
    pub format: &'static str,
}

impl IntegerRange {
    fn bounds(&self) -> Bounds {
        Bounds { min: self.min, max: self.max }
    }

    /// The parameter's schema.
    #[must_use]
    pub fn schema(&self) -> MetaSchemaRef {
        inline(MetaSchema { default: Some(self.default.into()), ..self.bounds().schema(self.format) })
    }

    /// Parses the parameter.
    ///
    /// # Errors
    /// The valid range, if the value is not an integer within it.
    pub fn read(&self, value: Option<&str>) -> Result<u64, Violation> {
        value.map_or(Ok(self.default), |text| self.bounds().read(text))
    }
}

/// A filter by an amount of money, in the currency's minor unit.
#[derive(Debug)]
pub struct AmountFilter;

impl AmountFilter {
    const BOUNDS: Bounds = Bounds { min: 0, max: LARGEST.unsigned_abs() };
}

impl QueryValue for AmountFilter {
    type Value = Option<i64>;

    fn schema() -> MetaSchemaRef {
        inline(Self::BOUNDS.schema("int64"))
    }

    fn read(value: Option<&str>) -> Result<Option<i64>, Violation> {
        value.map(|text| Self::BOUNDS.read(text).map(u64::cast_signed)).transpose()
    }
}

/// A filter by a number of whole days of 24 hours, at most some ten years.
#[derive(Debug)]
pub struct DaysFilter;

impl DaysFilter {
    const BOUNDS: Bounds = Bounds { min: 1, max: 3650 };
}

impl QueryValue for DaysFilter {
    type Value = Option<chrono::Days>;

    fn schema() -> MetaSchemaRef {
        inline(Self::BOUNDS.schema("int32"))
    }

    fn read(value: Option<&str>) -> Result<Option<chrono::Days>, Violation> {
        value.map(|text| Self::BOUNDS.read(text).map(chrono::Days::new)).transpose()
    }
}

/// A filter by what is true or false.
#[derive(Debug)]
pub struct BooleanFilter;

impl QueryValue for BooleanFilter {
    type Value = Option<bool>;

    fn schema() -> MetaSchemaRef {
        inline(MetaSchema::new("boolean"))
    }

    fn read(value: Option<&str>) -> Result<Option<bool>, Violation> {
        value.map(boolean).transpose()
    }
}

/// A switch that is on unless it is sent as `false`. The contract names no default: clients in PHP would send it, as `1`.
#[derive(Debug)]
pub struct OnSwitch;

impl QueryValue for OnSwitch {
    type Value = bool;

    fn schema() -> MetaSchemaRef {
        inline(MetaSchema::new("boolean"))
    }

    fn read(value: Option<&str>) -> Result<bool, Violation> {
        value.map_or(Ok(true), boolean)
    }
}

fn boolean(text: &str) -> Result<bool, Violation> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("must be true or false".into()),
    }
}

#[cfg(test)]
mod tests {
    use chrono::Days;

    use super::{AmountFilter, BooleanFilter, DaysFilter, OnSwitch, QueryValue};

    #[test]
    fn numbers_are_digits_within_their_range() {
        let range = "must be a whole number from 0 to 9007199254740991";
        assert_eq!(AmountFilter::read(None), Ok(None));
        assert_eq!(AmountFilter::read(Some("0")), Ok(Some(0)));
        assert_eq!(AmountFilter::read(Some("9007199254740991")), Ok(Some(9_007_199_254_740_991)));
        for wrong in ["", "-1", "+1", "1.0", "1e3", "x", "9007199254740992", "99999999999999999999999"] {
            assert_eq!(AmountFilter::read(Some(wrong)).unwrap_err(), range, "{wrong}");
        }
        assert_eq!(DaysFilter::read(Some("3650")), Ok(Some(Days::new(3650))));
        for wrong in ["0", "3651", ""] {
            assert_eq!(DaysFilter::read(Some(wrong)).unwrap_err(), "must be a whole number from 1 to 3650", "{wrong}");
        }
    }

    #[test]
    fn what_is_true_or_false_is_written_so() {
        assert_eq!(BooleanFilter::read(None), Ok(None));
        assert_eq!(BooleanFilter::read(Some("true")), Ok(Some(true)));
        assert_eq!(BooleanFilter::read(Some("false")), Ok(Some(false)));
        assert_eq!((OnSwitch::read(None), OnSwitch::read(Some("false"))), (Ok(true), Ok(false)));
        for wrong in ["", "1", "TRUE", "yes", " true"] {
            assert_eq!(BooleanFilter::read(Some(wrong)).unwrap_err(), "must be true or false", "{wrong}");
            assert!(OnSwitch::read(Some(wrong)).is_err(), "{wrong}");
        }
    }
}
