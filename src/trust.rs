//! Who else may write what this process reads and believes.
//!
//! Promises that a file or directory which passed belongs to this user or to root and that nobody else may change it. *Others may
//! write* means the other-write bit, or the group-write bit where the group is not the owner's own. The owner's own group is the one
//! whose number is the owner's number: the private group of `useradd`, and root's. A primary group is not taken for a private one,
//! since it is shared by every user on some systems (`staff` on macOS, `users` on openSUSE); such a file needs one `chmod g-w`.
//!
//! Refuses a symbolic link wherever one is not expected. Ancestors may be links: every directory on the way is checked, and
//! every link must belong to this user or to root. A directory that root owns and that is sticky (`/tmp`) may be an ancestor, because
//! nobody there can move what belongs to somebody else.
//!
//! Trusts root, the kernel's answers and the mode bits. Access lists are not read: under one, the group bits are its mask, so an entry
//! that may write is noticed except where the group is the owner's own.

use std::ffi::OsString;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, OFlags};

/// Links on one path; the kernel's own limit.
const MAX_LINKS: usize = 40;

/// Checks that `path` is a regular file, no link, that only its owner (this user or root) may write.
///
/// # Errors
/// The first rule it breaks, or that it cannot be looked at.
pub fn check_file(path: &Path) -> Result<(), TrustError> {
    Node::at(path)?.judge_file(path, me())
}

/// Checks that `path` is a directory, no link, in which only its owner (this user or root) may create or rename. For a directory
/// that this process puts files into; its ancestors are [`check_ancestors`]' business.
///
/// # Errors
/// The first rule it breaks, or that it cannot be looked at.
pub fn check_directory(path: &Path) -> Result<(), TrustError> {
    Node::at(path)?.judge_directory(path, me(), Sticky::Refused)
}

/// Checks that nobody else can exchange the file or directory in which `path` lies: as [`check_directory`], but a sticky directory of root's will do,
/// since what lies in it is checked for its own owner.
///
/// # Errors
/// The first rule it breaks, or that it cannot be looked at.
pub fn check_parent(path: &Path) -> Result<(), TrustError> {
    let absolute = std::path::absolute(path).map_err(|source| TrustError::unreadable(path, source))?;
    let Some(parent) = absolute.parent() else { return Ok(()) };
    let real = parent.canonicalize().map_err(|source| TrustError::unreadable(parent, source))?;
    Node::at(&real)?.judge_directory(&real, me(), Sticky::Excepted)
}

/// Checks every directory above `path` up to `/`, through every symbolic link on the way; `path` itself need not exist.
///
/// # Errors
/// The first directory or link, from `/` downwards, that somebody else may change.
pub fn check_ancestors(path: &Path) -> Result<(), TrustError> {
    let me = me();
    let absolute = std::path::absolute(path).map_err(|source| TrustError::unreadable(path, source))?;
    let Some(parent) = absolute.parent() else { return Ok(()) };
    let mut real = PathBuf::from("/");
    Node::at(&real)?.judge_directory(&real, me, Sticky::Excepted)?;
    let mut ahead = steps(parent);
    let mut links = 0_usize;
    while let Some(step) = ahead.pop() {
        if step == ".." {
            real.pop();
            continue;
        }
        let next = real.join(&step);
        let node = Node::at(&next)?;
        if node.kind != FileType::Symlink {
            node.judge_directory(&next, me, Sticky::Excepted)?;
            real = next;
            continue;
        }
        node.judge_owner(&next, me)?;
        links = links.saturating_add(1);
        if links > MAX_LINKS {
            return Err(TrustError::TooManyLinks { path: absolute });
        }
        let target = next.read_link().map_err(|source| TrustError::unreadable(&next, source))?;
        if target.is_absolute() {
            real = PathBuf::from("/");
        }
        ahead.extend(steps(&target));
    }
    Ok(())
}

