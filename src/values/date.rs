//! Days of the calendar, in UTC.

use std::borrow::Cow;

use chrono::{DateTime, NaiveDate, Utc};
use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{ContractValue, Violation, contract_type, query::QueryValue};

/// A day (UTC): a full date of RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date(pub NaiveDate);

impl Date {
    const PATTERN: &'static str = r"^(19[7-9][0-9]|2[0-9]{3})-[0-9]{2}-[0-9]{2}$";

    /// The day of an instant.
    #[must_use]
    pub fn of(instant: DateTime<Utc>) -> Self {
        Self(instant.date_naive())
    }

    /// The day, counted from 1970.
    #[must_use]
    pub fn number(self) -> i32 {
        i32::try_from(self.0.signed_duration_since(NaiveDate::default()).num_days()).unwrap_or(i32::MAX)
    }

    /// So many days later, or earlier.
    #[must_use]
    pub fn plus(self, days: i64) -> Self {
        Self(self.0.checked_add_signed(chrono::TimeDelta::days(days)).unwrap_or(self.0))
    }

    /// The beginning of the day, in seconds since 1970.
    #[must_use]
    pub fn seconds(self) -> i64 {
        i64::from(self.number()) * 86_400
    }

    fn parse(text: &str) -> Option<Self> {
        let has_form = text.len() == "2026-01-31".len() && text.bytes().all(|c| c.is_ascii_digit() || c == b'-');
        let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|_| has_form)?;
        let is_in_range = ("1970-01-01"..="2999-12-31").contains(&text);
        is_in_range.then_some(Self(date))
    }
}

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.format("%Y-%m-%d"))
    }
}

impl ContractValue for Date {
    fn name() -> Cow<'static, str> {
        "Date".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            max_length: Some("2026-01-31".len()),
            pattern: Some(Self::PATTERN.to_owned()),
            example: Some(Value::from("2026-01-31")),
            ..MetaSchema::new_with_format("string", "date")
        }))
    }

    fn from_value(value: Value) -> Result<Self, Violation> {
        value.as_str().and_then(Self::parse).ok_or(Cow::Borrowed("must be a date like 2026-01-31, from 1970 to 2999"))
    }
}

contract_type!(Date);

/// A filter by day.
#[derive(Debug)]
pub struct DateFilter;

impl QueryValue for DateFilter {
    type Value = Option<Date>;

    fn schema() -> MetaSchemaRef {
        Date::schema_ref()
    }

    fn read(value: Option<&str>) -> Result<Option<Date>, Violation> {
        value.map(|text| Date::from_value(text.into())).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::{Date, DateFilter, QueryValue};

    #[test]
    fn a_day_is_a_full_date() {
        let day = |text| match DateFilter::read(Some(text)) {
            Ok(Some(day)) => day,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!((day("1970-01-01").number(), day("2024-02-29").number()), (0, 19_782));
        assert_eq!(day("2024-02-29").plus(1), day("2024-03-01"));
        assert!(serde_json::to_value(day("2026-01-31")).is_ok_and(|json| json == "2026-01-31"));
        assert_eq!(DateFilter::read(None), Ok(None::<Date>));
        for wrong in ["", "2026-1-31", "2026-02-30", "2026-01-31T00:00:00Z", "1969-12-31", "3000-01-01", "+2026-01-1"] {
            assert!(DateFilter::read(Some(wrong)).is_err(), "{wrong}");
        }
    }
}
