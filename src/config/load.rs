//! From the command line and the configuration file to a [`Config`].
//!
//! ```text
//!   oxidis-server redis.conf --port 7000 -       the file, then stdin, then the options, one text:
//!
//!     1  # comment                               redis.conf
//!     2  maxmemory 1gb
//!     3  include conf.d/*.conf                   read in place, as a text of its own
//!     4  port 7000                               the options, one line each
//! ```
//!
//! Later lines win, so that options override the file. The first bad line ends the loading, with the block operators
//! know. A warning that is no reason to stop is kept as a [`Remark`], for the log does not exist yet.
//!
//! Invariant: any bytes whatever give a `Config` or a [`Fatal`], never a panic; files, their size
//! and the number and depth of includes are bounded.
//!
//! Mirrors: loadServerConfig(), loadServerConfigFromString() of config.c and the options in
//! main() of server.c. Differs: a relative path is relative to `dir` without changing the
//! directory of the process; a file that includes itself is an error instead of a crash.

use std::fmt;
use std::io::Read;
use std::path::PathBuf;

use super::kinds::ARITY;
use super::{Config, ConfigOption, Flag, LogLevel, OomScores, Reason, disk, find, valkey, words};
use crate::util::args;

/// Largest file, and largest standard input, that is taken for a configuration.
const MAX_FILE_BYTES: u64 = 64 << 20;
/// Files read for one configuration, and how deep includes go.
const MAX_FILES: usize = 1000;
const MAX_DEPTH: usize = 32;

const BAD_DIRECTIVE: &str = "Bad directive or wrong number of arguments";

/// A word that begins a line of the file and is no option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Directive {
    Include,
    LoadModule,
    RenameCommand,
    Sentinel,
    User,
    /// An option of the past. Redis still takes it, with one value, for the sake of old files.
    Forgotten,
}

impl Directive {
    /// The directive of this name, which is in lower case.
    fn named(name: &[u8]) -> Option<Directive> {
        Some(match name {
            b"include" => Directive::Include,
            b"loadmodule" => Directive::LoadModule,
            b"rename-command" => Directive::RenameCommand,
            b"sentinel" => Directive::Sentinel,
            b"user" => Directive::User,
            b"io-threads-do-reads"
            | b"list-max-ziplist-entries"
            | b"list-max-ziplist-value"
            | b"lua-replicate-commands" => Directive::Forgotten,
            _ => return None,
        })
    }
}

/// Whether a module may have an option of this name.
fn may_name_option(name: &[u8]) -> bool {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"_-".contains(b);
    name.iter().all(plain)
}

/// The configuration that the arguments of the process give.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLine {
    /// The first argument when it begins with no dash.
    pub file: Option<Vec<u8>>,
    /// A lone `-`: the configuration goes on in standard input.
    pub stdin: bool,
    /// The options, as lines of a configuration file.
    pub options: Vec<u8>,
    /// The name of the program or an argument asks for Sentinel.
    pub sentinel: bool,
}

impl CommandLine {
    /// Reads the arguments of the process, the name of the program being the first.
    ///
    /// An option may hold its value in the same argument, `"--port 7000"`. A value may begin with
    /// two dashes when it is the first word of an option.
    pub fn parse(arguments: &[impl AsRef<[u8]>]) -> CommandLine {
        let mut arguments = arguments.iter().map(AsRef::as_ref);
        let program = arguments.next().unwrap_or_default();
        let arguments: Vec<&[u8]> = arguments.collect();
        let program = program.rsplit(|b| *b == b'/').next().unwrap_or_default();
        let mut line = CommandLine {
            sentinel: program.windows(8).any(|part| part == b"sentinel")
                || arguments.contains(&b"--sentinel".as_slice()),
            ..CommandLine::default()
        };
        let rest = match arguments.split_first() {
            Some((file, rest)) if !file.starts_with(b"-") => {
                line.file = Some(file.to_vec());
                rest
            }
            _ => &arguments[..],
        };
        line.read_options(rest);
        line
    }

