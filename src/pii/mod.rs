//! Personal data: phone numbers and e-mail addresses have types of their own.
//!
//! - [`Pii`] (a [`Phone`], an [`Email`]) is such a value in clear. `Debug`, `Display` and `Serialize` mask it; whoever
//!   needs the value itself calls [`Pii::reveal`]: the reply, the sealer and the search do.
//! - [`Sealed`] and [`BlindIndex`] are what a row holds ([`vault`] makes them, with the keys of [`keys`]).
//! - [`Shown`] goes out with a reply: in clear or masked, as the [`Lens`] says.
//!
//! [`mask`] says what is left visible, [`normal`] which ways of writing are the same value, [`registry`] which keys the
//! stored values need, [`rotate`] how they are sealed anew.

pub mod keys;
pub mod mask;
pub mod normal;
pub mod registry;
pub mod rotate;
pub mod vault;

use std::{borrow::Cow, fmt, marker::PhantomData};

use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use sea_orm::DeriveValueType;
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::{
    app::App,
    error::Result,
    http::query::QueryValue,
    values::{Clearable, ContractValue, Flaw, Nullable, Tenant, Text, TextRule, contract_type},
};
use normal::Country;
use vault::{Column, Row};

/// How a caller sees personal data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// As it is.
    Clear,
    /// With most of it replaced by stars.
    Masked,
}

/// A kind of personal data.
pub trait PiiRule: TextRule {
    /// The value with most of it replaced by stars.
    fn mask(clear: &str) -> String;

    /// The one form of the value, however it is written.
    fn normal(clear: &str, country: Country) -> String;
}

/// Personal data of the kind `R`, in clear.
#[derive(Clone, PartialEq, Eq)]
pub struct Pii<R>(Text<R>);

/// A telephone number.
pub type Phone = Pii<PhoneRule>;
/// An e-mail address.
pub type Email = Pii<EmailRule>;

impl<R: PiiRule> Pii<R> {
    /// The value itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        self.0.as_str()
    }
}

impl<R: PiiRule> ContractValue for Pii<R> {
    fn name() -> Cow<'static, str> {
        R::NAME.into()
    }

    fn schema_ref() -> MetaSchemaRef {
        Text::<R>::schema_ref()
    }

    fn from_value(value: Value) -> std::result::Result<Self, Flaw> {
        Text::from_value(value).map(Self)
    }
}

impl<R: PiiRule> Serialize for Pii<R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(&R::mask(self.reveal()))
    }
}

impl<R: PiiRule> fmt::Debug for Pii<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&R::mask(self.reveal()))
    }
}

impl<R: PiiRule> fmt::Display for Pii<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&R::mask(self.reveal()))
    }
}

contract_type!(Pii<R>, R: PiiRule);

/// A filter of a list by personal data, which finds every way of writing the same value.
pub struct PiiFilter<R>(pub Option<Pii<R>>);

impl<R: PiiRule> QueryValue for PiiFilter<R> {
    fn schema() -> MetaSchemaRef {
        Pii::<R>::schema_ref()
    }

    fn read(value: Option<&str>) -> std::result::Result<Self, Flaw> {
        value.map(|text| Pii::from_value(text.into())).transpose().map(Self)
    }
}

/// Personal data as a row holds it: sealed, or in clear where sealing is off.
#[derive(Clone, PartialEq, Eq, DeriveValueType)]
pub struct Sealed(String);

impl Sealed {
    /// Whether the value is stored in clear: no phone number and no e-mail address may hold the mark of a sealed one.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        !self.0.contains('*')
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// By what a row's personal data is found without being read.
#[derive(Clone, PartialEq, Eq, DeriveValueType)]
pub struct BlindIndex(String);

impl fmt::Debug for BlindIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A column for personal data of the kind `R`.
#[derive(Debug)]
pub struct PiiColumn<R> {
    /// The column, whatever it holds.
    pub column: Column,
    kind: PhantomData<R>,
}

impl<R: PiiRule> PiiColumn<R> {
    /// The column `name` of `table`, with the blind index in `index`.
    #[must_use]
    pub const fn new(table: &'static str, name: &'static str, index: &'static str) -> Self {
        Self { column: Column { table, name, index, normal: R::normal }, kind: PhantomData }
    }

    /// The form in which a value is stored in a row, with its index.
    ///
    /// # Errors
    /// A system without randomness.
    pub fn seal(&self, app: &App, row: Row<'_>, value: Option<Pii<R>>) -> Result<(Option<Sealed>, Option<BlindIndex>)> {
        match value {
            Some(value) => app.vault().seal(&self.column, row, value.reveal()).map(|(s, i)| (Some(s), Some(i))),
            None => Ok((None, None)),
        }
    }

    /// The value that a row holds.
    ///
    /// # Errors
    /// 500 where it does not open.
    pub fn open(&self, app: &App, row: Row<'_>, sealed: &Sealed) -> Result<Pii<R>> {
        app.vault().open(&self.column, row, sealed).map(|clear| Pii(Text::stored(clear)))
    }

    /// Changes what a row holds, unless the field is absent or says what is stored already: sealing that again would make
    /// it look changed.
    ///
    /// # Errors
    /// 500 where the stored value does not open.
    pub fn apply(
        &self,
        app: &App,
        row: Row<'_>,
        field: Clearable<Pii<R>>,
        (sealed, index): (&mut Option<Sealed>, &mut Option<BlindIndex>),
    ) -> Result<()> {
        let value = match field {
            Clearable::Absent => return Ok(()),
            Clearable::Null => None,
            Clearable::Value(value) => Some(value),
        };
        if let (Some(value), Some(sealed)) = (&value, &*sealed)
            && self.open(app, row, sealed)?.reveal() == value.reveal()
        {
            return Ok(());
        }
        (*sealed, *index) = self.seal(app, row, value)?;
        Ok(())
    }

