//! The delivery's documents: `delivery.package`, which names the cell, and `completion.manifest`, which says what is delivered and
//! by which command that can be seen. Whatever is wrong with them is said in words.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::DeserializeOwned};

use super::line::ensure;
use crate::values::build::VERSION;

/// The name of the package, in the folder of the delivery.
const PACKAGE: &str = "delivery.package";
/// Where the manifest is, from the top of the project.
const MANIFEST: &str = "delivery/completion.manifest";
/// What a package may say of its state.
pub const STATES: [&str; 4] = ["in-development", "delivered", "deprecated", "withdrawn"];
/// How the commands begin that show a capability.
const COMMANDS: [&str; 3] = ["crm ", "make ", "cargo test --test it "];

/// Where the documents are.
#[derive(Debug, Clone)]
pub enum Documents {
    /// Those that this program was built with.
    BuiltIn,
    /// In this folder of a project.
    Folder(PathBuf),
}

/// The cell, for the platform's registry.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Its name.
    pub cell_name: String,
    /// One of [`STATES`].
    pub status: String,
    /// The release.
    pub version: String,
    /// The contract, from the top of the project.
    pub contract: String,
    /// Where it says how it is.
    pub health: String,
    /// The manifest, from the top of the project.
    pub completion_manifest: String,
}

/// What is delivered.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The name of the cell.
    pub cell_name: String,
    /// The release.
    pub version: String,
    /// What belongs to the delivery, from the top of the project.
    pub files: Vec<String>,
    /// What it can do.
    pub delivered: Vec<Capability>,
}

/// Something that the cell can do.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capability {
    /// Its name, which stays.
    pub id: String,
    /// What it is, in words.
    pub capability: String,
    /// The command that shows it.
    pub command: String,
    /// The operations of the contract that are part of it: `GET /health`.
    #[serde(default)]
    pub operations: Vec<String>,
}

impl Documents {
    /// The package, if it is as it must be.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn package(&self) -> Result<Package, String> {
        let (name, text) = match self {
            Self::BuiltIn => {
                (format!("delivery/{PACKAGE}"), include_str!("../../delivery/delivery.package").to_owned())
            }
            Self::Folder(folder) => read(&folder.join(PACKAGE))?,
        };
        let package: Package = parse(&name, &text)?;
        let Package { cell_name, status, version, contract, health, completion_manifest } = &package;
        identity(&name, cell_name, version)?;
        ensure(STATES.contains(&status.as_str()), || {
            format!("{name}: status is {status:?}, and must be one of {}", STATES.join(", "))
        })?;
        ensure(health == "/health", || format!("{name}: health is {health:?}, and must be /health"))?;
        for file in [contract, completion_manifest] {
            self.exists(&name, file)?;
        }
        Ok(package)
    }

    /// The manifest that a package names, if it is as it must be.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn manifest(&self, package: &Package) -> Result<Manifest, String> {
        let name = &package.completion_manifest;
        let text = match self.top() {
            None if name == MANIFEST => include_str!("../../delivery/completion.manifest").to_owned(),
            None => return Err(format!("{name} is not the manifest that this program was built with")),
            Some(top) => read(&top.join(name))?.1,
        };
        let manifest: Manifest = parse(name, &text)?;
        identity(name, &manifest.cell_name, &manifest.version)?;
        manifest.files.iter().try_for_each(|file| self.exists(name, file))?;
        ensure(!manifest.delivered.is_empty(), || format!("{name}: it lists nothing that is delivered"))?;
        let mut ids = BTreeSet::new();
        for capability in &manifest.delivered {
            let Capability { id, capability: what, .. } = capability;
            let is_id = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            ensure(!id.is_empty() && id.chars().all(is_id), || format!("{name}: {id:?} is no id of a capability"))?;
            ensure(ids.insert(id), || format!("{name}: the id {id} stands twice"))?;
            ensure(!what.trim().is_empty(), || format!("{name}: {id} does not say what it is"))?;
            self.command(name, capability)?;
        }
        Ok(manifest)
    }

    /// The project, where there is one.
    #[must_use]
    pub fn top(&self) -> Option<&Path> {
        match self {
            Self::BuiltIn => None,
            Self::Folder(folder) => Some(folder.parent().filter(|top| *top != Path::new("")).unwrap_or(Path::new("."))),
        }
    }

    fn exists(&self, name: &str, file: &str) -> Result<(), String> {
        let is_there = self.top().is_none_or(|top| top.join(file).exists());
        ensure(is_there, || format!("{name} names {file}, which does not exist"))
    }

    /// Whether the command that shows a capability is one that can be given.
    fn command(&self, name: &str, Capability { id, command, .. }: &Capability) -> Result<(), String> {
        let begin = COMMANDS.into_iter().find_map(|begin| command.strip_prefix(begin).map(|rest| (begin, rest)));
        let Some((begin, rest)) = begin else {
            let known = COMMANDS.map(str::trim_end).join(", ");
            return Err(format!("{name}: {id} is shown by {command:?}, which is none of the commands {known}"));
        };
        // What a program was built from need not be where it runs.
        let Some(top) = self.top().filter(|top| top.join("tests/it").is_dir()) else { return Ok(()) };
        let is_known = match begin {
            "make " => fs::read_to_string(top.join("Makefile"))
                .is_ok_and(|makefile| makefile.contains(&format!("\n{}:", rest.split(' ').next().unwrap_or_default()))),
            "crm " => true,
            _ => {
                let module = rest.trim_end_matches("::").replace("::", "/");
                let tests = top.join("tests/it");
                tests.join(format!("{module}.rs")).is_file() || tests.join(module).is_dir()
            }
        };
        ensure(is_known, || format!("{name}: {id} is shown by {command:?}, which does not exist"))
    }
}

fn read(path: &Path) -> Result<(String, String), String> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|error| format!("{name} cannot be read: {error}"))?;
    Ok((name, text))
}

fn parse<T: DeserializeOwned>(name: &str, text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| format!("{name} is not as it must be: {error}"))
}

fn identity(name: &str, cell: &str, version: &str) -> Result<(), String> {
    ensure(cell == "crm", || format!("{name}: cell_name is {cell:?}, and must be crm"))?;
    ensure(version == VERSION, || format!("{name}: version is {version:?}, and this program is {VERSION}"))
}
