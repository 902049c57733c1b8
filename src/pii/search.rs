//! What is searched for where phone numbers and e-mail addresses are found too: a whole one, which is looked up by its blind
//! index.

use poem_openapi::registry::MetaSchemaRef;
use sea_orm::{Condition, sea_query::SelectStatement};

use super::{
    cipher::PiiCipher,
    column::PiiColumn,
    rule::{EmailRule, PhoneRule, PiiRule},
    value::{Email, Phone, Pii},
};
use crate::{
    error::Result,
    values::{SearchText, Tenant, Violation, query::QueryValue},
};

/// The fewest digits that are searched as a phone number.
const DIGITS: usize = 7;

/// Where the rows of a resource have a phone number and an e-mail address: what the contract calls them, and the columns.
#[derive(Debug, Clone, Copy)]
pub struct SealedColumns {
    /// The phone number.
    pub phone: (&'static str, &'static PiiColumn<PhoneRule>),
    /// The e-mail address.
    pub email: (&'static str, &'static PiiColumn<EmailRule>),
}

/// How the rows with a value are found.
#[derive(Debug)]
pub struct Lookup {
    /// What the contract calls the field that has it.
    pub field: &'static str,
    /// What they meet.
    pub condition: Condition,
    /// A query of their ids.
    pub ids: SelectStatement,
}

impl SealedColumns {
    /// How the tenant's rows with this phone number are found, and those with this e-mail address.
    ///
    /// # Errors
    /// None in practice: an index key can always be derived.
    pub fn lookups(
        &self,
        cipher: &PiiCipher,
        tenant: &Tenant,
        (phone, email): (Option<&Phone>, Option<&Email>),
    ) -> Result<Vec<Lookup>> {
        let phone = phone.map(|phone| lookup(self.phone, cipher, tenant, phone));
        let email = email.map(|email| lookup(self.email, cipher, tenant, email));
        phone.into_iter().chain(email).collect()
    }
}

fn lookup<R: PiiRule>(
    (field, column): (&'static str, &PiiColumn<R>),
    cipher: &PiiCipher,
    tenant: &Tenant,
    searched: &Pii<R>,
) -> Result<Lookup> {
    let (condition, ids) = column.lookup(cipher, tenant, searched)?;
    Ok(Lookup { field, condition, ids })
}

/// What is searched for: words, and the phone number or e-mail address that they are, if they are one.
#[derive(Debug, Clone)]
pub struct Searched {
    /// The words; none of a phone number that is written digit by digit, which is no text that an index finds.
    pub text: Option<SearchText>,
    phone: Option<Phone>,
    email: Option<Email>,
}

impl Searched {
    /// Words alone, whatever they are.
    #[must_use]
    pub fn words(text: SearchText) -> Self {
        Self { text: Some(text), phone: None, email: None }
    }

    fn parse(text: &str) -> std::result::Result<Self, Violation> {
        let (phone, email) = (phone(text), clean::<EmailRule>(text));
        let text = match SearchText::parse(text) {
            Err(_) if phone.is_some() => None,
            text => Some(text?),
        };
        Ok(Self { text, phone, email })
    }

    /// How the rows that have the phone number or the e-mail address are found.
    ///
    /// # Errors
    /// As for [`SealedColumns::lookups`].
    pub fn lookups(&self, cipher: &PiiCipher, tenant: &Tenant, columns: SealedColumns) -> Result<Vec<Lookup>> {
        columns.lookups(cipher, tenant, (self.phone.as_ref(), self.email.as_ref()))
    }
}

fn clean<R: PiiRule>(text: &str) -> Option<Pii<R>> {
    let clean = R::clean(text);
    (clean.chars().count() <= R::MAX && R::check(&clean).is_ok()).then(|| Pii::stored(clean.into_owned()))
}

fn phone(text: &str) -> Option<Phone> {
    let clean = clean::<PhoneRule>(text)?;
    let digits = clean.reveal().bytes().filter(u8::is_ascii_digit).count();
    let is_begun = clean.reveal().starts_with(|c: char| c.is_ascii_digit() || "+(".contains(c));
    (digits >= DIGITS && is_begun).then_some(clean)
}

impl QueryValue for Searched {
    type Value = Option<Self>;

    fn is_personal(value: &str) -> bool {
        phone(value).is_some() || clean::<EmailRule>(value).is_some()
    }

    fn schema() -> MetaSchemaRef {
        SearchText::schema()
    }

    fn read(value: Option<&str>) -> std::result::Result<Option<Self>, Violation> {
        value.map(Self::parse).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::Searched;
    use crate::values::query::QueryValue;

    #[test]
    fn a_whole_number_or_address_is_personal_and_a_part_is_not() {
        for personal in [
            "13812345678",
            "1 3 8 1 2 3 4 5 6 7 8",
            "+86 138-1234-5678",
            "(010) 1234567",
            "li.lei@example.com",
            " A@b.CN ",
        ] {
            assert!(Searched::is_personal(personal), "{personal}");
        }
        for text in ["000123", "Customer 0001234", "li.lei@", "text 1234567", "中国", "12:34:56:78"] {
            assert!(!Searched::is_personal(text), "{text}");
        }
    }
}
