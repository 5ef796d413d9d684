//! The house keeps its shape: a room uses only rooms below it.
//!
//! Read from the `use crate::` lines. A subsystem's data lies below `State`; a file of a subsystem that acts on the whole
//! `State` says so by using it, and then stands above, beside `dispatch`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Rooms by floor, the longest name that fits counts.
const FLOORS: &[(&str, u8)] = &[
    ("util", 0),
    ("sys", 0),
    ("config", 1),
    ("tls", 2),
    ("collections", 1),
    ("types", 2),
    ("keyspace", 3),
    ("resp", 4),
    // What a command is, and the words of a request.
    ("dispatch", 4),
    ("clients", 5),
    ("pubsub", 5),
    ("acl", 5),
    ("background", 5),
    ("persistence", 5),
    ("replication", 5),
    ("scripting", 5),
    ("observe", 5),
    ("cluster", 5),
    ("wires", 5),
    ("sentinel", 5),
    ("state", 6),
    // How a command runs.
    ("dispatch/call", ACTS),
    ("dispatch/gate", ACTS),
    ("dispatch/process", ACTS),
    ("dispatch/unblock", ACTS),
    ("dispatch/context", ACTS),
    ("dispatch/Ctx", ACTS),
    ("commands", 8),
    ("server", 9),
    ("main", 9),
    ("bin", 9),
    ("lib", 9),
];

/// The floor of code that runs commands.
const ACTS: u8 = 7;

/// Arrows that turn back, each with its reason.
const ALLOWED: &[(&str, &str, &str)] = &[
    (
        "config/values",
        "keyspace/events/Class",
        "the letters of notify-keyspace-events are read by the option, and mean classes of events",
    ),
    (
        "sys/alloc",
        "collections/shared/good_size",
        "the allocator counts in the sizes that the structures ask for",
    ),
    (
        "dispatch/args",
        "resp/Error",
        "a cursor over arguments fails with the errors a client is told",
    ),
];

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

fn floor(module: &str) -> Option<u8> {
    let fits = |room: &str| {
        let rest = module.strip_prefix(room);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let rooms = FLOORS.iter().filter(|(room, _)| fits(room));
    rooms.max_by_key(|(room, _)| room.len()).map(|(_, n)| *n)
}

/// The paths of one use tree, such as `a::{b, c::{d, e}}`.
fn expand(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        if !tree.is_empty() {
            let plain = tree.split(" as ").next().unwrap_or(tree);
            paths.push(format!("{prefix}{}", plain.trim().replace("::", "/")));
        }
        return;
    };
    let prefix = format!("{prefix}{}", tree[..open].replace("::", "/"));
    let inside = tree[open + 1..].trim_end_matches('}');
    let (mut depth, mut start) = (0, 0);
    for (at, letter) in inside.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&prefix, &inside[start..at], paths);
                start = at + 1;
            }
            _ => {}
        }
    }
    let rest = &inside[start..];
    // Trailing braces were cut off together with the outermost one.
    let missing = rest.matches('{').count() - rest.matches('}').count();
    expand(&prefix, &(rest.to_owned() + &"}".repeat(missing)), paths);
}

/// Each module with what it uses of the crate, tests left out.
fn arrows() -> BTreeMap<String, Vec<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut arrows = BTreeMap::new();
    for file in files {
        let within = file.strip_prefix(&root).expect("a path of the sources");
        let name = within.with_extension("");
        let name = name.to_string_lossy().replace('\\', "/");
        if name.split('/').any(|part| part.contains("tests")) {
            continue;
        }
        let text = fs::read_to_string(&file).expect("a source is text");
        let code = text.split("#[cfg(test)]").next().unwrap_or(&text);
        let mut used = Vec::new();
        for tree in code.split("use crate::").skip(1) {
            let tree = tree.split(';').next().unwrap_or("");
            expand("", &tree.replace('\n', " "), &mut used);
        }
        arrows.insert(name.trim_end_matches("/mod").to_owned(), used);
    }
    arrows
}

#[test]
fn no_arrow_turns_back() {
    let mut turned = Vec::new();
    for (module, used) in arrows() {
        let own = floor(&module).unwrap_or_else(|| panic!("{module} is on no floor"));
        let subsystem = (5..ACTS).contains(&own);
        let acts = subsystem && used.iter().any(|path| path.starts_with("state"));
        let own = if acts { ACTS } else { own };
        for path in used {
            let allowed = |(from, to, _): &&(&str, &str, &str)| *from == module && *to == path;
            let above = floor(&path).is_some_and(|floor| floor > own);
            if above && !ALLOWED.iter().any(|exception| allowed(&exception)) {
                turned.push(format!("{module} uses {path}"));
            }
        }
    }
    assert!(turned.is_empty(), "{}", turned.join("\n"));
}

#[test]
fn every_exception_is_needed() {
    let arrows = arrows();
    for (from, to, _) in ALLOWED {
        let used = arrows
            .get(*from)
            .is_some_and(|used| used.iter().any(|path| path == to));
        assert!(used, "{from} no longer uses {to}");
    }
}

#[test]
fn use_trees_are_read() {
    let mut paths = Vec::new();
    expand("", "a::{b, c::{d, e as f}, g::*}", &mut paths);
    assert_eq!(paths, ["a/b", "a/c/d", "a/c/e", "a/g/*"]);
}
