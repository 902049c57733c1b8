//! Conditional requests (RFC 9110, section 13). The version of a resource is its [`EntityTag`]; [`IfMatch`] keeps a client from
//! undoing what it has not seen, and [`IfNoneMatch`] spares it what it has.

use std::{fmt, marker::PhantomData};

use poem::{Request, RequestBody, http::HeaderMap};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaParamIn, MetaSchema, MetaSchemaRef},
};

use crate::error::{Error, Result};

/// The names of the headers, as spelled in the contract.
pub(in crate::http) const IF_MATCH_HEADER: &str = "If-Match";
pub(in crate::http) const IF_NONE_MATCH_HEADER: &str = "If-None-Match";

/// The version of a resource, as it is shown: `"7"` in clear, `"7-m"` with personal data masked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntityTag {
    /// The version.
    pub version: i64,
    /// Whether personal data is masked: the same version then looks different.
    pub masked: bool,
}

impl fmt::Display for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}{}\"", self.version, if self.masked { "-m" } else { "" })
    }
}

impl EntityTag {
    /// Reads a tag in its quotes; `None` for one that this service never made.
    fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('"')?.strip_suffix('"')?;
        let (digits, masked) = digits.strip_suffix("-m").map_or((digits, false), |digits| (digits, true));
        let tag = Self { version: digits.parse().ok()?, masked };
        (tag.to_string() == text).then_some(tag)
    }
}

/// What `If-Match` or `If-None-Match` names: `*`, or tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Named {
    /// Whatever there is.
    Any,
    /// These, in their quotes, and whether each is weak.
    Tags(Vec<(String, bool)>),
}

impl Named {
    /// Reads all lines of the header as one list; `None` where there are none.
    ///
    /// # Errors
    /// Invalid, where it is neither `*` nor a list of tags in quotes.
    pub(super) fn of(headers: &HeaderMap, name: &str) -> Result<Option<Self>> {
        let lines: Vec<String> = headers.get_all(name).iter().map(|line| latin1(line.as_bytes())).collect();
        if lines.is_empty() {
            return Ok(None);
        }
        let malformed = || Error::invalid(format!("{name}: must be * or entity tags in double quotes, such as \"7\""));
        Self::parse(&lines.join(",")).map(Some).ok_or_else(malformed)
    }

    /// Section 5.6.1.2 allows empty elements in a list.
    fn parse(list: &str) -> Option<Self> {
        let separators = [',', ' ', '\t'];
        let mut rest = list.trim_matches(separators);
        if rest == "*" {
            return Some(Self::Any);
        }
        let mut tags = Vec::new();
        while !rest.is_empty() {
            let (quoted, weak) = rest.strip_prefix("W/").map_or((rest, false), |quoted| (quoted, true));
            let (tag, after) = quoted.strip_prefix('"')?.split_once('"')?;
            let after = after.trim_start_matches([' ', '\t']);
            if !tag.chars().all(may_be_in_tag) || !(after.is_empty() || after.starts_with(',')) {
                return None;
            }
            tags.push((format!("\"{tag}\""), weak));
            rest = after.trim_start_matches(separators);
        }
        (!tags.is_empty()).then_some(Self::Tags(tags))
    }

    /// Whether it names this tag, by weak comparison (section 8.8.3.2).
    pub(super) fn includes(&self, tag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Tags(tags) => tags.iter().any(|(named, _)| named == tag),
        }
    }
}

/// Each byte as the character of that number, so that none is lost.
fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// `etagc` of section 8.8.3.
fn may_be_in_tag(c: char) -> bool {
    matches!(c, '\u{21}' | '\u{23}'..='\u{7e}' | '\u{80}'..='\u{ff}')
}

/// What a request says of the versions of a resource, in the header `H`; nothing, if it was not sent.
#[derive(Debug, Clone, Default)]
pub struct Condition<H>(Option<Named>, PhantomData<H>);

/// A header that names versions.
pub trait Header: Send + Sync + 'static {
    /// Its name, as spelled in the contract.
    const NAME: &'static str;
}

/// The header of [`IfMatch`].
#[derive(Debug, Clone, Default)]
pub struct MatchHeader;

impl Header for MatchHeader {
    const NAME: &'static str = IF_MATCH_HEADER;
}

/// The header of [`IfNoneMatch`].
#[derive(Debug, Clone, Default)]
pub struct NoneMatchHeader;

impl Header for NoneMatchHeader {
    const NAME: &'static str = IF_NONE_MATCH_HEADER;
}

/// `If-Match`: the versions of which the resource must have one to be changed. Without the header, or with `*`, any will do.
pub type IfMatch = Condition<MatchHeader>;

impl Condition<MatchHeader> {
    /// Whether a resource in this version may be changed. The view does not matter: who reads masked and who reads in clear
    /// change the same. A weak tag allows nothing (section 8.8.3.2).
    #[must_use]
    pub fn allows(&self, version: i64) -> bool {
        match &self.0 {
            None | Some(Named::Any) => true,
            Some(Named::Tags(tags)) => tags
                .iter()
                .filter(|(_, weak)| !weak)
                .any(|(tag, _)| EntityTag::parse(tag).is_some_and(|tag| tag.version == version)),
        }
    }
}

/// `If-None-Match`: what the client has of the resource.
pub type IfNoneMatch = Condition<NoneMatchHeader>;

impl Condition<NoneMatchHeader> {
    /// Whether the client says what it has, and not just that it has something.
    #[must_use]
    pub fn names_tags(&self) -> bool {
        matches!(self.0, Some(Named::Tags(_)))
    }

    /// Whether the client has what the tag names.
    #[must_use]
    pub fn includes(&self, tag: EntityTag) -> bool {
        self.0.as_ref().is_some_and(|named| named.includes(&tag.to_string()))
    }
}

impl<'a, H: Header> ApiExtractor<'a> for Condition<H> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];
    type ParamType = ();
    type ParamRawType = ();

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Header)
    }

    /// [`super::contract`] puts a shared parameter in its place.
    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(MetaSchemaRef::Inline(Box::new(MetaSchema::new("string"))))
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        Ok(Self(Named::of(request.headers(), H::NAME)?, PhantomData))
    }
}
