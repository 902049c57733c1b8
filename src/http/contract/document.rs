//! The OpenAPI contract, and what derives from it.

use serde_json::{Map, Value, json};

use super::{emission::emit, json::yaml, paths::Paths, supplement::Supplement};
use crate::http::query::DeclaredParameters;

/// The contract of a set of operations.
pub struct Contract {
    document: Value,
    paths: Paths,
}

impl Contract {
    /// Builds the contract from poem-openapi's document, what that does not say, and the paths of the documents served
    /// alongside the operations.
    #[must_use]
    pub fn of(spec: &str, supplement: &Supplement, documents: Vec<&'static str>) -> Self {
        let document = emit(spec, supplement);
        let operations = document.get("paths").and_then(Value::as_object).into_iter().flatten();
        let paths = Paths::new(operations.map(|(path, methods)| (path.clone(), allow(methods))), documents);
        Self { document, paths }
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

    /// Its paths.
    #[must_use]
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// Its paths alone: the document takes megabytes, and nobody asks for it at a request.
    #[must_use]
    pub fn into_paths(self) -> Paths {
        self.paths
    }

    /// The methods of a template, in capitals, each with the statuses that its replies may have.
    #[must_use]
    pub fn statuses(&self, template: &str) -> Vec<(String, Vec<u16>)> {
        if self.paths.has_document(template) {
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
