//! Cursors of the walk through changes.
//!
//! Like a cursor of the feed, one is opaque, bound to its tenant and not secret. It holds where its reader is; how far the feed
//! was when the reader began, because deletions from before that are none that it can have missed; and the last event that
//! there was when the cursor was made, by which it is noticed that the database was restored from a backup.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use serde_json::Value;
use uuid::Uuid;

use super::super::cursor::{CHECK, Place, check};
use crate::values::{ContractValue, Tenant, Violation, contract_type, query::QueryValue};

/// What these cursors begin with.
const PREFIX: &str = "c1";
/// Their bytes: the position and the resource there, the position at the start, the last event.
const CONTENT: usize = 8 + 16 + 8 + Place::SIZE;

/// What a reader sends that is no cursor of this walk.
pub(super) const UNKNOWN: &str = "must be a nextCursor that this list answered";

/// How far a reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeCursor {
    /// The last position that it has seen.
    pub(super) position: i64,
    /// The last resource at that position.
    pub(super) resource: Uuid,
    /// The last position that there was when it began.
    pub(super) start: i64,
    /// The last event that there was when it read.
    pub(super) seen: Place,
    check: [u8; CHECK],
}

impl ChangeCursor {
    pub(super) fn new(tenant: &Tenant, (position, resource): (i64, Uuid), start: i64, seen: Place) -> Self {
        let mut cursor = Self { position, resource, start, seen, check: [0; CHECK] };
        cursor.check = check(tenant, &cursor.content());
        cursor
    }

    /// Whether it was made for this tenant, and arrived whole.
    pub(super) fn is_of(&self, tenant: &Tenant) -> bool {
        self.check == check(tenant, &self.content())
    }

    fn content(&self) -> Vec<u8> {
        let (position, start) = (self.position.to_be_bytes(), self.start.to_be_bytes());
        [position.as_slice(), self.resource.as_bytes(), &start, &self.seen.bytes()].concat()
    }

    fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text.strip_prefix(PREFIX)?).ok()?;
        let bytes: [u8; CONTENT + CHECK] = bytes.try_into().ok()?;
        let (position, rest) = bytes.split_first_chunk()?;
        let (resource, rest) = rest.split_first_chunk()?;
        let (start, rest) = rest.split_first_chunk()?;
        let (seen, rest) = rest.split_first_chunk()?;
        Some(Self {
            position: i64::from_be_bytes(*position),
            resource: Uuid::from_bytes(*resource),
            start: i64::from_be_bytes(*start),
            seen: Place::read(*seen)?,
            check: *rest.first_chunk()?,
        })
    }
}

impl serde::Serialize for ChangeCursor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes = [self.content().as_slice(), &self.check].concat();
        serializer.serialize_str(&(PREFIX.to_owned() + &URL_SAFE_NO_PAD.encode(bytes)))
    }
}

impl ContractValue for ChangeCursor {
    fn name() -> Cow<'static, str> {
        "ChangeCursor".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            min_length: Some(1),
            max_length: Some(128),
            pattern: Some("^[0-9A-Za-z_-]{1,128}$".to_owned()),
            example: Some("c1AAAAAAAAACoBmqXIfUB8HrOiXw5tHCs6AAAAAAAAACoAAAAAAAAAKt_WFipXGvM9fA".into()),
            ..MetaSchema::new("string")
        }))
    }

    fn from_value(value: Value) -> Result<Self, Violation> {
        value.as_str().and_then(Self::parse).ok_or(Cow::Borrowed(UNKNOWN))
    }
}

contract_type!(ChangeCursor);

/// The `after` parameter.
#[derive(Debug)]
pub struct ChangedAfter;

impl QueryValue for ChangedAfter {
    type Value = Option<ChangeCursor>;

    fn schema() -> MetaSchemaRef {
        ChangeCursor::schema_ref()
    }

    fn read(value: Option<&str>) -> Result<Option<ChangeCursor>, Violation> {
        value.map(|text| ChangeCursor::from_value(text.into())).transpose()
    }
}
