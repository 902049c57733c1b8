//! Section 4.4: what is delivered.

use std::collections::BTreeSet;

use super::{
    documents::{Documents, Manifest, Package},
    line::{Found, Line, Verdict, ensure},
    operations::Operation,
};
use crate::service::{compatibility, compatibility::baseline::Baseline};

/// The package is there and says what it must.
pub(super) fn package(documents: &Documents, package: &Result<Package, String>) -> Found {
    let package = package.as_ref().map_err(Clone::clone)?;
    let from = if documents.top().is_some() { "" } else { ", as this program was built with" };
    let Package { cell_name, status, version, completion_manifest, .. } = package;
    Ok(format!("{cell_name} {version} is {status}, with {completion_manifest}{from}"))
}

/// The manifest lists what is delivered: every operation that is served is part of something in it, and it names no other.
pub(super) fn manifest(manifest: &Result<Manifest, String>, operations: &[Operation]) -> Found {
    let manifest = manifest.as_ref().map_err(Clone::clone)?;
    let named: BTreeSet<&str> =
        manifest.delivered.iter().flat_map(|capability| &capability.operations).map(String::as_str).collect();
    let served: BTreeSet<&str> = operations.iter().map(|operation| operation.name.as_str()).collect();
    if let Some(missing) = served.difference(&named).next() {
        return Err(format!("the manifest does not list what {missing} is part of, which is served").into());
    }
    if let Some(absent) = named.difference(&served).next() {
        return Err(format!("the manifest lists {absent}, which is not served").into());
    }
    let (count, files) = (manifest.delivered.len(), manifest.files.len());
    Ok(format!(
        "{count} capabilities, each with the command that shows it, with all {} operations; {files} files",
        served.len()
    ))
}

/// The contract that is served is the one that the program is frozen with, and that the package names.
pub(super) fn contract(documents: &Documents, package: &Result<Package, String>, text: &str) -> Found {
    let served = Baseline::parse("GET /openapi.yaml", text)?;
    let version = served.document.get("openapi").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    ensure(version.starts_with("3.0"), || format!("the contract is OpenAPI {version:?}, and not 3.0"))?;
    compare(served)?;
    let mut with = "this program's".to_owned();
    if let (Some(top), Ok(package)) = (documents.top(), package) {
        compare(Baseline::read(&top.join(&package.contract))?)?;
        with = format!("{with} and {}", package.contract);
    }
    Ok(format!("GET /openapi.yaml is OpenAPI {version}, identical with {with}"))
}

fn compare(baseline: Baseline) -> Result<(), String> {
    let report = baseline.compared();
    let first = report.outcome.differences.first().map(ToString::to_string).unwrap_or_default();
    ensure(report.outcome.verdict == compatibility::Verdict::Identical, || {
        format!("{} is not the contract of this program ({}): {first}", report.against, report.outcome.verdict)
    })
}

/// The tests of the delivery are these lines.
pub(super) fn tests(lines: &[Line], replies: u64) -> Found {
    let count = |verdict: Verdict| lines.iter().filter(|line| line.result == verdict).count();
    let (all, broken, left) = (lines.len(), count(Verdict::Broken), count(Verdict::NotChecked));
    ensure(broken == 0, || format!("{broken} of the {all} lines above are broken"))?;
    Ok(format!("this walk: {} of the {all} lines above hold, {left} were not checked; {replies} requests", all - left))
}
