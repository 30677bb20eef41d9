//! A process's resident memory.

use serde::Serialize;

use super::error::Error;

/// Resident memory in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// All of it.
    pub rss_bytes: u64,
    /// Without what is shared with other processes, such as the program itself.
    pub private_bytes: u64,
}

impl Memory {
    /// Reads `/proc/PID/smaps_rollup`.
    pub(super) fn read(pid: u32) -> Result<Self, Error> {
        std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
            .map(|rollup| Self::parse(&rollup))
            .map_err(Error::system("read the server's memory (--server-pid)"))
    }

    fn parse(rollup: &str) -> Self {
        let bytes = |name: &str| {
            let line = rollup.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_ascii_whitespace().next());
            number.and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024
        };
        Self {
            rss_bytes: bytes("Rss:"),
            private_bytes: bytes("Private_Clean:") + bytes("Private_Dirty:"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollup_is_read() {
        let rollup = "55d0-7ffd ---p 00000000 00:00 0    [rollup]\n\
                      Rss:                1904 kB\nPss:  500 kB\nShared_Clean: 1500 kB\n\
                      Private_Clean:        4 kB\nPrivate_Dirty:      100 kB\n";
        let expected = Memory {
            rss_bytes: 1904 * 1024,
            private_bytes: 104 * 1024,
        };
        assert_eq!(Memory::parse(rollup), expected);
        assert!(Memory::read(std::process::id()).unwrap().rss_bytes > 0);
    }
}
