//! `install`: one entry in a client's configuration that starts a gate, and nothing else touched.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use serde_json::{Value, json};

use super::common::{
    canary::files,
    gate::{Home, binary},
    policy::{self, TOKEN},
    recorder::Recorder,
};

/// A home with a policy, and the credential in the environment of every command.
struct Scene {
    home: Arc<Home>,
    _upstream: Recorder,
}

impl Scene {
    fn new() -> Self {
        let upstream = Recorder::plain();
        Self { home: Home::new(&policy::a(&upstream)), _upstream: upstream }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = binary();
        command.args(arguments).env_clear().env("HOME", self.home.path()).env("PATH", "/usr/bin:/bin");
        command.env(TOKEN, self.home.canary.secret()).current_dir(self.home.path()).stdin(Stdio::null());
        command
    }

    /// `portcullis install CLIENT …`; what it prints holds no secret.
    fn install(&self, arguments: &[&str]) -> Output {
        let output = self.command(&[&["install"], arguments].concat()).output().expect("the binary runs");
        self.home.canary.search("the output of install", &[&*output.stdout, &*output.stderr].concat());
        output
    }

    fn good(&self, arguments: &[&str]) -> String {
        let output = self.install(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.home.path().join(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("it is made");
        fs::write(&path, text).expect("it is written");
        path
    }

    /// Whatever lies beside a file as a copy of it.
    fn copies(&self, of: &Path) -> Vec<PathBuf> {
        let name = of.file_name().expect("a name").to_str().expect("text").to_owned();
        let copy =
            |path: &PathBuf| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(&format!("{name}.2")));
        let mut copies = files(of.parent().expect("a directory"));
        copies.retain(copy);
        copies
    }
}

fn json_of(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).expect("it is there")).expect("JSON")
}

/// Each client's file below a home on this system, and where in it the entry stands.
fn clients() -> Vec<(&'static str, String, &'static str)> {
    let config = if cfg!(target_os = "macos") { "Library/Application Support" } else { ".config" };
    vec![
        ("claude-desktop", format!("{config}/Claude/claude_desktop_config.json"), "mcpServers"),
        ("claude-code", ".claude.json".to_owned(), "mcpServers"),
        ("cursor", ".cursor/mcp.json".to_owned(), "mcpServers"),
        ("vscode", format!("{config}/Code/User/mcp.json"), "servers"),
        ("zed", ".config/zed/settings.json".to_owned(), "context_servers"),
        ("windsurf", ".codeium/windsurf/mcp_config.json".to_owned(), "mcpServers"),
        ("gemini-cli", ".gemini/settings.json".to_owned(), "mcpServers"),
        ("lm-studio", ".lmstudio/mcp.json".to_owned(), "mcpServers"),
    ]
}

