//! JSON that others wrote, read strictly: bounded in nesting, and no name twice in an object. Of two claims of one name, this
//! service and whoever issued or checked the token might each believe another (RFC 8725, section 2.4).

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};

/// How deep objects and arrays may stand within each other.
const MAX_DEPTH: usize = 16;

/// How many members a JOSE header may have.
const MAX_MEMBERS: usize = 32;

/// Reads an object; `None` where it is none, nests too deeply, or has a name twice.
pub(super) fn object(json: &[u8]) -> Option<Map<String, Value>> {
    match read::<Strict>(json)?.0 {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

/// Reads an object, of which only these members matter, each a value of any type. The others are passed over without being
/// kept, so that a header of nothing but brackets costs no more than its bytes.
pub(super) fn members<const N: usize>(json: &[u8], names: [&'static str; N]) -> Option<[Option<Value>; N]> {
    if is_too_deep(json) {
        return None;
    }
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let members = Members(names).deserialize(&mut deserializer).ok()?;
    deserializer.end().ok()?;
    Some(members)
}

fn read<'j, T: Deserialize<'j>>(json: &'j [u8]) -> Option<T> {
    if is_too_deep(json) { None } else { serde_json::from_slice(json).ok() }
}

/// Counts brackets, those in texts left out.
fn is_too_deep(json: &[u8]) -> bool {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => depth += 1,
            b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return true;
        }
    }
    false
}

/// A value in which no object has a name twice.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, Strict(value))) = members.next_entry::<String, Strict>()? {
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a name stands twice"));
            }
        }
        Ok(Value::Object(object))
    }
}

struct Members<const N: usize>([&'static str; N]);

impl<'de, const N: usize> DeserializeSeed<'de> for Members<N> {
    type Value = [Option<Value>; N];

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for Members<N> {
    type Value = [Option<Value>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = [const { None }; N];
        let mut seen: Vec<String> = Vec::new();
        while let Some(name) = members.next_key::<String>()? {
            if seen.len() == MAX_MEMBERS || seen.contains(&name) {
                return Err(A::Error::custom("too many members, or a name twice"));
            }
            match self.0.iter().zip(&mut found).find(|(wanted, _)| **wanted == name) {
                Some((_, slot)) => *slot = Some(members.next_value::<Strict>()?.0),
                None => drop(members.next_value::<IgnoredAny>()?),
            }
            seen.push(name);
        }
        Ok(found)
    }
}
