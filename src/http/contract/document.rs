//! The OpenAPI contract, with lookups by path.

use serde_json::{Map, Value, json};

use super::{emission::emit, json::yaml, supplement::Supplement};
use crate::http::query::DeclaredParameters;

/// The contract of a set of operations, and the routes derived from it.
pub struct Contract {
    document: Value,
    /// The path templates, each with its methods for `Allow`.
    paths: Vec<(String, String)>,
    /// The paths of the documents served alongside the operations.
    documents: Vec<&'static str>,
}

impl Contract {
    /// Builds the contract from poem-openapi's document, what that does not say, and the paths of the documents served
    /// alongside the operations.
    #[must_use]
    pub fn of(spec: &str, supplement: &Supplement, documents: Vec<&'static str>) -> Self {
        let document = emit(spec, supplement);
        let paths = document.get("paths").and_then(Value::as_object).into_iter().flatten();
        let mut paths: Vec<_> = paths.map(|(path, methods)| (path.clone(), allow(methods))).collect();
        paths.extend(documents.iter().map(|path| ((*path).to_owned(), "GET, HEAD".to_owned())));
        Self { document, paths, documents }
    }

    /// The OpenAPI document.
    #[must_use]
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// The document as JSON.
    #[must_use]
    pub fn json(&self) -> String {
        format!("{:#}", self.document)
    }

    /// The document as YAML, byte for byte `openapi/api_contract.yaml`.
    #[must_use]
    pub fn yaml(&self) -> String {
        yaml(&self.document)
    }

    /// Whether the path is that of a document.
    #[must_use]
    pub fn has_document(&self, path: &str) -> bool {
        self.documents.contains(&path)
    }

    /// The template that the path matches, such as `/customers/{customer_id}`.
    #[must_use]
    pub fn route(&self, path: &str) -> Option<&str> {
        self.template(self.place(path))
    }

    /// The methods that the path supports, for `Allow`.
    #[must_use]
    pub fn allowed(&self, path: &str) -> &str {
        self.place(path).and_then(|place| self.paths.get(place)).map_or("", |(_, allow)| allow)
    }

    /// The template at this place.
    #[must_use]
    pub fn template(&self, place: Option<usize>) -> Option<&str> {
        self.paths.get(place?).map(|(template, _)| template.as_str())
    }

    /// The path templates.
    pub fn templates(&self) -> impl Iterator<Item = &str> {
        self.paths.iter().map(|(template, _)| template.as_str())
    }

    /// Which of the [`Self::templates`] the path matches.
    #[must_use]
    pub fn place(&self, path: &str) -> Option<usize> {
        self.paths.iter().position(|(template, _)| {
            let (mut template, mut path) = (template.split('/'), path.split('/'));
            loop {
                match (template.next(), path.next()) {
                    (None, None) => return true,
                    (Some(part), Some(actual)) if part == actual || part.starts_with('{') => {}
                    _ => return false,
                }
            }
        })
    }

    /// The methods of a template, in capitals, each with the statuses that its replies may have.
    #[must_use]
    pub fn statuses(&self, template: &str) -> Vec<(String, Vec<u16>)> {
        if self.has_document(template) {
            return vec![("GET".to_owned(), vec![200])];
        }
        let methods = self.document.get("paths").and_then(|paths| paths.get(template)).and_then(Value::as_object);
        let of = |(method, operation): (&String, &Value)| {
            let replies = operation.get("responses").and_then(Value::as_object).into_iter().flat_map(Map::keys);
            (method.to_uppercase(), replies.filter_map(|status| status.parse().ok()).collect())
        };
        methods.into_iter().flatten().map(of).collect()
    }

    /// The query parameters that the operations declare.
    #[must_use]
    pub fn query_parameters(&self) -> DeclaredParameters {
        let mut declared = DeclaredParameters::default();
        let paths = self.document.get("paths").and_then(Value::as_object).into_iter().flatten();
        for (template, methods) in paths {
            for (method, operation) in methods.as_object().into_iter().flatten() {
                let parameters = operation.get("parameters").and_then(Value::as_array).into_iter().flatten();
                let in_query = parameters.filter(|parameter| parameter.get("in") == Some(&json!("query")));
                let names = in_query.filter_map(|parameter| parameter.get("name").and_then(Value::as_str));
                declared.add(method, template, names.map(str::to_owned).collect());
            }
        }
        declared
    }
}

fn allow(methods: &Value) -> String {
    let methods = methods.as_object().into_iter().flat_map(Map::keys).map(|method| method.to_uppercase());
    let methods: Vec<String> = methods
        .flat_map(|method| if method == "GET" { vec![method, "HEAD".to_owned()] } else { vec![method] })
        .collect();
    methods.join(", ")
}
