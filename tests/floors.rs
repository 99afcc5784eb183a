//! Problem: the floors of this crate (see `src/lib.rs`) are a habit, and one hurried `use` breaks it.
//! Answer: this test reads the sources and fails on an import that goes up or sideways, on a name that belongs to another floor,
//! on `unsafe` outside the files that are for it, on a file without a header and on one too long to hold in the head.
//! It reads tokens, not types: comments and strings do not count, and what a macro expands to is not seen.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// The architecture: a floor's number and its modules. An import goes to a lower number, or stays in its own module.
const FLOORS: &[(u8, &[&str])] =
    &[(0, &["error", "data"]), (1, &["observe"]), (2, &["engine", "remote", "routing"]), (3, &["pipeline"]), (4, &["binding"])];

/// The only imports between two modules of one floor. A packet that is not well formed is an error, so `data` knows `error`.
const NEIGHBOURS: &[(&str, &str)] = &[("data", "error")];

/// A name, and the only places (paths below `src/`, folders with a slash) that may say it.
const RESERVED: &[(&str, &[&str])] = &[
    ("napi", &["binding/", "lib.rs"]),
    ("napi_derive", &["binding/", "lib.rs"]),
    ("wasmedge_sys", &["engine/sys/", "engine/fault/"]),
    // WasmEdge's C functions, which `engine/sys.rs` lends to these; `std::ffi` is another matter.
    ("ffi", &["engine/sys/", "engine/fault/", "engine/host/link.rs", "engine/instance.rs", "engine/outcome.rs", "engine/log.rs"]),
    ("tonic", &["remote/"]),
    ("prost", &["remote/"]),
    ("tokio", &["remote/", "pipeline/"]),
];

/// Names that a module may not say at all. Routing is told what time it is, so that its tests need no clock.
const FORBIDDEN: &[(&str, &str)] = &[("routing/", "Instant::now"), ("routing/", "SystemTime")];

/// Where `unsafe` may stand: at the C library, the signals, the mapped memory, the process's own descriptors and Node's.
const UNSAFE: &[&str] = &[
    "engine/sys/",
    "engine/fault/",
    "engine/host/link.rs",
    "engine/instance.rs",
    "engine/compile.rs",
    "engine/log.rs",
    "engine/cache/disk.rs",
    "binding/",
];

/// Written by a program, for the compiler.
const GENERATED: &[&str] = &["remote/pb/remotemedia.execution.rs", "remote/pb/remotemedia.v1.rs"];

/// What one sitting takes in.
const MAX_LINES: usize = 420;

#[test]
fn every_module_has_a_floor() {
    let mut homeless = Vec::new();
    for name in fs::read_dir(src()).expect("src/").map(|entry| entry.expect("an entry").file_name()) {
        let name = name.to_str().expect("a name in UTF-8").trim_end_matches(".rs").to_owned();
        if name != "lib" && name != "bin" && floor_of(&name).is_none() {
            homeless.push(format!("src/{name}: give it a floor in tests/floors.rs"));
        }
    }
    report(&homeless);
}

#[test]
fn imports_go_down() {
    let mut wrong = Vec::new();
    for file in files() {
        let Some(own) = file.module() else { continue };
        for import in imports(&tokens(&file.text), file.depth()) {
            if let Some(target) = floor_of(&import.name).filter(|target| !may_know(own, *target, &import.name)) {
                let from = floor_of(own).map_or_else(|| "no".to_owned(), |floor| floor.to_string());
                wrong.push(format!("{}:{}: `{own}` (floor {from}) may not know `{}` (floor {target})", file.path, import.line, import.name));
            }
        }
    }
    report(&wrong);
}

#[test]
fn names_stay_on_their_floor() {
    let mut wrong = Vec::new();
    for file in files() {
        let tokens = tokens(&file.text);
        for (name, places) in RESERVED.iter().filter(|(_, places)| !file.is_in(places)) {
            for line in mentions(&tokens, name) {
                wrong.push(format!("{}:{line}: `{name}` is for {} only", file.path, places.join(", ")));
            }
        }
        for (_, path) in FORBIDDEN.iter().filter(|(place, _)| file.is_in(&[place])) {
            for line in mentions(&tokens, path) {
                wrong.push(format!("{}:{line}: `{path}` is not for this floor", file.path));
            }
        }
    }
    report(&wrong);
}

#[test]
fn unsafe_stays_where_it_is_allowed() {
    let mut wrong = Vec::new();
    for file in files().iter().filter(|file| !file.is_in(UNSAFE)) {
        for line in mentions(&tokens(&file.text), "unsafe") {
            wrong.push(format!("{}:{line}: `unsafe` is for {} only", file.path, UNSAFE.join(", ")));
        }
    }
    report(&wrong);
}

#[test]
fn every_file_has_a_header() {
    let bare = files()
        .iter()
        .filter(|file| !file.is_in(GENERATED) && !file.text.starts_with("//! "))
        .map(|file| format!("{}:1: starts without a `//!` header", file.path))
        .collect::<Vec<_>>();
    report(&bare);
}

