//! The house keeps its shape: a room uses only rooms below it.
//!
//! Every path of the sources is an arrow (`paths.rs` says how it is read). [`FLOORS`] orders the rooms, the subsystems
//! among themselves included; an arrow to a higher floor turns back, and fails the test unless [`EXCEPTIONS`] names it
//! with its reason. The exceptions become fewer, never more.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::paths::{self, Arrows};

/// Rooms from the lowest to the highest; the longest name that fits a file counts. One line is one floor: its rooms do
/// not use each other.
const FLOORS: &[&str] = &[
    "util",
    "collections",
    "sys",
    "config",
    "tls",
    "types",
    "keyspace",
    "resp",
    // The declaration of commands.
    "command",
    "cluster/id",
    "acl",
    "clients",
    "wires",
    "pubsub",
    "background",
    "cluster sentinel",
    "modules",
    "scripting",
    "persistence",
    "replication",
    "observe shutdown",
    "state",
    // The acting halves, by file: first what tells and answers, then what writes and feeds, then what changes keys.
    "observe/act config/act",
    "persistence/act/standing replication/act/standing replication/act/acks replication/act/trouble scripting/act/flags cluster/act",
    "acl/act",
    "clients/act",
    "replication/act/stream",
    "replication/act/waiting sentinel/act",
    "persistence/act",
    "command/act",
    "keyspace/act",
    "replication/act/writable replication/act/resume clients/act/forget",
    // How a command runs.
    "dispatch",
    // Acting code that runs commands by itself: scripts, files, a primary's stream.
    "scripting/act",
    "persistence/act/loading persistence/act/receiving persistence/act/replay",
    "replication/act",
    "clients/act/leave shutdown/act",
    // A cluster's machine is carried out: slots, replication and pauses follow its acts.
    "cluster/act/arriving cluster/act/carry cluster/act/handover cluster/act/links cluster/act/migration cluster/act/save cluster/act/slots cluster/act/start",
    "config/act/apply sentinel/act",
    "commands",
    // Foreign code, and what calls it: it may use every room that acts, through whose functions it is called as well.
    "modules/act modules/native",
    "modules/abi",
    "modules/abi/table",
    "server",
    // Documentation alone: it links to every room, and no room to it.
    "manual",
];

/// Arrows that turn back: from, to, and the reason. A name ending in `/*` stands for every file of a room.
///
/// All are of one kind: data below holds a function of the rooms above, to be called when its time comes. It is the
/// handler in a declaration, the functions in an interpreter, the closure in a mailbox. Counted along, the first alone
/// joins about seventy files, from the declaration of a command to the context that its handler is given; no file of
/// them imports its way round but through that one type.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    (
        "command/*",
        "dispatch/context",
        "a declaration holds its handler, a function of the context",
    ),
    (
        "modules/abi/context",
        "modules/abi/table",
        "the first word of a context is the function that finds all others",
    ),
    (
        "modules/act/*",
        "modules/abi/*",
        "what a module registered is a C function: it is called through the room that knows the layouts",
    ),
    (
        "scripting/engine",
        "scripting/act/*",
        "an interpreter is made with the functions that scripts call",
    ),
    (
        "scripting/engine",
        "state",
        "those functions find the state in the loan that the interpreter holds",
    ),
    (
        "scripting/debugger/apart",
        "state",
        "a session of its own holds the mailbox through which its end is told",
    ),
];

/// Files in the largest circle, named exceptions left out.
const LARGEST_CIRCLE: usize = 15;

