//! Rules of this repository that no compiler checks: who may import whom, how long a file may be, and that the documents
//! name only commands and tests that exist.

#![cfg(test)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which paths under `crate::` each module may name, as ARCHITECTURE.md says.
const MAY_USE: &[(&str, &[&str])] = &[
    ("address", &[]),
    ("agent", &[]),
    ("answer", &["agent", "clock", "json", "policy", "refusal"]),
    ("audit", &["agent", "answer", "clock", "confirm", "json", "policy", "refusal", "request", "trust"]),
    ("catalog", &["json", "request"]),
    (
        "cli",
        &[
            "agent", "audit", "catalog", "clock", "config", "confirm", "demo", "gateway", "json", "limit", "policy",
            "refusal", "request", "secret", "server", "sink", "tools", "trust", "upstream",
        ],
    ),
    ("clock", &[]),
    ("config", &["trust"]),
    ("confirm", &["clock", "json", "policy", "request", "secret", "trust"]),
    ("demo", &["audit::verify"]),
    (
        "gateway",
        &[
            "agent", "answer", "audit", "catalog", "clock", "confirm", "limit", "policy", "refusal", "request",
            "tools", "upstream",
        ],
    ),
    ("json", &[]),
    ("limit", &["agent", "clock", "confirm::approval", "policy", "trust"]),
    ("policy", &["address", "agent", "confirm::approval", "request"]),
    ("refusal", &["policy"]),
    ("request", &["json"]),
    ("secret", &[]),
    ("server", &["agent", "answer", "audit", "confirm", "gateway", "json", "policy", "refusal", "request", "tools"]),
    ("sink", &["audit", "clock", "policy", "trust", "upstream"]),
    ("tools", &["answer", "catalog", "policy", "refusal", "request"]),
    ("trust", &[]),
    (
        "upstream",
        &["address", "audit", "clock", "confirm::approval", "limit", "policy", "refusal", "request", "secret", "trust"],
    ),
];
/// The roots, which declare the modules and begin the program.
const ROOTS: &[&str] = &["lib", "main"];

/// What the pure modules may never name.
const WORLD: &[&str] = &[
    "tokio",
    "tracing",
    "reqwest",
    "rmcp",
    "rustix",
    "std::fs",
    "std::net::TcpStream",
    "std::net::ToSocketAddrs",
    "std::net::UdpSocket",
    "std::env",
    "std::process",
    "std::thread",
    "std::io",
    "std::os",
    "std::time::Instant",
    "std::time::SystemTime",
];
const PURE: &[&str] = &["address", "answer", "json", "policy", "request"];

/// Lines of code in one file: no tests, no comments, no empty lines.
const MAX_LINES: usize = 400;

