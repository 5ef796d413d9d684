//! The table of commands by name, with flags derived from their declarations and with their counters.
//!
//! Built once per server from the constants in `commands/`; `rename-command` acts here.
//! A subcommand is an entry of its own (`config|get`), found through its container.
//!
//! Mirrors: `populateCommandTable`, `lookupCommand` and `ACLSetCommand…CategoryBits` of server.c.
//! Differs: one open-addressed index over lower-cased names instead of a dict per container.

use crate::command::{BeginSearch, CATEGORY_NAMES, Category, Command, FindKeys, Flag};
use crate::resp::argv::Argv;
use crate::util::histogram::Histogram;

/// A command's or subcommand's number in its server's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub u16);

/// A set of [`Flag`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u32);

impl Flags {
    /// Whether the flag is set.
    #[inline]
    pub fn has(self, flag: Flag) -> bool {
        self.0 & flag as u32 != 0
    }

    /// Whether any of the flags is in it.
    #[inline]
    pub fn any(self, flags: &[Flag]) -> bool {
        flags.iter().any(|flag| self.has(*flag))
    }
}

/// A set of [`Category`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Categories(pub u64);

impl Categories {
    /// Whether the category is in it.
    pub fn has(self, category: Category) -> bool {
        self.0 & category as u64 != 0
    }
}

/// The counters of a command (INFO commandstats, latencystats).
#[derive(Debug, Default)]
pub struct CommandStats {
    /// Times it ran.
    pub calls: u64,
    /// Time spent in it, in microseconds.
    pub usec: u64,
    /// Times it was refused before it ran.
    pub rejected: u64,
    /// Times it ran and answered with an error.
    pub failed: u64,
    /// Latencies in nanoseconds; made at the first call while `latency-tracking` is on.
    pub latencies: Option<Box<Histogram>>,
}

/// A command as this server knows it.
#[derive(Debug)]
pub struct Entry {
    /// Its number.
    pub id: CommandId,
    /// Its declaration.
    pub decl: &'static Command,
    /// The name clients use, `container|sub` for subcommands. Renaming changes it.
    pub name: Box<str>,
    /// The container of a subcommand.
    pub parent: Option<CommandId>,
    /// Subcommands, in the order of their declaration.
    pub subcommands: Vec<CommandId>,
    /// Declared flags, and those that follow from the key specs.
    pub flags: Flags,
    /// Declared categories and those that flags imply.
    pub categories: Categories,
    /// Whether key specs or a finder can tell keys at all.
    pub has_keys: bool,
    /// Where its first key usually is; 1 if the specs do not tell. Good enough to prefetch it.
    pub first_key: usize,
    /// Its counters.
    pub stats: CommandStats,
}

impl Entry {
    /// How many words name it: 2 for a subcommand.
    #[inline]
    pub fn words(&self) -> usize {
        1 + usize::from(self.parent.is_some())
    }

    /// Whether it is the command of this name, and has no subcommands.
    #[inline]
    fn is_plainly(&self, name: &[u8]) -> bool {
        self.parent.is_none()
            && self.subcommands.is_empty()
            && self.name.as_bytes().eq_ignore_ascii_case(name)
    }

    /// Whether it was a module's that is gone.
    fn is_removed(&self) -> bool {
        std::ptr::eq(self.decl, &GONE)
    }

    /// Whether a request of so many words has the right number.
    #[inline]
    pub fn accepts(&self, words: usize) -> bool {
        match self.decl.arity {
            crate::command::Arity::Exactly(n) => words == n as usize,
            crate::command::Arity::AtLeast(n) => words >= n as usize,
        }
    }
}

/// Why no command was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// No such command.
    Command,
    /// The container exists, the subcommand does not.
    Subcommand(CommandId),
}

/// All commands of a server.
#[derive(Debug)]
pub struct CommandTable {
    entries: Vec<Entry>,
    /// Open addressing; `u16::MAX` is empty. Twice as many slots as names, a power of two.
    index: Vec<u16>,
    /// Categories that modules added, with the number of the module: bits from [`FIRST_ADDED`] on.
    added: Vec<(String, u32)>,
}

/// The bit of the first category that a module adds.
const FIRST_ADDED: usize = CATEGORY_NAMES.len();

/// Longest name looked up; longer ones are unknown.
const NAME_MAX: usize = 128;

