//! The keywords of a schema that hold no schemas: types, bounds, patterns, the values of enums.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    comparison::Comparison,
    difference::{
        Direction::{self, Reply, Request},
        Effect::{Breaking, Compatible, Documentation},
        Place,
    },
};

/// The values of an enum that may get more of them (Zalando's RESTful API guidelines, rule 112).
pub(super) const OPEN: &str = "x-extensible-enum";
/// The names that generated code has for the values of an enum.
pub(super) const NAMES: &str = "x-enum-varnames";
pub(super) const OTHER_NAMES: &str = "x-enumNames";

/// The query parameter by which a client asks for null in a reply; nobody else gets it.
pub(super) const NULL_BY: &str = "x-null-by";

impl Comparison<'_> {
    /// Judges whether a part of a reply may be null.
    pub fn null(&mut self, old: &Value, new: &Value, place: &Place) {
        let may_be_null = |schema: &Value| schema.get("nullable") == Some(&Value::Bool(true));
        let asked_by = |schema| Value::get(schema, NULL_BY).and_then(Value::as_str);
        let (before, now) = (asked_by(old), asked_by(new));
        match (may_be_null(old), may_be_null(new), now) {
            (false, true, Some(now)) if self.new_parameters.contains(&now) => {
                let reason = format!("it may be null now, where the new parameter `{now}` asks for that");
                self.note(&place.at("nullable"), Compatible, reason);
            }
            (false, true, _) => self.note(&place.at("nullable"), Breaking, "it may be null now"),
            (true, false, _) => self.note(&place.at("nullable"), Compatible, "it is never null any more"),
            (true, true, _) if before.is_some() && before != now => {
                self.note(&place.at(NULL_BY), Breaking, "it may be null for others now than who asked for that before");
            }
            _ => self.annotation(&place.at(NULL_BY), NULL_BY, old.get(NULL_BY), new.get(NULL_BY)),
        }
    }

    /// Judges a keyword that holds no schema; the place is that of the keyword.
    pub fn keyword(
        &mut self,
        direction: Direction,
        key: &str,
        old: Option<&Value>,
        new: Option<&Value>,
        place: &Place,
    ) {
        if old == new {
            return;
        }
        let is_set = |value: Option<&Value>| value == Some(&Value::Bool(true));
        let shown = |value: Option<&Value>| value.map_or_else(|| "none".to_owned(), Value::to_string);
        let from_to = format!("`{key}` is {}, before {}", shown(new), shown(old));
        match (key, direction) {
            ("nullable", Request) if is_set(new) => self.note(place, Compatible, "null is accepted now"),
            ("nullable", Request) => self.note(place, Breaking, "null is no longer accepted"),
            // Beside a reference; within a schema, it may be asked for.
            ("nullable", Reply) if is_set(new) => self.note(place, Breaking, "it may be null now"),
            ("nullable", Reply) => self.note(place, Compatible, "it is never null any more"),
            // What is not said of a request stays what it was; what is said of a reply is not relied on.
            ("pattern", Request) if takes_more(old, new) => self.note(place, Compatible, "more values are accepted"),
            ("pattern", Request) if new.is_some() => self.note(place, Breaking, "another pattern must match"),
            ("pattern", Request) => self.note(place, Compatible, "no pattern must match any more"),
            ("pattern", Reply) => self.note(place, Compatible, "the pattern of a reply differs"),
            ("default", Request) if old.is_some() => self.note(place, Breaking, from_to),
            ("default", Request) => self.note(place, Compatible, from_to),
            ("default", Reply) => self.note(place, Documentation, from_to),
            (key, _) if is_bound(key) => match (direction, narrows(key, old, new)) {
                (Request, true) => self.note(place, Breaking, format!("{from_to}: less is accepted")),
                (Request, false) => self.note(place, Compatible, format!("{from_to}: more is accepted")),
                (Reply, _) => self.note(place, Compatible, from_to),
            },
            ("type" | "format", _) => self.note(place, Breaking, from_to),
            _ => self.annotation(place, key, old, new),
        }
    }

    /// Judges the values of an enum.
    pub fn values(&mut self, direction: Direction, old: &Value, new: &Value, place: &Place) {
        self.closure(direction, old, new, place);
        let (Some(before), Some(now)) = (listed(old), listed(new)) else { return };
        let place = place.at("enum");
        let mut same = true;
        for value in now.iter().filter(|value| !before.contains(value)) {
            same = false;
            match direction {
                Request => self.note(&place, Compatible, format!("the value {value} is accepted now")),
                Reply if old.get(OPEN).is_some() => {
                    self.note(&place, Compatible, format!("the value {value} is new, of an enum that is open"));
                }
                Reply => self.note(&place, Breaking, format!("the value {value} is new, of an enum that is closed")),
            }
        }
        for value in before.iter().filter(|value| !now.contains(value)) {
            same = false;
            match direction {
                Request => self.note(&place, Breaking, format!("the value {value} is no longer accepted")),
                Reply => self.note(&place, Compatible, format!("the value {value} is no longer answered")),
            }
        }
        let differs = |key: &str| old.get(key).is_some() && new.get(key).is_some() && old.get(key) != new.get(key);
        if same && (differs("enum") || differs(OPEN)) {
            self.note(&place, Documentation, "the values are in another order");
        }
    }

    /// Judges whether there is an enum at all, and whether it is open.
    fn closure(&mut self, direction: Direction, old: &Value, new: &Value, place: &Place) {
        let has = |schema: &Value, key: &str| schema.get(key).is_some();
        match (has(old, "enum"), has(new, "enum"), direction) {
            (false, true, _) => self.note(&place.at("enum"), Breaking, "only the values of a list are left"),
            (true, false, Request) => self.note(&place.at("enum"), Compatible, "all values are accepted now"),
            (true, false, Reply) => self.note(&place.at("enum"), Breaking, "values outside the list may be answered"),
            _ => {}
        }
        match (has(old, OPEN), has(new, OPEN), direction) {
            (before, now, Request) if before != now => {
                self.note(&place.at(OPEN), Documentation, "whether the enum is open in replies differs");
            }
            (false, true, Reply) => self.note(&place.at(OPEN), Breaking, "the enum was closed, and is open now"),
            (true, false, Reply) => self.note(&place.at(OPEN), Compatible, "the enum was open, and is closed now"),
            _ => {}
        }
    }

    /// Judges the names of values in generated code; each schema comes with its list of names.
    pub fn names(&mut self, old: (&Value, Option<&Value>), new: (&Value, Option<&Value>), place: &Place) {
        if old.1 == new.1 {
            return;
        }
        let name_of = |(schema, names): (&Value, Option<&Value>), value: &Value| {
            let index = listed(schema)?.iter().position(|known| known == value)?;
            names?.get(index).and_then(Value::as_str).map(str::to_owned)
        };
        let shown = |name: Option<String>| name.unwrap_or_else(|| "nameless".to_owned());
        let both = listed(old.0).into_iter().flatten().filter(|value| listed(new.0).is_some_and(|l| l.contains(value)));
        let mut same = true;
        for value in both {
            let (before, now) = (name_of(old, value), name_of(new, value));
            if before != now {
                same = false;
                let reason = format!("the value {value} is {} in generated code, before {}", shown(now), shown(before));
                self.note(place, Breaking, reason);
            }
        }
        if same {
            self.note(place, Documentation, "the names in generated code differ with the values");
        }
    }
}

