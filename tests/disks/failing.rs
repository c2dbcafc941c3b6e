//! The C functions by which this process opens, writes and syncs files, so that calls below one folder can fail. The
//! linker takes them for the whole program, because they are its own.
//!
//! What does not fail is really done. Nothing fails before [`fail`].

#![expect(unsafe_code, reason = "a symbol that others link to by its name has to be exported under it")]

use std::ffi::{CStr, OsStr, c_char, c_int, c_uint, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The kinds of calls that fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Open,
    Write,
    /// fsync, fdatasync, and `sync_file_range`, by which sled's flush ends.
    Sync,
}

/// Calls that fail: of one kind, from the `first`, so many.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failing {
    pub(crate) call: Call,
    pub(crate) first: u64,
    pub(crate) count: u64,
}

impl Failing {
    /// The error that a disk gives.
    pub(crate) fn errno(self) -> c_int {
        match self.call {
            Call::Open | Call::Sync => libc::EIO,
            Call::Write => libc::ENOSPC,
        }
    }

    pub(crate) fn words(self) -> &'static str {
        match self.call {
            Call::Open | Call::Sync => "Input/output error",
            Call::Write => "No space left on device",
        }
    }
}

impl std::fmt::Display for Failing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {} {}", self.call, self.first, self.count)
    }
}

impl FromStr for Failing {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut words = text.split(' ');
        let call = match words.next() {
            Some("Open") => Call::Open,
            Some("Write") => Call::Write,
            _ => Call::Sync,
        };
        let mut number = || words.next().unwrap_or_default().parse();
        Ok(Self { call, first: number()?, count: number()? })
    }
}

static FAILING: OnceLock<(PathBuf, Failing)> = OnceLock::new();
static CALLS: AtomicU64 = AtomicU64::new(0);

/// From now on calls on files below `folder` fail.
pub(crate) fn fail(folder: &Path, failing: Failing) {
    FAILING.set((folder.to_owned(), failing)).unwrap();
}

/// Sets errno where this call is to fail.
fn fails(call: Call, path: impl FnOnce() -> Option<PathBuf>) -> bool {
    let Some((folder, failing)) = FAILING.get() else { return false };
    if failing.call != call || !path().is_some_and(|path| path.starts_with(folder)) {
        return false;
    }
    let number = CALLS.fetch_add(1, Ordering::SeqCst) + 1;
    let is_due = number >= failing.first && number - failing.first < failing.count;
    if is_due {
        // SAFETY: the C library keeps a place for each thread.
        unsafe { *libc::__errno_location() = failing.errno() };
    }
    is_due
}

fn path_of(fd: c_int) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{fd}")).ok()
}

fn path_at(text: *const c_char) -> Option<PathBuf> {
    // SAFETY: the C library's functions take texts that end.
    let bytes = unsafe { CStr::from_ptr(text) }.to_bytes();
    Some(PathBuf::from(OsStr::from_bytes(bytes)))
}

fn answer(done: libc::c_long) -> c_int {
    c_int::try_from(done).unwrap_or(-1)
}

#[unsafe(no_mangle)]
extern "C" fn open64(path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    if fails(Call::Open, || path_at(path)) {
        return -1;
    }
    // SAFETY: the caller's own arguments.
    answer(unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path, flags, mode) })
}

#[unsafe(no_mangle)]
extern "C" fn write(fd: c_int, bytes: *const c_void, count: usize) -> isize {
    if fails(Call::Write, || path_of(fd)) {
        return -1;
    }
    // SAFETY: the caller's own arguments.
    let wrote = unsafe { libc::syscall(libc::SYS_write, fd, bytes, count) };
    isize::try_from(wrote).unwrap_or(-1)
}

#[unsafe(no_mangle)]
extern "C" fn pwrite64(fd: c_int, bytes: *const c_void, count: usize, offset: i64) -> isize {
    if fails(Call::Write, || path_of(fd)) {
        return -1;
    }
    // SAFETY: the caller's own arguments.
    let wrote = unsafe { libc::syscall(libc::SYS_pwrite64, fd, bytes, count, offset) };
    isize::try_from(wrote).unwrap_or(-1)
}

#[unsafe(no_mangle)]
extern "C" fn fsync(fd: c_int) -> c_int {
    if fails(Call::Sync, || path_of(fd)) {
        return -1;
    }
    // SAFETY: the caller's own argument.
    answer(unsafe { libc::syscall(libc::SYS_fsync, fd) })
}

#[unsafe(no_mangle)]
extern "C" fn fdatasync(fd: c_int) -> c_int {
    if fails(Call::Sync, || path_of(fd)) {
        return -1;
    }
    // SAFETY: the caller's own argument.
    answer(unsafe { libc::syscall(libc::SYS_fdatasync, fd) })
}

#[unsafe(no_mangle)]
extern "C" fn sync_file_range(fd: c_int, offset: i64, count: i64, flags: c_uint) -> c_int {
    if fails(Call::Sync, || path_of(fd)) {
        return -1;
    }
    // SAFETY: the caller's own arguments.
    answer(unsafe { libc::syscall(libc::SYS_sync_file_range, fd, offset, count, flags) })
}
