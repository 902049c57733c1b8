//! Contracts in files: the frozen ones and the released ones, which what is emitted today is compared with.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Serialize;
use serde_json::Value;

use super::{Outcome, compare, is_asyncapi, version};
use crate::service::{asyncapi, contract::contract};

/// The names of the frozen contracts, of the API and of the events, in the folder that holds them.
pub const FROZEN: [&str; 2] = ["api_contract.yaml", "events.yaml"];
/// The folder in it with the released contracts.
pub const RELEASED: &str = "released";

/// A contract that is compared with what is emitted today.
pub struct Baseline {
    /// The file or the address that it was read from.
    pub name: String,
    /// The document.
    pub document: Value,
}

/// A comparison of what is emitted with a baseline.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What it was compared with.
    pub against: String,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

impl Baseline {
    /// Reads a contract, in YAML or JSON.
    ///
    /// # Errors
    /// What is wrong with the text, if it is neither an OpenAPI nor an AsyncAPI document.
    pub fn parse(name: impl Into<String>, text: &str) -> Result<Self, String> {
        let name = name.into();
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        // YAML has other escapes for characters beyond the basic plane than JSON.
        let document: Value = serde_json::from_str(text)
            .or_else(|_| yaml_serde::from_str(text))
            .map_err(|error| format!("{name}: neither YAML nor JSON: {error}"))?;
        if document.get("openapi").is_none() && document.get("asyncapi").is_none() {
            return Err(format!("{name}: neither an OpenAPI nor an AsyncAPI document"));
        }
        Ok(Self { name, document })
    }

    /// Reads a contract from a file.
    ///
    /// # Errors
    /// The file cannot be read, or holds no contract.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Self::parse(path.display().to_string(), &text)
    }

    /// Reads a file, or all contracts in a folder, in the order of their names.
    ///
    /// # Errors
    /// There is no such file or folder, or a file in it holds no contract.
    pub fn read_all(path: &Path) -> Result<Vec<Self>, String> {
        if !path.is_dir() {
            return Ok(vec![Self::read(path)?]);
        }
        let files = contracts_in(path).map_err(|error| format!("{}: {error}", path.display()))?;
        files.iter().map(|file| Self::read(file)).collect()
    }

    /// Compares this contract with what is emitted today.
    #[must_use]
    pub fn compared(self) -> Report {
        let outcome = compare(&self.document, &self.emitted());
        Report { against: self.name, outcome }
    }

    /// What is emitted today in the place of this contract.
    #[must_use]
    pub fn emitted(&self) -> Value {
        if is_asyncapi(&self.document) { asyncapi::document() } else { contract().document().clone() }
    }
}

/// What is emitted today, as it is frozen and released: the name of the frozen file, that of the released one, the text.
#[must_use]
pub fn emitted() -> [(&'static str, String, String); 2] {
    let [api, events] = FROZEN;
    let (api_document, events_document) = (contract(), asyncapi::document());
    let api_version = version::text_of(api_document.document()).to_owned();
    [
        (api, format!("api-{api_version}.yaml"), api_document.yaml()),
        (events, format!("events-{}.yaml", version::text_of(&events_document)), asyncapi::yaml()),
    ]
}

fn contracts_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if path.is_file() && ["yaml", "yml", "json"].contains(&extension) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
