//! How a phone number or an e-mail address is sealed, opened, and found without being opened.
//!
//! - **Sealed** with XChaCha20-Poly1305 and a random nonce. The stored text is `*1:<key id>:<base64url of nonce and
//!   ciphertext>`: neither a phone number nor an e-mail address may contain a `*`, so it cannot be taken for one in clear.
//! - **Bound** to its place: tenant, table, column and row are authenticated with the value. Moved elsewhere it does not open.
//! - **Found** by a blind index: HMAC-SHA256 (RFC 2104) of the normal form ([`super::normalize`]), under a key derived for the
//!   tenant, cut to 128 bits. It tells which values of one column and tenant are equal, and nothing else. A phone number with
//!   an extension has a second one, of the number without it.
//! - **In clear**, where sealing is off or not everything is sealed yet (`crm keys rotate`): the value itself, with its normal
//!   form as the index. Once everything is sealed, a value in clear does not open: it was tampered with.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use prometheus_client::metrics::counter::Counter;
use sha2::Sha256;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    cursors::CursorCipher,
    normalize::Forms,
    stored::{BlindIndex, Indexes, PiiField, PiiLocation, Sealed},
};
use crate::{
    config::{Country, KeyId, PiiKey},
    error::{Error, Result},
    values::Tenant,
};

/// How a sealed value begins: the mark and the version of the format.
const MARK: &str = "*1:";
/// The bytes of a nonce.
const NONCE: usize = 24;
/// The bytes of the HMAC that are kept.
const INDEX: usize = 16;

/// The place of a key's proof: see [`PiiCipher::proof`].
const PROOF: PiiField = PiiField {
    table: "pii_keys",
    id: "key_id",
    name: "proof",
    index: "",
    indexed: "",
    base: None,
    forms: |id, _country| Forms { full: id.to_owned(), base: None },
    lookups: |_id, _country| Vec::new(),
};
const PROOF_LOCATION: PiiLocation<'static> = PiiLocation { tenant: "", id: Uuid::nil() };

/// Seals and opens personal data. Without keys it keeps values in clear.
pub struct PiiCipher {
    /// The sealing key first.
    keys: Vec<Key>,
    /// Whether new values are sealed.
    seals: bool,
    /// Whether a stored value may be in clear.
    clear: bool,
    country: Country,
    cursors: CursorCipher,
    /// Values that did not open.
    failures: Counter,
}

struct Key {
    id: KeyId,
    cipher: XChaCha20Poly1305,
    index: Hkdf<Sha256>,
}

impl PiiCipher {
    /// A cipher with these keys, the first of which seals if `seals`. `clear`: whether stored values may be in clear.
    ///
    /// # Errors
    /// None in practice: 32 bytes can always be derived (RFC 5869, section 2.3).
    pub fn new(keys: &[PiiKey], seals: bool, clear: bool, country: Country) -> Result<Self> {
        let cursors = CursorCipher::new(keys)?;
        let keys = keys.iter().map(Key::new).collect::<Result<_>>()?;
        Ok(Self { keys, seals, clear, country, cursors, failures: Counter::default() })
    }

    /// Has values that do not open counted.
    #[must_use]
    pub fn counted_by(self, failures: Counter) -> Self {
        Self { failures, ..self }
    }

    /// Seals the cursors of lists.
    #[must_use]
    pub fn cursors(&self) -> &CursorCipher {
        &self.cursors
    }

    /// The key that new values are sealed with, if they are.
    #[must_use]
    pub fn sealing_key(&self) -> Option<&KeyId> {
        self.keys.first().filter(|_| self.seals).map(|key| &key.id)
    }

    /// Whether stored values may be in clear.
    #[must_use]
    pub fn may_hold_clear(&self) -> bool {
        self.clear
    }

    /// How new values begin; `None` where they are stored in clear.
    #[must_use]
    pub fn prefix(&self) -> Option<String> {
        self.sealing_key().map(prefix)
    }

