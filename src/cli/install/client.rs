//! The clients: where each keeps its configuration on this system, and what it wants to read there.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde_json::{Map, Value, json};

use crate::config::Environment;

/// A program that speaks MCP to servers that it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Client {
    /// Claude Desktop: `claude_desktop_config.json`
    ClaudeDesktop,
    /// Claude Code: `~/.claude.json`
    ClaudeCode,
    /// Cursor: `~/.cursor/mcp.json`
    Cursor,
    /// Visual Studio Code: the user's `mcp.json`
    Vscode,
    /// Zed: `settings.json`
    Zed,
    /// Windsurf: `~/.codeium/windsurf/mcp_config.json`
    Windsurf,
    /// Gemini CLI: `~/.gemini/settings.json`
    GeminiCli,
    /// LM Studio: `~/.lmstudio/mcp.json`
    LmStudio,
}

/// How a client comes to run, which decides about the environment that it hands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// From the desktop: without the variables of a shell.
    Desktop,
    /// In a terminal: with that shell's variables.
    Terminal,
}

/// The systems that differ in where things are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum System {
    Linux,
    MacOs,
}

impl System {
    pub(super) const HERE: Self = if cfg!(target_os = "macos") { Self::MacOs } else { Self::Linux };
}

impl Client {
    /// Every one.
    pub(crate) const ALL: [Self; 8] = [
        Self::ClaudeDesktop,
        Self::ClaudeCode,
        Self::Cursor,
        Self::Vscode,
        Self::Zed,
        Self::Windsurf,
        Self::GeminiCli,
        Self::LmStudio,
    ];

    /// Its name, for people.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::ClaudeDesktop => "Claude Desktop",
            Self::ClaudeCode => "Claude Code",
            Self::Cursor => "Cursor",
            Self::Vscode => "Visual Studio Code",
            Self::Zed => "Zed",
            Self::Windsurf => "Windsurf",
            Self::GeminiCli => "Gemini CLI",
            Self::LmStudio => "LM Studio",
        }
    }

    /// How it comes to run.
    pub(crate) fn start(self) -> Start {
        match self {
            Self::ClaudeCode | Self::GeminiCli => Start::Terminal,
            Self::ClaudeDesktop | Self::Cursor | Self::Vscode | Self::Zed | Self::Windsurf | Self::LmStudio => {
                Start::Desktop
            }
        }
    }

    /// Under which name its configuration lists servers.
    pub(crate) fn table(self) -> &'static str {
        match self {
            Self::Vscode => "servers",
            Self::Zed => "context_servers",
            Self::ClaudeDesktop
            | Self::ClaudeCode
            | Self::Cursor
            | Self::Windsurf
            | Self::GeminiCli
            | Self::LmStudio => "mcpServers",
        }
    }

    /// Its configuration for this user, here.
    pub(crate) fn place(self, environment: &Environment) -> Option<PathBuf> {
        self.place_on(System::HERE, environment)
    }

    pub(super) fn place_on(self, system: System, environment: &Environment) -> Option<PathBuf> {
        let home = environment.home()?;
        let config = match system {
            System::Linux => environment.config_home()?,
            System::MacOs => home.join("Library/Application Support"),
        };
        Some(match self {
            Self::ClaudeDesktop => config.join("Claude/claude_desktop_config.json"),
            Self::ClaudeCode => home.join(".claude.json"),
            Self::Cursor => home.join(".cursor/mcp.json"),
            Self::Vscode => config.join("Code/User/mcp.json"),
            Self::Zed => match system {
                System::Linux => config.join("zed/settings.json"),
                System::MacOs => home.join(".config/zed/settings.json"),
            },
            Self::Windsurf => home.join(".codeium/windsurf/mcp_config.json"),
            Self::GeminiCli => home.join(".gemini/settings.json"),
            Self::LmStudio => home.join(".lmstudio/mcp.json"),
        })
    }

    /// What it has to be told of a server, on top of `old`, which keeps whatever else a person said there.
    pub(super) fn entry(self, old: Option<&Value>, program: &Path, arguments: &[String]) -> Value {
        let mut entry = old.and_then(Value::as_object).cloned().unwrap_or_else(Map::new);
        match self {
            Self::ClaudeCode | Self::Vscode => {
                entry.insert("type".to_owned(), json!("stdio"));
            }
            Self::ClaudeDesktop | Self::Cursor | Self::Zed | Self::Windsurf | Self::GeminiCli | Self::LmStudio => {}
        }
        entry.insert("command".to_owned(), json!(program.to_string_lossy()));
        entry.insert("args".to_owned(), json!(arguments));
        Value::Object(entry)
    }
}

