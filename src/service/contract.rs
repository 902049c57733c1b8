//! The API contract of the service: its operations, introduction and version.

use poem_openapi::{ContactObject, LicenseObject, OpenApiService, ServerObject};

use super::{
    operations::Operations,
    resources::{ResourceEntry, resources},
};
use crate::http::{BASE_PATH, contract::Contract, probes::ProbesApi};

/// The version of the contract, which is not the program's: `openapi/README.md` says what raises it.
pub const VERSION: &str = "1.4.0";

const TITLE: &str = "CRM cell";
/// The paths of the documents served alongside the operations.
const DOCUMENTS: [&str; 3] = ["/openapi.json", "/openapi.yaml", "/docs"];
const PRIVATE_DOCUMENTS: [&str; 1] = ["/metrics"];

/// The operations as a poem-openapi service.
#[must_use]
pub fn operations() -> OpenApiService<Operations, ()> {
    OpenApiService::new(Operations, TITLE, VERSION)
        .description(description(&resources()))
        .contact(ContactObject::new().name("CRM cell maintainers"))
        .license(LicenseObject::new("MIT").url("https://opensource.org/license/mit"))
        .server(ServerObject::new(BASE_PATH).description("Behind the gateway, and on the service itself"))
}

/// The probes as a poem-openapi service, for the private listener.
#[must_use]
pub fn probes() -> OpenApiService<ProbesApi, ()> {
    OpenApiService::new(ProbesApi, TITLE, VERSION)
}

/// Emits the contract. Needs no environment, database or configuration.
#[must_use]
pub fn contract() -> Contract {
    let enums: Vec<_> = resources().into_iter().flat_map(|resource| resource.integer_enums).collect();
    Contract::of(&operations().spec(), &enums, &DOCUMENTS)
}

/// The contract of the private listener, which is not published.
#[must_use]
pub fn private_contract() -> Contract {
    Contract::of(&probes().spec(), &[], &PRIVATE_DOCUMENTS)
}

/// Swagger UI with the contract embedded; it loads nothing from elsewhere.
#[must_use]
pub fn swagger_ui(contract: &Contract) -> String {
    // poem-openapi embeds its own document: replace it with the contract. An unescaped `</` could end the script.
    let service = operations();
    service.swagger_ui_html().replace(&service.spec(), &contract.json().replace("</", "<\\/"))
}

/// The names of the resources, as part of a sentence: `customers, contacts and follow-ups`.
#[must_use]
pub fn resource_names(resources: &[ResourceEntry]) -> String {
    let names: Vec<String> = resources.iter().map(|resource| resource.kind.tag.name.to_lowercase()).collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => names.join(""),
    }
}

/// The introduction, with the names of the resources and their personal data filled in.
fn description(resources: &[ResourceEntry]) -> String {
    let names = resource_names(resources);
    let (first, rest) = names.split_at(names.chars().next().map_or(0, char::len_utf8));
    include_str!("../http/contract/description.md")
        .trim_end()
        .replace("{Resources}", &format!("{}{rest}", first.to_uppercase()))
        .replace("{personal_data}", &personal_data(resources))
}

/// The fields with personal data: `` `contactPhone`, `contactEmail` of a customer ``.
fn personal_data(resources: &[ResourceEntry]) -> String {
    let of_one = |resource: &ResourceEntry| {
        let fields = resource.pii?.columns.iter().map(|field| format!("`{}`", camel_case(field.name)));
        Some(format!("{} of a {}", fields.collect::<Vec<_>>().join(", "), resource.kind.name))
    };
    resources.iter().filter_map(of_one).collect::<Vec<_>>().join(", ")
}

/// The name that a column has as a field in the contract.
fn camel_case(column: &str) -> String {
    let mut words = column.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let (initial, rest) = word.split_at(word.chars().next().map_or(0, char::len_utf8));
        name + &initial.to_uppercase() + rest
    })
}
