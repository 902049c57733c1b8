//! Which keys the stored values need: the table `pii_keys` has a row for each key that something is sealed with, and one
//! named [`CLEAR`] while values may be stored in clear.
//!
//! A service that lacks one of them does not start: [`open`] names the missing one. A key is registered before anything is
//! sealed with it, and removed by [`super::rotate`] once no value needs it.

use std::{fmt, io, path::PathBuf};

use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter, Set, sea_query::OnConflict};

use super::cipher::PiiCipher;
use crate::{
    config::{Config, PiiKey, PiiKeySource, PiiKeys, secret_file},
    database::Database,
    error::{Error, Result},
    values::Timestamp,
};

/// Registered while values may be stored in clear. No key can have this name.
pub const CLEAR: &str = "(clear)";

/// The row of `pii_keys`.
mod entity {
    use sea_orm::entity::prelude::*;

    use crate::pii::stored::Sealed;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "pii_keys")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub key_id: String,
        pub proof: Option<Sealed>,
        pub created_at: DateTimeUtc,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Why personal data cannot be sealed or opened, so that the service must not start.
#[derive(Debug)]
pub enum KeyError {
    /// No key is configured, and the database is not the embedded one.
    NotConfigured,
    /// Stored values need a key that is not configured.
    Missing(String),
    /// The key that is configured under this id is not the one that values were sealed with.
    Wrong(String),
    /// A key file cannot be read or made.
    File(io::Error),
    /// A key file does not hold keys.
    Malformed(PathBuf, String),
    /// A fault of the database.
    Database(DbErr),
    /// A fault in deriving or registering a key.
    Fault(Error),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConfigured => f.write_str(
                "CRM_PII_KEYS or CRM_PII_KEYS_FILE: one is needed to seal phone numbers and e-mail addresses in this \
                 database; `crm keygen pii` makes a key. CRM_PII_ENCRYPTION=off stores them in clear",
            ),
            Self::Missing(id) => write!(
                f,
                "CRM_PII_KEYS: the key {id} is missing, which stored phone numbers and e-mail addresses are sealed with; \
                 `crm keys rotate` with that key and a new one makes it superfluous"
            ),
            Self::Wrong(id) => write!(
                f,
                "CRM_PII_KEYS: the key {id} is not the one that stored phone numbers and e-mail addresses are sealed with"
            ),
            Self::File(error) => write!(f, "the keys for phone numbers and e-mail addresses: {error}"),
            Self::Malformed(file, mistake) => write!(f, "{}: {mistake}", file.display()),
            Self::Database(error) => write!(f, "the table pii_keys cannot be read: {error}"),
            Self::Fault(error) => write!(f, "a key cannot be used: {}", error.cause().unwrap_or_default()),
        }
    }
}

impl std::error::Error for KeyError {}

impl From<Error> for KeyError {
    fn from(error: Error) -> Self {
        Self::Fault(error)
    }
}

impl From<DbErr> for KeyError {
    fn from(error: DbErr) -> Self {
        Self::Database(error)
    }
}

/// The ids of the keys that stored values need.
///
/// # Errors
/// A fault of the database.
pub async fn needed(database: &Database) -> Result<Vec<String>> {
    let rows = registered(database).await?;
    Ok(rows.into_iter().map(|row| row.key_id).filter(|id| id != CLEAR).collect())
}

/// Refuses a configuration that names no keys where there must be some: before anything of the database is touched.
///
/// # Errors
/// No key is configured.
pub fn check_source(config: &Config) -> std::result::Result<(), KeyError> {
    match config.pii_keys {
        PiiKeySource::NotConfigured if config.pii_encryption => Err(KeyError::NotConfigured),
        _ => Ok(()),
    }
}

/// The cipher for this configuration and database: it has every key that stored values need, and its sealing key is
/// registered. On the embedded database a key is made when there is none.
///
/// # Errors
/// A key that is missing, wrong or malformed.
pub async fn open(config: &Config, database: &Database, now: Timestamp) -> std::result::Result<PiiCipher, KeyError> {
    let registered = registered(database).await?;
    let keys = read_keys(config, &registered)?;
    let clear = !config.pii_encryption || registered.iter().any(|row| row.key_id == CLEAR);
    let cipher = PiiCipher::new(&keys, config.pii_encryption, clear, config.phone_country)?;
    prove(&cipher, registered)?;
    register(database, &cipher, now).await?;
    Ok(cipher)
}