fn fits(room: &str, module: &str) -> bool {
    let rest = module.strip_prefix(room);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The floor of a file.
fn floor(module: &str) -> usize {
    let mut best: Option<(usize, usize)> = None;
    for (floor, rooms) in FLOORS.iter().enumerate() {
        for room in rooms.split_whitespace().filter(|room| fits(room, module)) {
            if best.is_none_or(|(len, _)| room.len() > len) {
                best = Some((room.len(), floor));
            }
        }
    }
    let (_, floor) = best.unwrap_or_else(|| panic!("{module} is on no floor"));
    floor
}

fn room(module: &str) -> &str {
    module.split('/').next().unwrap_or(module)
}

/// Arrows that turn back, as (from, to, path).
fn turned(arrows: &Arrows) -> Vec<(String, String, String)> {
    let mut turned = Vec::new();
    for (from, used) in &arrows.0 {
        if from.is_empty() {
            continue;
        }
        let own = floor(from);
        for (to, path) in used {
            let above = floor(to);
            // Neighbours on one floor do not use each other, unless they are one room.
            if above > own || (above == own && room(from) != room(to)) {
                turned.push((from.clone(), to.clone(), path.clone()));
            }
        }
    }
    turned
}

fn named(pattern: &str, module: &str) -> bool {
    match pattern.strip_suffix("/*") {
        Some(room) => fits(room, module),
        None => pattern == module,
    }
}

fn excepted(from: &str, to: &str) -> Option<usize> {
    EXCEPTIONS
        .iter()
        .position(|(a, b, _)| named(a, from) && named(b, to))
}

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("the sources are there") {
        let path = entry.expect("an entry of the sources").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The files of the library: module's path and text.
fn files() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    sources(&root, &mut found);
    let mut files = Vec::new();
    for file in found {
        let within = file.strip_prefix(&root).expect("a path of the sources");
        let name = within
            .with_extension("")
            .to_string_lossy()
            .replace('\\', "/");
        if name == "main" || name.starts_with("bin/") {
            continue;
        }
        let name = match name.as_str() {
            "lib" => "",
            name => name.trim_end_matches("/mod"),
        };
        files.push((
            name.to_owned(),
            fs::read_to_string(&file).expect("a source is text"),
        ));
    }
    files
}

#[test]
fn no_arrow_turns_back() {
    let mut lines = Vec::new();
    for (from, to, path) in turned(&paths::arrows(&files())) {
        if excepted(&from, &to).is_none() {
            lines.push(format!("{from} uses {to} ({path})"));
        }
    }
    assert!(
        lines.is_empty(),
        "{} arrows turn back:\n{}",
        lines.len(),
        lines.join("\n")
    );
}

#[test]
fn every_exception_is_needed() {
    let turned = turned(&paths::arrows(&files()));
    for (i, (from, to, _)) in EXCEPTIONS.iter().enumerate() {
        let used = turned.iter().any(|(a, b, _)| excepted(a, b) == Some(i));
        assert!(used, "{from} no longer uses {to}");
    }
}

fn plain(arrows: &Arrows) -> BTreeMap<String, BTreeSet<String>> {
    let plain = arrows.0.iter().filter(|(from, _)| !from.is_empty());
    let kept = |from: &str, to: &str| excepted(from, to).is_none();
    let own = |from: &String, to: &BTreeMap<String, String>| {
        to.keys().filter(|to| kept(from, to)).cloned().collect()
    };
    plain
        .map(|(from, to)| (from.clone(), own(from, to)))
        .collect()
}

#[test]
fn circles_do_not_grow() {
    let circles = paths::circles(&plain(&paths::arrows(&files())));
    let largest = circles.first().map_or(0, Vec::len);
    println!("{largest} files in the largest circle");
    assert!(
        largest <= LARGEST_CIRCLE,
        "{largest} files in one circle: {:?}",
        circles[0]
    );
}

#[test]
fn the_state_is_data() {
    // A machine may have a `State` of its own.
    let own = |text: &str| text.contains("\nenum State {") || text.contains("\nstruct State {");
    let files = files().into_iter();
    let elsewhere = files.filter(|(name, text)| name != "state" && !own(text));
    let count: usize = elsewhere.map(|(_, text)| paths::count_impls(&text)).sum();
    assert_eq!(count, 0, "blocks of impl State outside of its file");
}

/// Made-up sources: `util` is the lowest floor, `commands` a high one, and `state` lies between.
fn made_up(files: &[(&str, &str)]) -> Vec<String> {
    let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
    let mut all: Vec<_> = files.iter().map(owned).collect();
    for (name, text) in [
        ("", "pub mod util; pub mod state; pub mod commands;"),
        ("state", "pub struct State;"),
        ("commands", "pub mod get; pub use get::run as start;"),
        ("commands/get", "pub fn run() {}"),
        ("util", ""),
    ] {
        if !all.iter().any(|(known, _)| known == name) {
            all.push((name.to_owned(), text.to_owned()));
        }
    }
    let turned = turned(&paths::arrows(&all));
    turned
        .into_iter()
        .map(|(from, to, _)| format!("{from} -> {to}"))
        .collect()
}

#[test]
fn arrows_are_seen_however_they_are_written() {
    let to_get = ["util -> commands/get"];
    // A use line, a tree, an alias, a nested item.
    assert_eq!(
        made_up(&[("util", "use crate::commands::get::run;")]),
        to_get
    );
    assert_eq!(
        made_up(&[(
            "util",
            "use crate::{state, commands::{get::{self, run as r}}};"
        )])[..1],
        to_get
    );
    assert_eq!(
        made_up(&[("util", "fn f() { use crate::commands::get as g; g::run() }")]),
        to_get
    );
    // A path in the code, from the root, from above, through an imported name.
    assert_eq!(
        made_up(&[("util", "fn f() { crate::commands::get::run() }")]),
        to_get
    );
    assert_eq!(
        made_up(&[("util", "fn f() { super::commands::get::run() }")]),
        to_get
    );
    assert_eq!(
        made_up(&[(
            "util",
            "mod inner { fn f() { super::super::commands::get::run() } }"
        )]),
        to_get
    );
    let through = made_up(&[(
        "util",
        "use crate::commands; fn f() { commands::get::run() }",
    )]);
    assert!(through.contains(&to_get[0].to_owned()), "{through:?}");
    // A re-export is followed to the symbol, renamed or not.
    assert_eq!(made_up(&[("util", "use crate::commands::start;")]), to_get);
    assert_eq!(
        made_up(&[("util", "fn f() { crate::commands::start() }")]),
        to_get
    );
    // Behind an item of tests, not only before it.
    let after = "#[cfg(test)] use crate::commands::start; fn f() { crate::commands::get::run() }";
    assert_eq!(made_up(&[("util", after)]), to_get);
    // A method given to the state by a file above.
    let calls = (
        "state",
        "pub struct State; impl State { fn f(&self) { self.act() } }",
    );
    let gives = (
        "commands/get",
        "use crate::state::State; impl State { pub fn act(&self) {} }",
    );
    assert_eq!(made_up(&[calls, gives]), ["state -> commands/get"]);
    let asks = ("util", "fn f(ctx: &mut Ctx) { ctx.state.act() }");
    assert_eq!(made_up(&[asks, gives]), to_get);
    let other = ("util", "fn f(own: &Own) { own.state.act() }");
    assert_eq!(made_up(&[other, gives]), [""; 0]);
}

#[test]
fn what_is_no_arrow_is_not_seen() {
    let none: [&str; 0] = [];
    assert_eq!(
        made_up(&[(
            "util",
            "// crate::commands::get::run()\n/* use crate::commands::get; */"
        )]),
        none
    );
    assert_eq!(
        made_up(&[(
            "util",
            "const S: &str = \"crate::commands::get::run\"; fn f<'a>(_: &'a str) {}"
        )]),
        none
    );
    assert_eq!(
        made_up(&[("util", "const S: &str = r#\"\"crate::commands::get\"#;")]),
        none
    );
    assert_eq!(
        made_up(&[(
            "util",
            "#[cfg(test)] mod tests { use crate::commands::get; }"
        )]),
        none
    );
    assert_eq!(
        made_up(&[
            ("util", "#[cfg(test)] mod t;"),
            ("util/t", "use crate::commands::get;")
        ]),
        none
    );
    assert_eq!(
        made_up(&[("commands/get", "use crate::state::State; use crate::util;")]),
        none
    );
    assert_eq!(
        made_up(&[
            ("util", "fn f(own: &Own) { own.act() }"),
            ("commands/get", "impl Own { fn act() {} }")
        ]),
        none
    );
}

#[test]
fn circles_are_found() {
    let arrow = |from: &str, to: &[&str]| {
        (
            from.to_owned(),
            to.iter().map(|to| (*to).to_owned()).collect(),
        )
    };
    let arrows = BTreeMap::from([
        arrow("a", &["b"]),
        arrow("b", &["c"]),
        arrow("c", &["a", "d"]),
        arrow("d", &["e"]),
        arrow("e", &[]),
    ]);
    assert_eq!(paths::circles(&arrows), [["a", "b", "c"]]);
}
