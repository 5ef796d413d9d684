//! The arrows between files: every path of a crate's sources, resolved to the file that defines what it names.
//!
//! ```text
//!   use crate::clients::Client;        clients/mod.rs says `pub use self::client::Client;`
//!   ── read as an arrow to ──► clients/client          the file where the symbol stands
//! ```
//!
//! Four ways to use a file are seen: a `use` tree; a path in the code that begins with `crate`, `super`, `self`, an
//! imported name or a child module; a re-export, followed to its end; and a call of a method that `impl State` gives
//! to the state in a file other than its own. Items that only tests use are left out, one by one.

use std::collections::{BTreeMap, BTreeSet};

/// A token with its kind left out: names, `::`, brackets and other signs, one by one. Comments are gone, and a
/// literal is the token `"`.
fn tokens(text: &str) -> Vec<String> {
    let bytes: Vec<char> = text.chars().collect();
    let (mut out, mut i) = (Vec::new(), 0);
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    while i < bytes.len() {
        let c = bytes[i];
        let next = bytes.get(i + 1).copied().unwrap_or(' ');
        if c.is_whitespace() {
            i += 1;
        } else if c == '/' && next == '/' {
            while i < bytes.len() && bytes[i] != '\n' {
                i += 1;
            }
        } else if c == '/' && next == '*' {
            let mut depth = 0;
            loop {
                match (bytes.get(i), bytes.get(i + 1)) {
                    (Some('/'), Some('*')) => (depth, i) = (depth + 1, i + 2),
                    (Some('*'), Some('/')) => (depth, i) = (depth - 1, i + 2),
                    (Some(_), _) => i += 1,
                    (None, _) => break,
                }
                if depth == 0 {
                    break;
                }
            }
        } else if c == '"' {
            i = end_of_string(&bytes, i + 1);
            out.push("\"".into());
        } else if c == '\'' {
            // A lifetime has no second quote right after its first letter.
            let lifetime = is_name(next) && bytes.get(i + 2) != Some(&'\'');
            i += 1;
            if lifetime {
                while i < bytes.len() && is_name(bytes[i]) {
                    i += 1;
                }
            } else {
                while bytes[i] != '\'' {
                    i += if bytes[i] == '\\' { 2 } else { 1 };
                }
                i += 1;
                out.push("\"".into());
            }
        } else if is_name(c) {
            let start = i;
            while i < bytes.len() && is_name(bytes[i]) {
                i += 1;
            }
            let word: String = bytes[start..i].iter().collect();
            let raw = matches!(word.as_str(), "r" | "br" | "cr");
            let hashes = bytes[i..].iter().take_while(|c| **c == '#').count();
            if raw && bytes.get(i + hashes) == Some(&'"') {
                let close: Vec<char> = std::iter::once('"')
                    .chain(std::iter::repeat_n('#', hashes))
                    .collect();
                i += hashes + 1;
                while i < bytes.len() && !bytes[i..].starts_with(&close) {
                    i += 1;
                }
                i += close.len();
                out.push("\"".into());
            } else if matches!(word.as_str(), "b" | "c") && bytes.get(i) == Some(&'"') {
                i = end_of_string(&bytes, i + 1);
                out.push("\"".into());
            } else if word != "b" || bytes.get(i) != Some(&'\'') {
                out.push(word);
            }
        } else if c == ':' && next == ':' {
            out.push("::".into());
            i += 2;
        } else {
            out.push(c.to_string());
            i += 1;
        }
    }
    out
}

fn end_of_string(text: &[char], mut i: usize) -> usize {
    while i < text.len() && text[i] != '"' {
        i += if text[i] == '\\' { 2 } else { 1 };
    }
    i + 1
}

/// The index behind the bracket that closes the one at `open`.
fn behind(tokens: &[String], open: usize) -> usize {
    let mut depth = 0;
    for (i, token) in tokens.iter().enumerate().skip(open) {
        match token.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => continue,
        }
        if depth == 0 {
            return i + 1;
        }
    }
    tokens.len()
}

/// The index behind the item that begins at `at`: a `;`, or the end of its braces.
fn behind_item(tokens: &[String], mut at: usize) -> usize {
    let is_use = tokens.get(at).is_some_and(|word| word == "use");
    while at < tokens.len() {
        match tokens[at].as_str() {
            ";" => return at + 1,
            "{" if !is_use => return behind(tokens, at),
            "(" | "[" | "{" => at = behind(tokens, at),
            _ => at += 1,
        }
    }
    at
}

