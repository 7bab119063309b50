//! Splits a byte stream into lines with a cap: a longer line is read past, never kept.

use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest line that is read as a message: 1 MiB.
pub(super) const MAX_LINE: usize = 1 << 20;
const CHUNK: usize = 64 << 10;
/// Above this the buffer is given back once it is empty.
const KEEP: usize = 4 * CHUNK;

/// What comes next in the stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// A whole line without its ending.
    Whole(&'a [u8]),
    /// The first [`MAX_LINE`] bytes of a line that went on; the rest is gone.
    Cut(&'a [u8]),
    /// The stream ended. Half a line before it is dropped: it may be half a call.
    End,
}

/// Reads lines; may be dropped and called again at any await.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    /// Bytes of the buffer that were handed out.
    taken: usize,
    /// Bytes of the buffer that hold no newline.
    searched: usize,
    /// The rest of a cut line is being read past.
    skipping: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, buffer: Vec::new(), taken: 0, searched: 0, skipping: false }
    }

    /// The next line. A failing read counts as the end.
    pub(super) async fn next(&mut self) -> Line<'_> {
        loop {
            if let Some(found) = self.find() {
                let (from, to, cut) = found;
                let line = self.buffer.get(from..to).unwrap_or_default();
                return if cut { Line::Cut(line) } else { Line::Whole(line.strip_suffix(b"\r").unwrap_or(line)) };
            }
            self.make_room();
            match self.reader.read_buf(&mut self.buffer).await {
                Ok(0) => return Line::End,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "standard input cannot be read; treated as its end");
                    return Line::End;
                }
            }
        }
    }

    /// A line in the buffer: where it begins and ends, and whether it was cut.
    fn find(&mut self) -> Option<(usize, usize, bool)> {
        loop {
            let end = memchr::memchr(b'\n', self.buffer.get(self.searched..)?).map(|at| self.searched + at);
            match (end, self.skipping) {
                (Some(end), true) => {
                    self.skipping = false;
                    (self.taken, self.searched) = (end + 1, end + 1);
                }
                (Some(end), false) if end - self.taken <= MAX_LINE => {
                    let from = std::mem::replace(&mut self.taken, end + 1);
                    self.searched = end + 1;
                    return Some((from, end, false));
                }
                (None, true) => {
                    (self.taken, self.searched) = (self.buffer.len(), self.buffer.len());
                    return None;
                }
                (None, false) if self.buffer.len() - self.taken <= MAX_LINE => {
                    self.searched = self.buffer.len();
                    return None;
                }
                (Some(_) | None, false) => {
                    self.skipping = true;
                    let from = self.taken;
                    self.searched = from + MAX_LINE;
                    self.taken = from + MAX_LINE;
                    return Some((from, from + MAX_LINE, true));
                }
            }
        }
    }

    fn make_room(&mut self) {
        if self.taken == self.buffer.len() {
            self.buffer.clear();
            if self.buffer.capacity() > KEEP {
                self.buffer = Vec::new();
            }
        } else if self.taken > 0 {
            self.buffer.drain(..self.taken);
        }
        self.taken = 0;
        self.searched = self.buffer.len();
        self.buffer.reserve(CHUNK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(input: &[u8]) -> Vec<(bool, usize)> {
        let mut lines = Lines::new(input);
        let mut seen = Vec::new();
        loop {
            match lines.next().await {
                Line::Whole(line) => seen.push((true, line.len())),
                Line::Cut(line) => seen.push((false, line.len())),
                Line::End => return seen,
            }
        }
    }

    #[tokio::test]
    async fn lines_end_at_newlines_with_or_without_carriage_return() {
        assert_eq!(all(b"a\r\nbc\n\nhalf").await, [(true, 1), (true, 2), (true, 0)]);
    }

    #[tokio::test]
    async fn a_line_over_the_cap_is_cut_and_the_next_one_is_whole() {
        for over in [1, CHUNK, 5 * MAX_LINE] {
            let mut input = vec![b'x'; MAX_LINE + over];
            input.extend_from_slice(b"\nok\n");
            assert_eq!(all(&input).await, [(false, MAX_LINE), (true, 2)], "over by {over}");
        }
        let mut input = vec![b'x'; MAX_LINE];
        input.extend_from_slice(b"\nok\n");
        assert_eq!(all(&input).await, [(true, MAX_LINE), (true, 2)]);
    }
}
