//! What the system knows of a running gate.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use super::gate::Gate;

pub(crate) const MIB: u64 = 1024 * 1024;

/// Resident memory in bytes, from `/proc/PID/status`.
pub(crate) fn resident(gate: &Gate) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", gate.process_id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().unwrap();
    kib * 1024
}

/// Whether resident memory falls below `bytes` within `patience`.
pub(crate) fn falls_below(gate: &Gate, bytes: u64, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    while resident(gate) >= bytes {
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(50));
    }
    true
}
