//! A standby of PostgreSQL that requests are read from: one server that follows the primary, or several behind one address.
//!
//! What is read there is as old as the standby is behind. So a connection to it is used only where its server has replayed
//!
//! - what the primary had [`MAX_LAG`](samples) ago, for whoever says nothing;
//! - what the caller has seen, if it says so ([`Recency`](super::position::Recency)).
//!
//! The server of each connection is asked by itself, again after a second: behind one address there may be several, and any of
//! them may be promoted. A tenant for which this process has written goes to the primary for [`OWN_WRITES`](writers), longer than a
//! standby may be behind. A standby that fails is left alone until the watch ([`watch`](mod@watch)) finds that it works again; the primary
//! is read instead.
//!
//! [`state`]: who is given a connection · [`facts`]: what servers are asked · [`samples`]: how far the primary was when · [`writers`]: for whom this process has written ·
//! [`look`](mod@look): how a standby is, for operators.

mod facts;
mod look;
mod samples;
mod state;
mod watch;
mod writers;

pub use look::{Followed, look};
pub(super) use state::Standby;
pub(super) use watch::watch;
