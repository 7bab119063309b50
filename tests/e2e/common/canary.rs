//! The canary: every gate carries a credential nobody else has, and is searched for it.
//!
//! Raw, hex, base64, base64url and base32, at every alignment (so that `user:secret` and any longer
//! text count too) and in either case where it means nothing; and each of these behind percent, JSON
//! and HTML escapes, one around the other up to four deep.

use std::{
    borrow::Cow,
    fs,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use aho_corasick::AhoCorasick;
use base64::{
    Engine,
    engine::{GeneralPurpose, general_purpose},
};
use rustix::process::Pid;

static SERIAL: AtomicU64 = AtomicU64::new(0);

/// A credential of one gate. Its characters are legal in a bearer token, and those that
/// percent-encoding and base64url change are among them.
#[derive(Debug, Clone)]
pub(crate) struct Canary {
    secret: String,
    needles: AhoCorasick,
}

impl Canary {
    /// A credential that no other gate of this run has.
    pub(crate) fn hatch() -> Self {
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        Self::of(&format!("Pc+canary/{:x}.{serial:x}/~Zq8_Tweet-wire+Kx/f7==", std::process::id()))
    }

    /// The canary for this very credential.
    pub(crate) fn of(secret: &str) -> Self {
        let needles = AhoCorasick::new(forms(secret)).expect("a handful of needles");
        Self { secret: secret.to_owned(), needles }
    }

    /// The credential itself.
    pub(crate) fn secret(&self) -> &str {
        &self.secret
    }

    /// Where the credential, or an encoding of it, begins in `text` or in what is left of it once
    /// its escapes are undone.
    pub(crate) fn find(&self, text: &[u8]) -> Option<usize> {
        let mut view = Cow::Borrowed(text);
        for _ in 0..4 {
            if let Some(hit) = self.needles.find(&*view) {
                return Some(hit.start());
            }
            if !view.iter().any(|byte| b"%\\&".contains(byte)) {
                return None;
            }
            view = Cow::Owned(undone(&view));
        }
        self.needles.find(&*view).map(|hit| hit.start())
    }

    /// Fails the test where the credential is in `text`.
    pub(crate) fn search(&self, place: &str, text: &[u8]) {
        if let Some(at) = self.find(text) {
            let (from, to) = (at.saturating_sub(80), text.len().min(at + 160));
            panic!("the credential is in {place}: …{}…", String::from_utf8_lossy(text.get(from..to).unwrap_or(text)));
        }
    }

    /// Searches every file below `directory`, and the names of the files.
    pub(crate) fn search_files(&self, directory: &Path) {
        for path in files(directory) {
            self.search(&format!("the name {}", path.display()), path.as_os_str().as_encoded_bytes());
            self.search(&path.display().to_string(), &fs::read(&path).unwrap_or_default());
        }
    }

    /// Searches the command line of a process, and command line and environment of its children.
    pub(crate) fn search_process(&self, pid: Pid) {
        let proc = format!("/proc/{}", pid.as_raw_nonzero());
        self.search("the command line of the gate", &fs::read(format!("{proc}/cmdline")).unwrap_or_default());
        let tasks = fs::read_dir(format!("{proc}/task")).into_iter().flatten().flatten();
        let children = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
        for child in children.flat_map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>()) {
            for part in ["cmdline", "environ"] {
                let text = fs::read(format!("/proc/{child}/{part}")).unwrap_or_default();
                self.search(&format!("{part} of child {child}"), &text);
            }
        }
    }
}

/// All regular files below `directory`; none where it does not exist.
pub(crate) fn files(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path())),
            Ok(kind) if kind.is_file() => found.push(entry.path()),
            Ok(_) | Err(_) => {}
        }
    }
    found.sort();
    found
}

/// The texts that give the secret away as they stand. Escapes are found by undoing them instead,
/// since any part of a text may be escaped.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = vec![secret.as_bytes().to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes()];
    for engine in [&general_purpose::STANDARD_NO_PAD, &general_purpose::URL_SAFE_NO_PAD] {
        forms.extend((0..3).map(|shift| inner_base64(engine, secret.as_bytes(), shift)));
    }
    for shift in 0..5 {
        let form = inner_base32(secret, shift);
        forms.extend([form.to_lowercase().into_bytes(), form.into_bytes()]);
    }
    forms
}

/// The base64 characters that stand for `secret` alone when `shift` bytes (modulo 3) precede it.
fn inner_base64(engine: &GeneralPurpose, secret: &[u8], shift: usize) -> Vec<u8> {
    let text = engine.encode([&vec![0; shift], secret].concat());
    let first = (shift * 8).div_ceil(6);
    let last = (shift + secret.len()) * 8 / 6;
    text.as_bytes().get(first..last).expect("a secret of some bytes").to_vec()
}

/// The same in base32, when `shift` bytes (modulo 5) precede it: five bits a character.
pub(crate) fn inner_base32(secret: &str, shift: usize) -> String {
    let bits: String = secret.bytes().map(|byte| format!("{byte:08b}")).collect();
    let (_, own) = bits.split_at((5 - shift * 8 % 5) % 5);
    let digits = own.as_bytes().chunks_exact(5).map(|bits| std::str::from_utf8(bits).expect("ones and zeros"));
    let letter = |digit| char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[digit]);
    digits.map(|bits| letter(usize::from_str_radix(bits, 2).expect("ones and zeros"))).collect()
}

/// `text` with one layer of its escapes undone, as far as they can hide a credential.
fn undone(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let escape = match byte {
            b'%' => number(after, 2, 16),
            b'\\' => backslash(after),
            b'&' => entity(after),
            _ => None,
        };
        let (byte, tail) = escape.unwrap_or((byte, after));
        out.push(byte);
        rest = tail;
    }
    out
}

/// What follows a backslash.
fn backslash(text: &[u8]) -> Option<(u8, &[u8])> {
    match text {
        [b'u', hex @ ..] => number(hex, 4, 16),
        [b'x', hex @ ..] => number(hex, 2, 16),
        [byte @ (b'/' | b'\\' | b'"'), tail @ ..] => Some((*byte, tail)),
        _ => None,
    }
}

/// What follows an ampersand, with or without its semicolon.
fn entity(text: &[u8]) -> Option<(u8, &[u8])> {
    const NAMES: [(&str, u8); 8] = [
        ("amp", b'&'),
        ("bsol", b'\\'),
        ("percnt", b'%'),
        ("plus", b'+'),
        ("sol", b'/'),
        ("period", b'.'),
        ("lowbar", b'_'),
        ("equals", b'='),
    ];
    let run = |text: &[u8], radix| text.iter().take_while(|byte| char::from(**byte).is_digit(radix)).count();
    let (byte, tail) = match text {
        [b'#', b'x' | b'X', hex @ ..] => number(hex, run(hex, 16), 16)?,
        [b'#', decimal @ ..] => number(decimal, run(decimal, 10), 10)?,
        _ => NAMES.iter().find_map(|(name, byte)| Some((*byte, text.strip_prefix(name.as_bytes())?)))?,
    };
    Some((byte, tail.strip_prefix(b";").unwrap_or(tail)))
}

/// So many digits that stand for one byte, and what follows them.
fn number(text: &[u8], digits: usize, radix: u32) -> Option<(u8, &[u8])> {
    let (digits, tail) = text.split_at_checked(digits)?;
    let value = u32::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok()?;
    Some((u8::try_from(value).ok()?, tail))
}
