//! Parameters that take several values, separated by commas: what has one of them is found. One that is named twice counts once.

use std::marker::PhantomData;

use poem_openapi::registry::{MetaSchema, MetaSchemaRef};

use super::{QueryValue, inline};
use crate::values::{
    Violation,
    integer_enum::{self, IntegerEnum},
};

/// How many values may be named at once.
const MOST: usize = 20;

/// The pattern of values that each have this one, separated by commas.
fn pattern(one: &str) -> Option<String> {
    Some(format!("^{one}(,{one}){{0,{}}}$", MOST - 1))
}

/// The different values among these, each read by `read`, in the order in which they come first.
fn distinct<W, T: PartialEq>(
    written: impl Iterator<Item = W>,
    read: impl Fn(W) -> Result<T, Violation>,
) -> Result<Vec<T>, Violation> {
    let mut values = Vec::new();
    for (index, one) in written.enumerate() {
        if index == MOST {
            return Err(format!("must be at most {MOST} values").into());
        }
        let value = read(one)?;
        if !values.contains(&value) {
            values.push(value);
        }
    }
    Ok(values)
}

/// A filter by values of an integer enum.
#[derive(Debug)]
pub struct EnumFilter<C>(PhantomData<C>);

impl<C: IntegerEnum + PartialEq> QueryValue for EnumFilter<C> {
    type Value = Vec<C>;

    fn schema() -> MetaSchemaRef {
        let codes: Vec<String> = C::ALL.iter().map(|value| value.code().to_string()).collect();
        let longest = codes.iter().map(String::len).max().unwrap_or_default();
        inline(MetaSchema {
            max_length: Some((longest + 1) * MOST - 1),
            pattern: pattern(&format!("({})", codes.join("|"))),
            ..MetaSchema::new("string")
        })
    }

    fn read(value: Option<&str>) -> Result<Vec<C>, Violation> {
        value.map_or(Ok(Vec::new()), |text| distinct(text.split(','), integer_enum::from_text))
    }
}

/// A filter by currencies, active ones or not: a stored amount keeps one that is withdrawn. A code that nothing has matches
/// nothing.
#[derive(Debug)]
pub struct CurrencyFilter;

impl QueryValue for CurrencyFilter {
    type Value = Vec<String>;

    fn schema() -> MetaSchemaRef {
        inline(MetaSchema {
            max_length: Some("CNY,".len() * MOST - 1),
            pattern: pattern("[A-Z]{3}"),
            ..MetaSchema::new("string")
        })
    }

    fn read(value: Option<&str>) -> Result<Vec<String>, Violation> {
        let code = |text: &str| match text.as_bytes() {
            [_, _, _] if text.bytes().all(|byte| byte.is_ascii_uppercase()) => Ok(text.to_owned()),
            _ => Err("must be an ISO 4217 code in capitals, like CNY, or several separated by commas".into()),
        };
        value.map_or(Ok(Vec::new()), |text| distinct(text.split(','), code))
    }
}

/// A filter by texts, as they are stored. A comma that belongs to one is written `\,` and a backslash `\\`.
#[derive(Debug)]
pub struct TextsFilter;

impl TextsFilter {
    /// The most characters that they may have together, as they are written.
    const LONGEST: usize = 2048;

    /// The texts between the commas.
    fn split(written: &str) -> Option<Vec<String>> {
        let mut texts = vec![String::new()];
        let mut rest = written.chars();
        while let Some(c) = rest.next() {
            match c {
                ',' => texts.push(String::new()),
                '\\' => texts.last_mut()?.push(rest.next().filter(|c| matches!(c, ',' | '\\'))?),
                // PostgreSQL rejects NUL in a parameter. No stored text contains one: replaced, it simply matches nothing.
                '\0' => texts.last_mut()?.push('\u{fffd}'),
                c => texts.last_mut()?.push(c),
            }
        }
        Some(texts).filter(|texts| texts.iter().all(|text| !text.is_empty()))
    }
}

impl QueryValue for TextsFilter {
    type Value = Vec<String>;