#[test]
fn no_file_is_too_long() {
    let mut long = Vec::new();
    for file in files().iter().filter(|file| !file.is_in(GENERATED)) {
        let lines = file.text.lines().count();
        if lines > MAX_LINES {
            long.push(format!("{}: {lines} lines, {MAX_LINES} at most", file.path));
        }
    }
    report(&long);
}

#[test]
fn comments_and_strings_do_not_count() {
    let text = r##"
        // use crate::a;
        /* crate::b /* crate::c */ crate::d */
        const S: &str = "crate::e \" crate::f"; const R: &str = r#"crate::g " crate::h"#; const B: &[u8] = b"crate::i";
        const C: char = '"'; const D: char = '\''; const E: char = '\\'; fn f<'a>(x: &'a str) -> &'a str { x } // crate::j
        use crate::real;
    "##;
    assert_eq!(found(text, 1), ["real"]);
}

#[test]
fn imports_are_found_in_every_form() {
    assert_eq!(found("use crate::{a, b::c, d::{e, f}, g as h};", 1), ["a", "b", "d", "g"]);
    assert_eq!(found("fn f() -> crate::error::Result<()> { crate::data::g() }", 2), ["error", "data"]);
    assert_eq!(found("macro_rules! m { () => { $crate::observe::count() } }", 1), ["observe"]);
    // `super` counts from the file's own module, and from modules written in the file.
    assert_eq!(found("use super::near; use super::super::far;", 2), ["far"]);
    assert_eq!(found("mod tests { use super::super::near; use super::super::super::{far, off}; }", 2), ["far", "off"]);
    assert_eq!(found("mod tests { } use super::super::far;", 2), ["far"]);
    assert_eq!(found("use super::{super::far, near};", 2), ["far"]);
}

#[test]
fn the_table_is_kept_by_its_own_rules() {
    assert!(may_know("pipeline", 2, "engine") && may_know("data", 0, "error") && may_know("engine", 2, "engine"));
    assert!(!may_know("engine", 2, "remote") && !may_know("error", 0, "data") && !may_know("observe", 2, "engine"));
    assert_eq!(mentions(&tokens("std::ffi::c_int; super::sys::ffi::X"), "ffi"), [1]);
    assert_eq!(mentions(&tokens("let now = Instant\n::now();"), "Instant::now"), [1]);
}

// --- The sources ---------------------------------------------------------------------------------------------------------

struct Source {
    /// Below `src/`, with slashes.
    path: String,
    text: String,
}

impl Source {
    /// The module at the crate's root that the file belongs to; nothing for the root itself and for programs.
    fn module(&self) -> Option<&str> {
        let first = self.path.split('/').next().unwrap_or_default();
        (first != "lib.rs" && first != "bin").then(|| first.trim_end_matches(".rs"))
    }

    /// How many times `super` leads from here to the crate's root.
    fn depth(&self) -> usize {
        let parts = self.path.split('/').count();
        if self.path.ends_with("/mod.rs") { parts - 1 } else { parts }
    }

    fn is_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| if place.ends_with('/') { self.path.starts_with(place) } else { self.path == *place })
    }
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files() -> Vec<Source> {
    fn visit(folder: &Path, files: &mut Vec<Source>) {
        for entry in fs::read_dir(folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                visit(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let below = path.strip_prefix(src()).expect("below src/");
                let below = below.components().map(|part| part.as_os_str().to_str().expect("UTF-8")).collect::<Vec<_>>().join("/");
                files.push(Source { path: below, text: fs::read_to_string(&path).expect("a source") });
            }
        }
    }
    let mut files = Vec::new();
    visit(&src(), &mut files);
    files.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!files.is_empty(), "no sources");
    files
}

fn floor_of(module: &str) -> Option<u8> {
    FLOORS.iter().find(|(_, modules)| modules.contains(&module)).map(|(floor, _)| *floor)
}

fn may_know(own: &str, target_floor: u8, target: &str) -> bool {
    own == target || NEIGHBOURS.contains(&(own, target)) || floor_of(own).is_some_and(|floor| target_floor < floor)
}

fn report(problems: &[String]) {
    let mut text = String::new();
    for problem in problems {
        writeln!(text, "  {problem}").expect("a string");
    }
    assert!(problems.is_empty(), "\n{text}");
}

// --- Tokens --------------------------------------------------------------------------------------------------------------

/// A word, `::`, or one character of punctuation.
struct Token {
    text: String,
    line: usize,
}

