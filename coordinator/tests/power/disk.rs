//! The C functions through which this process writes files, so that it can be seen what reaches the disk, and in which
//! order, and so that it can fail. The linker takes them for the whole program, because they are its own.
//!
//! Nothing is watched before [`watch`], and everything else passes through. What is watched is really written, and never
//! really synced: what a sync would have kept is for the model to say. (`sync_file_range`, with which sled ends its
//! flush, promises nothing about a power cut, and so is not looked at.)

#![expect(unsafe_code, reason = "a symbol that others link to by its name has to be exported under it")]

use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::fs::File;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What happened on the disk, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    Write {
        path: PathBuf,
        offset: u64,
        bytes: Vec<u8>,
    },
    Truncate {
        path: PathBuf,
        length: u64,
    },
    Sync {
        path: PathBuf,
    },
    FailedSync {
        path: PathBuf,
    },
    Rename {
        path: PathBuf,
        to: PathBuf,
    },
    Remove {
        path: PathBuf,
    },
    /// A commit up to this index was begun.
    Begun {
        index: u64,
    },
    /// And said to be committed.
    Committed {
        index: u64,
    },
}

/// Calls that fail: of one kind, from the `first`, so many.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failing {
    pub(crate) writes: bool,
    pub(crate) first: u64,
    pub(crate) count: u64,
    pub(crate) errno: i32,
}

struct Watch {
    folder: PathBuf,
    log: File,
    failing: Option<Failing>,
    calls: u64,
}

static WATCH: Mutex<Option<Watch>> = Mutex::new(None);

fn watched() -> MutexGuard<'static, Option<Watch>> {
    WATCH.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on everything written below `folder` is told to `log`.
pub(crate) fn watch(folder: &Path, log: File, failing: Option<Failing>) {
    let folder = folder.canonicalize().unwrap();
    *watched() = Some(Watch { folder, log, failing, calls: 0 });
}

/// Puts something beside what the disk does.
pub(crate) fn note(event: &Event) {
    if let Some(watch) = watched().as_ref() {
        watch.tell(event);
    }
}

impl Watch {
    fn is_below(&self, path: &Path) -> bool {
        path.starts_with(&self.folder)
    }

    fn path_of(&self, fd: RawFd) -> Option<PathBuf> {
        let path = std::fs::read_link(format!("/proc/self/fd/{fd}")).ok()?;
        self.is_below(&path).then_some(path)
    }

    /// The error with which this call is to fail.
    fn fails(&mut self, writes: bool) -> Option<i32> {
        let failing = self.failing.filter(|failing| failing.writes == writes)?;
        self.calls += 1;
        let due = self.calls >= failing.first && self.calls - failing.first < failing.count;
        due.then_some(failing.errno)
    }

    fn tell(&self, event: &Event) {
        let bytes = encode(event);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            // SAFETY: the pointer and the length are a slice's.
            let wrote =
                unsafe { libc::syscall(libc::SYS_write, self.log.as_raw_fd(), rest.as_ptr(), rest.len()) };
            let Ok(wrote) = usize::try_from(wrote) else { std::process::abort() };
            rest = &rest[wrote..];
        }
    }
}

fn fail(errno: i32) {
    // SAFETY: the C library keeps a place for each thread.
    unsafe { *libc::__errno_location() = errno };
}

#[unsafe(no_mangle)]
extern "C" fn pwrite64(fd: c_int, bytes: *const c_void, count: usize, offset: i64) -> isize {
    let mut watched = watched();
    let path = watched.as_ref().and_then(|watch| watch.path_of(fd));
    let watch = watched.as_mut().filter(|_| path.is_some());
    put(watch, path, bytes, count, offset, || {
        // SAFETY: the caller's own arguments.
        let wrote = unsafe { libc::syscall(libc::SYS_pwrite64, fd, bytes, count, offset) };
        isize::try_from(wrote).unwrap_or(-1)
    })
}

#[unsafe(no_mangle)]
extern "C" fn write(fd: c_int, bytes: *const c_void, count: usize) -> isize {
    let mut watched = watched();
    let path = watched.as_ref().and_then(|watch| watch.path_of(fd));
    let watch = watched.as_mut().filter(|_| path.is_some());
    // SAFETY: asks where the file stands.
    let offset = if path.is_some() { unsafe { libc::lseek(fd, 0, libc::SEEK_CUR) } } else { 0 };
    put(watch, path, bytes, count, offset, || {
        // SAFETY: the caller's own arguments.
        let wrote = unsafe { libc::syscall(libc::SYS_write, fd, bytes, count) };
        isize::try_from(wrote).unwrap_or(-1)
    })
}

fn put(
    watch: Option<&mut Watch>,
    path: Option<PathBuf>,
    bytes: *const c_void,
    count: usize,
    offset: i64,
    go_on: impl FnOnce() -> isize,
) -> isize {
    let Some((watch, path)) = watch.zip(path) else { return go_on() };
    if let Some(errno) = watch.fails(true) {
        fail(errno);
        return -1;
    }
    let wrote = go_on();
    if let (Ok(length), Ok(offset)) = (usize::try_from(wrote), u64::try_from(offset)) {
        // SAFETY: the kernel has just read as many bytes from there.
        let bytes = unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), length.min(count)) };
        watch.tell(&Event::Write { path, offset, bytes: bytes.to_vec() });
    }
    wrote
}

