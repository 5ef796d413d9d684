//! What the manual says of files and private functions is there; links to what is public are checked by rustdoc.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

/// The chapters, each with its text on one line.
fn chapters() -> Vec<(String, String)> {
    let mut chapters = Vec::new();
    for file in fs::read_dir(root().join("src/manual")).expect("the manual") {
        let path = file.expect("a file").path();
        let text = fs::read_to_string(&path).expect("a chapter");
        let lines = text.lines().filter_map(|line| line.strip_prefix("//!"));
        let words: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
        chapters.push((path.display().to_string(), words.join(" ")));
    }
    assert!(chapters.len() > 12, "{} files", chapters.len());
    chapters
}

/// Whether a source defines an item of this name.
fn defines(source: &str, name: &str) -> bool {
    ["fn", "struct", "enum", "trait", "const", "static", "mod"]
        .iter()
        .any(|kind| {
            let begin = format!("{kind} {name}");
            source.match_indices(&begin).any(|(at, _)| {
                let after = source[at + begin.len()..].chars().next();
                !after.is_some_and(|c| c.is_alphanumeric() || c == '_')
            })
        })
}

/// `` `name` in `some/file.rs` `` means an item of that file.
#[test]
fn what_the_manual_names_in_a_file_is_there() {
    let mut named = 0;
    for (chapter, text) in chapters() {
        let spans: Vec<&str> = text.split('`').collect();
        for window in spans.windows(3) {
            let [names, between, file] = window else {
                continue;
            };
            if *between != " in " || !file.ends_with(".rs") {
                continue;
            }
            let path = root().join("src").join(file);
            let source = fs::read_to_string(&path);
            let source = source.unwrap_or_else(|error| panic!("{chapter}: {file}: {error}"));
            assert!(defines(&source, names), "{chapter}: no {names} in {file}");
            named += 1;
        }
    }
    assert!(named > 20, "{named} items");
}

#[test]
fn files_that_the_manual_names_are_there() {
    for (chapter, text) in chapters() {
        for span in text.split('`').skip(1).step_by(2) {
            let bases = match span {
                _ if span.contains(' ') || !span.contains('/') => continue,
                _ if span.starts_with("docs/") || span.starts_with("tests/") => "",
                _ if span.starts_with("src/") => "",
                _ if span.ends_with(".rs") => "src",
                _ => continue,
            };
            let path = root().join(bases).join(span);
            assert!(path.exists(), "{chapter}: {span}");
        }
    }
}

/// The table of contents in `lib.rs` names every room.
#[test]
fn every_room_is_in_the_table_of_contents() {
    let text = fs::read_to_string(root().join("src/lib.rs")).expect("lib.rs");
    let rooms = text
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let table: String = text
        .lines()
        .filter(|line| line.starts_with("//! |"))
        .collect();
    for room in rooms {
        assert!(table.contains(&format!("[`{room}`]")), "{room}");
    }
}
