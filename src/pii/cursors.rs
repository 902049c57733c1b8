//! Sealing the cursors that lists answer: where a reader is in a list, so that neither it nor the values at that place, a
//! customer's name among them, can be read or changed.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use hkdf::Hkdf;
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
    keys: Vec<XChaCha20Poly1305>,
}

impl CursorCipher {
    pub(super) fn new(keys: &[PiiKey]) -> Result<Self> {
        let keys = match keys {
            [] => vec![derived(b"")?],
            keys => keys.iter().map(|key| derived(key.reveal())).collect::<Result<_>>()?,
        };
        Ok(Self { keys })
    }

    /// The cursor with this content, which opens with the same `bound` alone.
    ///
    /// # Errors
    /// No randomness from the operating system.
    pub fn seal(&self, bound: &[u8], content: &[u8]) -> Result<String> {
        let key = self.keys.first().ok_or_else(|| Error::internal("no key for cursors"))?;
        let mut nonce = [0_u8; NONCE];
        getrandom::fill(&mut nonce).map_err(Error::internal)?;
        let payload = Payload { msg: content, aad: bound };
        let sealed = key.encrypt(&XNonce::from(nonce), payload).map_err(Error::internal)?;
        Ok(URL_SAFE_NO_PAD.encode([nonce.as_slice(), &sealed].concat()))
    }

    /// The content of a cursor; none if it was made for something else, or changed.
    #[must_use]
    pub fn open(&self, bound: &[u8], cursor: &str) -> Option<Vec<u8>> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE)?;
        let nonce = XNonce::try_from(nonce).ok()?;
        self.keys.iter().find_map(|key| key.decrypt(&nonce, Payload { msg: sealed, aad: bound }).ok())
    }
}

fn derived(key: &[u8]) -> Result<XChaCha20Poly1305> {
    let mut derived = Zeroizing::new([0_u8; 32]);
    Hkdf::<Sha256>::new(None, key).expand(b"crm list cursor", derived.as_mut_slice()).map_err(Error::internal)?;
    XChaCha20Poly1305::new_from_slice(derived.as_slice()).map_err(Error::internal)
}
