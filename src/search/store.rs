//! What a search finds, of each type of resource.

use sea_orm::{IdenStatic, ModelTrait, Value};
use tokio::task::yield_now;

use super::{
    highlight::highlight,
    query::sealed,
    types::{SearchHit, SearchMatch, SearchResult, TITLE},
};
use crate::{
    audit::{AuditEntry, reading},
    auth::Actor,
    contacts, customers,
    database::{
        list::{ListQuery, ListSource, Order, Rows, Slice, Total},
        search::ranked::{self, RankedRow},
    },
    error::{Error, Result},
    events::changes::types::ChangedType,
    follow_ups, opportunities,
    pii::{PiiCipher, SealedColumns, search::Searched},
    resource::{OfCustomer, Resource, searching::found_by},
    values::{Id, IdSource, Nullable, SearchText},
};

/// A search of a caller.
pub(super) struct Search<'s, C> {
    pub db: &'s C,
    pub cipher: &'s PiiCipher,
    pub ids: &'s IdSource,
    pub actor: &'s Actor,
    pub searched: &'s Searched,
    pub limit: u64,
}

/// What was found so far.
#[derive(Default)]
pub(super) struct Found {
    hits: Vec<(RankedRow, SearchHit)>,
    is_incomplete: bool,
    /// What the audit trail is to say of personal data that was found by.
    pub entries: Vec<AuditEntry>,
}

impl Found {
    /// The best, at most so many.
    pub fn best(mut self, limit: u64) -> SearchResult {
        self.hits.sort_by(|(one, _), (other, _)| {
            let newest_first = (other.created_at, other.id).cmp(&(one.created_at, one.id));
            one.rank.cmp(&other.rank).then(newest_first)
        });
        let data = self.hits.into_iter().map(|(_, hit)| hit).take(usize::try_from(limit).unwrap_or(usize::MAX));
        SearchResult { data: data.collect(), complete: !self.is_incomplete }
    }
}

impl<C: ListSource> Search<'_, C> {
    /// Finds the resources of these types.
    ///
    /// # Errors
    /// A fault of the database.
    pub async fn find(&self, types: &[ChangedType]) -> Result<Found> {
        let mut found = Found::default();
        for resource_type in types {
            match resource_type {
                ChangedType::Customer => {
                    self.find_of::<customers::Entity>(*resource_type, None, &mut found).await?;
                }
                ChangedType::Contact => {
                    let owner = Some(contacts::Entity::CUSTOMER);
                    self.find_of::<contacts::Entity>(*resource_type, owner, &mut found).await?;
                }
                ChangedType::Opportunity => {
                    let owner = Some(opportunities::Entity::CUSTOMER);
                    self.find_of::<opportunities::Entity>(*resource_type, owner, &mut found).await?;
                }
                ChangedType::FollowUp => {
                    let owner = Some(follow_ups::Entity::CUSTOMER);
                    self.find_of::<follow_ups::Entity>(*resource_type, owner, &mut found).await?;
                }
            }
        }
        Ok(found)
    }

    /// Those of a type; `owner` is the column with the customer that they belong to.
    async fn find_of<E: Resource>(
        &self,
        resource_type: ChangedType,
        owner: Option<E::Column>,
        found: &mut Found,
    ) -> Result<()> {
        if let Some(text) = &self.searched.text {
            self.find_text::<E>(resource_type, owner, text, found).await?;
        }
        match sealed(resource_type) {
            Some(columns) => self.find_sealed::<E>(resource_type, owner, columns, found).await,
            None => Ok(()),
        }
    }

    /// Those whose text holds the words.
    async fn find_text<E: Resource>(
        &self,
        resource_type: ChangedType,
        owner: Option<E::Column>,
        text: &SearchText,
        found: &mut Found,
    ) -> Result<()> {
        let searched = (E::KIND.name, text);
        let ranked = ranked::find::<E>(self.db, &self.actor.tenant, searched, (E::TEXT, owner), self.limit).await?;
        found.is_incomplete |= !ranked.is_complete;
        for row in ranked.rows {
            // Looking through a long text takes a while: others come in between.
            yield_now().await;
            let matched = SearchMatch::of_text(E::TEXT.as_str(), highlight(&row.text, text));
            let hit = hit(resource_type, &row, matched);
            found.hits.push((row, hit));
        }
        Ok(())
    }

    /// Those that have the phone number or the e-mail address.
    async fn find_sealed<E: Resource>(
        &self,
        resource_type: ChangedType,
        owner: Option<E::Column>,
        columns: SealedColumns,
        found: &mut Found,
    ) -> Result<()> {
        let tenant = &self.actor.tenant;
        for lookup in self.searched.lookups(self.cipher, tenant, columns)? {
            let (field, criteria) = (lookup.field, vec![found_by::<E>(lookup)]);
            let slice = Slice { offset: 0, limit: self.limit, after: None };
            let rows = ListQuery { criteria, order: Order::default(), slice, total: Total::Counted };
            let rows: Rows<E::Model> = rows.read(self.db, tenant).await?;
            found.entries.extend(reading::search::<E>(self.ids, self.actor, &[field], &rows));
            found.is_incomplete |= rows.next.is_some();
            for row in &rows.data {
                put_sealed::<E>(found, (resource_type, owner), row, field)?;
            }
        }
        Ok(())
    }
}

/// Adds a row with the value in this field: to what was found of it by its text, or as another.
fn put_sealed<E: Resource>(
    found: &mut Found,
    (resource_type, owner): (ChangedType, Option<E::Column>),
    row: &E::Model,
    field: &str,
) -> Result<()> {
    let id = E::id(row);
    if let Some((place, hit)) = found.hits.iter_mut().find(|(place, _)| place.id == id) {
        place.rank = 0;
        hit.matches.push(SearchMatch::whole(field));
        return Ok(());
    }
    let Value::ChronoDateTimeUtc(Some(created_at)) = row.get(<E as Resource>::CREATED) else {
        return Err(Error::internal("a row without a time of creation"));
    };
    let owner = match owner.map(|owner| row.get(owner)) {
        Some(Value::Uuid(owner)) => owner,
        _ => None,
    };
    let row = RankedRow { rank: 0, created_at, id, text: E::text(row).to_owned(), owner };
    let hit = hit(resource_type, &row, SearchMatch::whole(field));
    found.hits.push((row, hit));
    Ok(())
}

fn hit(resource_type: ChangedType, row: &RankedRow, matched: SearchMatch) -> SearchHit {
    SearchHit {
        resource_type,
        resource_id: Id(row.id),
        customer_id: Nullable(row.owner.map(Id)),
        title: row.text.chars().take(TITLE).collect::<String>().into(),
        matches: vec![matched],
    }
}