#[test]
fn a_module_names_only_the_modules_it_may_know() {
    let mut wrong = Vec::new();
    for (path, code) in sources() {
        let module = module_of(&path);
        if ROOTS.contains(&module.as_str()) {
            continue;
        }
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == module) else {
            wrong.push(format!("{}: `{module}` has no row in the table", path.display()));
            continue;
        };
        let strange = |used: &String| !within(used, &module) && !allowed.iter().any(|allowed| within(used, allowed));
        let strangers = crate_paths(&code).into_iter().filter(strange);
        wrong.extend(strangers.map(|used| format!("{}: `{module}` may not use `crate::{used}`", path.display())));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn architecture_md_shows_the_same_table() {
    let text = read(Path::new("ARCHITECTURE.md"));
    let map = text.split_once("## Code map").unwrap().1.split_once("\n## ").unwrap().0;
    let words = |cell: &str| quoted(cell).map(str::to_owned).collect::<Vec<_>>();
    let mut shown: Vec<(String, Vec<String>)> = Vec::new();
    for row in map.lines().filter(|row| row.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        shown.push((words(cells[0]).concat(), words(cells[2])));
    }
    shown.sort();
    let table: Vec<_> = MAY_USE
        .iter()
        .map(|(module, used)| ((*module).to_owned(), used.iter().map(|used| (*used).to_owned()).collect::<Vec<_>>()))
        .collect();
    assert_eq!(shown, table);
}

#[test]
fn crate_paths_are_found_in_every_form() {
    let code =
        "use crate::policy::Verdict;\nuse crate::{\n    json, request::{Body, Path},\n};\nlet x = crate::clock::now();";
    assert_eq!(crate_paths(code), ["policy::Verdict", "json", "request", "clock::now"]);
    assert!(within("audit::verify::Summary", "audit::verify"));
    assert!(!within("audit::verifying", "audit::verify"));
}

#[test]
fn the_decision_core_does_not_see_the_world() {
    for (path, code) in sources() {
        if !PURE.contains(&module_of(&path).as_str()) {
            continue;
        }
        for word in WORLD {
            assert!(!names(&code, word), "{}: a pure module may not name `{word}`", path.display());
        }
    }
}

#[test]
fn a_secret_is_exposed_in_one_file_alone() {
    let exposing: Vec<PathBuf> =
        sources().into_iter().filter(|(_, code)| code.contains(".expose()")).map(|(path, _)| path).collect();
    assert_eq!(exposing, [PathBuf::from("src/upstream/credential.rs")]);
}

#[test]
fn no_file_is_longer_than_a_reader_can_hold() {
    let lines = |code: &str| code.lines().filter(|line| !line.trim().is_empty()).count();
    let sources = sources();
    let long: Vec<_> = sources.iter().map(|(path, code)| (path, lines(code))).filter(|(_, n)| *n > MAX_LINES).collect();
    assert!(long.is_empty(), "more than {MAX_LINES} lines of code: {long:?}");
}

#[test]
fn every_module_begins_with_what_it_promises() {
    for (path, code) in sources() {
        assert!(code.starts_with("//! "), "{}: no `//!` on the first line", path.display());
    }
}

#[test]
fn a_module_exports_only_what_is_its_own() {
    for (path, code) in sources() {
        for line in code.lines().filter(|line| line.starts_with("pub use ")) {
            let foreign =
                ["crate::", "super::", "std::"].iter().any(|place| line.contains(place)) || line.contains('*');
            assert!(!foreign || path.ends_with("lib.rs"), "{}: {line}", path.display());
        }
    }
}

#[test]
fn no_test_is_switched_off() {
    for path in tracked().into_iter().filter(|path| path.extension().is_some_and(|e| e == "rs")) {
        let off = read(&path).lines().map(str::trim).find(|line| line.starts_with("#[ignore")).map(str::to_owned);
        assert_eq!(off, None, "{}", path.display());
    }
}

#[test]
fn every_test_that_security_md_names_exists() {
    let tests = tests();
    let text = read(Path::new("SECURITY.md"));
    let table = text.split_once("## Attacks").unwrap().1;
    let mut rows = 0;
    for [attack, _, proof] in rows_of_three(table).filter(|[attack, ..]| !attack.starts_with("**")) {
        rows += 1;
        assert!(quoted(proof).next().is_some(), "SECURITY.md: `{attack}` has no test");
        for test in quoted(proof) {
            assert!(tests.contains(test), "SECURITY.md names `{test}`, which is no test");
        }
    }
    assert!(rows >= 20, "only {rows} rows of the threat table were read");
}

#[test]
fn every_proof_that_architecture_md_names_exists() {
    let tests = tests();
    let text = read(Path::new("ARCHITECTURE.md"));
    let section = text.split_once("## Invariants").unwrap().1.split_once("\n## ").unwrap().0;
    let mut tried = BTreeSet::new();
    for [invariant, forgeries, proofs] in rows_of_three(section) {
        assert!(quoted(proofs).next().is_some(), "ARCHITECTURE.md: `{invariant}` has no test");
        for test in quoted(proofs) {
            assert!(tests.contains(test), "ARCHITECTURE.md names `{test}`, which is no test");
        }
        tried.extend(quoted(forgeries).map(str::to_owned));
    }
    let files = tracked();
    let forgeries = files.iter().filter(|path| path.starts_with("tests/forge/inside"));
    let forgeries: BTreeSet<_> = forgeries.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(tried, forgeries, "the table names every forgery and no other");
}

#[test]
fn a_function_is_a_test_by_the_attribute_above_it() {
    let text = "#[test]\nfn one() {\n    two();\n}\n\nfn two() {}\n\n    #[tokio::test(start_paused = true)]\n    // Why.\n    \
                async fn three() {}\n#[test]\n#[cfg(unix)]\nfn four(\n";
    assert_eq!(tests_in(text).collect::<Vec<_>>(), ["one", "three", "four"]);
}

#[test]
fn every_command_of_the_readme_exists() {
    let just = read(Path::new("justfile"));
    let readme = read(Path::new("README.md"));
    let commands: Vec<&str> = fenced(&readme, "sh").collect();
    assert_eq!(commands.first(), Some(&"cargo run --release -- demo"));
    assert_eq!(commands.get(1), Some(&"cargo test --locked"));
    for command in commands {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words.as_slice() {
            ["cargo", "run", "--release", "--", subcommand @ ..] | ["portcullis", subcommand @ ..] => help(subcommand),
            ["claude", .., "serve", "--policy", _] => help(&["serve"]),
            ["just", recipe] => assert!(just.contains(&format!("\n{recipe}:")), "no recipe `{recipe}`"),
            ["cargo", "build" | "test", ..] => {}
            ["cp", file, _] => assert!(root().join(file).is_file(), "no file `{file}`"),
            _ => panic!("README.md: nobody knows how to check `{command}`"),
        }
    }
}

#[test]
fn continuous_integration_runs_the_readmes_test_command() {
    let script = read(Path::new(".ci/run"));
    assert!(script.lines().any(|line| line.trim_end().ends_with("cargo test --locked")));
}

#[test]
fn every_file_that_the_documents_name_exists() {
    for document in ["README.md", "ARCHITECTURE.md", "SECURITY.md"] {
        let text = read(Path::new(document));
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://") && !link.starts_with('#')) {
            let file = link.split('#').next().unwrap_or_default();
            assert!(root().join(file).exists(), "{document} links to {link}");
        }
        for path in
            text.split('`').skip(1).step_by(2).filter(|word| word.starts_with("tests/") || word.starts_with("src/"))
        {
            assert!(root().join(path).exists(), "{document} names {path}");
        }
    }
}

