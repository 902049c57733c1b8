//! Generates the client from the contract at `CONTRACT`, with a builder for each operation.

use std::{collections::BTreeMap, env, error::Error, fs, iter, path::Path};

use progenitor_impl::{GenerationSettings, Generator, InterfaceStyle};
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=CONTRACT");
    let contract = env::var("CONTRACT")?;
    println!("cargo::rerun-if-changed={contract}");
    let mut document: Value = yaml_serde::from_str(&fs::read_to_string(contract)?)?;
    without_bounds(&mut document);
    one_type_of_error(&mut document);
    let mut settings = GenerationSettings::default();
    settings.with_interface(InterfaceStyle::Builder);
    for (format, rust) in [("nullable", "::std::string::String"), ("nullable-uuid", "::uuid::Uuid")] {
        let nullable = json!({ "type": "string", "format": format });
        settings.with_conversion(serde_json::from_value(nullable)?, format!("crate::Nullable<{rust}>"), iter::empty());
    }
    null_is_a_value(&mut document);
    let enums = open_enums(&document);
    for name in enums.keys() {
        settings.with_replacement(name, format!("crate::{name}"), iter::empty());
    }
    let tokens = Generator::new(&settings).generate_tokens(&serde_json::from_value(document)?)?;
    let client = prettyplease::unparse(&syn::parse2(tokens)?);
    let enums: String = enums.into_values().collect();
    fs::write(Path::new(&env::var("OUT_DIR")?).join("client.rs"), client + &enums)?;
    Ok(())
}

/// Bounds and patterns are for the service to judge: those of replies may widen within a major version, and progenitor would then
/// refuse to read them. Without, a text is a `String`.
fn without_bounds(value: &mut Value) {
    const BOUNDS: [&str; 6] = ["minLength", "maxLength", "pattern", "minimum", "maximum", "maxItems"];
    match value {
        Value::Object(object) => {
            object.retain(|key, value| value.is_object() || !BOUNDS.contains(&key.as_str()));
            object.values_mut().for_each(without_bounds);
        }
        Value::Array(items) => items.iter_mut().for_each(without_bounds),
        _ => {}
    }
}

/// progenitor takes one type of error for an operation. The health of a service that is down is an error with more fields, which
/// readers of an `ErrorBody` ignore.
fn one_type_of_error(document: &mut Value) {
    for path in ["/health", "/livez", "/readyz"] {
        let pointer = format!("/paths/{}/get/responses/503/content/application~1json/schema", path.replace('/', "~1"));
        if let Some(schema) = document.pointer_mut(&pointer) {
            *schema = json!({ "$ref": "#/components/schemas/ErrorBody" });
        }
    }
}

/// To progenitor null and a field that is left out are the same. In a PATCH they are not: null clears the field.
fn null_is_a_value(document: &mut Value) {
    let schemas = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut);
    for (name, schema) in schemas.into_iter().flatten() {
        // The fields of such a type are optional, and so an `Option` already.
        schema.as_object_mut().expect("a schema is an object").remove("nullable");
        if !name.ends_with("Update") {
            continue;
        }
        let fields = schema.get_mut("properties").and_then(Value::as_object_mut);
        for (_, field) in fields.into_iter().flatten().filter(|(_, field)| field["nullable"] == true) {
            assert_eq!(field["type"], "string", "another type that may be null");
            let format = if field["format"] == "uuid" { "nullable-uuid" } else { "nullable" };
            *field = json!({ "type": "string", "format": format, "description": field["description"] });
        }
    }
}

/// progenitor refuses values of enums that it does not know, which a later minor version may answer, and gives integers no names.
fn open_enums(document: &Value) -> BTreeMap<String, String> {
    let schemas = document.pointer("/components/schemas").and_then(Value::as_object);
    let mut enums = BTreeMap::new();
    for (name, schema) in schemas.into_iter().flatten() {
        let Some(values) = schema["enum"].as_array() else { continue };
        let (held, literal) = if schema["type"] == "integer" { ("i32", "") } else { ("String", ".to_owned()") };
        let names = schema["x-enum-varnames"].as_array().expect("every enum of the contract has names");
        // `OPPORTUNITY_STAGE_NEW` begins with the enum's name.
        let prefix = name.chars().filter(char::is_ascii_uppercase).count();
        let variant = |constant: &str| -> String {
            let words = constant.split('_').skip(prefix);
            words.map(|word| word[..1].to_owned() + &word[1..].to_lowercase()).collect()
        };
        let named = names.iter().zip(values).map(|(constant, value)| (variant(constant.as_str().unwrap()), value));
        let (mut variants, mut from, mut into) = (String::new(), String::new(), String::new());
        for (variant, value) in named {
            variants += &format!("{variant},");
            from += &format!("{value} => Self::{variant},");
            into += &format!("{name}::{variant} => {value}{literal},");
        }
        let matched = if held == "String" { "value.as_str()" } else { "value" };
        let code = format!(
            r#"
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(from = "{held}", into = "{held}")]
pub enum {name} {{ {variants} Unknown({held}) }}
impl From<{held}> for {name} {{
    fn from(value: {held}) -> Self {{ match {matched} {{ {from} _ => Self::Unknown(value) }} }}
}}
impl From<{name}> for {held} {{
    fn from(value: {name}) -> Self {{ match value {{ {into} {name}::Unknown(value) => value }} }}
}}
impl std::fmt::Display for {name} {{
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {{
        {held}::from(self.clone()).fmt(formatter)
    }}
}}
"#
        );
        enums.insert(name.clone(), code);
    }
    enums
}
