//! The person's side of a state directory: `portcullis pending` and the rest, in a terminal or without one.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::mpsc::{self, Receiver},
};

use serde_json::Value;

use super::{
    PATIENCE, eventually,
    gate::{Answer, Home, binary},
    terminal::Terminal,
};

/// What stands last on the screen while a person is asked; at the left margin nothing of a request does.
pub(crate) const PROMPT: &str = "\r\n> ";

/// Where a person looks for what waits.
#[derive(Debug, Clone)]
pub(crate) struct Desk {
    state: PathBuf,
}

impl Desk {
    /// The desk of everything below the state directory of `home`.
    pub(crate) fn of(home: &Home) -> Self {
        Self::at(&home.state())
    }

    /// The desk of this state directory.
    pub(crate) fn at(state: &Path) -> Self {
        Self { state: state.to_owned() }
    }

    /// `portcullis WORDS --state-dir …`, with an environment that holds nothing of ours.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = binary();
        command.args(words).arg("--state-dir").arg(&self.state);
        command.env_clear().env("PATH", "/usr/bin:/bin");
        command
    }

    /// Runs it to its end; nothing can be typed into its standard input.
    pub(crate) fn run(&self, words: &[&str]) -> Output {
        self.command(words).stdin(Stdio::null()).output().expect("the binary runs")
    }

    /// The same, where a question at a terminal is a failure of the test: there is none.
    pub(crate) fn run_without_terminal(&self, words: &[&str]) -> Output {
        without_terminal(&self.command(words))
    }

    /// Runs it at a terminal.
    pub(crate) fn at_terminal(&self, words: &[&str]) -> Terminal {
        Terminal::start(self.command(words), "")
    }

    /// Runs it at a terminal, types `keys` once it asks, and waits for its end: exit code and screen.
    pub(crate) fn answer(&self, words: &[&str], keys: &str) -> (i32, String) {
        let mut terminal = self.at_terminal(words);
        terminal.until(PROMPT);
        terminal.type_in(keys);
        terminal.end()
    }

    /// Approves at a terminal by the word that is asked for.
    pub(crate) fn approve(&self, code: &str) {
        let (status, screen) = self.answer(&["approve", code], "yes\n");
        assert_eq!(status, 0, "{screen}");
    }

    /// What `pending --format json` says.
    pub(crate) fn pending(&self) -> Value {
        let output = self.run(&["pending", "--format", "json"]);
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    }

    /// The questions that wait, oldest first.
    pub(crate) fn questions(&self) -> Vec<Value> {
        self.pending()["questions"].as_array().expect("a list of questions").clone()
    }

    /// Waits until `count` questions wait: their codes.
    pub(crate) fn codes(&self, count: usize) -> Vec<String> {
        let mut codes = Vec::new();
        eventually(&format!("{count} questions wait"), || {
            codes = self.questions().iter().map(|question| word(&question["code"])).collect();
            codes.len() == count
        });
        codes
    }

    /// The sockets, by name.
    pub(crate) fn sockets(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.state).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut sockets: Vec<_> =
            entries.filter(|path| path.extension().is_some_and(|extension| extension == "sock")).collect();
        sockets.sort();
        sockets
    }

    /// Waits until there are `count` sockets.
    pub(crate) fn await_sockets(&self, count: usize) -> Vec<PathBuf> {
        eventually(&format!("{count} sockets"), || self.sockets().len() == count);
        self.sockets()
    }
}

/// The code in the answer to a call that somebody has to approve in another terminal.
pub(crate) fn held_code(answer: &Answer) -> String {
    let refusal = answer.refusal();
    assert_eq!(refusal["code"], "approval_required", "{refusal}");
    let code = word(&refusal["approval"]["code"]);
    let letters = code.bytes().filter(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()).count();
    assert!(code.len() == 7 && letters == 6 && code.as_bytes()[3] == b'-', "{code}");
    let message = word(&refusal["message"]);
    assert!(message.contains(&format!("portcullis approve {code}")), "{message}");
    let lives = refusal["approval"]["expires_in_seconds"].as_u64();
    assert!(lives.is_some_and(|seconds| (1..=600).contains(&seconds)), "{refusal}");
    code
}

/// The digest of the request with this code.
pub(crate) fn digest(desk: &Desk, code: &str) -> String {
    let questions = desk.questions();
    let question = questions.iter().find(|question| question["code"] == code);
    word(&question.unwrap_or_else(|| panic!("{code} waits: {questions:?}"))["digest"])
}

/// A string of JSON.
pub(crate) fn word(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no string: {value}")).to_owned()
}

/// Runs a command that has no controlling terminal: the one that it is given hangs up before it begins.
pub(crate) fn without_terminal(command: &Command) -> Output {
    let mut shell = Command::new("/bin/sh");
    // The shell outlives its terminal, and goes on once it has none.
    let script = r#"trap '' HUP; echo ready; while (: </dev/tty) 2>/dev/null; do sleep 0.01; done; exec "$@""#;
    shell.args(["-c", script, "sh"]).arg(command.get_program()).args(command.get_args());
    shell.env_clear().env("PATH", "/usr/bin:/bin");
    if let Some(directory) = command.get_current_dir() {
        shell.current_dir(directory);
    }
    let (terminal, end) = pty_process::blocking::open().expect("a pseudo-terminal");
    let mut shell = pty_process::blocking::Command::from(shell);
    shell = shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = shell.spawn(end).expect("the shell starts");
    child.stdout.as_mut().expect("a pipe").read_exact(&mut [0; "ready\n".len()]).expect("it is ready");
    drop(terminal);
    child.wait_with_output().expect("the command ends")
}

/// A process of the same user that pretends to be a gateway, and answers one order after the other with what it was
/// told to.
#[derive(Debug)]
pub(crate) struct Impostor {
    pub(crate) orders: Receiver<String>,
}

impl Impostor {
    /// Takes orders at `socket`, and says `answer` to each.
    pub(crate) fn at(socket: &Path, answer: &str) -> Self {
        let listener = UnixListener::bind(socket).expect("a socket");
        rustix::fs::chmod(socket, 0o600.into()).expect("its mode is set");
        let (tell, orders) = mpsc::channel();
        let answer = format!("{answer}\n");
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut order = String::new();
                BufReader::new(&stream).read_line(&mut order).ok();
                stream.write_all(answer.as_bytes()).ok();
                if tell.send(order).is_err() {
                    return;
                }
            }
        });
        Self { orders }
    }
}

/// Says `line` at a gateway's socket, and waits for nothing.
pub(crate) fn tell(socket: &Path, line: &[u8]) -> UnixStream {
    let mut stream = UnixStream::connect(socket).expect("the gateway listens");
    // It may hang up before it has heard all.
    stream.write_all(line).ok();
    stream
}

/// The line that a gateway answers; empty where it hangs up.
pub(crate) fn hear(stream: UnixStream) -> String {
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).ok();
    answer
}

/// Says `line` at a gateway's socket and nothing more; the line that it answers.
pub(crate) fn speak(socket: &Path, line: &[u8]) -> String {
    let stream = tell(socket, line);
    stream.shutdown(Shutdown::Write).ok();
    hear(stream)
}