    fn schema() -> MetaSchemaRef {
        inline(MetaSchema {
            max_length: Some(Self::LONGEST),
            pattern: pattern(r"([^,\\]|\\[,\\])+"),
            ..MetaSchema::new("string")
        })
    }

    fn read(value: Option<&str>) -> Result<Vec<String>, Violation> {
        let Some(written) = value else { return Ok(Vec::new()) };
        if written.chars().count() > Self::LONGEST {
            return Err(format!("must be at most {} characters", Self::LONGEST).into());
        }
        let texts = Self::split(written).ok_or(Violation::Borrowed(
            r"must be texts separated by commas, none of them empty; a comma in one is written \, and a backslash \\",
        ))?;
        distinct(texts.into_iter(), Ok)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::accepts, CurrencyFilter, EnumFilter, IntegerEnum, QueryValue, TextsFilter};

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    struct Stage(i32);

    impl IntegerEnum for Stage {
        const NAME: &'static str = "Stage";
        const DESCRIPTION: &'static str = "";
        const ALL: &'static [Self] = &[Self(0), Self(1), Self(2), Self(10)];

        fn code(self) -> i32 {
            self.0
        }

        fn meaning(self) -> &'static str {
            ""
        }
    }

    fn is_declared<V: QueryValue>(value: &str) -> bool {
        accepts(&V::schema(), value)
    }

    fn many(one: &str, count: usize) -> String {
        vec![one; count].join(",")
    }

    #[test]
    fn values_of_an_enum_are_its_codes() {
        type Stages = EnumFilter<Stage>;
        assert_eq!(Stages::read(None), Ok(vec![]));
        assert_eq!(Stages::read(Some("10")), Ok(vec![Stage(10)]));
        assert_eq!(Stages::read(Some("2,0,2")), Ok(vec![Stage(2), Stage(0)]));
        for wrong in ["7", "", "0,", ",0", "0,,1", "01", "+1", "-1", "1.0", "0, 1", "x", "９"] {
            assert_eq!(Stages::read(Some(wrong)).unwrap_err(), "must be one of 0, 1, 2, 10", "{wrong}");
            assert!(!is_declared::<Stages>(wrong), "{wrong}");
        }
        for value in ["0", "10"] {
            assert!(Stages::read(Some(&many(value, 20))).is_ok() && is_declared::<Stages>(&many(value, 20)));
            assert_eq!(Stages::read(Some(&many(value, 21))).unwrap_err(), "must be at most 20 values");
            assert!(!is_declared::<Stages>(&many(value, 21)));
        }
    }

    #[test]
    fn texts_hold_commas_that_are_escaped() {
        let read = |text| TextsFilter::read(Some(text));
        assert_eq!(TextsFilter::read(None), Ok(vec![]));
        assert_eq!(read("call"), Ok(vec!["call".to_owned()]));
        assert_eq!(read(r"call,a\,b,c\\,call, d"), Ok(["call", "a,b", r"c\", " d"].map(str::to_owned).to_vec()));
        assert_eq!(read("a\0"), Ok(vec!["a\u{fffd}".to_owned()]));
        for wrong in ["", ",", "a,", ",a", "a,,b", r"a\", r"\a"] {
            assert!(read(wrong).unwrap_err().starts_with("must be texts separated by commas"), "{wrong}");
        }
        assert_eq!(read(&"x".repeat(2049)).unwrap_err(), "must be at most 2048 characters");
    }

    proptest! {
        #[test]
        fn what_the_contract_declares_is_what_is_read(
            stages in "[0-3,]{0,8}|(10,){18,20}1",
            currencies in "[A-Za-c,É]{0,9}|(CNY,){18,20}CNY",
            texts in r"[a,\\\x00é]{0,9}|(a,){18,20}a|a{2047,2049}",
        ) {
            prop_assert_eq!(EnumFilter::<Stage>::read(Some(&stages)).is_ok(), is_declared::<EnumFilter<Stage>>(&stages));
            prop_assert_eq!(CurrencyFilter::read(Some(&currencies)).is_ok(), is_declared::<CurrencyFilter>(&currencies));
            prop_assert_eq!(TextsFilter::read(Some(&texts)).is_ok(), is_declared::<TextsFilter>(&texts));
        }
    }
}
