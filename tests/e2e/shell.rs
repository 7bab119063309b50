//! What a shell and `man` are told of the commands.

use std::collections::BTreeSet;
use std::fs;
use std::process::Output;

use super::common::gate::binary;

fn run(arguments: &[&str]) -> Output {
    binary().args(arguments).output().expect("the binary runs")
}

/// Every command, as `--help` lists them.
fn commands() -> Vec<String> {
    let help = String::from_utf8(run(&["--help"]).stdout).expect("text");
    let list = help.split_once("Commands:\n").expect("a list").1.split_once("\n\n").expect("its end").0;
    let named = list.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    named.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn the_completions_of_every_shell_know_every_command() {
    let commands = commands();
    assert!(commands.len() > 15 && commands.iter().any(|command| command == "doctor"), "{commands:?}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(&["completions", shell]);
        assert!(output.status.success() && output.stderr.is_empty(), "{shell}: {output:?}");
        let script = String::from_utf8(output.stdout).expect("text");
        for word in commands.iter().map(String::as_str).chain(["acknowledge", "state-dir"]) {
            assert!(script.contains(word), "{shell} does not know `{word}`");
        }
    }
    assert_eq!(run(&["completions", "csh"]).status.code(), Some(2));
}

#[test]
fn there_is_a_manual_page_for_every_command_and_no_other() {
    let directory = tempfile::tempdir().expect("a directory");
    let output = run(&["man", "--directory", directory.path().to_str().expect("text")]);
    assert!(output.status.success(), "{output:?}");
    let pages: BTreeSet<String> = fs::read_dir(directory.path())
        .expect("it is there")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
        .collect();
    for command in commands().iter().filter(|command| *command != "help") {
        assert!(pages.contains(&format!("portcullis-{command}.1")), "no page for `{command}`: {pages:?}");
    }
    assert!(pages.contains("portcullis.1") && pages.contains("portcullis-audit-verify.1"), "{pages:?}");
    assert!(!pages.iter().any(|page| page.contains("help")), "{pages:?}");
}

#[test]
fn a_page_says_what_help_says() {
    let page = String::from_utf8(run(&["man", "audit", "verify"]).stdout).expect("text");
    assert!(page.contains(".TH portcullis-audit-verify 1"), "{page}");
    assert!(page.contains("that no signed checkpoint covers are a doubt"), "{page}");
    let page = String::from_utf8(run(&["man"]).stdout).expect("text");
    assert!(page.contains(".TH portcullis 1") && page.contains("gateway for HTTP APIs"), "{page}");
    let output = run(&["man", "audit", "nothing"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no command `audit nothing`"), "{output:?}");
}