#[test]
fn the_entry_of_every_client_starts_a_gate_for_the_policy() {
    let scene = Scene::new();
    for (client, file, table) in clients() {
        scene.good(&[client, "policy.toml", "--state-dir", "state"]);
        let path = scene.home.path().join(&file);
        let entry = json_of(&path)[table]["sample"].clone();
        assert_eq!(
            entry["type"],
            if ["claude-code", "vscode"].contains(&client) { json!("stdio") } else { Value::Null }
        );
        let program = Path::new(entry["command"].as_str().expect("a command"));
        assert_eq!(
            program.canonicalize().unwrap(),
            Path::new(env!("CARGO_BIN_EXE_portcullis")).canonicalize().unwrap()
        );
        let arguments: Vec<&str> =
            entry["args"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
        assert!(
            arguments.iter().all(|word| ["serve", "--policy", "--state-dir"].contains(word) || word.starts_with('/'))
        );
        // From a directory of the client's own, with nothing to say to it.
        let mut command = Command::new(program);
        command.args(&arguments).env_clear().env("HOME", "/").env(TOKEN, scene.home.canary.secret());
        let output = command.current_dir("/").stdin(Stdio::null()).output().expect("it starts");
        assert!(output.status.success(), "{client}: {output:?}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{client}");
    }
    assert!(!scene.home.logs().is_empty(), "each gate began a log in the state directory");
    for (_, file, _) in clients() {
        scene.home.canary.search(&file, &fs::read(scene.home.path().join(&file)).unwrap());
    }
}

#[test]
fn everything_else_stays_a_copy_is_kept_and_the_entry_comes_out_again() {
    let scene = Scene::new();
    let text = "{\n  \"numStartups\": 7,\n  \"mcpServers\": {\n    \"other\": { \"command\": \"x\", \"env\": { \"KEY\": \"k\" } }\n  },\n  \"a\": 1.50\n}\n";
    for (client, file, table) in clients() {
        let text = text.replace("mcpServers", table);
        let path = scene.file(&file, &text);
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        scene.good(&[client, "policy.toml"]);
        let after = fs::read_to_string(&path).unwrap();
        let (head, tail) =
            (after.split_once(",\n    \"sample\": {").unwrap().0, after.split_once("\n    }\n  },").unwrap().1);
        assert_eq!(format!("{head}\n  }},{tail}"), text, "{client}");
        let [copy] = &scene.copies(&path)[..] else { panic!("{client}: one copy") };
        assert_eq!(fs::read_to_string(copy).unwrap(), text, "{client}");
        for file in [&path, copy] {
            assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o640, "{}", file.display());
        }
        scene.good(&[client, "--remove", "--name", "sample", "gone-by-now.toml"]);
        assert_eq!(fs::read_to_string(&path).unwrap(), text, "{client}");
        let output = scene.install(&[client, "--remove", "policy.toml"]);
        assert_eq!(output.status.code(), Some(1), "{client}: it is not there any more: {output:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text, "{client}");
    }
}

#[test]
fn comments_stay_and_what_cannot_be_read_is_left_with_the_entry_printed() {
    let scene = Scene::new();
    let text = "// settings of mine\n{\n  // fonts\n  \"buffer_font_size\": 14, // large\n  \"context_servers\": {\n    /* none yet */\n  },\n}\n";
    let path = scene.file("zed.json", text);
    scene.good(&["zed", "policy.toml", "--config", "zed.json"]);
    let after = fs::read_to_string(&path).unwrap();
    for comment in ["// settings of mine", "// fonts", "14, // large", "/* none yet */"] {
        assert!(after.contains(comment), "{after}");
    }
    assert!(after.contains("\"sample\": {\n"), "{after}");
    let broken = scene.file("broken.json", "{ \"mcpServers\": { ");
    let output = scene.install(&["cursor", "policy.toml", "--config", "broken.json"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!(fs::read_to_string(&broken).unwrap(), "{ \"mcpServers\": { ");
    let printed = String::from_utf8(output.stdout).unwrap();
    let entry: Value = serde_json::from_str(printed.split_once('\n').unwrap().1).expect("JSON to paste");
    assert_eq!(entry["mcpServers"]["sample"]["args"][0], "serve");
    assert!(scene.copies(&broken).is_empty());
}

#[test]
fn an_entry_that_starts_something_else_is_left_alone_unless_told_so() {
    let scene = Scene::new();
    let text =
        "{ \"mcpServers\": { \"sample\": { \"command\": \"npx\", \"args\": [\"x\"], \"env\": { \"A\": \"1\" } } } }\n";
    let path = scene.file("mcp.json", text);
    for arguments in [&["--remove"][..], &[], &["--dry-run"]] {
        let output = scene.install(&[&["cursor", "policy.toml", "--config", "mcp.json"], arguments].concat());
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("is not a gate's"), "{said}");
        let replaced = said.contains("replaces");
        assert_eq!(replaced, !arguments.contains(&"--remove"), "what is to go is not replaced: {said}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    scene.good(&["cursor", "policy.toml", "--config", "mcp.json", "--force"]);
    let entry = json_of(&path)["mcpServers"]["sample"].clone();
    assert_eq!(
        (&entry["args"][0], &entry["env"]),
        (&json!("serve"), &Value::Null),
        "nothing of the other is built upon"
    );
    // One of ours keeps what a person said there.
    let ours = text.replace("npx", "/old/portcullis").replace("\"x\"", "\"serve\"");
    fs::write(&path, ours).unwrap();
    scene.good(&["cursor", "policy.toml", "--config", "mcp.json"]);
    assert_eq!(json_of(&path)["mcpServers"]["sample"]["env"], json!({ "A": "1" }));
}

#[test]
fn an_entry_to_take_out_that_is_not_there_is_told_with_those_that_are() {
    let scene = Scene::new();
    let remove = |name: &str| {
        let output = scene.install(&["cursor", "--remove", "--name", name, "--config", "mcp.json"]);
        (output.status.code(), String::from_utf8(output.stderr).expect("text"))
    };
    let (code, said) = remove("sample");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("no entry `sample`") && said.contains("no entry there is a gate's"), "{said}");
    let path = scene.file("mcp.json", "{ \"mcpServers\": { \"other\": { \"command\": \"npx\" } } }\n");
    for name in ["one", "two"] {
        scene.good(&["cursor", "policy.toml", "--config", "mcp.json", "--name", name]);
    }
    let before = fs::read_to_string(&path).unwrap();
    for (name, said_of_it) in
        [("ome", "no entry `ome`; a gate's are `one`, `two`"), ("other", "a gate's are `one`, `two`")]
    {
        let (code, said) = remove(name);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(said_of_it), "{said}");
        assert_eq!(fs::read_to_string(&path).unwrap(), before, "{name}");
    }
    scene.good(&["cursor", "--remove", "--name", "one", "--config", "mcp.json"]);
    let left = json_of(&path)["mcpServers"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(left, ["other", "two"]);
}

#[test]
fn a_dry_run_shows_its_own_lines_alone_and_changes_nothing() {
    let scene = Scene::new();
    let text = "{\n  \"mcpServers\": {\n    \"other\": {\n      \"env\": { \"KEY\": \"neighbour\" }\n    }\n  }\n}\n";
    let path = scene.file("mcp.json", text);
    let shown = scene.good(&["cursor", "policy.toml", "--config", "mcp.json", "--dry-run"]);
    assert!(shown.contains("+    \"sample\": {") && shown.contains("@@ -"), "{shown}");
    assert!(!shown.contains("neighbour"), "{shown}");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    assert!(scene.copies(&path).is_empty());
    scene.good(&["cursor", "policy.toml", "--dry-run"]);
    assert!(!scene.home.path().join(".cursor").exists());
}

#[test]
fn a_configuration_that_a_person_names_is_made_in_a_directory_that_is_there() {
    let scene = Scene::new();
    for arguments in [&[][..], &["--dry-run"], &["--force"], &["--remove"]] {
        let output = scene.install(&[&["cursor", "policy.toml", "--config", "new/deep/mcp.json"], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("no directory `") && said.contains("new/deep`"), "{said}");
        assert!(!scene.home.path().join("new").exists(), "{arguments:?}");
    }
    fs::create_dir(scene.home.path().join("new")).unwrap();
    scene.good(&["cursor", "policy.toml", "--config", "new/mcp.json"]);
    assert_eq!(json_of(&scene.home.path().join("new/mcp.json"))["mcpServers"]["sample"]["args"][0], "serve");
}

#[test]
fn a_link_is_written_through_and_stays_a_link() {
    let scene = Scene::new();
    let real = scene.file("dotfiles/mcp.json", "{}\n");
    let link = scene.home.path().join("mcp.json");
    symlink(&real, &link).unwrap();
    scene.good(&["cursor", "policy.toml", "--config", "mcp.json"]);
    assert!(link.is_symlink());
    assert_eq!(json_of(&real)["mcpServers"]["sample"]["args"][0], "serve");
    let nowhere = scene.home.path().join("nowhere.json");
    symlink("missing.json", &nowhere).unwrap();
    assert_eq!(scene.install(&["cursor", "policy.toml", "--config", "nowhere.json"]).status.code(), Some(2));
}

#[test]
fn a_wrong_policy_is_not_installed_and_a_desktop_without_variables_is_told_of() {
    let scene = Scene::new();
    let told = scene.good(&["cursor", "policy.toml"]);
    assert!(told.contains(TOKEN) && told.contains("without your shell's variables"), "{told}");
    let told = scene.good(&["claude-code", "policy.toml"]);
    assert!(!told.contains(TOKEN), "a client in a terminal has them: {told}");
    scene.file("wrong.toml", "version = 1\n");
    let output = scene.install(&["cursor", "wrong.toml", "--config", "mcp.json"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(!scene.home.path().join("mcp.json").exists());
    // As `serve` would not.
    scene.file("again.toml", &fs::read_to_string(scene.home.policy()).unwrap());
    for arguments in [&["--dry-run"][..], &[], &["--force"]] {
        let output =
            scene.install(&[&["cursor", "policy.toml", "again.toml", "--config", "mcp.json"], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("are both called `sample`"), "{output:?}");
        assert!(!scene.home.path().join("mcp.json").exists());
    }
    scene.good(&["cursor", "policy.toml", "--config", "mcp.json", "--name", "portcullis"]);
    scene.good(&["cursor", "policy.toml", "again.toml", "--config", "mcp.json", "--remove"]);
    for wrong in [
        &["cursor"][..],
        &["cursor", "none.toml"],
        &["nobody", "policy.toml"],
        &["cursor", "policy.toml", "--name", "a b"],
    ] {
        assert_eq!(scene.install(wrong).status.code(), Some(2), "{wrong:?}");
    }
}
