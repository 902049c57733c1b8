//! Timestamps: RFC 3339 in UTC, with milliseconds and `Z`.

use std::borrow::Cow;

use chrono::{DateTime, Datelike, SecondsFormat, Timelike, Utc};
use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{ContractValue, Violation, contract_type};

/// Maximum length of a timestamp, in characters: RFC 3339 has no bound for the digits of a second.
const MAX_LENGTH: usize = 64;

/// A UTC timestamp with millisecond precision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub DateTime<Utc>);

impl Timestamp {
    /// Truncates to milliseconds, so that stored, compared and returned values are equal. Neither database has leap
    /// seconds: as in POSIX time, one is the first second of the next day.
    #[must_use]
    pub fn new(instant: DateTime<Utc>) -> Self {
        Self(DateTime::from_timestamp_millis(instant.timestamp_millis()).unwrap_or(instant))
    }
}

impl ContractValue for Timestamp {
    fn name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            max_length: Some(MAX_LENGTH),
            example: Some(Value::from("2026-01-31T09:30:00.125Z")),
            ..MetaSchema::new_with_format("string", "date-time")
        }))
    }

    fn from_value(value: Value) -> Result<Self, Violation> {
        value
            .as_str()
            .filter(|text| text.len() <= MAX_LENGTH)
            .and_then(|text| DateTime::parse_from_rfc3339(text).ok())
            .map(|instant| Self::new(instant.to_utc()))
            .ok_or(Cow::Borrowed("must be an RFC 3339 timestamp"))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.written().as_ref().and_then(|text| str::from_utf8(text).ok()) {
            Some(text) => serializer.serialize_str(text),
            None => serializer.serialize_str(&self.0.to_rfc3339_opts(SecondsFormat::Millis, true)),
        }
    }
}

impl Timestamp {
    /// The text, of a year with four digits and no leap second. A page of a list has dozens, and what can write any format is slow at it.
    fn written(self) -> Option<[u8; 24]> {
        let (date, time) = (self.0.date_naive(), self.0.time());
        let year = u32::try_from(date.year()).ok().filter(|year| *year < 10_000)?;
        let millis = Some(time.nanosecond() / 1_000_000).filter(|millis| *millis < 1_000)?;
        let ([y1, y2, y3, y4], [o1, o2], [d1, d2]) = (digits(year), digits(date.month()), digits(date.day()));
        let ([h1, h2], [m1, m2], [s1, s2]) = (digits(time.hour()), digits(time.minute()), digits(time.second()));
        let [f1, f2, f3] = digits(millis);
        Some([
            y1, y2, y3, y4, b'-', o1, o2, b'-', d1, d2, b'T', h1, h2, b':', m1, m2, b':', s1, s2, b'.', f1, f2, f3,
            b'Z',
        ])
    }
}

/// The last `N` decimal digits of a number.
fn digits<const N: usize>(mut number: u32) -> [u8; N] {
    let mut digits = [b'0'; N];
    for digit in digits.iter_mut().rev() {
        *digit += (number % 10) as u8;
        number /= 10;
    }
    digits
}

contract_type!(Timestamp);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_timestamp_is_written_in_rfc_3339(millis in -99_999_999_999_999_i64..999_999_999_999_999) {
            let instant = DateTime::from_timestamp_millis(millis).unwrap_or_default();
            let text = serde_json::to_value(Timestamp(instant)).unwrap_or_default();
            prop_assert_eq!(text, Value::from(instant.to_rfc3339_opts(SecondsFormat::Millis, true)));
        }
    }

    #[test]
    fn a_leap_second_is_the_first_of_the_next_day() {
        let read = Timestamp::from_value(Value::from("2016-12-31T23:59:60.5Z"));
        let text = read.map(|instant| serde_json::to_value(instant).unwrap_or_default());
        assert_eq!(text, Ok(Value::from("2017-01-01T00:00:00.500Z")));
    }

    #[test]
    fn a_leap_second_that_was_not_read_is_written_as_it_is() {
        let instant = DateTime::parse_from_rfc3339("2016-12-31T23:59:60.5Z").unwrap_or_default().to_utc();
        let text = serde_json::to_value(Timestamp(instant)).unwrap_or_default();
        assert_eq!(text, Value::from("2016-12-31T23:59:60.500Z"));
    }
}
