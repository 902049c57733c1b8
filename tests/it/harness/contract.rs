//! The contract: its operations, and whether a reply conforms to it.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex},
};

use jsonschema::Validator;
use poem::http::Method;
use serde_json::{Map, Value, json};

use super::Reply;

pub struct Contract {
    pub document: Value,
    operations: Vec<Operation>,
    /// The schemas of the components, as JSON Schema.
    components: Value,
    /// Those that values were checked with: to build one takes much longer than to use it.
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

#[derive(Debug, Clone)]
pub struct Operation {
    pub method: Method,
    pub template: String,
    pub definition: Value,
}

impl Operation {
    pub fn is_secured(&self) -> bool {
        self.definition["security"] != json!([])
    }

    pub fn has_body(&self) -> bool {
        !self.definition["requestBody"].is_null()
    }

    /// Whether it creates a resource of the list at its path.
    pub fn creates(&self) -> bool {
        self.method == Method::POST && !self.template.contains('{')
    }

    /// Whether it is about one thing, which may not be there.
    pub fn is_about_one(&self) -> bool {
        self.template.contains('{') || self.required_query().is_some_and(|name| name != "q")
    }

    /// The name of the query parameter that it cannot do without.
    pub fn required_query(&self) -> Option<&str> {
        let mut parameters = self.definition["parameters"].as_array().into_iter().flatten();
        let required = parameters.find(|parameter| parameter["in"] == "query" && parameter["required"] == json!(true));
        required.map(|parameter| parameter["name"].as_str().unwrap())
    }

    /// The name of its body's schema.
    pub fn body_schema(&self) -> &str {
        let path = self.definition["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str().unwrap();
        path.rsplit('/').next().unwrap()
    }

    pub fn success(&self) -> u16 {
        let statuses = self.definition["responses"].as_object().unwrap().keys().filter(|key| key.starts_with('2'));
        let statuses: Vec<&str> = statuses.map(String::as_str).collect();
        match statuses.as_slice() {
            [status] => status.parse().unwrap(),
            // The first creates, a further one finds.
            ["200", "201"] => 201,
            _ => panic!("one 2xx status per operation: {self:?}"),
        }
    }
}

impl Contract {
    /// The one that this program emits.
    pub fn emitted() -> &'static Self {
        static EMITTED: LazyLock<Contract> = LazyLock::new(|| {
            let document = crm::service::contract::contract().document().clone();
            let mut components = json!({ "schemas": document["components"]["schemas"] });
            to_json_schema(&mut components);
            Contract { operations: operations(&document), components, validators: Mutex::default(), document }
        });
        &EMITTED
    }

    pub fn operations(&self) -> Vec<Operation> {
        self.operations.clone()
    }

    /// The resources: the path of each list, and the name of the id in the path of one (`follow_up_id`).
    pub fn resources(&self) -> Vec<(String, String)> {
        let of_one = |operation: Operation| {
            let (list, id) = operation.template.strip_suffix('}')?.rsplit_once("/{")?;
            (operation.method == Method::GET).then(|| (list.to_owned(), id.to_owned()))
        };
        let is_list = |list: &String| self.document["paths"][list]["post"].is_object();
        self.operations().into_iter().filter_map(of_one).filter(|(list, _)| is_list(list)).collect()
    }

    /// The names of the parameters of a list.
    pub fn parameters(&self, list: &str) -> Vec<String> {
        let parameters = self.document["paths"][list]["get"]["parameters"].as_array().unwrap();
        parameters.iter().filter_map(|parameter| parameter["name"].as_str().map(str::to_owned)).collect()
    }

    /// The names of the parameters in the query of an operation.
    pub fn query_parameters(&self, operation: &Operation) -> Vec<String> {
        let parameters = operation.definition["parameters"].as_array().into_iter().flatten();
        let in_query =
            parameters.map(|parameter| self.resolve(parameter)).filter(|parameter| parameter["in"] == "query");
        in_query.map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect()
    }

    pub fn schema(&self, name: &str) -> &Value {
        &self.document["components"]["schemas"][name]
    }

