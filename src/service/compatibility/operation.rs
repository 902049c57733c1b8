//! Operations: parameters, bodies, replies and headers.

use serde_json::{Map, Value};

use super::{
    comparison::{Comparison, Resolved, elements, follow, pairs, texts},
    difference::{
        Direction::{self, Reply, Request},
        Effect::{Breaking, Compatible, Documentation},
        Place,
    },
    events,
};

const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// Location and name of a parameter. Names of headers have no case.
type Key<'a> = (&'a str, String);

/// The parameters of an operation.
type Parameters<'a> = Vec<(Key<'a>, Resolved<'a>)>;

impl<'a> Comparison<'a> {
    /// Compares all operations.
    pub fn paths(&mut self) {
        for (path, old_item, new_item) in pairs(self.old.get("paths"), self.new.get("paths")) {
            for (key, old, new) in pairs(old_item, new_item) {
                let is_method = METHODS.contains(&key);
                let operation = if is_method { format!("{} {path}", key.to_uppercase()) } else { path.to_owned() };
                let place = Place::new(&operation, "#/paths").at(path);
                match (old, new) {
                    // Those of a path are those of its operations.
                    _ if key == "parameters" => {}
                    _ if !is_method => self.annotation(&place.at(key), key, old, new),
                    (Some(old), Some(new)) => {
                        self.operation((old_item, old), (new_item, new), &place.at(key));
                    }
                    (Some(_), None) => self.note(&place.at(key), Breaking, "the operation is gone"),
                    _ => self.note(&place.at(key), Compatible, "a new operation"),
                }
            }
        }
    }

    /// Compares two operations, each given with the entry of its path.
    fn operation(&mut self, old: (Option<&'a Value>, &'a Value), new: (Option<&'a Value>, &'a Value), place: &Place) {
        self.parameters(old, new, place);
        let (old, new) = (old.1, new.1);
        self.request_body(old.get("requestBody"), new.get("requestBody"), &place.at("requestBody"));
        self.responses(old.get("responses"), new.get("responses"), &place.at("responses"));
        let security = |document: &'a Value, own: &'a Value| own.get("security").or_else(|| document.get("security"));
        self.security(security(self.old, old), security(self.new, new), place);
        self.tags(old.get("tags"), new.get("tags"), place);
        for (key, old, new) in pairs(Some(old), Some(new)) {
            match key {
                "parameters" | "requestBody" | "responses" | "security" | "tags" => {}
                "operationId" if old != new => {
                    self.note(&place.at(key), Breaking, "generated code has another name for the operation");
                }
                events::SENT_HEADERS => self.message_headers(Reply, old, new, &place.at(key)),
                events::RECEIVED_HEADERS => self.message_headers(Request, old, new, &place.at(key)),
                events::BINDINGS => self.bindings(old, new, &place.at(key).titled("bindings")),
                _ => self.annotation(&place.at(key), key, old, new),
            }
        }
    }

    /// Judges the tags of an operation: generators make a class of the first.
    fn tags(&mut self, old: Option<&Value>, new: Option<&Value>, place: &Place) {
        if old == new {
            return;
        }
        let (before, now) = (texts(old), texts(new));
        if before.first() != now.first() || before.iter().any(|tag| !now.contains(tag)) {
            self.note(&place.at("tags"), Breaking, "generated code has the operation in another class");
        } else {
            self.note(&place.at("tags"), Compatible, "there is another tag");
        }
    }

    /// Judges the scopes and schemes of which a request needs one alternative.
    fn security(&mut self, old: Option<&Value>, new: Option<&Value>, place: &Place) {
        if old == new {
            return;
        }
        let alternatives = |value: Option<&Value>| -> Vec<Value> {
            let listed: Vec<Value> = elements(value).cloned().collect();
            if listed.is_empty() { vec![Value::Object(Map::new())] } else { listed }
        };
        let (before, now) = (alternatives(old), alternatives(new));
        let place = place.at("security");
        if before.iter().all(|before| now.iter().any(|now| asks_no_more(before, now))) {
            self.note(&place, Compatible, "what a request needs to be authorized differs, and is no more than before");
        } else {
            self.note(&place, Breaking, "a request needs more to be authorized");
        }
    }