#[test]
fn no_tracked_file_names_this_machine_or_a_private_registry() {
    let here = root();
    let home = Path::new(env!("CARGO")).ancestors().nth(2).unwrap();
    for path in tracked() {
        let text = read(&path);
        for place in [here, home] {
            let place = format!("{}/", place.display());
            assert!(!text.contains(&place), "{} names {place}", path.display());
        }
        let lock = ["\"resolved", "\": \""].concat();
        for word in [["index", "-url"].concat(), ["extra-index", "-url"].concat(), ["replace", "-with"].concat(), lock]
        {
            assert!(!text.contains(&word), "{} chooses a registry by `{word}`", path.display());
        }
    }
}

fn help(subcommand: &[&str]) {
    let words = subcommand.iter().take_while(|word| !word.contains(['/', '.']));
    let output = Command::new(env!("CARGO_BIN_EXE_portcullis")).args(words).arg("--help").output().unwrap();
    assert!(output.status.success(), "README.md: `portcullis {}` is no command", subcommand.join(" "));
}

/// The names of all tests of this repository.
fn tests() -> BTreeSet<String> {
    let files = tracked().into_iter().filter(|path| path.extension().is_some_and(|e| e == "rs"));
    files.flat_map(|path| tests_in(&read(&path)).map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// The functions under `#[test]` or `#[tokio::test]`, with nothing but attributes and comments between.
fn tests_in(text: &str) -> impl Iterator<Item = &str> {
    let mut marked = false;
    text.lines().map(str::trim).filter_map(move |line| {
        let name =
            line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ").and_then(|rest| rest.split('(').next());
        let test = line == "#[test]" || line.starts_with("#[tokio::test");
        let was_marked = marked;
        marked = test || (marked && (line.starts_with("#[") || line.starts_with("//")));
        name.filter(|_| was_marked)
    })
}

/// The rows of the tables of three columns in a text, without their heads.
fn rows_of_three(text: &str) -> impl Iterator<Item = [&str; 3]> {
    let rows =
        text.split("|---|---|---|\n").skip(1).flat_map(|table| table.lines().take_while(|row| row.starts_with('|')));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        cells.try_into().unwrap_or_else(|_| panic!("not three cells: {row}"))
    })
}