/// Whether both are patterns of values of a list, separated by commas, and the newer one takes all that the older one does.
fn takes_more(old: Option<&Value>, new: Option<&Value>) -> bool {
    let (Some(old), Some(new)) = (several(old), several(new)) else { return false };
    old.before == new.before && old.further <= new.further && old.values.is_subset(&new.values)
}

/// A pattern such as `^-?(a|b)(,-?(a|b)){0,2}$`, in its parts.
struct Several<'p> {
    before: &'p str,
    values: BTreeSet<&'p str>,
    further: u32,
}

fn several(pattern: Option<&Value>) -> Option<Several<'_>> {
    let pattern = pattern?.as_str()?;
    let (one, rest) = pattern.strip_prefix('^')?.split_once("(,")?;
    let further = rest.strip_prefix(one)?.strip_prefix("){0,")?.strip_suffix("}$")?.parse().ok()?;
    let (before, values) = one.strip_suffix(')')?.split_once('(')?;
    let values: BTreeSet<&str> = values.split('|').collect();
    let is_plain = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let is_listed = values.iter().all(is_plain) && ["", "-?"].contains(&before);
    is_listed.then_some(Several { before, values, further })
}

/// The values of an enum, closed or open.
fn listed(schema: &Value) -> Option<&Vec<Value>> {
    schema.get("enum").or_else(|| schema.get(OPEN)).and_then(Value::as_array)
}

const LOWER: [&str; 4] = ["minimum", "minLength", "minItems", "minProperties"];
const UPPER: [&str; 4] = ["maximum", "maxLength", "maxItems", "maxProperties"];
const STRICTER: [&str; 4] = ["exclusiveMinimum", "exclusiveMaximum", "multipleOf", "uniqueItems"];

fn is_bound(key: &str) -> bool {
    [LOWER, UPPER, STRICTER].iter().any(|bounds| bounds.contains(&key))
}

/// Whether a bound that differs leaves out what the older one let in.
fn narrows(key: &str, old: Option<&Value>, new: Option<&Value>) -> bool {
    let number = |value: Option<&Value>| value.and_then(Value::as_f64);
    match (number(old), number(new)) {
        (Some(old), Some(new)) if LOWER.contains(&key) => new > old,
        (Some(old), Some(new)) if UPPER.contains(&key) => new < old,
        // A flag that is set, a number that comes anew, or one of which more cannot be said.
        _ => new.is_some_and(|new| *new != Value::Bool(false)),
    }
}