    fn read_options(&mut self, arguments: &[&[u8]]) {
        let mut complete = true; // The option before has a value, or there is none.
        for (at, argument) in arguments.iter().enumerate() {
            let first = at == 0 && self.file.is_none();
            let next = arguments.get(at + 1);
            if *argument == b"-" && (first || next.is_none()) {
                self.stdin = true;
            } else if let (true, Some(name)) = (complete, argument.strip_prefix(b"--")) {
                if !self.options.is_empty() {
                    self.options.push(b'\n');
                }
                self.options.extend_from_slice(name);
                self.options.push(b' ');
                let alone = args::split(argument).is_ok_and(|words| words.len() == 1);
                let dashed = next.is_some_and(|next| next.starts_with(b"--"));
                let ends_here = next.is_none() || dashed;
                if alone && ends_here && name.eq_ignore_ascii_case(b"save") {
                    // An empty list, as a script that builds its arguments would leave it.
                    self.options.extend_from_slice(b"\"\"");
                }
                let bare = [b"save".as_slice(), b"sentinel"]
                    .iter()
                    .any(|bare| name.eq_ignore_ascii_case(bare));
                complete = !alone || (dashed && bare);
            } else {
                args::repr(&mut self.options, argument);
                self.options.push(b' ');
                complete = true;
            }
        }
    }
}

/// A line for the log once it exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    pub level: LogLevel,
    pub text: String,
}

/// Why there is no configuration. Displayed, it is what goes to standard error before exit 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fatal {
    /// A line that cannot be.
    Line {
        number: usize,
        line: Vec<u8>,
        reason: Reason,
    },
    /// Lines that cannot be together.
    Whole(Reason),
    /// A file that cannot be read.
    Unreadable { path: PathBuf, reason: String },
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Fatal::Unreadable { path, reason } = self {
            let path = path.display();
            return writeln!(f, "Fatal error, can't open config file '{path}': {reason}");
        }
        let version = crate::REDIS_VERSION;
        writeln!(f, "\n*** FATAL CONFIG FILE ERROR (Redis {version}) ***")?;
        match self {
            Fatal::Line {
                number,
                line,
                reason,
            } => {
                writeln!(f, "Reading the configuration file, at line {number}")?;
                writeln!(f, ">>> '{}'", String::from_utf8_lossy(line))?;
                writeln!(f, "{reason}")
            }
            Fatal::Whole(reason) => writeln!(f, "{reason}"),
            Fatal::Unreadable { .. } => Ok(()),
        }
    }
}

impl std::error::Error for Fatal {}

/// The judgement of the rest of the server on lines that are no options.
///
/// `()` takes them all; the lines are kept in [`Config::directives`] in any case.
pub trait Referee {
    /// `rename-command <from> <to>`.
    fn rename_command(&mut self, from: &[u8], to: &[u8]) -> Result<(), Reason>;
    /// `user <name> <rule>…`, without the first word. The error names the rule that is wrong:
    /// `Error in user declaration '…': …`.
    fn user(&mut self, words: &[Vec<u8>]) -> Result<(), Reason>;
}

impl Referee for () {
    fn rename_command(&mut self, _from: &[u8], _to: &[u8]) -> Result<(), Reason> {
        Ok(())
    }

    fn user(&mut self, _words: &[Vec<u8>]) -> Result<(), Reason> {
        Ok(())
    }
}

impl Config {
    /// Reads all the command line names, over the defaults.
    ///
    /// # Errors
    /// The first line that cannot be, or a file that cannot be read.
    #[doc(alias = "loadServerConfig")]
    pub fn load(
        command_line: &CommandLine,
        referee: &mut dyn Referee,
    ) -> Result<(Config, Vec<Remark>), Fatal> {
        let config = match command_line.sentinel {
            true => Config::of_sentinel(),
            false => Config::default(),
        };
        let mut loader = Loader::new(config, referee);
        let mut text = Vec::new();
        if let Some(file) = &command_line.file {
            let path = loader.config.dir.join(disk::path(file));
            loader.config.file = Some(std::path::absolute(&path).unwrap_or(path));
            text = loader.read(file)?;
        }
        if command_line.stdin {
            loader.remark(LogLevel::Notice, "Reading config from stdin".into());
            let stdin = std::io::stdin().lock();
            let read = stdin.take(MAX_FILE_BYTES).read_to_end(&mut text);
            read.map_err(|e| Fatal::Whole(disk::reason(&e).into()))?;
        }
        if !command_line.options.is_empty() {
            text.push(b'\n');
            text.extend_from_slice(&command_line.options);
        }
        loader.lines(&text, 0)?;
        loader.finish()
    }

    /// Reads the text of a configuration file, over the defaults.
    pub fn parse(text: &[u8], referee: &mut dyn Referee) -> Result<(Config, Vec<Remark>), Fatal> {
        let mut loader = Loader::new(Config::default(), referee);
        loader.lines(text, 0)?;
        loader.finish()
    }
}

