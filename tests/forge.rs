//! What must not happen does not compile: ten forgeries, each tried from outside the crate and as an intruder module
//! inside a copy of it. The first line of every file names the error that the compiler must give.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot be set up has failed"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The forgeries, by the names of their files.
const FORGERIES: [&str; 10] = [
    "answer_without_entry",
    "approval_used_twice",
    "authorized_outside_policy",
    "budget_skipped",
    "forward_unrecorded",
    "path_from_raw_text",
    "print_a_secret",
    "release_without_approval",
    "send_twice",
    "swap_the_request",
];

/// The compiler's passes, each of which runs only where the one before found nothing, and the error codes of each.
const PASSES: [(&str, &[&str]); 3] = [
    ("forge-types", &["E0061", "E0277", "E0308", "E0574", "E0616", "E0624"]),
    ("forge-privacy", &["E0451"]),
    ("forge-moves", &["E0382"]),
];

fn crate_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// `target`, as this test was built into it.
fn target() -> PathBuf {
    std::env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned()
}

fn source(side: &str, forgery: &str) -> PathBuf {
    crate_root().join("tests/forge").join(side).join(format!("{forgery}.rs"))
}

fn expected(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().next().unwrap().strip_prefix("// refused: ").expect("the first line names the error").to_owned()
}

/// The newest build of the library, which the compiler made for this very test run.
fn library() -> PathBuf {
    let deps = target().join("debug/deps");
    let ours = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("libportcullis-") && name.ends_with(".rlib")
    };
    let built = std::fs::read_dir(&deps).unwrap().map(|e| e.unwrap().path()).filter(ours);
    built.max_by_key(|path| path.metadata().unwrap().modified().unwrap()).expect("the library is built")
}

/// Compiles one file against the library; the error codes it gave.
fn compile_outside(file: &Path, out: &Path) -> Vec<String> {
    let output = Command::new("rustc")
        .args(["--edition", "2024", "--crate-type", "lib", "--emit", "metadata", "--error-format", "json"])
        .arg("--extern")
        .arg(format!("portcullis={}", library().display()))
        .arg("-L")
        .arg(target().join("debug/deps"))
        .arg("--out-dir")
        .arg(out)
        .arg(file)
        .current_dir(crate_root())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    let messages = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("{line}")));
    messages.filter(|m| m["level"] == "error").filter_map(|m| Some(m["code"]["code"].as_str()?.to_owned())).collect()
}

#[test]
fn no_forgery_compiles_from_outside() {
    let out = tempfile::tempdir().unwrap();
    let honest = compile_outside(&crate_root().join("tests/forge/outside/honest.rs"), out.path());
    assert_eq!(honest, Vec::<String>::new(), "the honest program must compile, else nothing here proves anything");
    for forgery in FORGERIES {
        let file = source("outside", forgery);
        assert_eq!(compile_outside(&file, out.path()), [expected(&file)], "{forgery}");
    }
}

fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let place = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_tree(&entry.path(), &place),
            false => drop(std::fs::copy(entry.path(), place).unwrap()),
        }
    }
}

/// Builds a copy of the crate with these intruders in it; the error codes by file. `name` is the copy's own, since cargo
/// takes two packages of one name for the same one and would mix up what it built of them.
fn compile_inside(name: &str, intruders: &[&str]) -> BTreeMap<String, Vec<String>> {
    let copy = tempfile::tempdir().unwrap();
    for file in ["Cargo.lock", "rust-toolchain.toml", "README.md"] {
        std::fs::copy(crate_root().join(file), copy.path().join(file)).unwrap();
    }
    let manifest = std::fs::read_to_string(crate_root().join("Cargo.toml")).unwrap();
    let manifest = manifest.split("[[bench]]").next().unwrap();
    let manifest = manifest.replacen("name = \"portcullis\"", &format!("name = \"{name}\""), 1);
    std::fs::write(copy.path().join("Cargo.toml"), format!("{manifest}\n[workspace]\n")).unwrap();
    for tree in ["src", "docs"] {
        copy_tree(&crate_root().join(tree), &copy.path().join(tree));
    }
    std::fs::copy(crate_root().join("policy.example.toml"), copy.path().join("policy.example.toml")).unwrap();
    let mut library = std::fs::read_to_string(copy.path().join("src/lib.rs")).unwrap();
    for file in intruders {
        library.push_str(&format!("mod {file};\n"));
        std::fs::copy(source("inside", file), copy.path().join(format!("src/{file}.rs"))).unwrap();
    }
    std::fs::write(copy.path().join("src/lib.rs"), library).unwrap();
    let output = Command::new(env!("CARGO"))
        .args(["build", "--lib", "--offline", "--message-format", "json", "--target-dir"])
        .arg(target())
        .current_dir(copy.path())
        .output()
        .unwrap();
    let mut codes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let message: Value = serde_json::from_str(line).unwrap();
        if message["reason"] != "compiler-message" || message["message"]["level"] != "error" {
            continue;
        }
        let span = &message["message"]["spans"][0]["file_name"];
        let Some(code) = message["message"]["code"]["code"].as_str() else { continue };
        let file = span.as_str().unwrap().trim_start_matches("src/").trim_end_matches(".rs").to_owned();
        codes.entry(file).or_default().push(code.to_owned());
    }
    assert_eq!(output.status.success(), intruders.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    codes
}

#[test]
fn no_forgery_compiles_inside() {
    let mut tried = 0;
    for (name, codes) in PASSES {
        let due = |file: &&str| codes.contains(&expected(&source("inside", file)).as_str());
        let group: Vec<&str> = FORGERIES.into_iter().filter(due).collect();
        let wanted = group.iter().map(|file| ((*file).to_owned(), vec![expected(&source("inside", file))])).collect();
        assert_eq!(compile_inside(name, &group), wanted);
        tried += group.len();
    }
    assert_eq!(tried, FORGERIES.len(), "each forgery is refused by a pass that is known");
}

#[test]
fn the_copy_compiles_without_an_intruder() {
    assert_eq!(compile_inside("forge-none", &[]), BTreeMap::new());
}
