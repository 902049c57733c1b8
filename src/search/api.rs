//! The operation that searches.

use poem::web::Data;
use poem_openapi::OpenApi;

use super::{
    query::SearchQuery,
    store::Search,
    types::{Limit, SearchResult, TypesFilter},
};
use crate::{
    app::App,
    error::Result,
    http::{
        caller::{Caller, CanRead},
        query::Query,
        reply::Found,
        tag::Tag,
    },
};

const SEARCH: Tag =
    Tag { name: "Search", description: "Finding customers, contacts, opportunities and follow-ups at once." };

/// The operation that searches.
pub struct SearchApi;

#[OpenApi(tag = "SEARCH")]
impl SearchApi {
    /// Search
    ///
    /// The customers, contacts, opportunities and follow-ups whose name, title or content holds all words of `q`, each as a part
    /// of it, without regard to case, accents, width and style. A whole e-mail address or phone number (of 7 digits or more) also
    /// finds the customers and contacts that have it, if `types` has any of these: that needs the scope `crm:pii:read` (403 without
    /// it), unless the service shows personal data to everybody, and what is found is noted in the audit trail.
    #[oai(path = "/search", method = "get", operation_id = "search")]
    async fn search(
        &self,
        caller: Caller<CanRead>,
        app: Data<&App>,
        /// The words, separated by spaces: at most 10, and 200 characters. At least one has two characters; one is enough of
        /// Chinese, Japanese, Korean, emoji and symbols.
        q: SearchQuery,
        /// Only resources of these types, separated by commas: `customer`, `contact`, `opportunity`, `followUp`. All by default.
        types: Query<TypesFilter>,
        /// How many resources to find at most.
        limit: Query<Limit>,
    ) -> Result<Found<SearchResult>> {
        let database = app.database().read_recent(caller.tenant(), &caller.recency);
        let search = Search {
            db: &database,
            cipher: app.cipher(),
            ids: app.ids(),
            actor: &caller.actor,
            searched: &q.0,
            limit: limit.0,
        };
        let mut found = search.find(&types.0).await?;
        for entry in std::mem::take(&mut found.entries) {
            app.audit_queue().record(Some(entry));
        }
        Ok(Found(found.best(limit.0)))
    }
}