#[unsafe(no_mangle)]
extern "C" fn ftruncate64(fd: c_int, length: i64) -> c_int {
    let watched = watched();
    // SAFETY: the caller's own arguments.
    let done = unsafe { libc::syscall(libc::SYS_ftruncate, fd, length) };
    if let Some(watch) = watched.as_ref()
        && let Some(path) = watch.path_of(fd)
        && let (0, Ok(length)) = (done, u64::try_from(length))
    {
        watch.tell(&Event::Truncate { path, length });
    }
    c_int::try_from(done).unwrap_or(-1)
}

#[unsafe(no_mangle)]
extern "C" fn fsync(fd: c_int) -> c_int {
    sync(fd, libc::SYS_fsync)
}

#[unsafe(no_mangle)]
extern "C" fn fdatasync(fd: c_int) -> c_int {
    sync(fd, libc::SYS_fdatasync)
}

fn sync(fd: c_int, number: libc::c_long) -> c_int {
    let mut watched = watched();
    let path = watched.as_ref().and_then(|watch| watch.path_of(fd));
    let Some((watch, path)) = watched.as_mut().zip(path) else {
        // SAFETY: the caller's own argument.
        let done = unsafe { libc::syscall(number, fd) };
        return c_int::try_from(done).unwrap_or(-1);
    };
    if let Some(errno) = watch.fails(false) {
        watch.tell(&Event::FailedSync { path });
        fail(errno);
        return -1;
    }
    watch.tell(&Event::Sync { path });
    0
}

#[unsafe(no_mangle)]
extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    let watched = watched();
    // SAFETY: the caller's own arguments.
    let done = unsafe { libc::syscall(libc::SYS_renameat, libc::AT_FDCWD, from, libc::AT_FDCWD, to) };
    let (path, to) = (path_at(from), path_at(to));
    if let Some(watch) = watched.as_ref().filter(|watch| done == 0 && watch.is_below(&path)) {
        watch.tell(&Event::Rename { path, to });
    }
    c_int::try_from(done).unwrap_or(-1)
}

#[unsafe(no_mangle)]
extern "C" fn unlink(path: *const c_char) -> c_int {
    let watched = watched();
    // SAFETY: the caller's own argument.
    let done = unsafe { libc::syscall(libc::SYS_unlinkat, libc::AT_FDCWD, path, 0) };
    let path = path_at(path);
    if let Some(watch) = watched.as_ref().filter(|watch| done == 0 && watch.is_below(&path)) {
        watch.tell(&Event::Remove { path });
    }
    c_int::try_from(done).unwrap_or(-1)
}

fn path_at(text: *const c_char) -> PathBuf {
    // SAFETY: the C library's functions take texts that end.
    PathBuf::from(OsStr::from_bytes(unsafe { CStr::from_ptr(text) }.to_bytes()))
}

/// Kind, path, number, bytes, each behind its length.
fn encode(event: &Event) -> Vec<u8> {
    let (kind, path, number, rest): (u8, &Path, u64, &[u8]) = match event {
        Event::Write { path, offset, bytes } => (1, path, *offset, bytes),
        Event::Truncate { path, length } => (2, path, *length, &[]),
        Event::Sync { path } => (3, path, 0, &[]),
        Event::FailedSync { path } => (4, path, 0, &[]),
        Event::Rename { path, to } => (5, path, 0, to.as_os_str().as_bytes()),
        Event::Remove { path } => (6, path, 0, &[]),
        Event::Begun { index } => (7, Path::new(""), *index, &[]),
        Event::Committed { index } => (8, Path::new(""), *index, &[]),
    };
    let path = path.as_os_str().as_bytes();
    let lengths = [path.len(), rest.len()].map(|length| u32::try_from(length).unwrap_or(u32::MAX));
    let mut bytes = vec![kind];
    bytes.extend(number.to_be_bytes());
    bytes.extend(lengths.iter().flat_map(|length| length.to_be_bytes()));
    bytes.extend(path);
    bytes.extend(rest);
    bytes
}

/// What was told, as far as it was told whole.
pub(crate) fn events(mut log: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some(event) = decode(&mut log) {
        events.push(event);
    }
    assert!(log.is_empty(), "the log cannot be read");
    events
}

fn decode(log: &mut &[u8]) -> Option<Event> {
    let (kind, rest) = log.split_first()?;
    let (number, rest) = rest.split_first_chunk()?;
    let (path, rest) = rest.split_first_chunk()?;
    let (bytes, rest) = rest.split_first_chunk()?;
    let (path, rest) = rest.split_at_checked(u32::from_be_bytes(*path) as usize)?;
    let (bytes, rest) = rest.split_at_checked(u32::from_be_bytes(*bytes) as usize)?;
    *log = rest;
    let number = u64::from_be_bytes(*number);
    let as_path = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
    let path = as_path(path);
    Some(match kind {
        1 => Event::Write { path, offset: number, bytes: bytes.to_vec() },
        2 => Event::Truncate { path, length: number },
        3 => Event::Sync { path },
        4 => Event::FailedSync { path },
        5 => Event::Rename { path, to: as_path(bytes) },
        6 => Event::Remove { path },
        7 => Event::Begun { index: number },
        8 => Event::Committed { index: number },
        _ => return None,
    })
}