/// The tokens without the items that are marked `#[cfg(test)]`, and the modules declared by such items.
fn without_tests(tokens: &[String]) -> (Vec<String>, Vec<String>) {
    let (mut kept, mut modules, mut i) = (Vec::new(), Vec::new(), 0);
    while i < tokens.len() {
        if tokens[i] != "#" {
            kept.push(tokens[i].clone());
            i += 1;
            continue;
        }
        let end = behind(tokens, i + 1);
        let words: Vec<&str> = tokens[i..end].iter().map(String::as_str).collect();
        if words != ["#", "[", "cfg", "(", "test", ")", "]"] {
            i = end;
            continue;
        }
        // Further attributes belong to the same item.
        i = end;
        while tokens.get(i).is_some_and(|token| token == "#") {
            i = behind(tokens, i + 1);
        }
        if let Some(at) = tokens[i..].iter().take(3).position(|word| word == "mod") {
            modules.extend(tokens.get(i + at + 1).cloned());
        }
        i = behind_item(tokens, i);
    }
    (kept, modules)
}

type Path = Vec<String>;

/// The paths of a `use` tree, each with the name it gets.
fn use_tree(tokens: &[String], prefix: &[String], out: &mut Vec<(Path, String)>) {
    let mut path = prefix.to_vec();
    let mut i = 0;
    while i < tokens.len() {
        match tokens[i].as_str() {
            "::" => {}
            "{" => {
                let end = behind(tokens, i) - 1;
                let mut start = i + 1;
                let mut at = start;
                while at <= end {
                    if at == end || tokens[at] == "," {
                        use_tree(&tokens[start..at], &path, out);
                        start = at + 1;
                    } else if tokens[at] == "{" {
                        at = behind(tokens, at) - 1;
                    }
                    at += 1;
                }
                return;
            }
            "as" => {
                let name = tokens[i + 1].clone();
                out.push((path, name));
                return;
            }
            word => path.push(word.to_owned()),
        }
        i += 1;
    }
    if path.len() > prefix.len() {
        if path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        let name = path.last().cloned().unwrap_or_default();
        out.push((path, name));
    }
}

/// One file, read.
#[derive(Default)]
struct Source {
    tokens: Vec<String>,
    /// Names that imports and child modules give, with their paths from the root of the crate.
    names: BTreeMap<String, Path>,
    /// The names among them that others see.
    exports: BTreeMap<String, Path>,
    /// Every path, from the root of the crate.
    used: Vec<Path>,
    /// Modules that only tests have.
    test_modules: Vec<String>,
}

/// The arrows of a crate: file, file it uses, and one path by which it does. A file is named by its module's path,
/// such as `clients/client`; the root is the empty name.
#[derive(Debug, Default)]
pub struct Arrows(pub BTreeMap<String, BTreeMap<String, String>>);

/// Reads a crate from its files: module's path (`clients/client`, `clients` for its mod.rs) and text.
pub fn arrows(files: &[(String, String)]) -> Arrows {
    let mut sources: BTreeMap<Path, Source> = BTreeMap::new();
    for (name, text) in files {
        let module: Path = name
            .split('/')
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect();
        let (tokens, test_modules) = without_tests(&tokens(text));
        sources.insert(
            module,
            Source {
                tokens,
                test_modules,
                ..Source::default()
            },
        );
    }
    let mut tests: BTreeSet<Path> = BTreeSet::new();
    for (module, source) in &sources {
        for name in &source.test_modules {
            tests.insert([module.as_slice(), std::slice::from_ref(name)].concat());
        }
    }
    sources.retain(|module, _| !tests.iter().any(|test| module.starts_with(test)));
    for (module, source) in &mut sources {
        read(module, source);
    }
    let methods = state_methods(&sources);
    let mut arrows = Arrows::default();
    for (module, source) in &sources {
        let out = arrows.0.entry(module.join("/")).or_default();
        for path in &source.used {
            if let Some(file) = resolve(&sources, path, 0)
                && file != *module
                && !file.is_empty()
            {
                out.entry(file.join("/")).or_insert_with(|| path.join("::"));
            }
        }
        for (name, file) in calls_of_state(&source.tokens, &methods) {
            if file != module && !file.is_empty() {
                out.entry(file.join("/"))
                    .or_insert_with(|| format!("State::{name}()"));
            }
        }
    }
    arrows
}