    /// Whether a value is stored as a new one would be.
    pub(super) fn is_current(&self, stored: &Sealed) -> bool {
        self.prefix().map_or_else(|| stored.is_clear(), |prefix| stored.0.starts_with(&prefix))
    }

    /// Whether the key is configured.
    #[must_use]
    pub fn has(&self, id: &str) -> bool {
        self.keys.iter().any(|key| key.id.as_str() == id)
    }

    /// What is stored of a value at this place, and the indexes by which it is found.
    ///
    /// # Errors
    /// No randomness from the operating system.
    pub(super) fn seal(&self, field: &PiiField, location: PiiLocation<'_>, clear: &str) -> Result<(Sealed, Indexes)> {
        let key = self.keys.first().filter(|_| self.seals);
        let sealed = match key {
            Some(key) => key.seal(field, location, clear)?,
            None => Sealed(clear.to_owned()),
        };
        Ok((sealed, self.index(key, field, location, clear)?))
    }

    /// The indexes of the value stored at this place, by the key that it is sealed with.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub(super) fn index_anew(&self, field: &PiiField, location: PiiLocation<'_>, sealed: &Sealed) -> Result<Indexes> {
        let clear = self.open(field, location, sealed)?;
        let key = self.keys.iter().find(|key| sealed.0.starts_with(&prefix(&key.id)));
        self.index(key, field, location, &clear)
    }

    /// The indexes of a value by this key; in clear without one.
    fn index(&self, key: Option<&Key>, field: &PiiField, location: PiiLocation<'_>, clear: &str) -> Result<Indexes> {
        let Forms { full, base } = (field.forms)(clear, self.country);
        let index = |form: String| match key {
            Some(key) => key.index(field, location.tenant, &form),
            None => Ok(BlindIndex(form)),
        };
        Ok(Indexes { full: index(full)?, base: base.map(index).transpose()? })
    }

    /// The value stored at this place.
    ///
    /// # Errors
    /// Internal, where it was sealed for another place, changed, or sealed with a key that is not configured. The log names
    /// the place.
    pub(super) fn open(&self, field: &PiiField, location: PiiLocation<'_>, sealed: &Sealed) -> Result<String> {
        self.try_open(field, location, sealed).map_err(|flaw| {
            self.failures.inc();
            let (PiiField { table, name, .. }, PiiLocation { tenant, id }) = (field, location);
            Error::internal(format!("integrity: {table}.{name} of row {id} of tenant {tenant} {flaw}"))
        })
    }

    fn try_open(
        &self,
        field: &PiiField,
        location: PiiLocation<'_>,
        sealed: &Sealed,
    ) -> std::result::Result<String, String> {
        let Some(rest) = sealed.0.strip_prefix(MARK) else {
            let plain = self.clear && sealed.is_clear();
            return if plain { Ok(sealed.0.clone()) } else { Err("is not sealed".to_owned()) };
        };
        let (id, text) = rest.split_once(':').ok_or("is malformed")?;
        let key = self.keys.iter().find(|key| key.id.as_str() == id);
        let key = key.ok_or_else(|| match KeyId::parse(id) {
            Some(id) => format!("is sealed with the key {id}, which is not configured"),
            None => "is malformed".to_owned(),
        })?;
        key.open(field, location, text)
            .ok_or_else(|| format!("does not open with the key {id}: it was changed or moved"))
    }

    /// The indexes under which a value may be stored that is searched: of each form, by each key and in clear.
    ///
    /// # Errors
    /// None in practice, as for [`Self::new`].
    pub(super) fn lookups(&self, field: &PiiField, tenant: &Tenant, searched: &str) -> Result<Vec<BlindIndex>> {
        let mut indexes = Vec::new();
        for form in (field.lookups)(searched, self.country) {
            for key in &self.keys {
                indexes.push(key.index(field, tenant.as_str(), &form)?);
            }
            if self.clear {
                indexes.push(BlindIndex(form));
            }
        }
        Ok(indexes)
    }

    /// A value that only the bytes of this key can have sealed, by which the key is recognized later.
    pub(super) fn proof(&self, id: &str) -> Result<Option<Sealed>> {
        let key = self.keys.iter().find(|key| key.id.as_str() == id);
        key.map(|key| key.seal(&PROOF, PROOF_LOCATION, id)).transpose()
    }

    /// Whether the proof was made with the very bytes of the key that is configured under its id.
    pub(super) fn proves(&self, id: &str, proof: &Sealed) -> bool {
        self.try_open(&PROOF, PROOF_LOCATION, proof).is_ok_and(|opened| opened == id)
    }
}