    /// The indexes under which the value that is asked for may be stored; `None` where none is asked for.
    ///
    /// # Errors
    /// None in practice: a key can always be derived.
    pub fn sought(&self, app: &App, tenant: &Tenant, sought: Option<Pii<R>>) -> Result<Option<Vec<BlindIndex>>> {
        sought.map(|sought| app.vault().indexes(&self.column, tenant, sought.reveal())).transpose()
    }
}

/// A table with personal data: what [`rotate`] goes through.
#[derive(Debug, Clone, Copy)]
pub struct PiiTable {
    /// The table.
    pub name: &'static str,
    /// The column with the row's id.
    pub id: &'static str,
    /// The columns for personal data.
    pub columns: &'static [Column],
}

/// Opens what is stored and shows it as the caller may see it.
pub struct Lens<'a> {
    app: &'a App,
    sight: Sight,
    /// Whether a value that does not open is shown as stars, not refused.
    lenient: bool,
}

impl<'a> Lens<'a> {
    /// A lens for a caller with this sight.
    #[must_use]
    pub fn new(app: &'a App, sight: Sight) -> Self {
        Self { app, sight, lenient: false }
    }

    /// A lens for events, which show personal data masked. A value that does not open is all stars, so that a damaged row
    /// can still be mended and deleted.
    #[must_use]
    pub fn for_events(app: &'a App) -> Self {
        Self { app, sight: Sight::Masked, lenient: true }
    }

    /// What the caller sees of a value that a row holds.
    ///
    /// # Errors
    /// 500 where the stored value does not open.
    pub fn show<R: PiiRule>(
        &self,
        column: &PiiColumn<R>,
        row: Row<'_>,
        stored: Option<&Sealed>,
    ) -> Result<Nullable<Shown<R>>> {
        let Some(sealed) = stored else { return Ok(Nullable(None)) };
        let text = match (column.open(self.app, row, sealed), self.sight) {
            (Ok(value), Sight::Clear) => value.reveal().to_owned(),
            (Ok(value), Sight::Masked) => value.to_string(),
            (Err(fault), _) if self.lenient => {
                tracing::error!(cause = fault.cause(), "an event cannot show personal data, not even masked");
                "****".to_owned()
            }
            (Err(fault), _) => return Err(fault),
        };
        Ok(Nullable(Some(Shown { text, kind: PhantomData })))
    }
}

/// Personal data of the kind `R` in a reply.
#[derive(Clone, PartialEq, Eq)]
pub struct Shown<R> {
    text: String,
    kind: PhantomData<R>,
}

impl<R: PiiRule> fmt::Debug for Shown<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<R: PiiRule> Serialize for Shown<R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<R: PiiRule> ContractValue for Shown<R> {
    fn name() -> Cow<'static, str> {
        R::NAME.into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            example: Some(Value::from(R::mask(R::EXAMPLE))),
            ..MetaSchema::new("string")
        }))
    }

    fn from_value(_: Value) -> std::result::Result<Self, Flaw> {
        Err("is only ever answered".into())
    }
}

contract_type!(Shown<R>, R: PiiRule);

/// The rule of [`Phone`].
#[derive(Clone, PartialEq, Eq)]
pub struct PhoneRule;

impl TextRule for PhoneRule {
    const NAME: &'static str = "Phone";
    const MIN: usize = 3;
    const MAX: usize = 32;
    const PATTERN: &'static str = "^[0-9+().#ext-][0-9 +().#ext-]*[0-9+().#ext-]$";
    const EXPECTED: &'static str = "must be a phone number: 3 to 32 of digits, space, + - ( ) . # ext x";
    const EXAMPLE: &'static str = "13812345678";

    fn accepts(text: &str) -> bool {
        text.bytes().all(|byte| byte.is_ascii_digit() || b" +-().#ext".contains(&byte))
    }
}

impl PiiRule for PhoneRule {
    fn mask(clear: &str) -> String {
        mask::phone(clear)
    }

    fn normal(clear: &str, country: Country) -> String {
        normal::phone(clear, country)
    }
}

/// The rule of [`Email`].
#[derive(Clone, PartialEq, Eq)]
pub struct EmailRule;

impl TextRule for EmailRule {
    const NAME: &'static str = "Email";
    const MIN: usize = 5;
    const MAX: usize = 254;
    const PATTERN: &'static str = concat!(
        r"^[^\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000@*]+",
        r"@[^\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000@*.]+",
        r"(\.[^\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000@*.]+)+$"
    );
    const EXPECTED: &'static str = "must be an e-mail address of at most 254 characters";
    const EXAMPLE: &'static str = "li.lei@example.com";

    fn accepts(text: &str) -> bool {
        let plain = |c: char| !c.is_control() && !c.is_whitespace() && c != '*' && c != '@';
        text.split_once('@').is_some_and(|(mailbox, domain)| {
            !mailbox.is_empty()
                && mailbox.chars().all(plain)
                && domain.chars().all(plain)
                && domain.contains('.')
                && domain.split('.').all(|label| !label.is_empty())
        })
    }
}

impl PiiRule for EmailRule {
    fn mask(clear: &str) -> String {
        mask::email(clear)
    }

    fn normal(clear: &str, country: Country) -> String {
        normal::email(clear, country)
    }
}