/// Collects the imports, exports and paths of a file.
fn read(module: &Path, source: &mut Source) {
    let tokens = std::mem::take(&mut source.tokens);
    // Names first: code may use an import that stands below it.
    let mut nest: Vec<(usize, String)> = Vec::new();
    let mut nests = Vec::with_capacity(tokens.len());
    for (i, token) in tokens.iter().enumerate() {
        nest.retain(|(end, _)| i < *end);
        if token == "mod" && tokens.get(i + 2).is_some_and(|open| open == "{") {
            nest.push((behind(&tokens, i + 2), tokens[i + 1].clone()));
        } else if token == "mod" && tokens.get(i + 2).is_some_and(|end| end == ";") {
            let path = [module.as_slice(), &[tokens[i + 1].clone()]].concat();
            source.names.insert(tokens[i + 1].clone(), path);
        }
        nests.push(nest.iter().map(|(_, name)| name.clone()).collect::<Path>());
    }
    let is_import = |i: usize| {
        let before = i.checked_sub(1).map(|before| tokens[before].as_str());
        tokens[i] == "use" && matches!(before, None | Some("pub" | ")" | ";" | "}" | "{" | "]"))
    };
    let mut imports = Vec::new();
    let mut spans = Vec::new();
    for i in 0..tokens.len() {
        if is_import(i) {
            let end = behind_item(&tokens, i);
            let mut tree = Vec::new();
            use_tree(&tokens[i + 1..end - 1], &[], &mut tree);
            let exported = i > 0 && matches!(tokens[i - 1].as_str(), "pub" | ")");
            for (path, name) in tree {
                imports.push((absolute(module, &nests[i], &path), path, name, exported));
            }
            spans.push(i..end);
        }
    }
    for (path, _, name, exported) in &imports {
        if let Some(path) = path {
            source
                .names
                .entry(name.clone())
                .or_insert_with(|| path.clone());
            if *exported {
                source.exports.insert(name.clone(), path.clone());
            }
        }
    }
    // An import may begin with another one, or with a child module.
    for (path, written, name, exported) in imports {
        let path = path.or_else(|| {
            let (first, rest) = written.split_first()?;
            let first = source.names.get(first)?;
            Some([first.as_slice(), rest].concat())
        });
        let Some(path) = path else { continue };
        source
            .names
            .entry(name.clone())
            .or_insert_with(|| path.clone());
        match exported {
            true => drop(source.exports.insert(name, path)),
            false => source.used.push(path),
        }
    }
    let mut i = 0;
    while i < tokens.len() {
        if let Some(span) = spans.iter().find(|span| span.start == i) {
            i = span.end;
            continue;
        }
        let goes_on = tokens.get(i + 1).is_some_and(|sign| sign == "::");
        // `pub(in crate::room)` says who may use the item, and uses nothing.
        let is_visibility = i >= 2 && tokens[i - 1] == "in" && tokens[i - 2] == "(";
        let begins = i == 0 || !(is_visibility || matches!(tokens[i - 1].as_str(), "::" | "."));
        if !goes_on || !begins {
            i += 1;
            continue;
        }
        let mut path = vec![tokens[i].clone()];
        let mut at = i + 1;
        let word = |at: usize| {
            let word = tokens.get(at)?;
            word.chars()
                .next()
                .filter(|c| c.is_alphabetic() || *c == '_')
                .map(|_| word.clone())
        };
        while tokens.get(at).is_some_and(|sign| sign == "::")
            && let Some(word) = word(at + 1)
        {
            path.push(word);
            at += 2;
        }
        let full = absolute(module, &nests[i], &path).or_else(|| {
            let first = source.names.get(&path[0])?;
            Some([first.as_slice(), &path[1..]].concat())
        });
        source.used.extend(full);
        i = at;
    }
    source.tokens = tokens;
}

/// A path from the root of the crate; none for what begins otherwise.
fn absolute(module: &Path, nest: &Path, path: &[String]) -> Option<Path> {
    let here = [module.as_slice(), nest].concat();
    match path.first()?.as_str() {
        "crate" => Some(path[1..].to_vec()),
        "self" if path.len() > 1 => Some([here.as_slice(), &path[1..]].concat()),
        "super" => {
            let up = path.iter().take_while(|word| *word == "super").count();
            let base = here.get(..here.len().checked_sub(up)?)?;
            Some([base, &path[up..]].concat())
        }
        _ => None,
    }
}

