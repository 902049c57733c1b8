//! Whole numbers, in every form that JSON has for them: `1000`, `1000.0`, `1e3`.
//!
//! A parser that reads them as floating point takes 9007199254740991.4 for a whole number, and refuses 1e400 as no JSON at
//! all. Here their digits are judged.

use serde::{Deserialize, Deserializer};
use serde_json::{Value, value::RawValue};

/// Reads a value for a type that takes whole numbers. What is neither a whole number of 64 bits nor `null` is only seen as
/// something else.
///
/// # Errors
/// The text is not valid JSON.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    let json = Box::<RawValue>::deserialize(deserializer)?;
    Ok(match json.get() {
        "null" => Value::Null,
        json => whole(json).map_or_else(|| Value::from(json), Value::from),
    })
}

/// The whole number that a JSON number is, exactly.
fn whole(json: &str) -> Option<i64> {
    let (sign, number) = json.strip_prefix('-').map_or(("", json), |number| ("-", number));
    if !number.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let (decimal, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (integer, fraction) = decimal.split_once('.').unwrap_or((decimal, ""));
    let digits = [integer, fraction].concat();
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    // How many places the point is behind the significant digits; before them, it is a fraction. An exponent beyond 64 bits
    // has more places than any body has digits.
    let zeros = i64::try_from(digits.len() - significant.len()).ok()?;
    let places = exponent.parse::<i64>().ok()?.checked_add(zeros)?.checked_sub(i64::try_from(fraction.len()).ok()?)?;
    let places = usize::try_from(places).ok().filter(|places| *places <= MAX_DIGITS)?;
    format!("{sign}{}{}", significant, "0".repeat(places)).parse().ok()
}

/// The largest whole number that is interoperable in JSON, 2^53 - 1 (RFC 8259, section 6).
pub const LARGEST: i64 = 9_007_199_254_740_991;

/// The most digits of a number of 64 bits.
const MAX_DIGITS: usize = 19;
