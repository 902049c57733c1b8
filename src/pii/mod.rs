//! Personal data: phone numbers and e-mail addresses have types of their own.
//!
//! - [`Pii`] (a [`Phone`], an [`Email`]) is such a value in clear. `Debug`, `Display` and `Serialize` mask it; whoever needs
//!   the value itself calls [`Pii::reveal`], which is easy to search for.
//! - [`Sealed`] and [`BlindIndex`] are what a row holds, in a [`PiiSlot`]: made by [`PiiCipher`], read and written through a
//!   [`PiiColumn`].
//! - [`DisplayedPii`] goes out with a reply: in clear or masked, as the [`PiiView`] says.
//!
//! Reading order: [`rule`], [`value`], [`stored`], [`cipher`], [`column`](mod@column), [`view`]. Beside them, [`clean`] reads
//! what was typed, [`mask`] says what stays visible, [`normalize`] which ways of writing are the same value, with [`domain`],
//! [`search`] what is searched for, [`cursors`] seals where a reader is in a list, [`key_registry`] which keys the stored values need, [`rotate`] seals them anew, and [`reindex`] indexes them anew.

mod cipher;
mod clean;
mod column;
mod cursors;
mod domain;
pub mod key_registry;
pub mod mask;
mod normalize;
pub mod reindex;
pub mod rotate;
mod rule;
pub mod search;
mod stored;
mod value;
mod view;

pub use cipher::PiiCipher;
pub use column::PiiColumn;
pub use cursors::CursorCipher;
pub use normalize::Forms;
pub use rule::{EmailRule, PhoneRule, PiiRule};
pub use search::{Lookup, SealedColumns};
pub use stored::{BlindIndex, PiiField, PiiLocation, PiiSlot, PiiTable, Sealed};
pub use value::{Email, Phone, Pii, PiiFilter};
pub use view::{DisplayedPii, PiiView, PiiVisibility};
