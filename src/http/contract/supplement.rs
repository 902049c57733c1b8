//! What the contract says that no operation says by itself: the service passes it in.

use serde_json::Value;

use crate::values::integer_enum::ValueNames;

/// What the document says that no operation says by itself.
#[derive(Debug, Clone, Default)]
pub struct Supplement {
    /// Names for the values of integer enums, which generated clients would otherwise call `NUMBER_0`.
    pub integer_enums: Vec<ValueNames>,
    /// Texts whose known values are listed.
    pub open_enums: Vec<OpenEnum>,
    /// Examples that cannot be made from the fields alone.
    pub examples: Vec<NamedExample>,
    /// What holds for all operations, as a tag: its name, and its description.
    pub conventions: Option<(&'static str, String)>,
    /// The API's name as people see it.
    pub display_name: Option<&'static str>,
}

/// A text whose known values are listed, and that may have others in time.
#[derive(Debug, Clone)]
pub struct OpenEnum {
    /// Where it is among the schemas, as a JSON pointer.
    pub pointer: &'static str,
    /// The known values.
    pub values: Vec<String>,
}

/// A named example that is made from a schema, with some parts replaced.
#[derive(Debug, Clone)]
pub struct NamedExample {
    /// The schema that it is an example of.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// What it shows.
    pub summary: String,
    /// JSON pointers into it, and what stands there instead; a reference to a schema is replaced by an example of it.
    pub replaced: Vec<(&'static str, Value)>,
}