/// The tokens of `text`, without its comments and literals.
fn tokens(text: &str) -> Vec<Token> {
    let chars = text.chars().collect::<Vec<_>>();
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let mut tokens = Vec::new();
    let (mut index, mut line) = (0, 1);
    while index < chars.len() {
        let start = index;
        match at(index) {
            '/' if at(index + 1) == '/' => index += chars[index..].iter().take_while(|c| **c != '\n').count(),
            '/' if at(index + 1) == '*' => index = after_block_comment(&chars, index),
            '"' => index = after_string(&chars, index + 1, '"'),
            // 'a' and '\n' are characters, 'a without a quote behind it is a lifetime.
            '\'' if at(index + 1) == '\\' || at(index + 2) == '\'' => index = after_string(&chars, index + 1, '\''),
            ':' if at(index + 1) == ':' => {
                tokens.push(Token { text: "::".to_owned(), line });
                index += 2;
            }
            c if c.is_alphanumeric() || c == '_' => {
                index += chars[index..].iter().take_while(|c| c.is_alphanumeric() || **c == '_').count();
                let word = chars[start..index].iter().collect::<String>();
                let raw = matches!(word.as_str(), "r" | "br" | "cr");
                if raw && at(index) == '#' && (at(index + 1).is_alphabetic() || at(index + 1) == '_') {
                    // r#name is the name.
                    index += 1;
                } else if raw && matches!(at(index), '#' | '"') {
                    index = after_raw_string(&chars, index);
                } else if !(matches!(word.as_str(), "b" | "c") && matches!(at(index), '"' | '\'')) {
                    tokens.push(Token { text: word, line });
                }
            }
            c => {
                if !c.is_whitespace() {
                    tokens.push(Token { text: c.to_string(), line });
                }
                index += 1;
            }
        }
        line += chars[start..index.min(chars.len())].iter().filter(|c| **c == '\n').count();
    }
    tokens
}

fn after_block_comment(chars: &[char], mut index: usize) -> usize {
    let mut open = 0;
    while index < chars.len() {
        match (chars[index], chars.get(index + 1)) {
            ('/', Some('*')) => (open, index) = (open + 1, index + 2),
            ('*', Some('/')) => (open, index) = (open - 1, index + 2),
            _ => index += 1,
        }
        if open == 0 {
            break;
        }
    }
    index
}

fn after_string(chars: &[char], mut index: usize, quote: char) -> usize {
    while index < chars.len() && chars[index] != quote {
        index += if chars[index] == '\\' { 2 } else { 1 };
    }
    index + 1
}

fn after_raw_string(chars: &[char], mut index: usize) -> usize {
    let hashes = chars[index..].iter().take_while(|c| **c == '#').count();
    index += hashes + 1;
    while index < chars.len() && !(chars[index] == '"' && chars[index + 1..].iter().take_while(|c| **c == '#').count() >= hashes) {
        index += 1;
    }
    index + hashes + 1
}

/// The lines on which `path` (`name` or `a::b`) stands. `std::ffi` and `core::ffi` are not `ffi`.
fn mentions(tokens: &[Token], path: &str) -> Vec<usize> {
    let wanted = path.split("::").flat_map(|part| ["::", part]).skip(1).collect::<Vec<_>>();
    let mut lines = Vec::new();
    for (index, window) in tokens.windows(wanted.len()).enumerate() {
        let of_std = index >= 2 && tokens[index - 1].text == "::" && matches!(tokens[index - 2].text.as_str(), "std" | "core");
        if !of_std && window.iter().map(|token| token.text.as_str()).eq(wanted.iter().copied()) {
            lines.push(window[0].line);
        }
    }
    lines
}

struct Import {
    name: String,
    line: usize,
}

/// Every name at the crate's root that is reached through `crate::` or through enough of `super::`.
fn imports(tokens: &[Token], depth: usize) -> Vec<Import> {
    let text = |index: usize| tokens.get(index).map_or("", |token| token.text.as_str());
    let mut imports = Vec::new();
    // Brackets that are open, each with whether it is the body of a module.
    let mut open = Vec::new();
    for index in 0..tokens.len() {
        match text(index) {
            "{" => open.push(index >= 2 && text(index - 2) == "mod"),
            "}" => {
                open.pop();
            }
            "crate" if text(index + 1) == "::" => roots(tokens, index + 2, 0, &mut imports),
            // The first of a chain only; the rest of it is counted from there.
            "super" if text(index + 1) == "::" && (index < 2 || text(index - 2) != "super") => {
                let inner = open.iter().filter(|is_module| **is_module).count();
                roots(tokens, index, depth + inner, &mut imports);
            }
            _ => {}
        }
    }
    imports
}

/// Reads a path, or a group of them, from `index` on; `up` is how many `super` are still between it and the crate's root.
fn roots(tokens: &[Token], index: usize, up: usize, imports: &mut Vec<Import>) {
    let text = |index: usize| tokens.get(index).map_or("", |token| token.text.as_str());
    match text(index) {
        "super" if up > 0 && text(index + 1) == "::" => roots(tokens, index + 2, up - 1, imports),
        "{" => {
            let mut nested = 0;
            for inner in index..tokens.len() {
                match text(inner) {
                    "{" => nested += 1,
                    "}" => nested -= 1,
                    _ => {}
                }
                if nested == 0 {
                    break;
                }
                if nested == 1 && matches!(text(inner), "{" | ",") {
                    roots(tokens, inner + 1, up, imports);
                }
            }
        }
        "" | "}" => {}
        name if up == 0 => imports.push(Import { name: name.to_owned(), line: tokens[index].line }),
        _ => {}
    }
}

fn found(text: &str, depth: usize) -> Vec<String> {
    imports(&tokens(text), depth).into_iter().map(|import| import.name).collect()
}
