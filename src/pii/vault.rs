//! Sealing: how a phone number or an e-mail address is stored, opened and found without being read.
//!
//! - **Sealed** is XChaCha20-Poly1305 with a random nonce. The stored text is `*1:<key id>:<base64url of nonce and
//!   ciphertext>`: neither a phone number nor an e-mail address may hold a `*`, so the two are never taken for each other.
//! - **Bound**: tenant, table, column and row are authenticated with the value. Moved to another place it does not open.
//! - **Found** by a blind index: HMAC-SHA256 of the normal form ([`super::normal`]), under a key derived for the tenant, cut
//!   to 128 bits. It tells equal values of one column and tenant, and nothing else.
//! - **In clear**, where sealing is switched off or a database from before is not yet sealed (`crm keys rotate`): the value
//!   itself, and its normal form as the index. Once everything is sealed, a value in clear is taken for what it is then:
//!   tampering.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use uuid::Uuid;

use super::{
    BlindIndex, Sealed,
    keys::{KeyId, PiiKey},
    normal::Country,
};
use crate::{
    error::{ApiError, Result},
    values::Tenant,
};

/// How a sealed value begins: the mark and the version of the form.
const MARK: &str = "*1:";
/// How many bytes of a sealed value are its nonce.
const NONCE: usize = 24;
/// How many bytes of the HMAC are kept.
const INDEX: usize = 16;

/// Where sealed values lie: a column, beside it one with the blind index, named `<column>_index`.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// The table.
    pub table: &'static str,
    /// The column.
    pub name: &'static str,
    /// The column with the blind index.
    pub index: &'static str,
    /// The form that the index is made of.
    pub normal: fn(&str, Country) -> String,
}

/// A row's own part of the place of its values.
#[derive(Debug, Clone, Copy)]
pub struct Row<'r> {
    /// The tenant it belongs to.
    pub tenant: &'r str,
    /// Its id.
    pub id: Uuid,
}

/// What seals and opens. Without keys it keeps values in clear.
pub struct Vault {
    /// The sealing key first.
    keys: Vec<Key>,
    /// Whether new values are sealed.
    seals: bool,
    /// Whether a stored value may be in clear.
    clear: bool,
    country: Country,
}

struct Key {
    id: KeyId,
    cipher: XChaCha20Poly1305,
    index: Hkdf<Sha256>,
}

