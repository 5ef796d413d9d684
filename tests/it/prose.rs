//! Comments speak to a stranger, as far as a machine can tell.
//!
//! Two habits are counted. A sentence that begins with a headless relative clause ("What is over the limit is
//! evicted.") makes a reader guess the noun; one sentence in two hundred may. A handler too long to see at a glance
//! says in a doc comment what its command promises.

use std::fs;
use std::path::{Path, PathBuf};

/// Words that stand at the head of a sentence in the place of a noun.
const HEADLESS: &[&str] = &[
    "What", "Who", "Whoever", "Whatever", "Those", "Nobody", "Nothing", "None",
];

/// Of so many sentences, one may begin with a word of [`HEADLESS`].
const ONE_IN: usize = 200;

/// Lines from which on a handler has a doc comment of its own.
const LONG_HANDLER: usize = 40;

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("the sources are there") {
        let path = entry.expect("an entry of the sources").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
}

fn texts(directory: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    sources(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join(directory),
        &mut found,
    );
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a source is text");
        (path, text)
    };
    found.into_iter().map(read).collect()
}

/// The words of a line that is nothing but a comment.
fn comment(line: &str) -> Option<&str> {
    let line = line.trim_start().strip_prefix("//")?;
    Some(line.strip_prefix(['/', '!']).unwrap_or(line))
}

/// Calls `each` with every sentence of the comments of a source, and the number of the line where it begins. Code in
/// fences is left out; an empty line, an item of a list and a row of a table end a sentence.
fn sentences(source: &str, mut each: impl FnMut(usize, &str)) {
    let (mut sentence, mut start, mut fenced) = (String::new(), 0, false);
    for (number, line) in source.lines().enumerate() {
        let words = comment(line).map(str::trim);
        let fence = words.is_some_and(|words| words.starts_with("```"));
        let item = words.is_some_and(|words| words.starts_with(['|', '-', '*', '#']));
        if words.is_none_or(str::is_empty) || fence || item {
            if !sentence.is_empty() {
                each(start, &sentence);
            }
            sentence.clear();
        }
        fenced = words.is_some() && (fenced != fence);
        let Some(words) = words.filter(|_| !fenced && !fence) else {
            continue;
        };
        let words = words.trim_start_matches(['|', '-', '*', '#', ' ']);
        for word in words.split_whitespace() {
            if sentence.is_empty() {
                start = number + 1;
            } else {
                sentence.push(' ');
            }
            sentence.push_str(word);
            if word.ends_with(['.', '!', '?', ':', ';']) && !word.ends_with("e.g.") {
                each(start, &sentence);
                sentence.clear();
            }
        }
    }
    if !sentence.is_empty() {
        each(start, &sentence);
    }
}

fn headless(sentence: &str) -> bool {
    let first = sentence
        .split(|letter: char| !letter.is_alphanumeric())
        .next();
    !sentence.ends_with('?') && first.is_some_and(|first| HEADLESS.contains(&first))
}

#[test]
fn sentences_begin_with_their_subject() {
    let (mut all, mut found) = (0, Vec::new());
    for (path, source) in texts("src") {
        sentences(&source, |line, sentence| {
            all += 1;
            if headless(sentence) {
                found.push(format!("{}:{line}: {sentence}", path.display()));
            }
        });
    }
    assert!(
        found.len() * ONE_IN <= all,
        "{} of {all} sentences name no subject:\n{}",
        found.len(),
        found.join("\n")
    );
}

/// Functions of a source that take a `Ctx` and are `LONG_HANDLER` lines or longer, without a doc comment.
fn undocumented(source: &str) -> Vec<&str> {
    let lines: Vec<&str> = source.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(name) = line.strip_prefix("fn ").or(line.strip_prefix("pub fn ")) else {
            continue;
        };
        let length = lines[at..].iter().position(|line| line.starts_with('}'));
        let head = lines[at..]
            .iter()
            .take(3)
            .any(|line| line.contains("&mut Ctx"));
        let above = lines[..at]
            .iter()
            .rev()
            .take_while(|line| !line.trim().is_empty());
        let told = above.clone().any(|line| line.starts_with("///"));
        if head && !told && length.is_some_and(|length| length >= LONG_HANDLER) {
            found.push(name.split(['(', '<']).next().unwrap_or(name));
        }
    }
    found
}

#[test]
fn long_handlers_say_what_they_promise() {
    let mut found = Vec::new();
    for (path, source) in texts("src/commands") {
        let names = undocumented(&source);
        found.extend(
            names
                .iter()
                .map(|name| format!("{}: {name}", path.display())),
        );
    }
    assert!(
        found.is_empty(),
        "without a doc comment:\n{}",
        found.join("\n")
    );
}

#[test]
fn sentences_are_told_apart() {
    let source = "//! A table. What is in it\n//! counts.\n//! ```\n//! What code.\n//! ```\nfn f() {} // What?\n/// - Those.\n";
    let mut found = Vec::new();
    sentences(source, |line, sentence| {
        found.push((line, sentence.to_owned()))
    });
    let found: Vec<(usize, &str)> = found
        .iter()
        .map(|(line, text)| (*line, text.as_str()))
        .collect();
    assert_eq!(
        found,
        [(1, "A table."), (1, "What is in it counts."), (7, "Those.")]
    );
    assert!(headless(found[1].1) && headless(found[2].1) && !headless(found[0].1));
    assert!(!headless("Who is blocked?") && !headless("Whatsoever it is."));
}
