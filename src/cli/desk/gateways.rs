//! The gateways that run as this user: where they are, and how they are told something.
//!
//! Promises: what is handed on of their answers holds nothing that a terminal acts upon; one that does not answer keeps
//! nobody from the others. Trusts the sockets in directories that nobody but this user and root may write or exchange.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use super::OrderError;
use crate::config::{self, Environment};
use crate::confirm::Decided;
use crate::confirm::desk::reload::Change;
use crate::confirm::desk::{self, Answer, Listing, MAX_REPLY, Order, PATIENCE, Waiting, Whole};
use crate::trust;

/// Gateways that are spoken to side by side.
const MAX_AT_ONCE: usize = 64;

/// A gateway, by its socket.
#[derive(Debug, Clone)]
pub(super) struct Gateway {
    socket: PathBuf,
}

/// What came of telling every gateway the same.
#[derive(Debug)]
pub(super) struct Replies<T> {
    /// Where the gateways were looked for.
    pub(super) root: PathBuf,
    /// What each answered, in the order of their sockets.
    pub(super) answers: Vec<(Gateway, T)>,
    /// Why others gave no answer.
    pub(super) failed: Vec<OrderError>,
}

/// A question, and where it waits.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) gateway: Gateway,
    pub(super) question: Waiting,
    /// For how many seconds writes stay closed there.
    pub(super) closed: Option<u64>,
}

impl Gateway {
    /// Says yes or no to a question.
    ///
    /// # Errors
    /// The question is gone, or the gateway refuses or is not heard.
    pub(super) fn decide(&self, code: &str, order: &Order) -> Result<Decided, OrderError> {
        match self.tell(order)? {
            Answer::Decided { expires_in_seconds, call_waits } => {
                Ok(Decided { left: Duration::from_secs(expires_in_seconds), call_waits })
            }
            Answer::Gone => Err(OrderError::NoQuestion(code.to_owned())),
            Answer::Pending(_)
            | Answer::Whole(_)
            | Answer::Open
            | Answer::Compared(_)
            | Answer::Reloaded
            | Answer::Refused { .. } => Err(self.unexpected()),
        }
    }

    /// The whole of a request; `None` where its question is gone.
    ///
    /// # Errors
    /// The gateway refuses or is not heard.
    pub(super) fn whole(&self, code: &str) -> Result<Option<Whole>, OrderError> {
        match self.tell(&Order::Show { code: code.to_owned() })? {
            Answer::Whole(whole) => Ok(Some(whole)),
            Answer::Gone => Ok(None),
            Answer::Pending(_)
            | Answer::Decided { .. }
            | Answer::Open
            | Answer::Compared(_)
            | Answer::Reloaded
            | Answer::Refused { .. } => Err(self.unexpected()),
        }
    }

    /// Opens writes.
    ///
    /// # Errors
    /// The gateway refuses or is not heard.
    pub(super) fn open_writes(&self) -> Result<(), OrderError> {
        match self.tell(&Order::Reopen {})? {
            Answer::Open => Ok(()),
            Answer::Pending(_)
            | Answer::Whole(_)
            | Answer::Decided { .. }
            | Answer::Gone
            | Answer::Compared(_)
            | Answer::Reloaded
            | Answer::Refused { .. } => Err(self.unexpected()),
        }
    }

    /// Puts the policy file in force that it was compared by.
    ///
    /// # Errors
    /// The gateway refuses or is not heard.
    pub(super) fn reload(&self, order: &Order) -> Result<(), OrderError> {
        match self.tell(order)? {
            Answer::Reloaded => Ok(()),
            Answer::Pending(_)
            | Answer::Whole(_)
            | Answer::Decided { .. }
            | Answer::Gone
            | Answer::Open
            | Answer::Compared(_)
            | Answer::Refused { .. } => Err(self.unexpected()),
        }
    }

    fn tell(&self, order: &Order) -> Result<Answer, OrderError> {
        let line = self.speak(order).map_err(|source| self.unheard(source))?;
        let answer: Answer = serde_json::from_slice(&line).map_err(|_| self.unexpected())?;
        match answer.printable() {
            Answer::Refused { why } => Err(OrderError::Refused(why)),
            answer @ (Answer::Pending(_)
            | Answer::Whole(_)
            | Answer::Decided { .. }
            | Answer::Gone
            | Answer::Open
            | Answer::Compared(_)
            | Answer::Reloaded) => Ok(answer),
        }
    }

    /// One line each way.
    fn speak(&self, order: &Order) -> io::Result<Vec<u8>> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(order.patience()))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut text = serde_json::to_vec(order)?;
        text.push(b'\n');
        stream.write_all(&text)?;
        let mut line = Vec::new();
        let limit = u64::try_from(MAX_REPLY).unwrap_or(u64::MAX);
        BufReader::new(stream.take(limit)).read_until(b'\n', &mut line)?;
        if line.ends_with(b"\n") { Ok(line) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn unheard(&self, source: io::Error) -> OrderError {
        // What a socket says whose time is up.
        let late = source.kind() == io::ErrorKind::WouldBlock;
        let source = if late { io::ErrorKind::TimedOut.into() } else { source };
        OrderError::Unheard { socket: self.socket.clone(), source }
    }

    fn unexpected(&self) -> OrderError {
        OrderError::Unexpected { socket: self.socket.clone() }
    }
}

