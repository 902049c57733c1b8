//! The order of a list: keys separated by commas, each upwards, or downwards with a `-` before it.

use poem_openapi::registry::{MetaSchema, MetaSchemaRef};

use super::inline;
use crate::values::{Violation, unknown_name::nearest};

/// The most keys of an order: each further one makes a list dearer to read, and nobody tells four apart.
const MOST: usize = 3;

/// A key of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sorted {
    /// One of the names that are known.
    pub key: &'static str,
    /// Whether the largest value comes first.
    pub is_descending: bool,
}

/// The schema of a parameter that takes these keys.
#[must_use]
pub fn schema(known: &[&'static str]) -> MetaSchemaRef {
    let one = format!("-?({})", known.join("|"));
    let longest = known.iter().map(|name| name.len()).max().unwrap_or_default();
    inline(MetaSchema {
        max_length: Some((longest + ",-".len()) * MOST - 1),
        pattern: Some(format!("^{one}(,{one}){{0,{}}}$", MOST - 1)),
        ..MetaSchema::new("string")
    })
}

/// Parses the parameter; no keys if it was not sent.
///
/// # Errors
/// The rule that it violates: a key that is not known, one that is named twice, or too many.
pub fn read(value: Option<&str>, known: &[&'static str]) -> Result<Vec<Sorted>, Violation> {
    let mut keys: Vec<Sorted> = Vec::new();
    for written in value.into_iter().flat_map(|text| text.split(',')) {
        let (name, is_descending) = written.strip_prefix('-').map_or((written, false), |name| (name, true));
        let Some(key) = known.iter().copied().find(|known| *known == name) else { return Err(unknown(name, known)) };
        if keys.iter().any(|other| other.key == key) {
            return Err(format!("must name {key} once").into());
        }
        keys.push(Sorted { key, is_descending });
    }
    if keys.len() > MOST { Err(format!("must be at most {MOST} keys").into()) } else { Ok(keys) }
}

fn unknown(name: &str, known: &[&'static str]) -> Violation {
    let all = format!("must be of {}, each with a - before it to sort downwards", known.join(", "));
    nearest(name, known).map_or(all.clone(), |meant| format!("{all}; did you mean {meant}?")).into()
}

#[cfg(test)]
mod tests {
    use super::{super::accepts, Sorted, read, schema};

    const KEYS: [&str; 4] = ["createdAt", "updatedAt", "name", "status"];

    fn is_declared(value: &str) -> bool {
        accepts(&schema(&KEYS), value)
    }

    #[test]
    fn keys_go_up_or_down() {
        let key = |key, is_descending| Sorted { key, is_descending };
        assert_eq!(read(None, &KEYS), Ok(vec![]));
        assert_eq!(read(Some("name"), &KEYS), Ok(vec![key("name", false)]));
        let several = "-status,name,-createdAt";
        let expected = vec![key("status", true), key("name", false), key("createdAt", true)];
        assert_eq!(read(Some(several), &KEYS), Ok(expected));
        for declared in ["name", several, "-createdAt,-updatedAt,-status"] {
            assert!(is_declared(declared) && read(Some(declared), &KEYS).is_ok(), "{declared}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused_with_those_there_are() {
        let all = "must be of createdAt, updatedAt, name, status, each with a - before it to sort downwards";
        for (wrong, meant) in
            [("createdat", "createdAt"), ("-created_at", "createdAt"), ("statu", "status"), ("--name", "name")]
        {
            let expected = format!("{all}; did you mean {meant}?");
            assert_eq!(read(Some(wrong), &KEYS).unwrap_err(), expected, "{wrong}");
        }
        for wrong in ["", "-", "name,", ",name", "name, status", "+name", "amount", "13812345678"] {
            assert_eq!(read(Some(wrong), &KEYS).unwrap_err(), all, "{wrong}");
            assert!(!is_declared(wrong), "{wrong}");
        }
        assert_eq!(read(Some("name,-name"), &KEYS).unwrap_err(), "must name name once");
        let four = "name,status,createdAt,updatedAt";
        assert_eq!(read(Some(four), &KEYS).unwrap_err(), "must be at most 3 keys");
        assert!(!is_declared(four));
    }
}
