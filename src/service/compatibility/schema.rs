//! Schemas: what clients may send, and what they can rely on.

use serde_json::Value;

use super::{
    comparison::{Comparison, Resolved, elements, follow, pairs, texts},
    difference::{
        Direction::{self, Reply, Request},
        Effect::{Breaking, Compatible, Documentation},
        Place,
    },
    keyword,
};

/// The way from an operation to a schema, as pairs of addresses: schemas may contain themselves.
type Trail = Vec<(String, String)>;

impl<'a> Comparison<'a> {
    /// Compares two schemas and all that they are made of.
    pub fn schemas(&mut self, direction: Direction, old: &'a Value, new: &'a Value, place: &Place) {
        self.walk(direction, old, new, place, &mut Trail::new());
    }

    fn walk(&mut self, direction: Direction, old: &'a Value, new: &'a Value, place: &Place, trail: &mut Trail) {
        // A reference in an `allOf` of its own is how a description is put beside it.
        let (old_wrapper, old) = unwrap(self.old, old, &place.old);
        let (new_wrapper, new) = unwrap(self.new, new, &place.new);
        for (key, old, new) in pairs(old_wrapper, new_wrapper).into_iter().filter(|(key, ..)| *key != "allOf") {
            self.keyword(direction, key, old, new, &place.at(key));
        }
        if old.name != new.name {
            let reason = format!("{} stands in the place of {}", named(&new), named(&old));
            self.note(place, Breaking, reason);
        }
        self.reached.extend(old.name.into_iter().chain(new.name));
        let place = place.moved(&old.pointer, &new.pointer);
        let step = (old.pointer, new.pointer);
        if trail.contains(&step) {
            return;
        }
        trail.push(step);
        self.contents(direction, old.value, new.value, &place, trail);
        trail.pop();
    }

    fn contents(&mut self, direction: Direction, old: &'a Value, new: &'a Value, place: &Place, trail: &mut Trail) {
        self.properties(direction, old, new, place, trail);
        self.values(direction, old, new, place);
        if direction == Reply {
            self.null(old, new, place);
        }
        for (key, old_part, new_part) in pairs(Some(old), Some(new)) {
            let place = place.at(key);
            match (key, old_part, new_part) {
                ("properties" | "required" | "enum" | keyword::OPEN, ..) => {}
                ("nullable" | keyword::NULL_BY, ..) if direction == Reply => {}
                ("items", Some(old), Some(new)) => {
                    self.walk(direction, old, new, &place.titled(format!("{}[]", place.field)), trail);
                }
                ("not", Some(old), Some(new)) => self.walk(direction.turned(), old, new, &place, trail),
                ("allOf" | "anyOf" | "oneOf", Some(old), Some(new)) => {
                    self.union(direction, old, new, &place, trail);
                }
                ("additionalProperties", old, new) => self.additional(direction, old, new, &place, trail),
                (keyword::NAMES | keyword::OTHER_NAMES, old_names, new_names) => {
                    self.names((old, old_names), (new, new_names), &place);
                }
                (_, old, new) => self.keyword(direction, key, old, new, &place),
            }
        }
    }

    fn properties(&mut self, direction: Direction, old: &'a Value, new: &'a Value, place: &Place, trail: &mut Trail) {
        let required = (texts(old.get("required")), texts(new.get("required")));
        for (name, old, new) in pairs(old.get("properties"), new.get("properties")) {
            let field = place.at("properties").at(name).field(name);
            let is_required = (required.0.contains(&name), required.1.contains(&name));
            match (old, new, direction) {
                (Some(_), None, Request) => self.note(&field, Breaking, "the field is no longer accepted"),
                (Some(_), None, Reply) => self.note(&field, Breaking, "the field is no longer answered"),
                (None, Some(_), Request) if is_required.1 => {
                    self.note(&field, Breaking, "a new field, and it is required");
                }
                (None, Some(_), _) => self.note(&field, Compatible, "a new field"),
                (Some(old), Some(new), _) => {
                    self.requirement(direction, is_required, &field);
                    self.walk(direction, old, new, &field, trail);
                }
                (None, None, _) => {}
            }
        }
        let is_same = |one: &[&str], other: &[&str]| one.iter().all(|name| other.contains(name));
        if required.0 != required.1 && is_same(&required.0, &required.1) && is_same(&required.1, &required.0) {
            self.note(&place.at("required"), Documentation, "the required fields are in another order");
        }
        let is_listed = |name: &&str| {
            [old, new].iter().any(|side| side.get("properties").is_some_and(|all| all.get(*name).is_some()))
        };
        let mut unlisted: Vec<&str> = required.0.iter().chain(&required.1).copied().filter(|n| !is_listed(n)).collect();
        unlisted.dedup();
        for name in unlisted {
            let is_required = (required.0.contains(&name), required.1.contains(&name));
            self.requirement(direction, is_required, &place.at("required").field(name));
        }
    }