/// Opens a file for reading that passes [`check_file`]; the open file is the one that was checked.
///
/// # Errors
/// The first rule it breaks, or that it cannot be opened.
pub fn open_file(path: &Path) -> Result<File, TrustError> {
    let (file, node) = open(path)?;
    node.judge_file(path, me())?;
    Ok(file)
}

/// Opens a secret for reading: as [`open_file`], and nobody but its owner may read it either, and its ancestors pass [`check_ancestors`].
///
/// # Errors
/// The first rule it breaks, or that it cannot be opened.
pub fn open_private(path: &Path) -> Result<File, TrustError> {
    check_ancestors(path)?;
    let (file, node) = open(path)?;
    node.judge_private(path, me())?;
    Ok(file)
}

/// Checks an open file of this process's own, as [`open_private`] does with one that it opens.
///
/// # Errors
/// The first rule it breaks; `path` is what the error names.
pub fn check_private(file: &File, path: &Path) -> Result<(), TrustError> {
    let metadata = file.metadata().map_err(|source| TrustError::unreadable(path, source))?;
    Node::of(&metadata).judge_private(path, me())
}

/// Checks that nobody but its owner, whoever that is, may write an open regular file: for somebody who reads what another user
/// has written.
///
/// # Errors
/// The rule it breaks; `path` is what the error names.
pub fn check_unshared(file: &File, path: &Path) -> Result<(), TrustError> {
    let metadata = file.metadata().map_err(|source| TrustError::unreadable(path, source))?;
    let node = Node::of(&metadata);
    if node.kind != FileType::RegularFile {
        return Err(TrustError::NotAFile { path: path.to_owned() });
    }
    node.judge_mode(path)
}

/// Why a file or directory is not believed. The modes are octal; the commands are what its owner would type.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// It does not exist, or may not be looked at.
    #[error("cannot read `{}`: {source}", quoted(path))]
    Unreadable {
        /// What was looked at.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A symbolic link where the thing itself is asked for.
    #[error("`{}` is a symbolic link; name what it leads to", quoted(path))]
    Link {
        /// The link.
        path: PathBuf,
    },
    /// A directory, a pipe, a device or a socket.
    #[error("`{}` is not a regular file", quoted(path))]
    NotAFile {
        /// The thing.
        path: PathBuf,
    },
    /// Anything but a directory.
    #[error("`{}` is not a directory", quoted(path))]
    NotADirectory {
        /// The thing.
        path: PathBuf,
    },
    /// It belongs to somebody who is neither this user nor root.
    #[error(
        "`{}` belongs to user {owner}, who could change it at any time; use one that belongs to user {me} or to root",
        quoted(path)
    )]
    Owner {
        /// The thing.
        path: PathBuf,
        /// The number of the user it belongs to.
        owner: u32,
        /// The number of this process's user.
        me: u32,
    },
    /// Others than its owner may write.
    #[error(
        "`{}` has mode {mode:04o}, so others than its owner may change it; run `chmod go-w {}`",
        quoted(path),
        quoted(path)
    )]
    OthersMayWrite {
        /// The thing.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Others than its owner may read a secret.
    #[error(
        "`{}` has mode {mode:04o}, so others than its owner may read it; run `chmod go= {}`",
        quoted(path),
        quoted(path)
    )]
    OthersMayRead {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Symbolic links that lead in a circle, or nearly.
    #[error("`{}` leads through more than {MAX_LINKS} symbolic links", quoted(path))]
    TooManyLinks {
        /// The path as asked.
        path: PathBuf,
    },
}

impl TrustError {
    fn unreadable(path: &Path, source: io::Error) -> Self {
        Self::Unreadable { path: path.to_owned(), source }
    }
}

