//! What the documents name exists: files, make targets, and tests; and they agree on versions.

use std::{
    fs,
    path::{Path, PathBuf},
};

const DOCUMENTS: [&str; 8] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "delivery/README.md",
    "openapi/README.md",
    ".github/workflows/ci.yml",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The documents, with what stands between backticks in each.
fn quoted() -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    for document in DOCUMENTS {
        let text = fs::read_to_string(root().join(document)).unwrap_or_else(|error| panic!("{document}: {error}"));
        all.extend(text.split('`').skip(1).step_by(2).map(|code| (document, code.trim().to_owned())));
    }
    all
}

#[test]
fn every_file_that_a_document_names_exists() {
    let rooms = ["src/", "tests/", "migration/", "openapi/", "delivery/", ".ci/", ".githooks/"];
    let mut missing = Vec::new();
    for (document, code) in quoted() {
        let names = code.split_whitespace().filter(|word| rooms.iter().any(|room| word.starts_with(room)));
        // Names with a placeholder are no names of files.
        for name in names.filter(|name| !name.contains(['*', '{', '<', '…']) && !name.contains("things")) {
            let path = name.trim_end_matches([',', ';', '.', ':', ')']);
            let is_example =
                path.split('/').any(|part| part.chars().any(|c| c.is_ascii_uppercase()) && !part.contains('.'));
            if !is_example && !root().join(path).exists() {
                missing.push(format!("{document}: {path}"));
            }
        }
    }
    assert_eq!(missing, [] as [String; 0]);
}

#[test]
fn every_make_target_that_a_document_names_exists() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let mut missing = Vec::new();
    for (document, code) in quoted() {
        for (index, _) in code.match_indices("make ") {
            let is_command = code[..index].chars().last().is_none_or(|c| c.is_whitespace());
            let target = code[index + 5..].split(|c: char| !c.is_ascii_lowercase() && c != '-').next().unwrap();
            if is_command && !target.is_empty() && !makefile.contains(&format!("\n{target}:")) {
                missing.push(format!("{document}: make {target}"));
            }
        }
    }
    assert_eq!(missing, [] as [String; 0]);
}

#[test]
fn every_test_that_a_document_names_exists() {
    let mut modules = Vec::new();
    list_modules(&root().join("tests/it"), "", &mut modules);
    let mut missing = Vec::new();
    for (document, code) in quoted() {
        let filters = code.split_whitespace().filter(|word| word.ends_with("::") && !word.contains("crate"));
        for filter in filters {
            if !modules.iter().any(|module| module.ends_with(&format!("::{filter}"))) {
                missing.push(format!("{document}: {filter}"));
            }
        }
    }
    assert_eq!(missing, [] as [String; 0]);
}

/// The modules of the test binary, each as `::folder::file::`.
fn list_modules(folder: &Path, prefix: &str, modules: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        if path.is_dir() {
            modules.push(format!("{prefix}::{name}::"));
            list_modules(&path, &format!("{prefix}::{name}"), modules);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            modules.push(format!("{prefix}::{name}::"));
        }
    }
}

#[test]
fn the_python_sdk_has_the_version_of_the_contract() {
    let text = |path: &str| fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let version = |text: &str, key: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(key).map(|rest| rest.trim().to_owned()));
        line.unwrap_or_else(|| panic!("no {key}"))
    };
    let contract = version(&text("openapi/api_contract.yaml"), "version:");
    assert_eq!(version(&text("openapi/sdk/python.yaml"), "packageVersion:"), contract);
}