impl Vault {
    /// A vault with these keys, the first of which seals if `seals`. `clear`: whether stored values may be in clear.
    ///
    /// # Errors
    /// None in practice: 32 bytes can always be derived (RFC 5869, section 2.3).
    pub fn new(keys: &[PiiKey], seals: bool, clear: bool, country: Country) -> Result<Self> {
        let keys = keys.iter().map(Key::new).collect::<Result<_>>()?;
        Ok(Self { keys, seals, clear, country })
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

    /// How a value begins that is stored as this vault stores it now; `None` where that is in clear.
    #[must_use]
    pub fn prefix(&self) -> Option<String> {
        self.sealing_key().map(prefix)
    }

    /// Whether a value is stored as this vault stores it now.
    #[must_use]
    pub(super) fn is_present(&self, stored: &Sealed) -> bool {
        self.prefix().map_or_else(|| stored.is_clear(), |prefix| stored.0.starts_with(&prefix))
    }

    /// Whether this vault has the key.
    #[must_use]
    pub fn has(&self, id: &str) -> bool {
        self.keys.iter().any(|key| key.id.as_str() == id)
    }

    /// The form in which a value is stored at this place, and the index by which it is found.
    ///
    /// # Errors
    /// A system without randomness.
    pub(super) fn seal(&self, column: &Column, row: Row<'_>, clear: &str) -> Result<(Sealed, BlindIndex)> {
        let normal = (column.normal)(clear, self.country);
        match self.keys.first().filter(|_| self.seals) {
            Some(key) => Ok((key.seal(column, row, clear)?, key.index(column, row.tenant, &normal)?)),
            None => Ok((Sealed(clear.to_owned()), BlindIndex(normal))),
        }
    }

    /// The value stored at this place.
    ///
    /// # Errors
    /// 500 where it was sealed for another place, changed, or sealed with a key that is not configured. The log names the
    /// place.
    pub(super) fn open(&self, column: &Column, row: Row<'_>, sealed: &Sealed) -> Result<String> {
        self.try_open(column, row, sealed).map_err(|flaw| {
            let (Column { table, name, .. }, Row { tenant, id }) = (column, row);
            ApiError::internal(format!("integrity: {table}.{name} of row {id} of tenant {tenant} {flaw}"))
        })
    }

    fn try_open(&self, column: &Column, row: Row<'_>, sealed: &Sealed) -> std::result::Result<String, String> {
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
        key.open(column, row, text).ok_or_else(|| format!("does not open with the key {id}: it was changed or moved"))
    }

    /// The indexes under which a value may be stored: by each key, and in clear.
    ///
    /// # Errors
    /// None in practice, as for [`Self::new`].
    pub(super) fn indexes(&self, column: &Column, tenant: &Tenant, sought: &str) -> Result<Vec<BlindIndex>> {
        let normal = (column.normal)(sought, self.country);
        let mut indexes =
            self.keys.iter().map(|key| key.index(column, tenant.as_str(), &normal)).collect::<Result<Vec<_>>>()?;
        if self.clear {
            indexes.push(BlindIndex(normal));
        }
        Ok(indexes)
    }

    /// A value that only the bytes of this key can have sealed: kept to know the key by.
    pub(super) fn proof(&self, id: &str) -> Result<Option<Sealed>> {
        let key = self.keys.iter().find(|key| key.id.as_str() == id);
        key.map(|key| key.seal(&PROOF, PROOF_ROW, id)).transpose()
    }

    /// Whether the proof was made with the very bytes of the key that is configured under its id.
    pub(super) fn proves(&self, id: &str, proof: &Sealed) -> bool {
        self.try_open(&PROOF, PROOF_ROW, proof).is_ok_and(|opened| opened == id)
    }
}

/// The place of a key's proof.
const PROOF: Column = Column { table: "pii_keys", name: "proof", index: "", normal: super::normal::email };
const PROOF_ROW: Row<'static> = Row { tenant: "", id: Uuid::nil() };

/// How a value sealed with the key begins.
pub(super) fn prefix(id: &KeyId) -> String {
    format!("{MARK}{id}:")
}

impl Key {
    fn new(key: &PiiKey) -> Result<Self> {
        // One configured key, two uses: each gets a key of its own (RFC 5869, section 3.2).
        let root = Hkdf::<Sha256>::new(None, key.reveal());
        let (mut sealing, mut index) = ([0_u8; 32], [0_u8; 32]);
        root.expand(b"crm pii seal", &mut sealing).map_err(ApiError::internal)?;
        root.expand(b"crm pii index", &mut index).map_err(ApiError::internal)?;
        Ok(Self {
            id: key.id.clone(),
            cipher: XChaCha20Poly1305::new(&sealing.into()),
            index: Hkdf::from_prk(&index).map_err(ApiError::internal)?,
        })
    }

    fn seal(&self, column: &Column, row: Row<'_>, clear: &str) -> Result<Sealed> {
        let mut nonce = [0_u8; NONCE];
        getrandom::fill(&mut nonce).map_err(ApiError::internal)?;
        let payload = Payload { msg: clear.as_bytes(), aad: &bound_to(column, row) };
        let sealed = self.cipher.encrypt(&XNonce::from(nonce), payload).map_err(ApiError::internal)?;
        let mut bytes = nonce.to_vec();
        bytes.extend(sealed);
        Ok(Sealed(prefix(&self.id) + &URL_SAFE_NO_PAD.encode(bytes)))
    }

    fn open(&self, column: &Column, row: Row<'_>, text: &str) -> Option<String> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE)?;
        let payload = Payload { msg: sealed, aad: &bound_to(column, row) };
        let opened = self.cipher.decrypt(&XNonce::try_from(nonce).ok()?, payload).ok()?;
        String::from_utf8(opened).ok()
    }

    fn index(&self, column: &Column, tenant: &str, normal: &str) -> Result<BlindIndex> {
        let mut key = [0_u8; 32];
        self.index.expand(tenant.as_bytes(), &mut key).map_err(ApiError::internal)?;
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(ApiError::internal)?;
        for part in [column.table, column.name] {
            mac.update(part.as_bytes());
            mac.update(&[0]);
        }
        mac.update(normal.as_bytes());
        let tag = mac.finalize().into_bytes();
        Ok(BlindIndex(URL_SAFE_NO_PAD.encode(tag.get(..INDEX).unwrap_or_default())))
    }
}

/// What a sealed value is bound to. The parts cannot run into each other: none of them holds a NUL, and the id has a
/// fixed length.
fn bound_to(column: &Column, row: Row<'_>) -> Vec<u8> {
    let mut bound = Vec::with_capacity(128);
    for part in [row.tenant, column.table, column.name] {
        bound.extend(part.as_bytes());
        bound.push(0);
    }
    bound.extend(row.id.as_bytes());
    bound
}
