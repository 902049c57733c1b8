//! Names in the environment that begin like a variable's and are none.

use crate::values::unknown_name::nearest;

/// How all variables begin, but for a few that platforms prescribe.
const PREFIX: &str = "CRM_";

/// A line for each name that begins with `CRM_` and is no variable, with the one that was probably meant. What Kubernetes sets
/// for a Service whose name begins with `crm` was meant by nobody, and is left out.
pub(super) fn warnings(names: &[String], known: &[&str]) -> Vec<String> {
    let is_known = |name: &&String| known.contains(&name.as_str());
    let mut unknown: Vec<&String> = names.iter().filter(|name| name.starts_with(PREFIX)).collect();
    unknown.retain(|name| !is_known(name) && !is_service_link(name, names));
    unknown.sort();
    unknown.into_iter().map(|name| describe(name, known)).collect()
}

fn describe(name: &str, known: &[&str]) -> String {
    match nearest(name, known) {
        Some(meant) => format!("{name}: is not a variable of this service; did you mean {meant}?"),
        None => format!("{name}: is not a variable of this service"),
    }
}

/// Whether Kubernetes sets this name for a Service: where the Service is named `crm-db`, `CRM_DB_SERVICE_HOST`,
/// `CRM_DB_SERVICE_PORT`, `CRM_DB_PORT`, `CRM_DB_PORT_5432_TCP` and so on.
fn is_service_link(name: &str, names: &[String]) -> bool {
    let services = names.iter().filter_map(|name| name.strip_suffix("_SERVICE_HOST"));
    services.filter_map(|service| name.strip_prefix(service)).any(|rest| {
        matches!(rest, "_SERVICE_HOST" | "_SERVICE_PORT" | "_PORT")
            || rest.starts_with("_SERVICE_PORT_")
            || rest.starts_with("_PORT_")
    })
}
