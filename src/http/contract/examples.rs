//! Examples, made from those of the fields: one or more named ones for every body.

use serde_json::{Map, Value, json};

use super::{
    json::{entries, reference, schema_name, set},
    supplement::NamedExample,
};
use crate::values::Id;

/// Examples of the bodies, as components.
pub(super) struct Examples<'d> {
    schemas: &'d Value,
    own: &'d [NamedExample],
    components: Map<String, Value>,
}

impl<'d> Examples<'d> {
    /// `own` take the place of what would be made for their schemas.
    pub fn new(schemas: &'d Value, own: &'d [NamedExample]) -> Self {
        Self { schemas, own, components: Map::new() }
    }

    /// Adds examples to the media types of a request body or a response.
    pub fn add(&mut self, body: &mut Value, is_request: bool) {
        for (_, media_type) in entries(body.get_mut("content")) {
            let Some(schema) = media_type.get("schema").and_then(schema_name) else { continue };
            let examples = if is_request { self.of_request(&schema) } else { self.of_response(&schema) };
            set(media_type, "examples", Value::Object(examples));
        }
    }

    /// The components that were added.
    pub fn into_components(mut self) -> Value {
        self.components.sort_keys();
        Value::Object(self.components)
    }

    /// All fields; and as few as may be, or one.
    fn of_request(&mut self, schema: &str) -> Map<String, Value> {
        let whole = self.value_of(schema);
        let required = self.schemas.pointer(&format!("/{schema}/required")).and_then(Value::as_array);
        let required: Vec<&str> = required.into_iter().flatten().filter_map(Value::as_str).collect();
        let fields = whole.as_object().cloned().unwrap_or_default();
        let few = |keep: &dyn Fn(usize, &str) -> bool| {
            let kept = fields.iter().enumerate().filter(|(index, (name, _))| keep(*index, name));
            kept.map(|(_, (name, value))| (name.clone(), value.clone())).collect::<Map<_, _>>()
        };
        let (name, summary, few) = match required.is_empty() {
            true => ("one", "One field", few(&|index, _| index == 0)),
            false => ("minimal", "The required fields", few(&|_, name| required.contains(&name))),
        };
        let mut examples = Map::new();
        if few.len() < fields.len() {
            self.insert(&mut examples, schema, name, summary, Value::Object(few));
        }
        self.insert(&mut examples, schema, "complete", "Every field", whole);
        examples
    }

    fn of_response(&mut self, schema: &str) -> Map<String, Value> {
        let mut examples = Map::new();
        for own in self.own.iter().filter(|own| own.schema == schema) {
            let mut value = self.value_of(schema);
            for (pointer, replacement) in &own.replaced {
                let replacement = schema_name(replacement).map_or(replacement.clone(), |name| self.value_of(&name));
                if let Some(place) = value.pointer_mut(pointer) {
                    *place = replacement;
                }
            }
            self.insert(&mut examples, schema, &own.name, &own.summary, value);
        }
        if !examples.is_empty() {
            return examples;
        }
        let described = self.schemas.pointer(&format!("/{schema}/description")).and_then(Value::as_str);
        let summary = first_sentence(described.unwrap_or_default()).to_owned();
        let value = self.value_of(schema);
        let is_list = value.get("data").is_some() && value.get("total").is_some();
        let (name, summary) =
            if is_list { ("page".to_owned(), "A page with one item") } else { (lower_first(schema), &*summary) };
        self.insert(&mut examples, schema, &name, summary, value);
        if is_list {
            let empty = json!({ "data": [], "total": 0, "totalExact": true, "nextCursor": null });
            self.insert(&mut examples, schema, "empty", "Nothing was found", empty);
        }
        examples
    }

    fn insert(&mut self, examples: &mut Map<String, Value>, schema: &str, name: &str, summary: &str, value: Value) {
        let component =
            if lower_first(schema) == name { schema.to_owned() } else { schema.to_owned() + &upper_first(name) };
        examples.insert(name.to_owned(), reference("examples", &component));
        self.components.insert(component, json!({ "summary": summary, "value": value }));
    }

    fn value_of(&self, schema: &str) -> Value {
        self.schemas.get(schema).map_or(Value::Null, |schema| example(schema, self.schemas))
    }
}

/// An example of a schema: its own, else one that is made from its parts.
pub(super) fn example(schema: &Value, schemas: &Value) -> Value {
    if let Some(named) = schema_name(schema) {
        return schemas.get(&named).map_or(Value::Null, |named| example(named, schemas));
    }
    if let Some(own) = schema.get("example") {
        return own.clone();
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    let first_value = schema.get("enum").and_then(Value::as_array).and_then(|values| values.first());
    match (properties, schema.get("items"), first_value) {
        (Some(fields), _, _) => fields.iter().map(|(name, field)| (name.clone(), example(field, schemas))).collect(),
        (None, Some(items), _) => json!([example(items, schemas)]),
        (None, None, Some(value)) => value.clone(),
        (None, None, None) => json!({}),
    }
}

/// Leaves out what may be left out: linters stumble over `null`.
pub(super) fn drop_nulls(error: &mut Value) {
    if let Some(fields) = error.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
}

/// The example of the id in a field or a parameter, such as `customerId` or `customer_id`. A resource has the same one
/// everywhere; what refers to some resource is about a customer.
#[must_use]
pub fn example_id(name: &str) -> String {
    let kind = kind_of(name).to_lowercase();
    Id::example(if kind == "resource" { "customer" } else { &kind }).to_string()
}

/// The kind of resource whose id a field or a parameter has: `followUp` for `followUpId` and `follow_up_id`.
pub(super) fn kind_of(name: &str) -> String {
    let name = name.strip_suffix("Id").or_else(|| name.strip_suffix("_id")).unwrap_or(name);
    let mut words = name.split('_');
    words.next().map(str::to_owned).into_iter().chain(words.map(upper_first)).collect()
}

/// Up to the first full stop or colon.
pub(super) fn first_sentence(text: &str) -> &str {
    let end = text.find(". ").or_else(|| text.find(".\n")).unwrap_or(text.len());
    text.get(..end).unwrap_or(text).trim_end_matches('.')
}

fn lower_first(name: &str) -> String {
    let (first, rest) = name.split_at(name.chars().next().map_or(0, char::len_utf8));
    first.to_lowercase() + rest
}

pub(super) fn upper_first(name: &str) -> String {
    let (first, rest) = name.split_at(name.chars().next().map_or(0, char::len_utf8));
    first.to_uppercase() + rest
}
