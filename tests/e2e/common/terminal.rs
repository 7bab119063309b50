//! A terminal with a person at it: a command whose controlling terminal is a pseudo-terminal of its own.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::OwnedFd,
    process::{Command, ExitStatus},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver},
    },
    thread::JoinHandle,
};

use pty_process::{Size, blocking};
use rustix::process::{Pid, Signal, kill_process};

use super::{PATIENCE, eventually};

/// What the keys send that end the input.
pub(crate) const END_OF_INPUT: &str = "\x04";

/// A command at its terminal of 24 rows and 80 columns.
#[derive(Debug)]
pub(crate) struct Terminal {
    keyboard: File,
    screen: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
    pid: Pid,
    exit: Receiver<ExitStatus>,
}

impl Terminal {
    /// Runs `command`, and types `ahead` before it begins. Its standard streams are the terminal.
    pub(crate) fn start(command: Command, ahead: &str) -> Self {
        let (terminal, end) = blocking::open().expect("a pseudo-terminal");
        terminal.resize(Size::new(24, 80)).expect("it has a size");
        let mut keyboard = File::from(OwnedFd::from(terminal));
        keyboard.write_all(ahead.as_bytes()).expect("it takes what is typed");
        let mut child = blocking::Command::from(command).spawn(end).expect("the command starts");
        let pid = Pid::from_child(&child);
        let (told, exit) = mpsc::channel();
        std::thread::spawn(move || told.send(child.wait().expect("a child can be waited for")));
        let screen = Arc::<Mutex<Vec<u8>>>::default();
        let reader = std::thread::spawn({
            let (mut terminal, screen) = (keyboard.try_clone().expect("its descriptor"), Arc::clone(&screen));
            move || {
                let mut chunk = [0; 4096];
                // Where nobody has the other end open any more, reading fails.
                while let Ok(length @ 1..) = terminal.read(&mut chunk) {
                    let text = chunk.get(..length).unwrap_or_default();
                    screen.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(text);
                }
            }
        });
        Self { keyboard, screen, reader, pid, exit }
    }

    /// Everything that was shown so far, what was typed included.
    pub(crate) fn screen(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// Waits until `text` is on the screen.
    pub(crate) fn until(&self, text: &str) {
        eventually(&format!("the terminal shows `{text}`; so far: {}", self.screen()), || self.screen().contains(text));
    }

    /// Types a text.
    pub(crate) fn type_in(&mut self, text: &str) {
        self.press(text.as_bytes());
    }

    /// Sends what keys send, whether it is text or not.
    pub(crate) fn press(&mut self, keys: &[u8]) {
        self.keyboard.write_all(keys).expect("it takes what is typed");
    }

    /// Waits for the end: the exit code, and everything that was shown. A command that waits for more is killed.
    pub(crate) fn end(self) -> (i32, String) {
        let Ok(status) = self.exit.recv_timeout(PATIENCE) else {
            kill_process(self.pid, Signal::KILL).ok();
            panic!("the command does not end; on its screen: {}", self.screen());
        };
        self.reader.join().expect("the reader");
        let screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        let code = status.code().unwrap_or_else(|| panic!("{status}"));
        (code, String::from_utf8_lossy(&screen).into_owned())
    }
}
