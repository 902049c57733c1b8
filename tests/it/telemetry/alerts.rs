//! The table of log events in `delivery/README.md`: what it names is logged at its level, and every ERROR is in it.

use std::{collections::BTreeSet, fs, path::Path};

use proc_macro2::{TokenStream, TokenTree};
use syn::Lit;

/// The constant and the function that say of a task what is logged where it fails, at ERROR.
const BY_TASK: [&str; 2] = ["FAILURE", "every"];

/// What may be logged: level and message.
#[derive(Default)]
struct Logged {
    messages: BTreeSet<(String, String)>,
    /// Levels at which a file logs what is no literal.
    indirect: BTreeSet<String>,
}

fn literal(token: &TokenTree) -> Option<String> {
    let TokenTree::Literal(literal) = token else { return None };
    match syn::parse_str::<Lit>(&literal.to_string()) {
        Ok(Lit::Str(text)) => Some(text.value()),
        _ => None,
    }
}

fn literals(tokens: TokenStream) -> Vec<String> {
    let of_token = |token: TokenTree| match &token {
        TokenTree::Group(group) => literals(group.stream()),
        token => literal(token).into_iter().collect(),
    };
    tokens.into_iter().flat_map(of_token).collect()
}

impl Logged {
    fn read(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        for (at, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Group(group) => self.read(group.stream()),
                TokenTree::Ident(name) if name == "tracing" => self.event(&tokens[at..]),
                TokenTree::Ident(name) if name == BY_TASK[0] => {
                    let value = tokens[at..].iter().take(8).find_map(literal);
                    self.messages.extend(value.map(|message| ("ERROR".to_owned(), message)));
                }
                TokenTree::Ident(name) if name == BY_TASK[1] => {
                    if let Some(TokenTree::Group(arguments)) = tokens.get(at + 1)
                        // Before it comes the task's name, of one word.
                        && let Some(message) =
                            arguments.stream().into_iter().filter_map(|token| literal(&token)).find(|text| text.contains(' '))
                    {
                        self.messages.insert(("ERROR".to_owned(), message));
                    }
                }
                _ => {}
            }
        }
    }

    /// `tracing::error!(…)`, token by token.
    fn event(&mut self, tokens: &[TokenTree]) {
        let [_, _, _, TokenTree::Ident(level), TokenTree::Punct(mark), TokenTree::Group(arguments), ..] = tokens else {
            return;
        };
        if mark.as_char() != '!' || (level != "error" && level != "warn") {
            return;
        }
        let level = level.to_string().to_uppercase();
        match literals(arguments.stream()).pop() {
            Some(message) if !message.starts_with('{') => drop(self.messages.insert((level, message))),
            _ => drop(self.indirect.insert(level)),
        }
    }

    fn of_sources() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let (mut all, mut folders) = (Self::default(), vec![root]);
        while let Some(folder) = folders.pop() {
            for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let tokens: TokenStream = fs::read_to_string(&path).unwrap().parse().unwrap();
                    let mut file = Self::default();
                    file.read(tokens.clone());
                    // A message that is no literal is a text of the same file.
                    let texts = literals(tokens);
                    let indirect =
                        file.indirect.iter().flat_map(|level| texts.iter().map(|text| (level.clone(), text.clone())));
                    all.indirect.extend(indirect.map(|(level, text)| format!("{level} {text}")));
                    all.messages.extend(file.messages);
                }
            }
        }
        all
    }

    /// Whether an event of this level may have a message that begins so.
    fn has(&self, level: &str, begins: &str) -> bool {
        let directly = self.messages.iter().any(|(at, message)| at == level && message.starts_with(begins));
        directly || self.indirect.iter().any(|text| text.starts_with(&format!("{level} {begins}")))
    }
}

/// The rows of the table: level and how the message begins.
fn table() -> Vec<(String, String)> {
    let readme = include_str!("../../../delivery/README.md");
    let (_, rest) = readme.split_once("<!-- log events -->").unwrap();
    let (table, _) = rest.split_once("<!-- end of log events -->").unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| ")).skip(1).map(|row| {
        let mut cells = row.split(" | ");
        let (level, message) = (cells.next().unwrap(), cells.next().unwrap());
        (level.to_owned(), message.trim_matches('`').to_owned())
    });
    rows.collect()
}

#[test]
fn every_event_in_the_table_is_logged_at_its_level() {
    let (logged, table) = (Logged::of_sources(), table());
    assert!(table.len() > 50, "{table:?}");
    let distinct: BTreeSet<_> = table.iter().collect();
    assert_eq!(distinct.len(), table.len(), "an event stands twice");
    let unknown: Vec<_> = table.iter().filter(|(level, message)| !logged.has(level, message)).collect();
    assert!(unknown.is_empty(), "delivery/README.md names what is never logged so: {unknown:?}");
}

#[test]
fn every_error_that_is_logged_is_in_the_table() {
    let (logged, table) = (Logged::of_sources(), table());
    let is_there = |message: &str| table.iter().any(|(level, begins)| level == "ERROR" && message.starts_with(begins));
    let errors: Vec<&String> =
        logged.messages.iter().filter(|(level, _)| level == "ERROR").map(|(_, message)| message).collect();
    assert!(errors.len() > 30, "{errors:?}");
    let missing: Vec<_> = errors.into_iter().filter(|message| !is_there(message)).collect();
    assert!(missing.is_empty(), "delivery/README.md lacks {missing:?}");
}