/// The path as one word of a shell, with controls escaped: it is shown in messages and stands in the commands they propose.
pub(crate) fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    if !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "/._-+,:@%=~".contains(c)) {
        return text.into_owned();
    }
    let mut word = String::from("'");
    for c in text.chars() {
        match c {
            '\'' => word.push_str(r"'\''"),
            '"' | '\\' => word.push(c),
            c => word.extend(c.escape_debug()),
        }
    }
    word.push('\'');
    word
}

/// What the rules look at.
#[derive(Debug, Clone, Copy)]
struct Node {
    kind: FileType,
    mode: u32,
    owner: u32,
    group: u32,
}

impl Node {
    fn at(path: &Path) -> Result<Self, TrustError> {
        let metadata = path.symlink_metadata().map_err(|source| TrustError::unreadable(path, source))?;
        Ok(Self::of(&metadata))
    }

    fn of(metadata: &Metadata) -> Self {
        Self {
            kind: FileType::from_raw_mode(metadata.mode()),
            mode: metadata.mode() & 0o7777,
            owner: metadata.uid(),
            group: metadata.gid(),
        }
    }

    fn judge_file(self, path: &Path, me: u32) -> Result<(), TrustError> {
        if self.kind == FileType::Symlink {
            return Err(TrustError::Link { path: path.to_owned() });
        }
        if self.kind != FileType::RegularFile {
            return Err(TrustError::NotAFile { path: path.to_owned() });
        }
        self.judge_owner(path, me)?;
        self.judge_mode(path)
    }

    fn judge_private(self, path: &Path, me: u32) -> Result<(), TrustError> {
        self.judge_file(path, me)?;
        if self.mode & 0o077 != 0 {
            return Err(TrustError::OthersMayRead { path: path.to_owned(), mode: self.mode });
        }
        Ok(())
    }

    fn judge_directory(self, path: &Path, me: u32, sticky: Sticky) -> Result<(), TrustError> {
        if self.kind == FileType::Symlink {
            return Err(TrustError::Link { path: path.to_owned() });
        }
        if self.kind != FileType::Directory {
            return Err(TrustError::NotADirectory { path: path.to_owned() });
        }
        self.judge_owner(path, me)?;
        match sticky {
            Sticky::Excepted if self.owner == 0 && self.mode & 0o1000 != 0 => Ok(()),
            Sticky::Excepted | Sticky::Refused => self.judge_mode(path),
        }
    }

    fn judge_owner(self, path: &Path, me: u32) -> Result<(), TrustError> {
        if self.owner == me || self.owner == 0 {
            return Ok(());
        }
        Err(TrustError::Owner { path: path.to_owned(), owner: self.owner, me })
    }

    fn judge_mode(self, path: &Path) -> Result<(), TrustError> {
        let by_others = self.mode & 0o002 != 0;
        let by_group = self.mode & 0o020 != 0 && self.group != self.owner;
        if by_others || by_group {
            return Err(TrustError::OthersMayWrite { path: path.to_owned(), mode: self.mode });
        }
        Ok(())
    }
}

/// What becomes of a sticky directory that root owns and everybody may write.
#[derive(Debug, Clone, Copy)]
enum Sticky {
    Excepted,
    Refused,
}

fn me() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Opens without following a link and without waiting for the other end of a pipe.
fn open(path: &Path) -> Result<(File, Node), TrustError> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let file = opened.map_err(|source| match path.symlink_metadata() {
        Ok(found) if found.is_symlink() => TrustError::Link { path: path.to_owned() },
        Ok(_) | Err(_) => TrustError::unreadable(path, source),
    })?;
    let metadata = file.metadata().map_err(|source| TrustError::unreadable(path, source))?;
    Ok((file, Node::of(&metadata)))
}

