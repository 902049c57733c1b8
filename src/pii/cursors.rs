//! Sealing the cursors that lists answer: where a reader is in a list, so that neither it nor the values at that place, a
//! customer's name among them, can be read or changed.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::{
    config::PiiKey,
    error::{Error, Result},
};

/// The bytes of a nonce.
const NONCE: usize = 24;

/// Seals and opens cursors, with keys derived from those for personal data, so that all processes have the same ones. Without
/// keys, cursors are sealed with one that everybody knows.
pub struct CursorCipher {
    /// The sealing key first.
    keys: Vec<Key>,
}

struct Key {
    cipher: XChaCha20Poly1305,
    nonce: Zeroizing<[u8; 32]>,
}

impl CursorCipher {
    pub(super) fn new(keys: &[PiiKey]) -> Result<Self> {
        let keys = match keys {
            [] => vec![Key::new(b"")?],
            keys => keys.iter().map(|key| Key::new(key.reveal())).collect::<Result<_>>()?,
        };
        Ok(Self { keys })
    }

    /// The cursor with this content, which opens with the same `bound` alone. It is always the same, so that a page is.
    ///
    /// # Errors
    /// None in practice: this much can always be sealed.
    pub fn seal(&self, bound: &[u8], content: &[u8]) -> Result<String> {
        let key = self.keys.first().ok_or_else(|| Error::internal("no key for cursors"))?;
        let nonce = key.nonce(bound, content)?;
        let payload = Payload { msg: content, aad: bound };
        let sealed = key.cipher.encrypt(&XNonce::from(nonce), payload).map_err(Error::internal)?;
        Ok(URL_SAFE_NO_PAD.encode([nonce.as_slice(), &sealed].concat()))
    }

    /// The content of a cursor; none if it was made for something else, or changed.
    #[must_use]
    pub fn open(&self, bound: &[u8], cursor: &str) -> Option<Vec<u8>> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE)?;
        let nonce = XNonce::try_from(nonce).ok()?;
        self.keys.iter().find_map(|key| key.cipher.decrypt(&nonce, Payload { msg: sealed, aad: bound }).ok())
    }
}

impl Key {
    fn new(key: &[u8]) -> Result<Self> {
        let root = Hkdf::<Sha256>::new(None, key);
        let (mut sealing, mut nonce) = (Zeroizing::new([0_u8; 32]), Zeroizing::new([0_u8; 32]));
        root.expand(b"crm cursor seal", sealing.as_mut_slice()).map_err(Error::internal)?;
        root.expand(b"crm cursor nonce", nonce.as_mut_slice()).map_err(Error::internal)?;
        Ok(Self { cipher: XChaCha20Poly1305::new_from_slice(sealing.as_slice()).map_err(Error::internal)?, nonce })
    }

    /// A nonce that no other content has (a synthetic one, as in RFC 5297).
    fn nonce(&self, bound: &[u8], content: &[u8]) -> Result<[u8; NONCE]> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.nonce.as_slice()).map_err(Error::internal)?;
        mac.update(&(bound.len() as u64).to_be_bytes());
        mac.update(bound);
        mac.update(content);
        let tag = mac.finalize().into_bytes();
        Ok(tag.first_chunk().copied().unwrap_or_default())
    }
}