impl CommandTable {
    /// Derives a table from declarations.
    pub fn new(groups: &[&[&'static Command]]) -> Self {
        Self::without(groups, &[])
    }

    /// As [`CommandTable::new`], without these subcommands (`client|no-touch`).
    pub fn without(groups: &[&[&'static Command]], lacked: &[&str]) -> Self {
        let mut table = CommandTable {
            entries: Vec::new(),
            index: Vec::new(),
            added: Vec::new(),
        };
        for decl in groups.iter().copied().flatten() {
            let parent = table.add(decl, None);
            let lacks = |sub: &Command| {
                let mut lacked = lacked.iter().filter_map(|name| name.split_once('|'));
                lacked.any(|name| name == (decl.name, sub.name))
            };
            for sub in decl.subcommands.iter().filter(|sub| !lacks(sub)) {
                let id = table.add(sub, Some(parent));
                table.entries[parent.0 as usize].subcommands.push(id);
            }
        }
        table.rebuild_index();
        table
    }

    fn add(&mut self, decl: &'static Command, parent: Option<CommandId>) -> CommandId {
        let id = CommandId(self.entries.len() as u16);
        let entry = self.entry(id, decl, parent);
        self.entries.push(entry);
        id
    }

    fn entry(&self, id: CommandId, decl: &'static Command, parent: Option<CommandId>) -> Entry {
        let name = match parent {
            Some(parent) => format!("{}|{}", self.entries[parent.0 as usize].name, decl.name),
            None => decl.name.to_owned(),
        };
        Entry {
            id,
            decl,
            name: name.into(),
            parent,
            subcommands: Vec::new(),
            flags: derive_flags(decl),
            categories: derive_categories(decl),
            has_keys: has_keys(decl),
            first_key: first_key(decl),
            stats: CommandStats::default(),
        }
    }

    fn rebuild_index(&mut self) {
        let size = (2 * self.entries.len()).next_power_of_two();
        self.index = vec![u16::MAX; size];
        for entry in &self.entries {
            if entry.name.is_empty() {
                continue;
            }
            debug_assert!(
                self.entries[..entry.id.0 as usize]
                    .iter()
                    .all(|e| e.name != entry.name)
            );
            let mut slot = hash(entry.name.as_bytes()) as usize & (size - 1);
            while self.index[slot] != u16::MAX {
                slot = (slot + 1) & (size - 1);
            }
            self.index[slot] = entry.id.0;
        }
    }

    /// Adds a command of an embedder, with its subcommands; false if its name is taken.
    pub fn extend(&mut self, decl: &'static Command) -> bool {
        if self.find(decl.name.as_bytes()).is_some() {
            return false;
        }
        let parent = self.add(decl, None);
        for sub in decl.subcommands {
            let id = self.add(sub, Some(parent));
            self.entries[parent.0 as usize].subcommands.push(id);
        }
        self.rebuild_index();
        true
    }

    /// Adds a command of a module: in the place of one that was removed, or at the end. `None` when numbers are used up.
    /// O(commands).
    pub fn insert(
        &mut self,
        decl: &'static Command,
        parent: Option<CommandId>,
    ) -> Option<CommandId> {
        let free = self.entries.iter().position(|entry| entry.is_removed());
        if free.is_none() && self.entries.len() >= u16::MAX as usize {
            return None;
        }
        let id = CommandId(free.unwrap_or(self.entries.len()) as u16);
        let mut entry = self.entry(id, decl, parent);
        // A module's command is in the categories that the module names, and in no other.
        entry.categories = Categories(0);
        match free {
            Some(at) => self.entries[at] = entry,
            None => self.entries.push(entry),
        }
        if let Some(parent) = parent {
            self.entries[parent.0 as usize].subcommands.push(id);
        }
        self.rebuild_index();
        Some(id)
    }

    /// Gives a command another declaration of the same name.
    pub fn redeclare(&mut self, id: CommandId, decl: &'static Command) {
        let entry = &mut self.entries[id.0 as usize];
        entry.decl = decl;
        entry.flags = derive_flags(decl);
        entry.has_keys = has_keys(decl);
    }

    /// Takes a command of a module out. Its number may name another one later. O(commands).
    pub fn remove(&mut self, id: CommandId) {
        if let Some(parent) = self[id].parent {
            self.entries[parent.0 as usize]
                .subcommands
                .retain(|sub| *sub != id);
        }
        self.entries[id.0 as usize] = self.entry(id, &GONE, None);
        self.entries[id.0 as usize].name = "".into();
        self.rebuild_index();
    }

    /// The bit of a category's name, in any case.
    pub fn category(&self, name: &[u8]) -> Option<u64> {
        let same = |known: &str| known.as_bytes().eq_ignore_ascii_case(name);
        let own = CATEGORY_NAMES.iter().find(|(_, known)| same(known));
        if let Some((category, _)) = own {
            return Some(*category as u64);
        }
        let at = self.added.iter().position(|(known, _)| same(known))?;
        Some(1 << (FIRST_ADDED + at))
    }

    /// The names of all categories with their bits, in the order in which they are listed.
    pub fn category_names(&self) -> impl Iterator<Item = (u64, &str)> {
        let own = CATEGORY_NAMES
            .iter()
            .map(|(bit, name)| (*bit as u64, *name));
        let added = self.added.iter().enumerate();
        let added = added.map(|(at, (name, _))| (1 << (FIRST_ADDED + at), name.as_str()));
        own.chain(added.filter(|(_, name)| !name.is_empty()))
    }

    /// Adds a category of a module; false when there are 64 already.
    pub fn add_category(&mut self, name: String, module: u32) -> bool {
        let free = self.added.iter().position(|(name, _)| name.is_empty());
        match free {
            Some(at) => self.added[at] = (name, module),
            None if FIRST_ADDED + self.added.len() < 64 => self.added.push((name, module)),
            None => return false,
        }
        true
    }

    /// Removes the categories that a module added.
    pub fn remove_categories(&mut self, module: u32) {
        for at in 0..self.added.len() {
            if self.added[at].1 == module {
                self.added[at] = (String::new(), u32::MAX);
                let bit = 1 << (FIRST_ADDED + at);
                for entry in &mut self.entries {
                    entry.categories.0 &= !bit;
                }
            }
        }
    }

    /// Puts a command into these categories.
    pub fn set_categories(&mut self, id: CommandId, bits: u64) {
        self.entries[id.0 as usize].categories = Categories(bits);
    }

    /// Renames a command; an empty new name removes it. Errors in Redis's words for the config file.
    pub fn rename(&mut self, from: &str, to: &str) -> Result<(), String> {
        let Some(id) = self
            .find(from.as_bytes())
            .filter(|id| self[*id].parent.is_none())
        else {
            return Err("No such command in rename-command".into());
        };
        if !to.is_empty() && self.find(to.as_bytes()).is_some() {
            return Err("Target command name already exists".into());
        }
        let to = to.to_ascii_lowercase();
        for sub in self[id].subcommands.clone() {
            let own = self[sub].decl.name;
            let name = if to.is_empty() {
                String::new()
            } else {
                format!("{to}|{own}")
            };
            self.entries[sub.0 as usize].name = name.into();
        }
        self.entries[id.0 as usize].name = to.into();
        self.rebuild_index();
        Ok(())
    }

    /// The entry of a full name, `container|sub` for subcommands, in any case. O(1).
    #[inline]
    pub fn find(&self, name: &[u8]) -> Option<CommandId> {
        if name.len() > NAME_MAX {
            return None;
        }
        let mask = self.index.len() - 1;
        let mut slot = hash(name) as usize & mask;
        loop {
            let id = self.index[slot];
            if id == u16::MAX {
                return None;
            }
            if self.entries[id as usize]
                .name
                .as_bytes()
                .eq_ignore_ascii_case(name)
            {
                return Some(CommandId(id));
            }
            slot = (slot + 1) & mask;
        }
    }

    /// The command a request names, resolved to its subcommand. A container called by its bare name
    /// is the container itself.
    #[inline]
    pub fn lookup(&self, argv: Argv<'_>) -> Result<CommandId, Missing> {
        let id = self.find_top(argv.get(0)).ok_or(Missing::Command)?;
        if self[id].subcommands.is_empty() || argv.len() < 2 {
            return Ok(id);
        }
        self.subcommand(id, argv.get(1))
            .ok_or(Missing::Subcommand(id))
    }

    /// As [`CommandTable::lookup`], for requests that mostly name the same command as the one before: that one is looked at
    /// first.
    #[doc(alias = "isCommandReusable")]
    #[inline]
    pub fn lookup_after(
        &self,
        before: Option<CommandId>,
        argv: Argv<'_>,
    ) -> Result<CommandId, Missing> {
        match before {
            Some(id) if self[id].is_plainly(argv.get(0)) => Ok(id),
            _ => self.lookup(argv),
        }
    }

    /// A top-level command by name.
    #[inline]
    pub fn find_top(&self, name: &[u8]) -> Option<CommandId> {
        self.find(name).filter(|id| self[*id].parent.is_none())
    }

    /// The name a command was declared with, whatever it was renamed to; `container|sub` for subcommands.
    pub fn declared_name(&self, id: CommandId) -> String {
        let entry = &self[id];
        match entry.parent {
            Some(parent) => format!("{}|{}", self[parent].decl.name, entry.decl.name),
            None => entry.decl.name.to_owned(),
        }
    }

    /// A subcommand by its own name.
    pub fn subcommand(&self, container: CommandId, name: &[u8]) -> Option<CommandId> {
        let subs = &self[container].subcommands;
        subs.iter()
            .copied()
            .find(|id| self[*id].decl.name.as_bytes().eq_ignore_ascii_case(name))
    }

    /// The entry whose declaration this is.
    pub fn id_of(&self, name: &str) -> Option<CommandId> {
        self.entries
            .iter()
            .find(|e| e.parent.is_none() && e.decl.name == name)
            .map(|e| e.id)
    }

    /// CONFIG RESETSTAT: the counters of every command.
    pub fn reset_stats(&mut self) {
        for entry in &mut self.entries {
            entry.stats = CommandStats::default();
        }
    }

    /// All entries, containers before their subcommands.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| !entry.is_removed())
    }

    /// All entries, to reset their counters.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.entries.iter_mut()
    }

    /// Commands that are not subcommands and not removed by renaming (COMMAND COUNT).
    pub fn top_level(&self) -> impl Iterator<Item = &Entry> {
        self.entries
            .iter()
            .filter(|e| e.parent.is_none() && !e.name.is_empty())
    }
}

impl std::ops::Index<CommandId> for CommandTable {
    type Output = Entry;
    #[inline]
    fn index(&self, id: CommandId) -> &Entry {
        &self.entries[id.0 as usize]
    }
}

impl std::ops::IndexMut<CommandId> for CommandTable {
    #[inline]
    fn index_mut(&mut self, id: CommandId) -> &mut Entry {
        &mut self.entries[id.0 as usize]
    }
}

/// Stands in the table where a module's command was. Nothing finds it by name.
static GONE: Command = Command {
    run: gone,
    ..Command::BASE
};

fn gone(
    _: &mut crate::dispatch::Ctx<'_>,
    _: crate::command::args::Args<'_>,
) -> crate::command::Result {
    Err(crate::resp::Error::once(
        "the module of this command was unloaded",
    ))
}

fn has_keys(decl: &Command) -> bool {
    let foreign = decl.foreign.is_some_and(|foreign| foreign.finds_keys());
    !decl.keys.is_empty() || decl.find_keys.is_some() || foreign
}

/// FNV-1a over the lower-cased name: names are short, and the table is not open to attack because
/// only declared names are in it.
#[inline]
fn hash(name: &[u8]) -> u32 {
    let step = |hash: u32, byte: &u8| (hash ^ (byte | 0x20) as u32).wrapping_mul(0x0100_0193);
    let hash = name.iter().fold(0x811c_9dc5, step);
    hash ^ (hash >> 15)
}

/// The word at which the keys of the first spec begin: 1 for `GET key`, 3 for `EVALSHA sha1 numkeys key`.
fn first_key(decl: &Command) -> usize {
    let first = decl.keys.first().map(|spec| match (spec.begin, spec.find) {
        (BeginSearch::Index(at), FindKeys::KeyNum { first, .. }) => at + first,
        (BeginSearch::Index(at), _) => at,
        _ => 1,
    });
    first.and_then(|at| at.try_into().ok()).unwrap_or(1)
}

fn derive_flags(decl: &Command) -> Flags {
    let mut bits = decl.flags.iter().fold(0, |bits, flag| bits | *flag as u32);
    let movable = crate::command::keys::legacy_range(decl.keys).1;
    if movable {
        bits |= crate::command::Flag::MovableKeys as u32;
    }
    Flags(bits)
}

fn derive_categories(decl: &Command) -> Categories {
    let flags = derive_flags(decl);
    let mut bits = decl
        .acl
        .iter()
        .fold(0, |bits, category| bits | *category as u64);
    let implied = [
        (crate::command::Flag::Write, crate::command::Category::Write),
        (crate::command::Flag::Admin, crate::command::Category::Admin),
        (
            crate::command::Flag::Admin,
            crate::command::Category::Dangerous,
        ),
        (
            crate::command::Flag::PubSub,
            crate::command::Category::PubSub,
        ),
        (crate::command::Flag::Fast, crate::command::Category::Fast),
        (
            crate::command::Flag::Blocking,
            crate::command::Category::Blocking,
        ),
    ];
    for (flag, category) in implied {
        if flags.has(flag) {
            bits |= category as u64;
        }
    }
    if flags.has(crate::command::Flag::ReadOnly)
        && bits & crate::command::Category::Scripting as u64 == 0
    {
        bits |= crate::command::Category::Read as u64;
    }
    if bits & crate::command::Category::Fast as u64 == 0 {
        bits |= crate::command::Category::Slow as u64;
    }
    Categories(bits)
}