/// The steps of a path, the last one first; `..` is kept, since what it means depends on the links before it.
fn steps(path: &Path) -> Vec<OsString> {
    let step = |component: Component<'_>| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().rev().filter_map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    const ME: u32 = 1000;
    const FILE: Node = Node { kind: FileType::RegularFile, mode: 0o644, owner: ME, group: ME };
    const DIRECTORY: Node = Node { kind: FileType::Directory, mode: 0o755, owner: ME, group: ME };

    fn verdict(result: Result<(), TrustError>) -> &'static str {
        match result {
            Ok(()) => "good",
            Err(TrustError::Unreadable { .. }) => "unreadable",
            Err(TrustError::Link { .. }) => "link",
            Err(TrustError::NotAFile { .. }) => "not a file",
            Err(TrustError::NotADirectory { .. }) => "not a directory",
            Err(TrustError::Owner { .. }) => "owner",
            Err(TrustError::OthersMayWrite { .. }) => "write",
            Err(TrustError::OthersMayRead { .. }) => "read",
            Err(TrustError::TooManyLinks { .. }) => "links",
        }
    }

    #[test]
    fn a_file_is_believed_only_where_nobody_but_its_owner_or_root_may_write() {
        let cases = [
            ("mine", FILE, "good"),
            ("root's", Node { owner: 0, group: 0, ..FILE }, "good"),
            ("somebody else's", Node { owner: 1001, ..FILE }, "owner"),
            ("written by all", Node { mode: 0o666, ..FILE }, "write"),
            ("written by all but its group", Node { mode: 0o602, ..FILE }, "write"),
            ("written by my own group", Node { mode: 0o664, ..FILE }, "good"),
            ("written by a shared group", Node { mode: 0o664, group: 100, ..FILE }, "write"),
            ("read by a shared group", Node { mode: 0o644, group: 100, ..FILE }, "good"),
            ("root's, written by root's group", Node { mode: 0o664, owner: 0, group: 0, ..FILE }, "good"),
            ("root's, written by my group", Node { mode: 0o664, owner: 0, group: ME, ..FILE }, "write"),
            ("sticky does not help a file", Node { mode: 0o1666, owner: 0, group: 0, ..FILE }, "write"),
            ("a link", Node { kind: FileType::Symlink, ..FILE }, "link"),
            ("a pipe", Node { kind: FileType::Fifo, ..FILE }, "not a file"),
            ("a directory", DIRECTORY, "not a file"),
        ];
        for (name, node, expected) in cases {
            assert_eq!(verdict(node.judge_file(Path::new("/f"), ME)), expected, "{name}");
        }
    }

    #[test]
    fn a_secret_is_believed_only_where_nobody_but_its_owner_may_read() {
        for (mode, expected) in [
            (0o600, "good"),
            (0o400, "good"),
            (0o640, "read"),
            (0o604, "read"),
            (0o601, "read"),
            (0o620, "read"),
            (0o602, "write"),
        ] {
            assert_eq!(verdict(Node { mode, ..FILE }.judge_private(Path::new("/f"), ME)), expected, "{mode:o}");
        }
    }

    #[test]
    fn a_sticky_directory_is_excepted_only_as_an_ancestor_and_only_where_root_owns_it() {
        let tmp = Node { mode: 0o1777, owner: 0, group: 0, ..DIRECTORY };
        let mine = Node { mode: 0o1777, ..DIRECTORY };
        let open = Node { mode: 0o777, owner: 0, group: 0, ..DIRECTORY };
        let cases = [
            ("/tmp above", tmp, Sticky::Excepted, "good"),
            ("/tmp itself", tmp, Sticky::Refused, "write"),
            ("my own sticky directory", mine, Sticky::Excepted, "write"),
            ("root's, not sticky", open, Sticky::Excepted, "write"),
            ("somebody else's", Node { owner: 1001, ..DIRECTORY }, Sticky::Excepted, "owner"),
            ("a file", FILE, Sticky::Excepted, "not a directory"),
        ];
        for (name, node, sticky, expected) in cases {
            assert_eq!(verdict(node.judge_directory(Path::new("/d"), ME, sticky)), expected, "{name}");
        }
    }

    fn home() -> tempfile::TempDir {
        tempfile::Builder::new().permissions(Permissions::from_mode(0o700)).tempdir().unwrap()
    }

    fn write(path: &Path, mode: u32) {
        fs::write(path, "x").unwrap();
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn mkdir(path: &Path, mode: u32) {
        fs::create_dir(path).unwrap();
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn an_ancestor_that_others_may_write_spoils_everything_below_it() {
        let home = home();
        let open = home.path().join("open");
        mkdir(&open, 0o777);
        let below = open.join("below");
        mkdir(&below, 0o700);
        write(&below.join("token"), 0o600);
        assert_eq!(verdict(check_ancestors(&below.join("token"))), "write");
        assert_eq!(verdict(open_private(&below.join("token")).map(drop)), "write");
        assert_eq!(verdict(check_ancestors(&open)), "good", "what lies beside it is not its business");
    }

    #[test]
    fn an_ancestor_reached_through_a_link_is_checked_where_the_link_leads() {
        let home = home();
        let open = home.path().join("open");
        mkdir(&open, 0o777);
        mkdir(&open.join("inner"), 0o700);
        symlink(open.join("inner"), home.path().join("direct")).unwrap();
        symlink("direct", home.path().join("twice")).unwrap();
        mkdir(&home.path().join("closed"), 0o700);
        symlink("closed", home.path().join("fine")).unwrap();
        for (path, expected) in [
            ("direct/f", "write"),
            ("twice/f", "write"),
            ("direct/../../fine/f", "write"),
            ("fine/f", "good"),
            ("fine/../closed/f", "good"),
        ] {
            assert_eq!(verdict(check_ancestors(&home.path().join(path))), expected, "{path}");
        }
    }

    #[test]
    fn links_in_a_circle_end_in_a_refusal() {
        let home = home();
        symlink("b", home.path().join("a")).unwrap();
        symlink("a", home.path().join("b")).unwrap();
        assert_eq!(verdict(check_ancestors(&home.path().join("a/f"))), "links");
    }

    #[test]
    fn a_linked_secret_is_refused_however_good_its_target() {
        let home = home();
        write(&home.path().join("token"), 0o600);
        symlink("token", home.path().join("link")).unwrap();
        assert_eq!(verdict(open_private(&home.path().join("token")).map(drop)), "good");
        assert_eq!(verdict(open_private(&home.path().join("link")).map(drop)), "link");
        assert_eq!(verdict(check_file(&home.path().join("link"))), "link");
    }

    #[test]
    fn a_pipe_in_place_of_a_file_is_refused_without_waiting_for_its_writer() {
        let home = home();
        let pipe = home.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, 0o600.into(), 0).unwrap();
        assert_eq!(verdict(open_file(&pipe).map(drop)), "not a file");
    }

    #[test]
    fn a_missing_file_is_unreadable_and_never_good() {
        let home = home();
        assert_eq!(verdict(check_file(&home.path().join("none"))), "unreadable");
        assert_eq!(verdict(check_directory(&home.path().join("none"))), "unreadable");
        assert_eq!(verdict(check_ancestors(&home.path().join("none/f"))), "unreadable");
    }

    #[test]
    fn a_message_names_the_mode_and_the_command_to_type() {
        let error = Node { mode: 0o666, ..FILE }.judge_file(Path::new("/a b/p.toml"), ME).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`'/a b/p.toml'` has mode 0666, so others than its owner may change it; run `chmod go-w '/a b/p.toml'`"
        );
    }

    #[test]
    fn a_path_is_shown_without_its_controls() {
        let cases = [
            ("/a/b.toml", "/a/b.toml"),
            ("/a b", "'/a b'"),
            ("/it's", r"'/it'\''s'"),
            ("/\u{1b}[2J", r"'/\u{1b}[2J'"),
            ("", "''"),
        ];
        for (path, shown) in cases {
            assert_eq!(quoted(Path::new(path)), shown, "{path:?}");
        }
    }
}
