//! Reading a list from page to page: by number, or on from a cursor ([`After`]).
//!
//! A cursor holds the place of the last row of a page, sealed. It is bound to the tenant, the list and all parameters that say
//! what is in the list and in which order: with others it does not open.

use poem::{PathPattern, Request};
use poem_openapi::registry::MetaSchemaRef;
use sha2::{Digest, Sha256};

use super::query::{Parameters, query_parameter};
use crate::{
    database::list::{Position, Rows, Slice},
    error::{Error, Result},
    pii::PiiCipher,
    values::{
        Tenant,
        page::{List, PageNumber, PageSize, Paging, TOTAL, cursor_schema},
    },
};

/// The parameters that say which page of the list is read, and not what is in it.
const PAGE: [&str; 5] = ["after", "limit", "page", "pageSize", TOTAL];

/// The `after` parameter: a page's `nextCursor`.
#[derive(Debug)]
pub struct After {
    cursor: Option<String>,
    list: Vec<u8>,
    /// What has to be the same as for the page that the cursor is of, in words.
    same: &'static str,
}

impl After {
    pub(super) fn of(request: &Request, name: &str) -> Result<Self> {
        let parameters = Parameters::of(request)?;
        let mut cursors = parameters.iter().filter(|(key, _)| key == name).map(|(_, cursor)| cursor.clone());
        let cursor = cursors.next();
        if cursors.next().is_some() {
            return Err(Error::invalid(format!("{name}: must be sent once")));
        }
        let path = request.data::<PathPattern>().map(|PathPattern(path)| path.to_string()).unwrap_or_default();
        let mut filters: Vec<_> = parameters.iter().filter(|(name, _)| !PAGE.contains(&name.as_str())).collect();
        filters.sort_unstable();
        let mut list = Sha256::new_with_prefix(path);
        for text in filters.into_iter().flat_map(|(name, value)| [name, value]) {
            list.update(text.len().to_be_bytes());
            list.update(text);
        }
        Ok(Self { cursor, list: list.finalize().to_vec(), same: "filters" })
    }

    /// The same for a list that can be sorted.
    pub(super) fn sorted(self) -> Self {
        Self { same: "filters and sort", ..self }
    }

    /// The page that is asked for, of this tenant's list.
    ///
    /// # Errors
    /// Invalid: a cursor of another list, or of none; a page that is too deep.
    pub fn page(&self, cipher: &PiiCipher, tenant: &Tenant, number: PageNumber, size: PageSize) -> Result<Page> {
        let Paging { offset, limit } =
            Paging::new(number, size).map_err(|violation| Error::invalid(format!("page: {violation}")))?;
        let bound = [tenant.as_str().as_bytes(), &[0], &self.list].concat();
        let after = match &self.cursor {
            None => None,
            Some(_) if offset > 0 => {
                return Err(Error::invalid("after: not together with another page than the first"));
            }
            Some(cursor) => {
                let content = cipher.cursors().open(&bound, cursor);
                let position = content.and_then(|content| serde_json::from_slice::<Position>(&content).ok());
                Some(position.ok_or_else(|| {
                    Error::invalid(format!("after: must be the nextCursor of a page with the same {}", self.same))
                })?)
            }
        };
        Ok(Page { slice: Slice { offset, limit, after }, bound })
    }
}

query_parameter!(After, required: false, schema: MetaSchemaRef::Inline(Box::new(cursor_schema())));

/// The page of a list that a caller asks for.
#[derive(Debug)]
pub struct Page {
    /// Which rows it has.
    pub slice: Slice,
    bound: Vec<u8>,
}

impl Page {
    /// Whose list it is of, and what was asked of that: what its cursors are bound to.
    #[must_use]
    pub fn asked(&self) -> &[u8] {
        &self.bound
    }

    /// The page with these rows, each of which is converted.
    ///
    /// # Errors
    /// The first error of a conversion: a page is never returned in part.
    pub fn answer<M, V>(
        &self,
        cipher: &PiiCipher,
        rows: Rows<M>,
        convert: impl FnMut(M) -> Result<V>,
    ) -> Result<List<V>> {
        let Rows { data, total, next } = rows;
        Ok(List {
            data: data.into_iter().map(convert).collect::<Result<_>>()?,
            total: total.map(|total| total.rows),
            total_exact: total.is_some_and(|total| total.is_exact),
            next_cursor: next.map(|position| self.cursor(cipher, &position)).transpose()?,
        })
    }

    /// What the list is read on with behind this place.
    ///
    /// # Errors
    /// None in practice: a position can always be sealed.
    pub fn cursor(&self, cipher: &PiiCipher, position: &Position) -> Result<String> {
        let content = serde_json::to_vec(position).map_err(Error::internal)?;
        cipher.cursors().seal(&self.bound, &content)
    }
}