    /// Fails unless the reply to this request conforms.
    pub fn check(&self, method: &Method, path: &str, reply: &Reply) {
        let path = path.strip_prefix("/api/v1/crm").unwrap_or(path);
        let status = reply.status.as_u16();
        assert!(!reply.header("X-Request-ID").is_empty(), "no X-Request-ID: {reply:?}");
        assert!(reply.header("X-Response-Time").parse::<f64>().is_ok(), "no X-Response-Time: {reply:?}");
        if reply.status.is_client_error() || reply.status.is_server_error() {
            // A failing probe answers with its own fields and the error's in one body.
            let schema = if reply.body["status"] == "down" { "HealthDown" } else { "ErrorBody" };
            self.check_schema(&json!({ "$ref": format!("#/components/schemas/{schema}") }), &reply.body);
            assert_eq!(reply.body["requestId"], reply.header("X-Request-ID"));
        }
        let operation =
            self.operations.iter().find(|operation| operation.method == method && matches(&operation.template, path));
        let Some(operation) = operation else { return };
        let response = &operation.definition["responses"][status.to_string()];
        assert!(!response.is_null(), "{method} {path} answers {status}, which is not in the contract: {}", reply.text);
        let response = self.resolve(response);
        for (name, header) in response["headers"].as_object().into_iter().flatten() {
            let header = self.resolve(header);
            assert!(header["required"] != json!(true) || !reply.header(name).is_empty(), "no header {name}: {reply:?}");
        }
        match response["content"].as_object() {
            Some(content) => {
                let media_type = reply.header("Content-Type");
                let schema = content.get(media_type).unwrap_or_else(|| panic!("the contract has no {media_type}"));
                self.check_schema(&schema["schema"], &reply.body);
            }
            None => assert_eq!(reply.text, "", "the contract names no body"),
        }
    }

    fn resolve<'c>(&'c self, part: &'c Value) -> &'c Value {
        match part["$ref"].as_str() {
            Some(path) => self.document.pointer(&path[1..]).unwrap(),
            None => part,
        }
    }

    /// Fails unless the value conforms to the schema and has no other fields.
    pub fn check_schema(&self, schema: &Value, value: &Value) {
        let errors = self.violations(schema, value);
        assert!(errors.is_empty(), "{value} does not conform: {errors:?}");
    }

    pub fn violations(&self, schema: &Value, value: &Value) -> Vec<String> {
        let validator =
            Arc::clone(self.validators.lock().unwrap().entry(schema.to_string()).or_insert_with_key(|text| {
                let mut root = schema.clone();
                to_json_schema(&mut root);
                if text.contains("$ref") {
                    root["components"] = self.components.clone();
                }
                Arc::new(jsonschema::options().with_draft(jsonschema::Draft::Draft7).build(&root).unwrap())
            }));
        validator.iter_errors(value).map(|error| format!("{error} at {}", error.instance_path())).collect()
    }
}

fn operations(document: &Value) -> Vec<Operation> {
    let paths = document["paths"].as_object().unwrap();
    let of_path = |(template, methods): (&String, &Value)| {
        let methods = methods.as_object().unwrap().clone();
        let template = template.clone();
        methods.into_iter().map(move |(method, definition)| Operation {
            method: method.to_uppercase().parse().unwrap(),
            template: template.clone(),
            definition,
        })
    };
    paths.iter().flat_map(of_path).collect()
}

/// Translates OpenAPI 3.0 to JSON Schema, where `nullable` is a type, and closes objects, so that undocumented fields
/// are found.
fn to_json_schema(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if object.get("properties").is_some_and(Value::is_object) && object.get("type") == Some(&json!("object")) {
                object.insert("additionalProperties".to_owned(), json!(false));
            }
            if object.get("nullable") == Some(&json!(true)) {
                let own = object["type"].clone();
                object.insert("type".to_owned(), json!([own, "null"]));
            }
            object.values_mut().for_each(to_json_schema);
        }
        Value::Array(items) => items.iter_mut().for_each(to_json_schema),
        _ => {}
    }
}

fn matches(template: &str, path: &str) -> bool {
    let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    template.len() == path.len()
        && template.iter().zip(path).all(|(part, actual)| part.starts_with('{') || *part == actual)
}

pub fn entries(value: &Value) -> &Map<String, Value> {
    value.as_object().unwrap()
}