    fn parameters(&mut self, old: (Option<&'a Value>, &'a Value), new: (Option<&'a Value>, &'a Value), place: &Place) {
        let olds = parameters_of(self.old, old, &place.old);
        let news = parameters_of(self.new, new, &place.new);
        for (key, old) in &olds {
            let place = place.titled(title(old));
            let Some((_, new)) = news.iter().find(|(known, _)| known == key) else {
                self.note(&place.moved(&old.pointer, &place.new).at("parameters"), Breaking, "the parameter is gone");
                continue;
            };
            let place = place.moved(&old.pointer, &new.pointer);
            let name = |parameter: &Resolved<'a>| parameter.value.get("name").and_then(Value::as_str);
            self.spelling(name(old), name(new), &place.at("name"));
            self.optional(Request, (old.value, new.value), &place);
            self.described(Request, old.value, new.value, &place);
        }
        let is_in =
            |(key, _): &&(Key<'a>, Resolved<'a>), all: &Parameters<'a>| all.iter().any(|(known, _)| known == key);
        self.new_parameters.clear();
        for (_, new) in news.iter().filter(|new| !is_in(new, &olds)) {
            let place = place.titled(title(new)).moved(&place.old, &new.pointer);
            if is_required(new.value) {
                self.note(&place, Breaking, "a new parameter, and it is required");
            } else {
                self.note(&place, Compatible, "a new parameter");
                let text = |key: &str| new.value.get(key).and_then(Value::as_str);
                self.new_parameters.extend(text("name").filter(|_| text("in") == Some("query")));
            }
        }
        let before = olds.iter().filter(|old| is_in(old, &news)).map(|(key, _)| key);
        if before.ne(news.iter().filter(|new| is_in(new, &olds)).map(|(key, _)| key)) {
            self.note(&place.at("parameters"), Compatible, "the parameters are in another order");
        }
    }

    /// Notes that the name of a header is written in other letters, which means the same (RFC 9110, section 5.1).
    fn spelling(&mut self, old: Option<&str>, new: Option<&str>, place: &Place) {
        if let (Some(old), Some(new)) = (old, new)
            && old != new
        {
            self.note(place, Documentation, format!("the name is spelled `{new}`, before `{old}`"));
        }
    }

    /// Compares what parameters and headers have besides being required.
    fn described(&mut self, direction: Direction, old: &'a Value, new: &'a Value, place: &Place) {
        for (key, old, new) in pairs(Some(old), Some(new)) {
            match (key, old, new) {
                ("required" | "name" | "in", ..) => {}
                ("schema", Some(old), Some(new)) => self.schemas(direction, old, new, &place.at("schema")),
                ("content", ..) => self.content(direction, old, new, &place.at("content")),
                _ => self.annotation(&place.at(key), key, old, new),
            }
        }
    }

    /// Judges whether a parameter, a body or a header is required in each document.
    fn optional(&mut self, direction: Direction, (old, new): (&Value, &Value), place: &Place) {
        let place = place.at("required");
        match (is_required(old), is_required(new), direction) {
            (false, true, Request) => self.note(&place, Breaking, "it is required now"),
            (true, false, Request) => self.note(&place, Compatible, "it is no longer required"),
            (false, true, Reply) => self.note(&place, Compatible, "it is always answered now"),
            (true, false, Reply) => self.note(&place, Breaking, "it is no longer answered always"),
            _ => {}
        }
    }

    fn request_body(&mut self, old: Option<&'a Value>, new: Option<&'a Value>, place: &Place) {
        let place = place.titled("request body");
        let (old, new) = match (old, new) {
            (Some(old), Some(new)) => (old, new),
            (Some(_), None) => return self.note(&place, Breaking, "no body is accepted any more"),
            (None, Some(new)) if is_required(follow(self.new, new, "").value) => {
                return self.note(&place, Breaking, "a body is required now");
            }
            (None, Some(_)) => return self.note(&place, Compatible, "a body is accepted now"),
            (None, None) => return,
        };
        let (old, new, place) = self.resolve(old, new, &place);
        self.optional(Request, (old.value, new.value), &place);
        for (key, old, new) in pairs(Some(old.value), Some(new.value)) {
            match key {
                "required" => {}
                "content" => self.content(Request, old, new, &place.at("content").titled("request body: ")),
                _ => self.annotation(&place.at(key), key, old, new),
            }
        }
    }

    fn responses(&mut self, old: Option<&'a Value>, new: Option<&'a Value>, place: &Place) {
        for (status, old, new) in pairs(old, new) {
            let place = place.at(status).titled(format!("{status} reply"));
            match (old, new) {
                (Some(old), Some(new)) => self.response(old, new, &place, status),
                (Some(_), None) if is_error(status) => self.note(&place, Compatible, "the error is gone"),
                (Some(_), None) => self.note(&place, Breaking, "the status is gone"),
                (None, Some(_)) if is_error(status) => self.note(&place, Compatible, "a new error"),
                // Whoever asks conditionally expects it; nobody else gets it.
                (None, Some(_)) if status == "304" => self.note(&place, Compatible, "a reply to conditional requests"),
                _ => self.note(&place, Breaking, "another status in place of the known ones"),
            }
        }
    }

    fn response(&mut self, old: &'a Value, new: &'a Value, place: &Place, status: &str) {
        let (old, new, place) = self.resolve(old, new, place);
        for (key, old, new) in pairs(Some(old.value), Some(new.value)) {
            match key {
                "headers" => self.headers(old, new, &place.at("headers"), status),
                "content" => {
                    self.content(Reply, old, new, &place.at("content").titled(format!("{status} reply: ")));
                }
                _ => self.annotation(&place.at(key), key, old, new),
            }
        }
    }

