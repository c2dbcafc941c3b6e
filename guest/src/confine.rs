//! Shuts the process off from its host: limits on resources, no privileges to gain, no inherited files, no network,
//! and only the system calls that computing takes. What a kernel may refuse, a network namespace, is said in the
//! hello; what it must grant ends the process where it does not.
//!
//! A second wall, for the day that the script engine has a hole: a script reaches none of this.

#![expect(unsafe_code, reason = "closing inherited files and leaving namespaces are unsafe calls of rustix")]

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use bioxen_guest::{Confinement, Limits};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use rustix::thread::UnshareFlags;
use rustix::time::{ClockId, clock_gettime};
use seccompiler::{
    BackendError, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// Address space that no job may go beyond: the largest script heap, a chassis' most memory of 1 GiB, and room.
const ADDRESS_SPACE_BYTES: u64 = 3 << 29;
/// Address space besides a script's heap: the program, its stack, a job's frames.
const BESIDES_HEAP_BYTES: u64 = 192 << 20;
/// Processor time that a job may take beyond its wall limit before the kernel ends it.
const CPU_GRACE: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfineError {
    #[error("the process could not be confined: {step}: {source}")]
    Step { step: &'static str, source: io::Error },
    #[error("the system calls could not be limited: {0}")]
    Filter(#[from] seccompiler::Error),
    #[error("the filter of system calls could not be made: {0}")]
    Backend(#[from] BackendError),
}

/// Confines the process, for good. It must have one thread and nothing open that it still needs but stdin, stdout
/// and stderr.
pub(crate) fn confine() -> Result<Confinement, ConfineError> {
    let step = |step: &'static str| move |errno: Errno| ConfineError::Step { step, source: errno.into() };
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(step("ending with its parent"))?;
    close_inherited().map_err(step("closing inherited files"))?;
    rustix::process::chdir("/").map_err(step("its working directory"))?;
    // SAFETY: the flags do not touch the table of files, and there is one thread.
    let left = unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWUSER | UnshareFlags::NEWNET) };
    for (resource, most) in [
        (Resource::Core, 0),
        (Resource::Fsize, 0),
        (Resource::Nproc, 0),
        (Resource::Nofile, 0),
        (Resource::As, ADDRESS_SPACE_BYTES),
    ] {
        let limit = Rlimit { current: Some(most), maximum: Some(most) };
        setrlimit(resource, limit).map_err(step("a limit on resources"))?;
    }
    rustix::thread::set_no_new_privs(true).map_err(step("no new privileges"))?;
    limit_system_calls()?;
    Ok(Confinement { network_namespace: left.is_ok(), system_calls: true })
}

/// Bounds what the kernel grants the next job: address space and processor time.
pub(crate) fn bound_job(limits: &Limits) -> Result<(), ConfineError> {
    let step = |step: &'static str| move |errno: Errno| ConfineError::Step { step, source: errno.into() };
    let heap_bytes = limits.memory_kb.saturating_mul(1024);
    let bytes = heap_bytes.saturating_add(BESIDES_HEAP_BYTES).min(ADDRESS_SPACE_BYTES);
    let space = Rlimit { current: Some(bytes), maximum: Some(ADDRESS_SPACE_BYTES) };
    setrlimit(Resource::As, space).map_err(step("address space"))?;
    let used = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = Duration::from_millis(limits.wall_ms).saturating_add(CPU_GRACE).as_secs();
    let most = seconds.saturating_add(u64::try_from(used.tv_sec).unwrap_or(0)).saturating_add(1);
    let time = Rlimit { current: Some(most), maximum: getrlimit(Resource::Cpu).maximum };
    setrlimit(Resource::Cpu, time).map_err(step("processor time"))
}

fn close_inherited() -> Result<(), Errno> {
    let open: Vec<i32> = match std::fs::read_dir("/proc/self/fd") {
        Ok(listed) => listed
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|fd| *fd > 2)
            .collect(),
        // Without /proc: every number that could be open.
        Err(_) => (3..4_096).collect(),
    };
    for fd in open {
        // SAFETY: nothing in this process uses it: it is no standard stream, and none has been opened since. The
        // listing's own is closed already; closing a number that is not open does nothing.
        unsafe { rustix::io::close(fd) };
    }
    Ok(())
}

/// Allows what computing, waiting for input and answering take; everything else fails with "not permitted".
fn limit_system_calls() -> Result<(), ConfineError> {
    let plain = [
        libc::SYS_read,
        libc::SYS_write,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_madvise,
        libc::SYS_brk,
        libc::SYS_futex,
        libc::SYS_rt_sigreturn,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_sigaltstack,
        libc::SYS_restart_syscall,
        libc::SYS_clock_gettime,
        libc::SYS_getrandom,
        libc::SYS_sched_yield,
        libc::SYS_gettid,
        libc::SYS_getpid,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ];
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        plain.into_iter().map(|call| (call, Vec::new())).collect();
    // No memory becomes code.
    let executable = u64::from(libc::PROT_EXEC.unsigned_abs());
    let data = SeccompCondition::new(2, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(executable), 0)?;
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        rules.insert(call, vec![SeccompRule::new(vec![data.clone()])?]);
    }
    // Its own limits only.
    let own = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, 0)?;
    rules.insert(libc::SYS_prlimit64, vec![SeccompRule::new(vec![own])?]);
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let arch: TargetArch = std::env::consts::ARCH.try_into()?;
    let filter = SeccompFilter::new(rules, refuse, SeccompAction::Allow, arch)?;
    let program: seccompiler::BpfProgram = filter.try_into()?;
    Ok(seccompiler::apply_filter(&program)?)
}
