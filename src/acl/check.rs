//! The permission check: commands, then keys, then channels; one selector must allow all of a request.
//!
//! ```text
//!   user alice   root selector  -@all +get ~app:*
//!                selector       (-@all +set +get %R~shared:* %W~inbox:*)
//!
//!   GET app:1              the root allows command and key                              allowed
//!   SET inbox:7 x          the selector allows SET, and writing to inbox:*              allowed
//!   SET app:1 x            the root lacks +set, the selector has no app:*               NOPERM, key
//!   COPY shared:1 inbox:1  neither allows COPY                                          NOPERM, command
//!   MGET app:1 shared:1    refused even with +mget in both: no one selector has
//!                          both keys, and permissions of two selectors never add up     NOPERM, key
//! ```
//!
//! Mirrors: ACLCheckAllUserCommandPerm(), ACLSelectorCheckCmd() and their neighbours in acl.c.
//! Differs: [`User::may_read`] also decides which keys a BCAST client of CLIENT TRACKING is told of.
//! Cost: O(patterns × keys) per selector, O(1) for a user without restrictions.

use super::selector::{KeyPattern, READ, Selector, WRITE};
use super::user::User;
use crate::command::KeyFlag;
use crate::command::keys::Keys;
use crate::command::table::{CommandId, CommandTable};
use crate::resp::argv::Argv;
use crate::util::glob::{self, Case};

/// Why something was refused, the less telling reasons first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The command.
    Command,
    /// A key it names.
    Key,
    /// A wrong name or password.
    Auth,
    /// A channel it names.
    Channel,
}

impl Reason {
    /// Its name in ACL LOG.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Command => "command",
            Reason::Key => "key",
            Reason::Auth => "auth",
            Reason::Channel => "channel",
        }
    }
}

/// A refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Denied {
    /// Why.
    pub reason: Reason,
    /// The word of the request that names the key or channel; 0 for the command.
    pub position: usize,
}

/// A request to be checked.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// All commands.
    pub commands: &'a CommandTable,
    /// Which one.
    pub id: CommandId,
    /// Its words.
    pub argv: Argv<'a>,
}

impl User {
    /// Whether a request is allowed. O(patterns × keys) per selector.
    ///
    /// # Errors
    /// The refusal that tells most: of a key or channel rather than of the command, of a later word rather
    /// than of an earlier one.
    #[doc(alias = "ACLCheckAllUserCommandPerm")]
    pub fn check(&self, asked: Asked<'_>) -> Result<(), Denied> {
        let mut keys = None;
        let mut worst = Denied {
            reason: Reason::Command,
            position: 0,
        };
        for selector in self.all_selectors() {
            match selector.check(asked, &mut keys) {
                Ok(()) => return Ok(()),
                Err(denied) => worst = worst.max(denied),
            }
        }
        Err(worst)
    }

    /// Whether a request is allowed by permissions that include reading any key whatever.
    #[doc(alias = "ACLUserCheckCmdWithUnrestrictedKeyAccess")]
    pub fn check_reading_all(&self, asked: Asked<'_>) -> bool {
        let mut keys = None;
        self.all_selectors()
            .any(|selector| selector.reads_all() && selector.check(asked, &mut keys).is_ok())
    }

    /// Whether the user may read a key, by some command. O(patterns).
    pub fn may_read(&self, key: &[u8]) -> bool {
        self.all_selectors().any(|selector| {
            selector.all_keys || selector.has_key(key, &[crate::command::KeyFlag::Access])
        })
    }

    /// Whether the user may use a key in this way, by some command. O(patterns).
    #[doc(alias = "ACLUserCheckKeyPerm")]
    pub fn may_use_key(&self, key: &[u8], flags: &[KeyFlag]) -> bool {
        self.all_selectors()
            .any(|selector| selector.all_keys || selector.has_key(key, flags))
    }

    /// Whether the user may use all keys that begin with a prefix in this way, by some command. O(patterns).
    #[doc(alias = "RM_ACLCheckKeyPrefixPermissions")]
    pub fn may_use_prefix(&self, prefix: &[u8], flags: &[KeyFlag]) -> bool {
        self.all_selectors().any(|selector| {
            selector.all_keys
                || selector.has_pattern(flags, |glob| {
                    ends_open(glob) && glob::matches(glob, prefix, Case::Sensitive)
                })
        })
    }

    /// Whether the user may use a channel, or a pattern. O(patterns).
    #[doc(alias = "ACLUserCheckChannelPerm")]
    pub fn may_use_channel(&self, channel: &[u8], is_pattern: bool) -> bool {
        self.all_selectors().any(|selector| {
            let globs = selector.channels.iter().map(|glob| &**glob);
            selector.all_channels || allows_channel(globs, channel, is_pattern)
        })
    }

    /// Whether the user may read every key there is.
    pub fn may_read_all(&self) -> bool {
        self.all_selectors().any(Selector::reads_all)
    }

    /// Whether the user may read some key, there or not.
    pub fn may_read_any(&self) -> bool {
        self.all_selectors().any(|selector| {
            let mut keys = selector.keys.iter();
            selector.all_keys || keys.any(|pattern| pattern.access & READ != 0)
        })
    }