struct Loader<'a> {
    config: Config,
    remarks: Vec<Remark>,
    referee: &'a mut dyn Referee,
    /// A `save` line was seen: the built-in points are gone.
    saw_save: bool,
    /// Lines that only Valkey understands: their numbers and names.
    of_valkey: Vec<(usize, String)>,
    /// The first line that only a module may understand: its number, the line.
    of_modules: Option<(usize, Vec<u8>)>,
    files: usize,
}

impl<'a> Loader<'a> {
    fn new(config: Config, referee: &'a mut dyn Referee) -> Self {
        Loader {
            config,
            remarks: Vec::new(),
            referee,
            saw_save: false,
            of_valkey: Vec::new(),
            of_modules: None,
            files: 0,
        }
    }

    fn remark(&mut self, level: LogLevel, text: String) {
        self.remarks.push(Remark { level, text });
    }

    /// The text of a file, or of all files a pattern names, which may be none.
    fn read(&mut self, name: &[u8]) -> Result<Vec<u8>, Fatal> {
        let path = self.config.dir.join(disk::path(name));
        let paths = match name.iter().any(|b| b"*?[".contains(b)) {
            true => disk::glob(&path),
            false => vec![path],
        };
        let mut text = Vec::new();
        for path in paths {
            self.files += 1;
            if self.files > MAX_FILES {
                return Err(Fatal::Whole("too many included files".into()));
            }
            let unreadable = |e| Fatal::Unreadable {
                path: path.clone(),
                reason: disk::reason(&e),
            };
            let room = MAX_FILE_BYTES.saturating_sub(text.len() as u64);
            text.extend(disk::read(&path, room).map_err(unreadable)?);
            text.push(b'\n');
        }
        Ok(text)
    }

    fn lines(&mut self, text: &[u8], depth: usize) -> Result<(), Fatal> {
        for (at, line) in text.split(|b| *b == b'\n').enumerate() {
            let line = words::trim(line);
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let wrong = |reason: Reason| Fatal::Line {
                number: at + 1,
                line: line.to_vec(),
                reason,
            };
            let words = args::split(line)
                .map_err(|_| wrong("Unbalanced quotes in configuration line".into()))?;
            let Some((name, values)) = words.split_first() else {
                continue;
            };
            let name = name.to_ascii_lowercase();
            if Directive::named(&name) == Some(Directive::Include) && values.len() == 1 {
                if depth == MAX_DEPTH {
                    return Err(wrong("include files are nested too deep".into()));
                }
                let included = self.read(&values[0])?;
                self.lines(&included, depth + 1)?;
                continue;
            }
            match find(&name) {
                Some(option) => self.option(option, values),
                None => self.directive(&name, values, at + 1),
            }
            .map_err(wrong)?;
        }
        Ok(())
    }

    /// A line of the table.
    fn option(&mut self, option: &'static ConfigOption, values: &[Vec<u8>]) -> Result<(), Reason> {
        // An option of several words takes them quoted as one, too.
        let split = match values {
            [all] if option.has(Flag::MultiArg) && !all.is_empty() => Some(
                args::split(all)
                    .map_err(|_| Reason::from("Unbalanced quotes in configuration line"))?,
            ),
            [_] => None,
            _ if option.has(Flag::MultiArg) => None,
            _ => return Err(ARITY),
        };
        let values: Vec<&[u8]> = split
            .as_deref()
            .unwrap_or(values)
            .iter()
            .map(Vec::as_slice)
            .collect();
        if option.name == "save" {
            // The first line replaces the default, the following ones add to it.
            let mut points = match std::mem::replace(&mut self.saw_save, true) {
                true => std::mem::take(&mut self.config.save),
                false => Vec::new(),
            };
            option.set(&mut self.config, &values)?;
            if values != [b""] {
                points.append(&mut self.config.save);
                self.config.save = points;
            }
            return Ok(());
        }
        let changed = option.set(&mut self.config, &values)?;
        let text = remarks_on(option, &self.config);
        if changed {
            self.remarks.extend(text);
        }
        Ok(())
    }

    /// A line for another part of the server.
    fn directive(&mut self, name: &[u8], values: &[Vec<u8>], number: usize) -> Result<(), Reason> {
        match Directive::named(name) {
            Some(directive) => self.known_directive(directive, values, number),
            None => self.foreign_option(name, values, number),
        }
    }

