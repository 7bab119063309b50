//! The tutorial says what the program says: its commands are typed into a shell, one after another, and print what stands there.

use std::{fmt::Write as _, path::Path, process::Command};

use super::common::gate::binary;

/// What needs a day's log or a running gateway, or enters something into a client's configuration.
const ELSEWHERE: [&str; 4] =
    ["$ portcullis install", "$ portcullis learn", "$ portcullis replay", "$ portcullis reload"];

/// A command, with its lines of input, and what it prints.
struct Typed {
    command: String,
    printed: String,
}

/// The commands of the blocks of a document that can be typed here.
fn typed(document: &str) -> Vec<Typed> {
    let blocks = document.split("\n```console\n").skip(1).map(|rest| rest.split("\n```").next().expect("an end"));
    let here = blocks.filter(|block| !ELSEWHERE.iter().any(|command| block.contains(command)));
    here.flat_map(commands).collect()
}

fn commands(block: &str) -> Vec<Typed> {
    let mut found: Vec<Typed> = Vec::new();
    let mut awaited: Option<String> = None;
    for line in block.lines() {
        let last = found.last_mut();
        match (line.strip_prefix("$ "), awaited.take(), last) {
            (_, Some(end), Some(typed)) => {
                writeln!(typed.command, "{line}").expect("text");
                awaited = (line != end).then_some(end);
            }
            (Some(command), _, _) => {
                awaited = command.split_once("<<'").map(|(_, word)| word.trim_end_matches('\'').to_owned());
                found.push(Typed { command: format!("{command}\n"), printed: String::new() });
            }
            (None, _, Some(typed)) => writeln!(typed.printed, "{line}").expect("text"),
            (None, _, None) => panic!("a block begins with a command: {line}"),
        }
    }
    found
}

#[test]
fn what_the_tutorial_types_prints_what_stands_there() {
    const NEXT: &str = "-- the next command --";
    let document = std::fs::read_to_string("docs/tutorial.md").expect("it can be read");
    let typed = typed(&document);
    assert!(typed.len() >= 12, "{} commands", typed.len());
    let script: String = typed.iter().map(|typed| format!("{}echo; echo '{NEXT}'\n", typed.command)).collect();
    let directory = tempfile::tempdir().expect("a directory");
    let program = binary();
    let programs = Path::new(program.get_program()).parent().expect("a directory");
    let output = Command::new("bash")
        .args(["-c", &format!("exec 2>&1\nPATH={}:$PATH\n{script}", programs.display())])
        .current_dir(directory.path())
        .env("HOME", directory.path())
        .env_remove("XDG_STATE_HOME")
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("ALLSTACKS_TOKEN")
        .output()
        .expect("it runs");
    let text = String::from_utf8(output.stdout).expect("text");
    let printed: Vec<&str> = text.split(NEXT).map(str::trim).collect();
    for (typed, printed) in typed.iter().zip(&printed) {
        assert_eq!(*printed, typed.printed.trim(), "$ {}", typed.command);
    }
    assert_eq!(printed.len(), typed.len() + 1);
}