/// What stands between back quotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The lines of all code blocks of one language.
fn fenced<'a>(text: &'a str, language: &str) -> impl Iterator<Item = &'a str> {
    let open = format!("```{language}");
    let mut inside = false;
    text.lines().filter(move |line| {
        let fence = line.starts_with("```");
        let shown = inside && !fence;
        if fence {
            inside = !inside && **line == *open;
        }
        shown
    })
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of a file, read as UTF-8 as far as it is.
fn read(path: &Path) -> String {
    let bytes = std::fs::read(root().join(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Every file that git tracks and that is here.
fn tracked() -> Vec<PathBuf> {
    let output = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "the house rules are read from a git checkout");
    let list = String::from_utf8(output.stdout).unwrap();
    list.split_terminator('\0').map(PathBuf::from).filter(|path| root().join(path).is_file()).collect()
}

/// Every source file with its code: no tests, no comments but the first line's.
fn sources() -> Vec<(PathBuf, String)> {
    let files =
        tracked().into_iter().filter(|path| path.starts_with("src") && path.extension().is_some_and(|e| e == "rs"));
    let all: Vec<(PathBuf, String)> = files.map(|path| (path.clone(), read(&path))).collect();
    let tests: Vec<PathBuf> = all.iter().flat_map(|(path, text)| test_modules(path, text)).collect();
    let is_test = |path: &Path| tests.iter().any(|test| path.starts_with(test) || *path == test.with_extension("rs"));
    let code: Vec<_> =
        all.into_iter().filter(|(path, _)| !is_test(path)).map(|(path, text)| (path, code(&text))).collect();
    assert!(code.len() > 10, "the sources were not found");
    code
}

/// Where the modules live that a file declares for tests alone, as the path of a directory.
fn test_modules(path: &Path, text: &str) -> Vec<PathBuf> {
    let stem = path.file_stem().unwrap();
    let root = ["mod", "lib", "main"].iter().any(|name| stem == *name);
    let directory = if root { path.parent().unwrap().to_owned() } else { path.with_extension("") };
    let declared = text.split("\n#[cfg(test)]\nmod ").skip(1).filter_map(|rest| {
        let (name, after) = rest.split_once([';', ' '])?;
        (!after.starts_with('{')).then(|| directory.join(name))
    });
    declared.collect()
}

/// The code without its module of tests, which comes last, and without comments but the first line's.
fn code(text: &str) -> String {
    let code = text.split_once("\n#[cfg(test)]\nmod tests {").map_or(text, |(code, _)| code);
    let blank = |(number, line): (usize, &str)| {
        let comment = number > 0 && line.trim_start().starts_with("//");
        format!("{}\n", if comment { "" } else { line })
    };
    code.lines().enumerate().map(blank).collect()
}

/// `policy` for both `src/policy.rs` and `src/policy/rule.rs`.
fn module_of(path: &Path) -> String {
    let first = path.strip_prefix("src").unwrap().components().next().unwrap();
    first.as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

/// What follows each `crate::`; of a braced list each member's path up to its own brace.
fn crate_paths(code: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            None => paths.push(path_at(rest)),
            Some(list) => {
                let mut depth = 1;
                let mut member = String::new();
                for c in list.chars() {
                    match c {
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        _ => {}
                    }
                    if depth == 0 || (depth == 1 && c == ',') {
                        paths.push(path_at(member.trim()));
                        member.clear();
                    } else {
                        member.push(c);
                    }
                    if depth == 0 {
                        break;
                    }
                }
            }
        }
    }
    paths.retain(|path| !path.is_empty());
    paths
}

fn path_at(text: &str) -> String {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(text.len());
    text.split_at(end).0.trim_end_matches(':').to_owned()
}

fn within(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Whether the code names this path as a whole.
fn names(code: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    let parts: Vec<&str> = code.split(word).collect();
    parts.windows(2).any(|around| !around[0].ends_with(|c| part(c) || c == ':') && !around[1].starts_with(part))
}