/// Refuses a cipher that lacks a key which stored values need, or has another one under its name.
fn prove(cipher: &PiiCipher, registered: Vec<entity::Model>) -> std::result::Result<(), KeyError> {
    for entity::Model { key_id, proof, .. } in registered {
        match proof {
            Some(_) if !cipher.has(&key_id) => return Err(KeyError::Missing(key_id)),
            Some(proof) if !cipher.proves(&key_id, &proof) => return Err(KeyError::Wrong(key_id)),
            _ => {}
        }
    }
    Ok(())
}

/// Whether the service would find every key that stored values need; nothing is made or registered. Returns how many keys are
/// needed.
///
/// # Errors
/// A key that is missing, wrong or malformed.
pub async fn check(config: &Config, database: &Database) -> std::result::Result<usize, KeyError> {
    let registered = registered(database).await?;
    let is_to_be_made = matches!(&config.pii_keys, PiiKeySource::Embedded(file) if !file.exists());
    let needed = registered.iter().filter(|row| row.proof.is_some()).count();
    if is_to_be_made && needed == 0 {
        return Ok(0);
    }
    let keys = read_keys(config, &registered)?;
    let cipher = PiiCipher::new(&keys, config.pii_encryption, true, config.phone_country)?;
    prove(&cipher, registered)?;
    Ok(needed)
}

/// Registers what new values are sealed with. To be repeated from time to time: a rotation in another process removes the
/// key of a process that does not know the new one.
///
/// # Errors
/// A fault of the database.
pub async fn register(database: &Database, cipher: &PiiCipher, now: Timestamp) -> Result<()> {
    let (key_id, proof) = match cipher.sealing_key() {
        Some(id) => (id.to_string(), cipher.proof(id.as_str())?),
        None => (CLEAR.to_owned(), None),
    };
    if names(database).await?.contains(&key_id) {
        return Ok(());
    }
    database
        .transact(move |transaction| {
            let row =
                entity::ActiveModel { key_id: Set(key_id.clone()), proof: Set(proof.clone()), created_at: Set(now.0) };
            Box::pin(async move {
                let unless_known = OnConflict::column(entity::Column::KeyId).do_nothing().to_owned();
                #[expect(clippy::disallowed_methods, reason = "keys belong to no tenant")]
                entity::Entity::insert(row).on_conflict(unless_known).exec_without_returning(transaction).await?;
                Ok(())
            })
        })
        .await
}

/// The names that are registered, [`CLEAR`] among them.
///
/// # Errors
/// A fault of the database.
pub async fn names(database: &Database) -> Result<Vec<String>> {
    Ok(registered(database).await?.into_iter().map(|row| row.key_id).collect())
}

/// Removes a key that no stored value needs any more.
///
/// # Errors
/// A fault of the database.
pub async fn forget(database: &Database, key_id: &str) -> Result<()> {
    let key_id = key_id.to_owned();
    database
        .transact(move |transaction| {
            let key_id = key_id.clone();
            Box::pin(async move {
                #[expect(clippy::disallowed_methods, reason = "keys belong to no tenant")]
                entity::Entity::delete_many().filter(entity::Column::KeyId.eq(key_id)).exec(transaction).await?;
                Ok(())
            })
        })
        .await
}

async fn registered(database: &Database) -> std::result::Result<Vec<entity::Model>, DbErr> {
    #[expect(clippy::disallowed_methods, reason = "keys belong to no tenant")]
    entity::Entity::find().all(&database.read()).await
}

/// The configured keys; on the embedded database, made when missing.
fn read_keys(config: &Config, registered: &[entity::Model]) -> std::result::Result<Vec<PiiKey>, KeyError> {
    let in_file = |file: &PathBuf| {
        let text = secret_file::read(file).map_err(KeyError::File)?;
        let keys = text.parse::<PiiKeys>().map_err(|mistake| KeyError::Malformed(file.clone(), mistake))?;
        Ok(keys.as_slice().to_vec())
    };
    match &config.pii_keys {
        PiiKeySource::Given(keys) => Ok(keys.as_slice().to_vec()),
        PiiKeySource::NotConfigured if !config.pii_encryption => Ok(Vec::new()),
        PiiKeySource::NotConfigured => Err(KeyError::NotConfigured),
        PiiKeySource::Embedded(file) if !file.exists() => {
            // Never silently replace a lost key.
            if let Some(lost) = registered.iter().find(|row| row.proof.is_some()) {
                return Err(KeyError::Missing(lost.key_id.clone()));
            }
            if !config.pii_encryption {
                return Ok(Vec::new());
            }
            secret_file::make_once(file, PiiKey::generate).map_err(KeyError::File)?;
            let message = "a key was made that phone numbers and e-mail addresses are sealed with: keep a copy of it \
                           apart from the database's, without it they cannot be read";
            tracing::warn!(file = %file.display(), "{message}");
            in_file(file)
        }
        PiiKeySource::Embedded(file) => in_file(file),
    }
}
