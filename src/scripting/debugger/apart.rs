//! A debugging session whose changes are dropped: the data it needs of the server, gathered when it begins.
//!
//! ```text
//!   SCRIPT DEBUG YES, EVAL …  ──►  Apart: snapshot, configuration, users, the words ──►  a thread with its own State
//!   the server goes on                                                                    runs the session, talks to
//!   without this client                                                                   the client, drops everything
//! ```
//!
//! The snapshot and the data set share their nodes; each side copies what it changes. So the session begins at once,
//! the server serves everybody meanwhile, and what the script wrote goes with the session's copy.
//!
//! Mirrors: ldbStartSession() of eval.c.
//! Differs: there, `fork()` makes the copy.

use crate::clients::ClientKey;
use crate::config::Config;
use crate::keyspace::{DbId, Snapshot};
use crate::resp::Protocol;
use crate::state::Mailbox;
use crate::sys::log::Logger;

/// All that a session of its own begins with. May go to another thread.
#[derive(Debug)]
pub struct Apart {
    /// The data set.
    pub snapshot: Snapshot,
    /// The server's options, but for those that reach outside of it; the users as they are now.
    pub config: Config,
    /// EVAL or EVALSHA with its arguments.
    pub words: Vec<Vec<u8>>,
    /// The script that EVALSHA names.
    pub cached: Option<Vec<u8>>,
    /// The database, the protocol and the user of the client; no user may do everything.
    pub db: DbId,
    pub protocol: Protocol,
    pub user: Option<Vec<u8>>,
    pub log: Logger,
    /// Whose socket the session takes over, and how to ask the server whether it has let go of it.
    pub client: ClientKey,
    pub mailbox: Mailbox,
}