    fn known_directive(
        &mut self,
        directive: Directive,
        values: &[Vec<u8>],
        number: usize,
    ) -> Result<(), Reason> {
        let directives = &mut self.config.directives;
        match (directive, values) {
            (Directive::RenameCommand, [from, to]) => {
                self.referee.rename_command(from, to)?;
                directives.renamed_commands.push((from.clone(), to.clone()));
            }
            (Directive::User, [_, ..]) => {
                self.referee.user(values)?;
                directives.users.push(values.to_vec());
            }
            (Directive::LoadModule, [_, ..]) => directives.modules.push(values.to_vec()),
            (Directive::Sentinel, []) => {} // `--sentinel`: seen before any line was read.
            (Directive::Sentinel, _) if self.config.sentinel => {
                directives.sentinel.push((number, values.to_vec()));
            }
            (Directive::Sentinel, _) => {
                return Err("sentinel directive while not in sentinel mode".into());
            }
            (Directive::Forgotten, [_]) => {}
            _ => return Err(BAD_DIRECTIVE.into()),
        }
        Ok(())
    }

    /// A line for a module, or for Valkey. A module's option with a dot in its name is one for sure; whether one without
    /// a dot is, the module says when it is loaded.
    fn foreign_option(
        &mut self,
        name: &[u8],
        values: &[Vec<u8>],
        number: usize,
    ) -> Result<(), Reason> {
        let dotted = name.contains(&b'.');
        match values {
            [] if dotted => return Err("Module config specified without value".into()),
            [_, ..] if dotted => {}
            [_, ..] if valkey::knows(name) => {
                let name = String::from_utf8_lossy(name).into_owned();
                self.of_valkey.push((number, name));
                return Ok(());
            }
            [_, ..] if may_name_option(name) => {
                let words = std::iter::once(name).chain(values.iter().map(Vec::as_slice));
                let line = words.collect::<Vec<&[u8]>>().join(&b' ');
                self.of_modules.get_or_insert((number, line));
            }
            _ => return Err(BAD_DIRECTIVE.into()),
        }
        let options = &mut self.config.directives.module_options;
        options.retain(|(known, _)| known != name);
        options.push((name.to_vec(), values.to_vec()));
        Ok(())
    }

    /// Checks that need all of the lines: combinations of options, Valkey's directives.
    fn finish(mut self) -> Result<(Config, Vec<Remark>), Fatal> {
        if !self.of_valkey.is_empty() {
            return Err(Fatal::Whole(valkey::explain(&self.of_valkey).into()));
        }
        let config = &mut self.config;
        if let Some((number, line)) = self.of_modules.take()
            && config.directives.modules.is_empty()
        {
            return Err(Fatal::Line {
                number,
                line,
                reason: BAD_DIRECTIVE.into(),
            });
        }
        if !config.logfile.is_empty() {
            // Later there would be no way to report a log that cannot be opened.
            let path = config.dir.join(&config.logfile);
            disk::can_append(&path).map_err(|e| {
                Fatal::Whole(format!("Can't open the log file: {}", disk::reason(&e)).into())
            })?;
        }
        if config.cluster_enabled && config.replicaof.is_some() {
            let reason = "replicaof directive not allowed in cluster mode";
            return Err(Fatal::Whole(reason.into()));
        }
        if super::checks::bus_is_open(config) {
            return Err(Fatal::Whole(
                "cluster-bus-port-protected-mode is enabled but tls-cluster is disabled: whoever reaches the port of \
                 the cluster bus could join the cluster. Set tls-cluster yes, or cluster-bus-port-protected-mode no."
                    .into(),
            ));
        }
        if config.cluster_enabled && config.databases > 1 {
            let was = std::mem::replace(&mut config.databases, 1);
            self.remark(
                LogLevel::Warning,
                format!(
                    "WARNING: Changing databases number from {was} to 1 since we are in cluster mode"
                ),
            );
        }
        Ok((self.config, self.remarks))
    }
}

/// The remark for the log about an option that was just set, if it deserves one.
pub(super) fn remarks_on(option: &ConfigOption, config: &Config) -> Option<Remark> {
    if let Some(reason) = option.no_effect() {
        return Some(Remark {
            level: LogLevel::Notice,
            text: format!("The option '{}' has no effect: {reason}.", option.name),
        });
    }
    let OomScores {
        primary,
        replica,
        child,
    } = config.oom_score_adj_values;
    let falling = replica < primary || child < replica;
    (option.name == "oom-score-adj-values" && falling).then(|| Remark {
        level: LogLevel::Warning,
        text: "The oom-score-adj-values configuration may not work for non-privileged processes! \
               Please consult the documentation."
            .into(),
    })
}
