//! Access control: which user may run which command on which keys and channels.
//!
//! ```text
//!   client ──► Rc<User>  "alice"  on #hash…
//!                 │                 commands      keys          channels
//!                 ├─ root selector  +@all -flush… ~app:*        &news
//!                 └─ selector       -@all +get    %R~shared:*            a request passes if one of
//!                                                                         them allows all of it
//! ```
//!
//! A user is a value that is never changed. A new rule makes a new user, which takes the old one's place here and in
//! every client that acted as it (`acl/act.rs`). So a check needs no lookup and no lock, and a client whose user may
//! do everything carries no more than a flag that is not set. `acl/check.rs` shows how selectors decide.
//!
//! Invariant: there is always a user `default`; new connections act as it.
//!
//! Mirrors: acl.c. Differs: there, a user is changed in place and compared by address; rules are kept as
//! one string and parsed again to be shown.

pub mod act;
mod check;
mod file;
mod log;
mod rules;
mod selector;
mod user;

use std::collections::BTreeMap;
use std::rc::Rc;

pub(crate) use check::allows_channel;
pub use check::{Asked, Denied, Reason};
pub use log::{AclLog, Context, Incident, LogEntry};
pub use rules::{RuleError, Vocabulary, check_declaration, has_spaces, merge_selectors};
pub use selector::Selector;
pub use user::User;

/// The name of the user that new connections act as.
pub const DEFAULT: &[u8] = b"default";

/// All users by name, in order.
pub type Users = BTreeMap<Box<[u8]>, Rc<User>>;

/// The users of a server, and the log of refusals.
#[derive(Debug)]
pub struct Acl {
    users: Users,
    /// Refusals.
    pub log: AclLog,
}

impl Default for Acl {
    /// The user `default` alone, which may do everything and needs no password.
    #[doc(alias = "ACLInit")]
    fn default() -> Self {
        let mut acl = Acl {
            users: Users::new(),
            log: AclLog::default(),
        };
        acl.put(Rc::new(User::all_powerful(DEFAULT)));
        acl
    }
}

impl Acl {
    /// The user of this name. O(log users).
    #[doc(alias = "ACLGetUserByName")]
    pub fn user(&self, name: &[u8]) -> Option<&Rc<User>> {
        self.users.get(name)
    }

    /// The user that new connections act as.
    #[doc(alias = "DefaultUser")]
    pub fn default_user(&self) -> &Rc<User> {
        self.users.get(DEFAULT).expect("never removed")
    }

    /// The default user with this password and no other; with an empty one or none it needs no password.
    pub fn default_user_with(&self, password: Option<&[u8]>) -> User {
        let mut user = User::clone(self.default_user());
        user.set_only_password(password.filter(|password| !password.is_empty()));
        user
    }

    /// All users in the order of their names.
    pub fn users(&self) -> impl ExactSizeIterator<Item = &Rc<User>> {
        self.users.values()
    }

    /// Adds a user, or puts it in the place of the one that has its name.
    pub fn put(&mut self, user: Rc<User>) {
        self.users.insert(user.name().into(), user);
    }

    /// Removes a user other than the default one.
    pub fn remove(&mut self, name: &[u8]) -> Option<Rc<User>> {
        debug_assert_ne!(name, DEFAULT);
        self.users.remove(name)
    }

    /// Puts other users in the place of all there are; a default user is added where they have none.
    pub fn replace(&mut self, users: Users) {
        self.users = users;
        if !self.users.contains_key(DEFAULT) {
            self.put(Rc::new(User::all_powerful(DEFAULT)));
        }
    }

    /// Reads the text of an ACL file; all that is wrong with it in one line.
    #[doc(alias = "ACLLoadFromFile")]
    pub fn parse_file(
        text: &[u8],
        name: &str,
        vocabulary: Vocabulary<'_>,
    ) -> Result<Users, Vec<u8>> {
        file::parse(text, name, vocabulary)
    }

    /// The text of an ACL file that says all users.
    #[doc(alias = "ACLSaveToFile")]
    pub fn file_text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        for user in self.users() {
            text.extend(user.line());
            text.push(b'\n');
        }
        text
    }
}

#[cfg(test)]
mod tests;
