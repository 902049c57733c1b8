//! What a document says beside its operations: version, servers, tags, components.

use serde_json::Value;

use super::{
    comparison::{Comparison, elements, pairs},
    difference::{
        Direction::{Reply, Request},
        Effect::{Breaking, Compatible, Documentation},
        Place,
    },
};

impl<'a> Comparison<'a> {
    /// Compares two OpenAPI documents.
    pub fn documents(&mut self) {
        self.paths();
        for (key, old, new) in pairs(Some(self.old), Some(self.new)) {
            let place = Place::new("", "#").at(key).titled(key);
            match key {
                // Judged with the operations that they hold for.
                "paths" | "security" => {}
                "components" => self.components(),
                "info" => self.info(old, new, &place),
                "servers" => self.servers(old, new, &place),
                "tags" if old != new => self.note(&place, Documentation, "the list of tags differs"),
                "openapi" if old != new && [old, new].iter().all(|version| is_openapi_3_0(*version)) => {
                    self.note(&place, Documentation, "another edition of OpenAPI 3.0");
                }
                _ => self.annotation(&place, key, old, new),
            }
        }
    }

    fn info(&mut self, old: Option<&Value>, new: Option<&Value>, place: &Place) {
        let differing = pairs(old, new).into_iter().filter(|(_, old, new)| old != new);
        // What the version has to be is judged when everything else is known.
        for (key, ..) in differing.filter(|(key, ..)| *key != "version") {
            self.note(&place.at(key).titled(format!("info.{key}")), Documentation, format!("the {key} differs"));
        }
    }

    fn servers(&mut self, old: Option<&Value>, new: Option<&Value>, place: &Place) {
        if old == new {
            return;
        }
        let urls = |servers| -> Vec<&Value> { elements(servers).filter_map(|server| server.get("url")).collect() };
        let (before, now) = (urls(old), urls(new));
        if before.first() != now.first() || before.iter().any(|url| !now.contains(url)) {
            self.note(place, Breaking, "a server is gone, or is no longer the first");
        } else if before != now {
            self.note(place, Compatible, "there is another server");
        } else {
            let variables = |servers| elements(servers).map(|server| server.get("variables")).collect::<Vec<_>>();
            if variables(old) == variables(new) {
                self.note(place, Documentation, "the description of a server differs");
            } else {
                self.note(place, Breaking, "the variables of a server differ");
            }
        }
    }

    fn components(&mut self) {
        for (kind, old, new) in pairs(self.old.get("components"), self.new.get("components")) {
            for (name, old, new) in pairs(old, new) {
                let place = Place::new("", "#/components").at(kind).at(name).titled(format!("component `{name}`"));
                match kind {
                    "schemas" => self.component_schema(name, old, new, &place),
                    "securitySchemes" => self.security_scheme(old, new, &place),
                    "examples" if old != new => {
                        let reason = match (old, new) {
                            (Some(_), Some(_)) => "the example differs",
                            (Some(_), None) => "the example is gone",
                            _ => "a new example",
                        };
                        self.note(&place, Documentation, reason);
                    }
                    // The others have no names in generated code. Where one is used, its use was judged.
                    _ if old != new && !self.is_noted_below(&place) => {
                        self.note(&place, Documentation, "it differs, and no operation is concerned");
                    }
                    _ => {}
                }
            }
        }
    }

    /// Judges a named schema. What no operation leads to may be either sent or received.
    fn component_schema(&mut self, name: &str, old: Option<&'a Value>, new: Option<&'a Value>, place: &Place) {
        match (old, new) {
            (Some(_), None) => self.note(place, Breaking, "generated code has no such type any more"),
            (None, _) => self.note(place, Compatible, "a new schema"),
            (Some(old), Some(new)) if !self.reached.contains(name) => {
                self.schemas(Request, old, new, place);
                self.schemas(Reply, old, new, place);
            }
            _ => {}
        }
    }

    fn security_scheme(&mut self, old: Option<&Value>, new: Option<&Value>, place: &Place) {
        match (old, new) {
            (Some(_), None) => self.note(place, Breaking, "the security scheme is gone"),
            (None, _) => self.note(place, Compatible, "a new security scheme"),
            (Some(old), Some(new)) => {
                let is_header = [old, new].iter().all(|scheme| scheme.get("in") == Some(&Value::from("header")));
                for (key, old, new) in pairs(Some(old), Some(new)) {
                    match key {
                        "bearerFormat" if old != new => self.note(&place.at(key), Documentation, "the format differs"),
                        "bearerFormat" => {}
                        "flows" => self.flows(old, new, &place.at(key)),
                        // Names of headers have no case.
                        "name" if is_header && old != new && lower(old) == lower(new) => {
                            self.note(&place.at(key), Documentation, "the name is spelled in another way");
                        }
                        _ => self.annotation(&place.at(key), key, old, new),
                    }
                }
            }
        }
    }

    /// Judges the ways to get a token by OAuth 2, and the scopes that there are in each.
    fn flows(&mut self, old: Option<&Value>, new: Option<&Value>, place: &Place) {
        for (name, old, new) in pairs(old, new) {
            let place = place.at(name).titled(format!("{}, flow `{name}`", place.field));
            match (old, new) {
                (Some(_), None) => self.note(&place, Breaking, "the flow is gone"),
                (None, _) => self.note(&place, Compatible, "a new flow"),
                (Some(old), Some(new)) => {
                    for (key, old, new) in pairs(Some(old), Some(new)) {
                        match key {
                            "scopes" => self.scopes(old, new, &place.at(key)),
                            _ => self.annotation(&place.at(key), key, old, new),
                        }
                    }
                }
            }
        }
    }

    fn scopes(&mut self, old: Option<&Value>, new: Option<&Value>, place: &Place) {
        for (name, old, new) in pairs(old, new) {
            let place = place.at(name).titled(format!("{}, scope `{name}`", place.field));
            match (old, new) {
                (Some(_), None) => self.note(&place, Breaking, "the scope is gone"),
                (None, _) => self.note(&place, Compatible, "a new scope"),
                (Some(old), Some(new)) if old != new => {
                    self.note(&place, Documentation, "the description of the scope differs");
                }
                _ => {}
            }
        }
    }
}

fn lower(name: Option<&Value>) -> Option<String> {
    name.and_then(Value::as_str).map(str::to_lowercase)
}

fn is_openapi_3_0(version: Option<&Value>) -> bool {
    version.and_then(Value::as_str).is_some_and(|version| version.starts_with("3.0."))
}
