//! What is searched for where phone numbers and e-mail addresses are found too: a whole one, which is looked up by its blind
//! index.

use poem_openapi::registry::MetaSchemaRef;
use sea_orm::{Condition, sea_query::SelectStatement};

use super::{
    cipher::PiiCipher,
    column::{Lookup, PiiColumn},
    rule::{EmailRule, PhoneRule, PiiRule},
    value::{Email, Phone, Pii},
};
use crate::{
    error::Result,
    values::{SearchText, Tenant, Violation, query::QueryValue},
};

/// The fewest digits that are searched as a phone number.
const DIGITS: usize = 7;

/// What is searched for: words, and the phone number or e-mail address that they are, if they are one.
#[derive(Debug, Clone)]
pub struct Searched {
    /// The words.
    pub text: SearchText,
    /// The phone number that it is.
    pub phone: Option<Phone>,
    /// The e-mail address that it is.
    pub email: Option<Email>,
}

impl Searched {
    fn parse(text: &str) -> std::result::Result<Self, Violation> {
        Ok(Self { phone: phone(text), email: clean::<EmailRule>(text), text: SearchText::parse(text)? })
    }

    /// Which rows have the phone number or the address in one of these columns: their condition, and a query of their ids.
    ///
    /// # Errors
    /// None in practice: an index key can always be derived.
    pub fn lookups(
        &self,
        cipher: &PiiCipher,
        tenant: &Tenant,
        (phone, email): (&PiiColumn<PhoneRule>, &PiiColumn<EmailRule>),
    ) -> Result<Vec<(Condition, SelectStatement)>> {
        let phone = self.phone.as_ref().map(|searched| phone.lookup(cipher, tenant, searched)).transpose()?;
        let email = self.email.as_ref().map(|searched| email.lookup(cipher, tenant, searched)).transpose()?;
        Ok(phone.into_iter().chain(email).map(|Lookup { condition, ids }| (condition, ids)).collect())
    }

    /// Which of these fields it is looked up in.
    #[must_use]
    pub fn fields(&self, (phone, email): (&'static str, &'static str)) -> Vec<&'static str> {
        let fields = [(phone, self.phone.is_some()), (email, self.email.is_some())];
        fields.into_iter().filter_map(|(field, is_searched)| is_searched.then_some(field)).collect()
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

/// The same as a parameter that must be sent.
#[derive(Debug)]
pub struct RequiredSearch;

impl QueryValue for RequiredSearch {
    type Value = Searched;

    const REQUIRED: bool = true;

    fn is_personal(value: &str) -> bool {
        Searched::is_personal(value)
    }

    fn schema() -> MetaSchemaRef {
        SearchText::schema()
    }

    fn read(value: Option<&str>) -> std::result::Result<Searched, Violation> {
        Searched::parse(value.ok_or("is required")?)
    }
}

#[cfg(test)]
mod tests {
    use super::Searched;
    use crate::values::query::QueryValue;

    #[test]
    fn a_whole_number_or_address_is_personal_and_a_part_is_not() {
        for personal in ["13812345678", "+86 138-1234-5678", "(010) 1234567", "li.lei@example.com", " A@b.CN "] {
            assert!(Searched::is_personal(personal), "{personal}");
        }
        for text in ["000123", "Customer 0001234", "li.lei@", "text 1234567", "中国", "12:34:56:78"] {
            assert!(!Searched::is_personal(text), "{text}");
        }
    }
}