/// The file in which the thing at the end of a path stands, re-exports followed.
fn resolve(sources: &BTreeMap<Path, Source>, path: &[String], depth: u32) -> Option<Path> {
    let len = (0..=path.len())
        .rev()
        .find(|len| sources.contains_key(&path[..*len]))?;
    let (file, rest) = path.split_at(len);
    if let Some(name) = rest.first()
        && depth < 16
        && let Some(target) = sources[file].exports.get(name)
    {
        let onward = [target.as_slice(), &rest[1..]].concat();
        return resolve(sources, &onward, depth + 1);
    }
    Some(file.to_vec())
}

/// The methods that `impl State` blocks give to the state, and in which file.
fn state_methods(sources: &BTreeMap<Path, Source>) -> BTreeMap<String, Path> {
    let mut methods = BTreeMap::new();
    for (module, source) in sources {
        for span in impls_of_state(&source.tokens) {
            let (mut i, end) = span;
            while i < end {
                match source.tokens[i].as_str() {
                    "fn" => {
                        methods.insert(source.tokens[i + 1].clone(), module.clone());
                        i = behind_item(&source.tokens, i);
                    }
                    _ => i += 1,
                }
            }
        }
    }
    methods
}

/// Where the bodies of `impl State` begin and end.
pub fn impls_of_state(tokens: &[String]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for i in 0..tokens.len().saturating_sub(2) {
        if tokens[i] == "impl" && tokens[i + 1] == "State" && tokens[i + 2] == "{" {
            found.push((i + 3, behind(tokens, i + 2) - 1));
        }
    }
    found
}

/// Calls of such methods on what is called `state`, or on `self` inside of `impl State`.
fn calls_of_state<'m>(
    tokens: &[String],
    methods: &'m BTreeMap<String, Path>,
) -> Vec<(&'m str, &'m Path)> {
    let mut found = Vec::new();
    // A field named `state` of a file that knows no State is something else.
    if !tokens
        .iter()
        .any(|token| matches!(token.as_str(), "State" | "Ctx"))
    {
        return found;
    }
    let own = impls_of_state(tokens);
    for i in 2..tokens.len() {
        let Some((name, file)) = methods.get_key_value(&tokens[i]) else {
            continue;
        };
        let on_state = match (tokens[i - 1].as_str(), tokens[i - 2].as_str()) {
            (".", "state") | ("::", "State") => true,
            (".", "self") => own.iter().any(|(start, end)| (*start..*end).contains(&i)),
            _ => false,
        };
        if on_state {
            found.push((name.as_str(), file));
        }
    }
    found
}

/// How many `impl State` blocks a text has.
pub fn count_impls(text: &str) -> usize {
    impls_of_state(&without_tests(&tokens(text)).0).len()
}

/// The circles: files each of which reaches every other one, the largest first.
pub fn circles(arrows: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let names: Vec<&String> = arrows.keys().collect();
    let place: BTreeMap<&str, usize> = names
        .iter()
        .enumerate()
        .map(|(i, name)| (name.as_str(), i))
        .collect();
    let next: Vec<Vec<usize>> = names
        .iter()
        .map(|name| {
            arrows[*name]
                .iter()
                .filter_map(|to| place.get(to.as_str()).copied())
                .collect()
        })
        .collect();
    let reach = |start: usize| {
        let mut seen = vec![false; names.len()];
        let mut stack = next[start].clone();
        while let Some(at) = stack.pop() {
            if !std::mem::replace(&mut seen[at], true) {
                stack.extend(&next[at]);
            }
        }
        seen
    };
    let reached: Vec<Vec<bool>> = (0..names.len()).map(reach).collect();
    let mut placed = vec![false; names.len()];
    let mut circles = Vec::new();
    for i in 0..names.len() {
        if placed[i] || !reached[i][i] {
            continue;
        }
        let members: Vec<usize> = (0..names.len())
            .filter(|j| reached[i][*j] && reached[*j][i])
            .collect();
        for member in &members {
            placed[*member] = true;
        }
        circles.push(
            members
                .iter()
                .map(|member| names[*member].clone())
                .collect(),
        );
    }
    circles.sort_by_key(|circle: &Vec<String>| std::cmp::Reverse(circle.len()));
    circles
}
