//! What a contract names.

use reqwest::Method;
use serde_json::Value;

/// Stands in for each id in a path: nobody has a resource of this id.
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

/// An operation of a contract.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    pub method: Method,
    /// Its path, with an id that nobody has.
    pub path: String,
    /// Method and path as the contract has them.
    pub name: String,
    /// It needs no token.
    pub is_public: bool,
}

/// All operations of a contract, in its order.
pub(super) fn operations(contract: &Value) -> Vec<Operation> {
    let mut found = Vec::new();
    for (path, methods) in contract.get("paths").and_then(Value::as_object).into_iter().flatten() {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            let Ok(method) = method.to_uppercase().parse::<Method>() else { continue };
            // Beside the operations of a path stand what they have in common, in lower case too.
            let Some(security) = operation.as_object().map(|operation| operation.get("security")) else { continue };
            let is_public = security.and_then(Value::as_array).is_some_and(Vec::is_empty);
            found.push(Operation { name: format!("{method} {path}"), method, path: filled(path), is_public });
        }
    }
    found
}

/// A path with an id in each of its places.
fn filled(path: &str) -> String {
    let part = |part: &str| if part.starts_with('{') { NOBODY.to_owned() } else { part.to_owned() };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// All texts behind a key of this name, wherever it stands.
pub(super) fn all<'d>(document: &'d Value, key: &str) -> Vec<&'d str> {
    let mut found = Vec::new();
    let mut open = vec![document];
    while let Some(value) = open.pop() {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get(key).and_then(Value::as_str));
                open.extend(fields.values());
            }
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
    found
}