    /// Judges whether a field that both have is required in each.
    fn requirement(&mut self, direction: Direction, is_required: (bool, bool), place: &Place) {
        match (is_required, direction) {
            ((false, true), Request) => self.note(place, Breaking, "the field is required now"),
            ((true, false), Request) => self.note(place, Compatible, "the field is no longer required"),
            ((false, true), Reply) => self.note(place, Compatible, "the field is always answered now"),
            ((true, false), Reply) => self.note(place, Breaking, "the field is no longer answered always"),
            _ => {}
        }
    }

    fn union(&mut self, direction: Direction, old: &'a Value, new: &'a Value, place: &Place, trail: &mut Trail) {
        let (olds, news): (Vec<_>, Vec<_>) = (elements(Some(old)).collect(), elements(Some(new)).collect());
        if olds.len() != news.len() {
            self.note(place, Breaking, format!("it is made of {} schemas, before of {}", news.len(), olds.len()));
        }
        for (index, (old, new)) in olds.into_iter().zip(news).enumerate() {
            self.walk(direction, old, new, &place.at(&index.to_string()), trail);
        }
    }

    /// Judges `additionalProperties`: whether, and with which values, fields may have names that are not listed.
    fn additional(
        &mut self,
        direction: Direction,
        old: Option<&'a Value>,
        new: Option<&'a Value>,
        place: &Place,
        trail: &mut Trail,
    ) {
        let (before, now) = (Unlisted::of(old), Unlisted::of(new));
        match (before, now, direction) {
            (Unlisted::Like(old), Unlisted::Like(new), _) => {
                self.walk(direction, old, new, &place.titled(format!("{}.*", place.field)), trail);
            }
            (Unlisted::Any | Unlisted::Like(_), Unlisted::None, Request) => {
                self.note(place, Breaking, "fields that are not listed are no longer accepted");
            }
            (Unlisted::Any | Unlisted::Like(_), Unlisted::None, Reply) => {
                self.note(place, Breaking, "fields that are not listed are no longer answered");
            }
            (Unlisted::Any, Unlisted::Like(_), Request) | (Unlisted::Like(_), Unlisted::Any, Reply) => {
                self.note(place, Breaking, "fields that are not listed have other values");
            }
            (Unlisted::Any, Unlisted::Like(_), Reply) | (Unlisted::Like(_), Unlisted::Any, Request) => {
                self.note(place, Compatible, "fields that are not listed have other values");
            }
            (Unlisted::None, Unlisted::Any | Unlisted::Like(_), _) => {
                self.note(place, Compatible, "there may be fields that are not listed");
            }
            (Unlisted::Any, Unlisted::Any, _) | (Unlisted::None, Unlisted::None, _) if old != new => {
                self.note(place, Documentation, "the same is written in another way");
            }
            _ => {}
        }
    }
}

/// What `additionalProperties` says.
enum Unlisted<'a> {
    Any,
    None,
    Like(&'a Value),
}

impl<'a> Unlisted<'a> {
    fn of(value: Option<&'a Value>) -> Self {
        match value {
            None | Some(Value::Bool(true)) => Self::Any,
            Some(Value::Bool(false)) => Self::None,
            Some(Value::Object(schema)) if schema.is_empty() => Self::Any,
            Some(schema) => Self::Like(schema),
        }
    }
}

fn named(schema: &Resolved<'_>) -> String {
    schema.name.map_or_else(|| "a schema without a name".to_owned(), |name| format!("the schema `{name}`"))
}

/// A schema without the `allOf` around it, if that holds nothing else; and that `allOf`.
fn unwrap<'a>(document: &'a Value, schema: &'a Value, pointer: &str) -> (Option<&'a Value>, Resolved<'a>) {
    let mut parts = elements(schema.get("allOf"));
    match (parts.next(), parts.next()) {
        (Some(only), None) => (Some(schema), follow(document, only, &format!("{pointer}/0"))),
        _ => (None, follow(document, schema, pointer)),
    }
}