    /// The channel patterns of a user that takes this one's place, when not all that this one may use is
    /// among them; `None` when nothing is lost.
    #[doc(alias = "getUpcomingChannelList")]
    pub fn channels_lost_to<'a>(&self, next: &'a User) -> Option<Vec<&'a [u8]>> {
        if next.all_selectors().any(|selector| selector.all_channels) {
            return None;
        }
        let globs = next.all_selectors().flat_map(|s| &s.channels);
        let globs: Vec<&[u8]> = globs.map(|glob| &**glob).collect();
        let kept = |selector: &Selector| {
            let mut own = selector.channels.iter();
            !selector.all_channels && own.all(|glob| globs.contains(&&**glob))
        };
        (!self.all_selectors().all(kept)).then_some(globs)
    }
}

impl Selector {
    fn reads_all(&self) -> bool {
        let all = |pattern: &KeyPattern| pattern.access & READ != 0 && *pattern.glob == *b"*";
        self.all_keys || self.keys.iter().any(all)
    }

    /// Whether a request is allowed; the first selector that needs `keys` fills it in.
    #[doc(alias = "ACLSelectorCheckCmd")]
    fn check(&self, asked: Asked<'_>, keys: &mut Option<Keys>) -> Result<(), Denied> {
        let Asked { commands, id, argv } = asked;
        let entry = &commands[id];
        if !entry.flags.has(crate::command::Flag::NoAuth)
            && !self.has_command(id)
            && !self.has_first_arg(asked)
        {
            return Err(Denied {
                reason: Reason::Command,
                position: 0,
            });
        }
        if !self.all_keys && entry.has_keys {
            let keys =
                keys.get_or_insert_with(|| crate::command::keys::Keys::judged(entry.decl, argv));
            for key in keys.iter() {
                if !self.has_key(argv.get(key.position), key.flags) {
                    return Err(Denied {
                        reason: Reason::Key,
                        position: key.position,
                    });
                }
            }
        }
        if self.all_channels {
            return Ok(());
        }
        if let Some(foreign) = entry.decl.foreign {
            for (position, is_pattern) in foreign.channels(argv) {
                let globs = self.channels.iter().map(|glob| &**glob);
                if !allows_channel(globs, argv.get(position), is_pattern) {
                    return Err(Denied {
                        reason: Reason::Channel,
                        position,
                    });
                }
            }
            return Ok(());
        }
        let (channels, is_pattern) = match entry.decl.channels {
            crate::command::Channels::None => return Ok(()),
            crate::command::Channels::First => (1..argv.len().min(2), false),
            crate::command::Channels::All => (1..argv.len(), false),
            crate::command::Channels::AllPatterns => (1..argv.len(), true),
        };
        for position in channels {
            let globs = self.channels.iter().map(|glob| &**glob);
            if !allows_channel(globs, argv.get(position), is_pattern) {
                return Err(Denied {
                    reason: Reason::Channel,
                    position,
                });
            }
        }
        Ok(())
    }

    fn has_first_arg(&self, asked: Asked<'_>) -> bool {
        let of_command = self.first_args.iter().filter(|(id, _)| *id == asked.id);
        asked.argv.len() > 1
            && of_command
                .map(|(_, arg)| arg)
                .any(|arg| asked.argv.get(1).eq_ignore_ascii_case(arg))
    }

    #[doc(alias = "ACLSelectorCheckKey")]
    fn has_key(&self, key: &[u8], flags: &[KeyFlag]) -> bool {
        self.has_pattern(flags, |glob| glob::matches(glob, key, Case::Sensitive))
    }

    /// Whether a pattern that gives these rights is the one asked for.
    fn has_pattern(&self, flags: &[KeyFlag], is_it: impl Fn(&[u8]) -> bool) -> bool {
        let needed = flags.iter().fold(0, |access, flag| match flag {
            crate::command::KeyFlag::Access => access | READ,
            crate::command::KeyFlag::Update
            | crate::command::KeyFlag::Insert
            | crate::command::KeyFlag::Delete => access | WRITE,
            _ => access,
        });
        self.keys
            .iter()
            .any(|pattern| pattern.access & needed == needed && is_it(&pattern.glob))
    }
}

/// Whether a pattern ends with a star that stands for any rest of a key.
fn ends_open(glob: &[u8]) -> bool {
    let Some((b'*', before)) = glob.split_last() else {
        return false;
    };
    let escapes = before.iter().rev().take_while(|b| **b == b'\\').count();
    escapes % 2 == 0
}

/// Whether a channel matches one of the patterns. A pattern (PSUBSCRIBE) must equal one of them to the letter, since
/// all the channels it matches cannot be listed.
#[doc(alias = "ACLCheckChannelAgainstList")]
pub(crate) fn allows_channel<'a>(
    mut globs: impl Iterator<Item = &'a [u8]>,
    channel: &[u8],
    is_pattern: bool,
) -> bool {
    globs.any(|glob| match is_pattern {
        true => glob == channel,
        false => glob::matches(glob, channel, Case::Sensitive),
    })
}