    fn headers(&mut self, old: Option<&'a Value>, new: Option<&'a Value>, place: &Place, status: &str) {
        for (old, new) in header_pairs(old, new) {
            let names = (old.map(|(name, _)| name), new.map(|(name, _)| name));
            let name = names.0.or(names.1).unwrap_or_default();
            let now = place.at(names.1.unwrap_or(name)).new;
            let place = place.at(name).titled(format!("{status} reply, header `{name}`"));
            let place = place.moved(&place.old, &now);
            self.spelling(names.0, names.1, &place);
            match (old, new) {
                (Some((_, old)), Some((_, new))) => {
                    let (old, new, place) = self.resolve(old, new, &place);
                    self.optional(Reply, (old.value, new.value), &place);
                    self.described(Reply, old.value, new.value, &place);
                }
                (Some(_), None) => self.note(&place, Breaking, "the header is gone"),
                _ => self.note(&place, Compatible, "a new header"),
            }
        }
    }

    /// Compares the media types of a body, and its schema in each.
    fn content(&mut self, direction: Direction, old: Option<&'a Value>, new: Option<&'a Value>, place: &Place) {
        for (media_type, old, new) in pairs(old, new) {
            let (old, new) = match (old, new, direction) {
                (Some(old), Some(new), _) => (old, new),
                (Some(_), ..) => {
                    self.note(place, Breaking, format!("there is no `{media_type}` any more"));
                    continue;
                }
                (.., Request) => {
                    self.note(place, Compatible, format!("`{media_type}` is accepted too"));
                    continue;
                }
                // Clients that name none in `Accept` may get it.
                _ => {
                    self.note(place, Breaking, format!("`{media_type}` may be answered"));
                    continue;
                }
            };
            let place = place.at(media_type);
            for (key, old, new) in pairs(Some(old), Some(new)) {
                match (key, old, new) {
                    ("schema", Some(old), Some(new)) => self.schemas(direction, old, new, &place.at("schema")),
                    _ => self.annotation(&place.at(key), key, old, new),
                }
            }
        }
    }
}

fn is_required(part: &Value) -> bool {
    part.get("required") == Some(&Value::Bool(true))
}

/// A header of a reply: its name, and what is said of it.
type Header<'a> = (&'a str, &'a Value);

/// The headers of two replies, by their names, which have no case.
fn header_pairs<'a>(old: Option<&'a Value>, new: Option<&'a Value>) -> Vec<(Option<Header<'a>>, Option<Header<'a>>)> {
    let headers = |value: Option<&'a Value>| -> Vec<Header<'a>> {
        let entries = value.and_then(Value::as_object).into_iter().flatten();
        entries.map(|(name, header)| (name.as_str(), header)).collect()
    };
    let (olds, news) = (headers(old), headers(new));
    let counterpart =
        |name: &str, all: &[Header<'a>]| all.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).copied();
    let first = olds.iter().map(|old| (Some(*old), counterpart(old.0, &news)));
    let added = news.iter().filter(|new| counterpart(new.0, &olds).is_none()).map(|new| (None, Some(*new)));
    first.chain(added).collect()
}

/// A parameter's readable name.
fn title(parameter: &Resolved<'_>) -> String {
    let text = |key: &str| parameter.value.get(key).and_then(Value::as_str).unwrap_or_default();
    format!("{} parameter `{}`", text("in"), text("name"))
}

/// Errors are an open set: clients go by the class of a status that they do not know.
fn is_error(status: &str) -> bool {
    status.starts_with(['4', '5']) || status == "default"
}

/// The parameters of an operation, with those of its path.
fn parameters_of<'a>(
    document: &'a Value,
    (item, operation): (Option<&'a Value>, &'a Value),
    pointer: &str,
) -> Parameters<'a> {
    let above = pointer.rsplit_once('/').map_or(pointer, |(above, _)| above);
    let listed = |owner: &'a Value, pointer: &str| {
        let of_one = |(index, part): (usize, &'a Value)| {
            let parameter = follow(document, part, &format!("{pointer}/parameters/{index}"));
            let text = |key: &str| parameter.value.get(key).and_then(Value::as_str).unwrap_or_default();
            let (location, name) = (text("in"), text("name"));
            let name = if location == "header" { name.to_lowercase() } else { name.to_owned() };
            ((location, name), parameter)
        };
        elements(owner.get("parameters")).enumerate().map(of_one).collect::<Vec<_>>()
    };
    let own = listed(operation, pointer);
    let shared = item.map(|item| listed(item, above)).unwrap_or_default().into_iter();
    // One of the operation takes the place of the path's.
    let mut all: Parameters<'a> = shared.filter(|(key, _)| own.iter().all(|(known, _)| known != key)).collect();
    all.extend(own);
    all
}

/// Whether what satisfies the older security requirement satisfies the newer.
fn asks_no_more(old: &Value, new: &Value) -> bool {
    pairs(Some(old), Some(new)).into_iter().all(|(_, old, new)| match (old, new) {
        (Some(old), Some(new)) => elements(Some(new)).all(|scope| elements(Some(old)).any(|known| known == scope)),
        (_, new) => new.is_none(),
    })
}