/// How a value sealed with the key begins.
pub(super) fn prefix(id: &KeyId) -> String {
    format!("{MARK}{id}:")
}

impl Key {
    fn new(key: &PiiKey) -> Result<Self> {
        // One configured key has two uses: each gets a key of its own (RFC 5869, section 3.2).
        let root = Hkdf::<Sha256>::new(None, key.reveal());
        let (mut sealing, mut index) = (Zeroizing::new([0_u8; 32]), Zeroizing::new([0_u8; 32]));
        root.expand(b"crm pii seal", sealing.as_mut_slice()).map_err(Error::internal)?;
        root.expand(b"crm pii index", index.as_mut_slice()).map_err(Error::internal)?;
        Ok(Self {
            id: key.id.clone(),
            cipher: XChaCha20Poly1305::new_from_slice(sealing.as_slice()).map_err(Error::internal)?,
            index: Hkdf::from_prk(index.as_slice()).map_err(Error::internal)?,
        })
    }

    fn seal(&self, field: &PiiField, location: PiiLocation<'_>, clear: &str) -> Result<Sealed> {
        let mut nonce = [0_u8; NONCE];
        getrandom::fill(&mut nonce).map_err(Error::internal)?;
        let payload = Payload { msg: clear.as_bytes(), aad: &bound_to(field, location) };
        let sealed = self.cipher.encrypt(&XNonce::from(nonce), payload).map_err(Error::internal)?;
        let mut bytes = nonce.to_vec();
        bytes.extend(sealed);
        Ok(Sealed(prefix(&self.id) + &URL_SAFE_NO_PAD.encode(bytes)))
    }

    fn open(&self, field: &PiiField, location: PiiLocation<'_>, text: &str) -> Option<String> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE)?;
        let payload = Payload { msg: sealed, aad: &bound_to(field, location) };
        let opened = self.cipher.decrypt(&XNonce::try_from(nonce).ok()?, payload).ok()?;
        String::from_utf8(opened).ok()
    }

    fn index(&self, field: &PiiField, tenant: &str, normal: &str) -> Result<BlindIndex> {
        let mut key = Zeroizing::new([0_u8; 32]);
        self.index.expand(tenant.as_bytes(), key.as_mut_slice()).map_err(Error::internal)?;
        let mut mac = Hmac::<Sha256>::new_from_slice(key.as_slice()).map_err(Error::internal)?;
        for part in [field.table, field.name] {
            mac.update(part.as_bytes());
            mac.update(&[0]);
        }
        mac.update(normal.as_bytes());
        let tag = mac.finalize().into_bytes();
        Ok(BlindIndex(URL_SAFE_NO_PAD.encode(tag.get(..INDEX).unwrap_or_default())))
    }
}

/// What a sealed value is bound to. The parts cannot run into each other: none of them contains a NUL, and the id has a
/// fixed length.
fn bound_to(field: &PiiField, location: PiiLocation<'_>) -> Vec<u8> {
    let mut bound = Vec::with_capacity(128);
    for part in [location.tenant, field.table, field.name] {
        bound.extend(part.as_bytes());
        bound.push(0);
    }
    bound.extend(location.id.as_bytes());
    bound
}