impl Replies<Answer> {
    /// Tells every gateway of this user: those with a socket in the state directory, or in any directory one below it
    /// (several APIs, or the default place).
    ///
    /// # Errors
    /// No place is known.
    pub(super) fn to(order: &Order, state_dir: Option<&Path>) -> Result<Self, OrderError> {
        let root = config::state_root(state_dir, &Environment::process())?;
        let (gateways, failed) = gateways(&root);
        let mut replies = Self { root, answers: Vec::new(), failed };
        for some in gateways.chunks(MAX_AT_ONCE) {
            for (gateway, reply) in some.iter().zip(tell_each(some, order)) {
                match reply {
                    Ok(answer) => replies.answers.push((gateway.clone(), answer)),
                    Err(OrderError::Unheard { source, .. }) if is_gone(&source) => {}
                    Err(error) => replies.failed.push(error),
                }
            }
        }
        Ok(replies)
    }
}

impl Replies<Listing> {
    /// What waits at every gateway.
    ///
    /// # Errors
    /// No place is known.
    pub(super) fn listings(state_dir: Option<&Path>) -> Result<Self, OrderError> {
        let Replies { root, answers, failed } = Replies::to(&Order::Pending {}, state_dir)?;
        let mut replies = Self { root, answers: Vec::new(), failed };
        for (gateway, answer) in answers {
            match answer {
                Answer::Pending(listing) => replies.answers.push((gateway, listing)),
                Answer::Whole(_)
                | Answer::Decided { .. }
                | Answer::Gone
                | Answer::Open
                | Answer::Compared(_)
                | Answer::Reloaded
                | Answer::Refused { .. } => replies.failed.push(gateway.unexpected()),
            }
        }
        Ok(replies)
    }

    /// The question with this code, and with this digest if one is given.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub(super) fn find(self, code: &str, digest: Option<&str>) -> Result<Found, OrderError> {
        let all = self.answers.iter().flat_map(|(gateway, listing)| {
            let Listing { questions, closed_seconds, .. } = listing;
            questions.iter().map(move |question| (gateway, question, *closed_seconds))
        });
        let mut named: Vec<_> = all.filter(|(_, question, _)| question.code == code).collect();
        if named.is_empty() {
            return Err(self.none(code));
        }
        named.retain(|(_, question, _)| digest.is_none_or(|digest| question.digest.eq_ignore_ascii_case(digest)));
        match named[..] {
            [] => Err(OrderError::OtherDigest),
            [(gateway, question, closed)] => Ok(Found { gateway: gateway.clone(), question: question.clone(), closed }),
            [..] => Err(OrderError::Ambiguous),
        }
    }
}

impl Replies<Change> {
    /// What the policy file of every gateway would change.
    ///
    /// # Errors
    /// No place is known.
    pub(super) fn changes(state_dir: Option<&Path>) -> Result<Self, OrderError> {
        let Replies { root, answers, failed } = Replies::to(&Order::Compare {}, state_dir)?;
        let mut replies = Self { root, answers: Vec::new(), failed };
        for (gateway, answer) in answers {
            match answer {
                Answer::Compared(change) => replies.answers.push((gateway, *change)),
                Answer::Pending(_)
                | Answer::Whole(_)
                | Answer::Decided { .. }
                | Answer::Gone
                | Answer::Open
                | Answer::Reloaded
                | Answer::Refused { .. } => replies.failed.push(gateway.unexpected()),
            }
        }
        Ok(replies)
    }
}

impl<T> Replies<T> {
    /// Why there is no question with this code.
    pub(super) fn none(self, code: &str) -> OrderError {
        let Self { root, answers, failed } = self;
        match failed.into_iter().next() {
            Some(error) => error,
            None if answers.is_empty() => OrderError::Nobody(root),
            None => OrderError::NoQuestion(code.to_owned()),
        }
    }
}

/// What each of a few gateways answers, in their order.
fn tell_each(gateways: &[Gateway], order: &Order) -> Vec<Result<Answer, OrderError>> {
    let (tell, told) = mpsc::channel();
    for (place, gateway) in gateways.iter().enumerate() {
        let (tell, gateway, order) = (tell.clone(), gateway.clone(), order.clone());
        // Not waited for: a gateway that is stopped may never take the connection.
        std::thread::spawn(move || tell.send((place, gateway.tell(&order))));
    }
    drop(tell);
    let mut replies: Vec<_> =
        gateways.iter().map(|gateway| Err(gateway.unheard(io::ErrorKind::TimedOut.into()))).collect();
    while let Ok((place, reply)) = told.recv_timeout(PATIENCE + order.patience()) {
        if let Some(of) = replies.get_mut(place) {
            *of = reply;
        }
    }
    replies
}

/// Whether the gateway was killed, or ended meanwhile.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)
}

/// The gateways that live in a directory or one below it, and why others are not believed or not found.
fn gateways(root: &Path) -> (Vec<Gateway>, Vec<OrderError>) {
    let (mut gateways, mut failed) = (Vec::new(), Vec::new());
    let mut directories = vec![root.to_owned()];
    // Where it cannot be read, that is said below.
    let below = std::fs::read_dir(root).into_iter().flatten().flatten();
    let below = below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    directories.extend(below.map(|entry| entry.path()));
    directories.sort();
    for directory in directories {
        let sockets = match desk::sockets(&directory) {
            Ok(sockets) if sockets.is_empty() => continue,
            Ok(sockets) => sockets,
            // A gateway makes its directory when it starts.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => {
                failed.push(OrderError::Unreadable { directory, source });
                continue;
            }
        };
        // Whoever may write there may pretend to be a gateway.
        match trust::check_ancestors(&directory).and_then(|()| trust::check_directory(&directory)) {
            Ok(()) => gateways.extend(sockets.into_iter().map(|socket| Gateway { socket })),
            Err(error) => failed.push(OrderError::Distrusted(error)),
        }
    }
    (gateways, failed)
}
