//! How to connect an MCP client to the gate, and how to approve its writes elsewhere, ready to paste.
//!
//! Promises: absolute paths only, and no secret: the policy says where the credential is.

use std::io;
use std::path::Path;

use serde_json::{Value, json};

use super::NAME;
use super::screen::Screen;

/// The program and the files a client has to name.
pub(super) struct Connection<'a> {
    /// The gate's binary.
    pub(super) exe: &'a Path,
    /// The policy.
    pub(super) policy: &'a Path,
    /// The state directory.
    pub(super) state: &'a Path,
}

/// Prints the configuration of each client.
pub(super) fn print(screen: &mut Screen<'_>, connection: &Connection<'_>) -> io::Result<()> {
    let server = server(connection);
    screen.title("Claude Desktop (claude_desktop_config.json) and Cursor (~/.cursor/mcp.json)")?;
    screen.verbatim(&pretty(&json!({ "mcpServers": { NAME: server } })))?;
    screen.title("VS Code (.vscode/mcp.json)")?;
    screen.verbatim(&pretty(&json!({ "servers": { NAME: typed(server) } })))?;
    screen.title("Claude Code")?;
    screen.verbatim(&claude_code(connection))?;
    screen.title("To approve a write where the client cannot ask (CODE is what the agent was told)")?;
    screen.verbatim(&approve(connection))
}

fn server(connection: &Connection<'_>) -> Value {
    json!({ "command": connection.exe.to_string_lossy(), "args": arguments(connection) })
}

fn arguments(connection: &Connection<'_>) -> [String; 5] {
    let path = |path: &Path| path.to_string_lossy().into_owned();
    ["serve".into(), "--policy".into(), path(connection.policy), "--state-dir".into(), path(connection.state)]
}

fn typed(mut server: Value) -> Value {
    if let Some(object) = server.as_object_mut() {
        object.insert("type".to_owned(), json!("stdio"));
    }
    server
}

fn pretty(value: &Value) -> String {
    format!("{value:#}")
}

fn claude_code(connection: &Connection<'_>) -> String {
    let mut command = format!("claude mcp add {NAME} -- {}", quoted(&connection.exe.to_string_lossy()));
    for argument in arguments(connection) {
        command.push(' ');
        command.push_str(&quoted(&argument));
    }
    command
}

fn approve(connection: &Connection<'_>) -> String {
    let path = |path: &Path| quoted(&path.to_string_lossy());
    format!("{} approve CODE --state-dir {}", path(connection.exe), path(connection.state))
}

/// The word as a POSIX shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_a_space_and_a_quote_survives_the_shell() {
        assert_eq!(quoted("/opt/it's here/portcullis"), "'/opt/it'\\''s here/portcullis'");
        assert_eq!(quoted("/opt/portcullis"), "/opt/portcullis");
    }

    #[test]
    fn every_client_gets_the_same_absolute_paths() {
        let mut out = Vec::new();
        let connection = Connection {
            exe: Path::new("/x/portcullis"),
            policy: Path::new("/y/policy.toml"),
            state: Path::new("/y/state"),
        };
        print(&mut Screen::new(&mut out, false), &connection).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.matches("/x/portcullis").count(), 4);
        assert_eq!(text.matches("/y/policy.toml").count(), 3);
        assert_eq!(text.matches("/y/state").count(), 4);
    }
}
