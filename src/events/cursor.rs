//! Cursors: where a reader is in its tenant's feed.
//!
//! A cursor is opaque to its reader. It holds a position in the tenant's own feed, which tells nothing of other tenants;
//! a tag of the event at that position, by which it is noticed that the feed is another one than the reader knows, because
//! the database was restored from a backup; and a check that binds both to the tenant. None of it is secret: a forged
//! cursor reads nothing that its tenant may not read.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::values::{ContractValue, Tenant, Violation, contract_type};

/// What cursors of the present form begin with; the former ones begin with a digit.
const PREFIX: &str = "v1";
/// The bytes of a cursor: its place and its check.
const SIZE: usize = Place::SIZE + CHECK;
/// The bytes of a check.
pub(super) const CHECK: usize = 4;

/// What a reader sends that does not come from its feed.
pub(super) const UNKNOWN: &str = "must be a cursor that the feed answered";

/// A reader's position in the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cursor {
    /// A position in the feed of a tenant.
    Feed(FeedCursor),
    /// The former form: a position in the outbox, among the events of all tenants.
    Outbox(i64),
}

/// A position in the feed of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedCursor {
    place: Place,
    check: [u8; CHECK],
}

/// A position, and what is remembered of the event there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub position: i64,
    tag: [u8; 6],
}

impl Place {
    /// Its bytes.
    pub const SIZE: usize = 8 + 6;

    /// The place of this event; none where it is not known, or where no event was yet.
    pub fn new(position: i64, event: Option<Uuid>) -> Self {
        Self { position, tag: event.map(tag).unwrap_or_default() }
    }

    /// Whether this event is the one at the position.
    pub fn is_of(&self, event: Uuid) -> bool {
        self.tag == tag(event)
    }

    /// Whether it was known which event that is.
    pub fn is_known(&self) -> bool {
        self.tag != [0; 6]
    }

    pub fn bytes(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        let both = self.position.to_be_bytes().into_iter().chain(self.tag);
        bytes.iter_mut().zip(both).for_each(|(to, byte)| *to = byte);
        bytes
    }

    /// What [`Self::bytes`] made; none where the position is none.
    pub fn read(bytes: [u8; Self::SIZE]) -> Option<Self> {
        let (position, rest) = bytes.split_first_chunk()?;
        let position = i64::from_be_bytes(*position);
        (position >= 0).then_some(Self { position, tag: *rest.first_chunk()? })
    }
}

impl FeedCursor {
    /// The cursor behind this event; none where it is not known, or where no event was yet.
    #[must_use]
    pub fn new(tenant: &Tenant, position: i64, event: Option<Uuid>) -> Self {
        let place = Place::new(position, event);
        Self { place, check: check(tenant, &place.bytes()) }
    }

    /// The position in the tenant's feed; 0 before the first event.
    #[must_use]
    pub fn position(&self) -> i64 {
        self.place.position
    }

    /// Whether it was made for this tenant, and arrived whole.
    #[must_use]
    pub fn is_of(&self, tenant: &Tenant) -> bool {
        self.check == check(tenant, &self.place.bytes())
    }

    /// Whether this event is the one at its position.
    #[must_use]
    pub fn is_behind(&self, event: Uuid) -> bool {
        self.place.is_of(event)
    }

    fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; SIZE] = URL_SAFE_NO_PAD.decode(text.strip_prefix(PREFIX)?).ok()?.try_into().ok()?;
        let (place, check) = bytes.split_first_chunk()?;
        Some(Self { place: Place::read(*place)?, check: *check.first_chunk()? })
    }

    fn text(&self) -> String {
        let bytes = [self.place.bytes().as_slice(), &self.check].concat();
        PREFIX.to_owned() + &URL_SAFE_NO_PAD.encode(bytes)
    }
}

fn tag(event: Uuid) -> [u8; 6] {
    Sha256::digest(event.as_bytes()).first_chunk().copied().unwrap_or_default()
}

/// What binds the bytes of a cursor to its tenant, and shows whether all of them arrived.
pub(super) fn check(tenant: &Tenant, bytes: &[u8]) -> [u8; CHECK] {
    let hash = Sha256::new_with_prefix(bytes).chain_update(tenant.as_str()).finalize();
    hash.first_chunk().copied().unwrap_or_default()
}

impl serde::Serialize for Cursor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Feed(cursor) => serializer.serialize_str(&cursor.text()),
            Self::Outbox(position) => serializer.collect_str(position),
        }
    }
}

impl ContractValue for Cursor {
    fn name() -> Cow<'static, str> {
        "Cursor".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            min_length: Some(1),
            max_length: Some(64),
            pattern: Some("^[0-9A-Za-z_-]{1,64}$".to_owned()),
            example: Some("v1AAAAAAAAACrA39WEoqVvM9fB".into()),
            ..MetaSchema::new("string")
        }))
    }

    fn from_value(value: Value) -> Result<Self, Violation> {
        let digits = |text: &str| (1..=18).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        let cursor = value.as_str().and_then(|text| match digits(text) {
            true => text.parse().ok().map(Self::Outbox),
            false => FeedCursor::parse(text).map(Self::Feed),
        });
        cursor.ok_or(Cow::Borrowed(UNKNOWN))
    }
}

contract_type!(Cursor);