/// What an entry starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Started {
    /// The program.
    pub(crate) program: PathBuf,
    /// The policies that it is given.
    pub(crate) policies: Vec<PathBuf>,
    /// The names of the variables that it gets from the client.
    pub(crate) variables: Vec<String>,
}

impl Started {
    /// What an entry starts, if that is a gate: `portcullis serve`, wherever it lies.
    pub(crate) fn read(entry: &Value) -> Option<Self> {
        let program = PathBuf::from(entry.get("command")?.as_str()?);
        let arguments: Vec<&str> = entry.get("args")?.as_array()?.iter().filter_map(Value::as_str).collect();
        let ours = program.file_stem().is_some_and(|name| name == "portcullis") && arguments.first() == Some(&"serve");
        let mut policies = Vec::new();
        let mut words = arguments.into_iter();
        while let Some(word) = words.next() {
            let value = if word == "--policy" { words.next() } else { word.strip_prefix("--policy=") };
            policies.extend(value.map(PathBuf::from));
        }
        let env = entry.get("env").and_then(Value::as_object);
        let variables = env.map(|env| env.keys().cloned().collect()).unwrap_or_default();
        ours.then_some(Self { program, policies, variables })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_is_found_where_it_keeps_its_configuration() {
        let environment = Environment::of([("HOME", "/h")]);
        let moved = Environment::of([("HOME", "/h"), ("XDG_CONFIG_HOME", "/c")]);
        let support = "/h/Library/Application Support";
        for (client, linux, elsewhere, mac) in [
            (
                Client::ClaudeDesktop,
                "/h/.config/Claude/claude_desktop_config.json",
                "/c/Claude/claude_desktop_config.json",
                &*format!("{support}/Claude/claude_desktop_config.json"),
            ),
            (Client::ClaudeCode, "/h/.claude.json", "/h/.claude.json", "/h/.claude.json"),
            (Client::Cursor, "/h/.cursor/mcp.json", "/h/.cursor/mcp.json", "/h/.cursor/mcp.json"),
            (
                Client::Vscode,
                "/h/.config/Code/User/mcp.json",
                "/c/Code/User/mcp.json",
                &*format!("{support}/Code/User/mcp.json"),
            ),
            (Client::Zed, "/h/.config/zed/settings.json", "/c/zed/settings.json", "/h/.config/zed/settings.json"),
            (
                Client::Windsurf,
                "/h/.codeium/windsurf/mcp_config.json",
                "/h/.codeium/windsurf/mcp_config.json",
                "/h/.codeium/windsurf/mcp_config.json",
            ),
            (Client::GeminiCli, "/h/.gemini/settings.json", "/h/.gemini/settings.json", "/h/.gemini/settings.json"),
            (Client::LmStudio, "/h/.lmstudio/mcp.json", "/h/.lmstudio/mcp.json", "/h/.lmstudio/mcp.json"),
        ] {
            let at = |system, environment| client.place_on(system, environment).unwrap();
            assert_eq!(at(System::Linux, &environment), Path::new(linux));
            assert_eq!(at(System::Linux, &moved), Path::new(elsewhere));
            assert_eq!(at(System::MacOs, &environment), Path::new(mac));
        }
        assert_eq!(Client::ALL.len(), Client::value_variants().len());
        assert_eq!(Client::Cursor.place_on(System::Linux, &Environment::of([])), None);
    }

    #[test]
    fn an_entry_keeps_what_a_person_said_there() {
        let old = json!({ "disabled": true, "command": "/old", "env": { "A": "${A}" }, "args": [] });
        let entry = Client::Vscode.entry(Some(&old), Path::new("/p"), &["serve".to_owned()]);
        let expected =
            json!({ "disabled": true, "command": "/p", "env": { "A": "${A}" }, "args": ["serve"], "type": "stdio" });
        assert_eq!(entry.to_string(), expected.to_string());
        assert!(Client::Zed.entry(None, Path::new("/p"), &[]).get("type").is_none());
    }

    #[test]
    fn only_an_entry_that_starts_a_gate_is_ours() {
        let gate = json!({ "command": "/x/portcullis", "args": ["serve", "--policy", "/a", "--policy=/b"], "env": { "T": "1" } });
        let started = Started::read(&gate).unwrap();
        assert_eq!(started.policies, [PathBuf::from("/a"), PathBuf::from("/b")]);
        assert_eq!(started.variables, ["T"]);
        for other in [
            json!({ "command": "/x/other", "args": ["serve", "--policy", "/a"] }),
            json!({ "command": "/x/portcullis", "args": ["demo"] }),
            json!({ "command": "/x/portcullis" }),
            json!({ "url": "https://a" }),
            json!("portcullis serve"),
        ] {
            assert_eq!(Started::read(&other), None, "{other}");
        }
    }
}
