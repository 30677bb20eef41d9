//! What the system says about a process, and a limit that tests raise.

use std::fs;

use rustix::process::{Resource, getrlimit, setrlimit};

/// Resident memory of a process in bytes.
///
/// # Panics
///
/// If there is no such process.
#[must_use]
pub fn rss_bytes(pid: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.unwrap().parse::<usize>().unwrap() << 10
}

/// Open descriptors of a process.
///
/// # Panics
///
/// If there is no such process.
#[must_use]
pub fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// Milliseconds of processor time that a process has used.
///
/// # Panics
///
/// If there is no such process.
#[must_use]
pub fn cpu_ms(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name stands in parentheses and may hold spaces.
    let after_name = stat.rsplit(')').next().unwrap();
    let mut fields = after_name.split_whitespace().skip(11);
    let mut ticks = || fields.next().unwrap().parse::<u64>().unwrap();
    (ticks() + ticks()) * 10
}

/// Raises the soft limit on descriptors of this process to the hard one, and returns it.
///
/// # Panics
///
/// If the system refuses, which it has no reason to.
#[must_use]
pub fn raise_descriptor_limit() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    limit.maximum.unwrap_or(u64::MAX)
}
