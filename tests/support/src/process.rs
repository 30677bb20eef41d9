//! A server as a process of its own.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use crate::{PATIENCE, system};

/// A running server. It is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    address: SocketAddr,
    ready_line: String,
    /// Collects what it writes there.
    stderr: Option<JoinHandle<String>>,
}

/// `corewire serve` on a port that the system chooses.
#[derive(Debug)]
pub struct Serve {
    command: Command,
    /// The lines of each section.
    settings: BTreeMap<String, String>,
}

impl Serve {
    /// With the binary that cargo has built for the tests.
    #[must_use]
    pub fn new(binary: &str) -> Self {
        let mut command = Command::new(binary);
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        Self {
            command,
            settings: BTreeMap::new(),
        }
    }

    /// The same in a shell that has first lowered the limit on descriptors.
    #[must_use]
    pub fn with_descriptors(binary: &str, limit: usize) -> Self {
        let mut command = Command::new("sh");
        let script = format!("ulimit -n {limit}; exec \"$0\" serve --listen 127.0.0.1:0 \"$@\"");
        command.args(["-c", &script, binary]);
        Self {
            command,
            settings: BTreeMap::new(),
        }
    }

    /// With so many cores.
    #[must_use]
    pub fn cores(mut self, cores: usize) -> Self {
        self.command.args(["--cores", &cores.to_string()]);
        self
    }

    /// With more arguments.
    #[must_use]
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.command.args(arguments);
        self
    }

    /// With a setting of the configuration file, such as `engine.turn_work`.
    ///
    /// # Panics
    ///
    /// If the name has no section.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        let (section, key) = name.split_once('.').unwrap();
        let lines = self.settings.entry(format!("[{section}]")).or_default();
        *lines += &format!("{key} = '{value}'\n");
        self
    }

    /// With a rule for topics, behind those before it.
    #[must_use]
    pub fn topics(mut self, pattern: &str, class: &str) -> Self {
        let lines = self.settings.entry(String::new()).or_default();
        *lines += &format!("[[topics]]\nmatch = '{pattern}'\nclass = '{class}'\n");
        self
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    ///
    /// If it does not become ready.
    #[must_use]
    pub fn start(self) -> Process {
        let Self {
            mut command,
            settings,
        } = self;
        if settings.is_empty() {
            return Process::start(command);
        }
        let file = temporary_file();
        let lines = settings
            .iter()
            .flat_map(|(section, lines)| [section, "\n", lines]);
        fs::write(&file, lines.collect::<String>()).unwrap();
        command.arg("--config").arg(&file);
        let process = Process::start(command);
        // It was read before the server was ready.
        fs::remove_file(file).unwrap();
        process
    }

    /// Runs it, expecting that it ends by itself.
    #[must_use]
    pub fn run(self) -> Finished {
        run(self.command)
    }
}

fn temporary_file() -> PathBuf {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("corewire-test-{}-{number}.toml", std::process::id());
    std::env::temp_dir().join(name)
}

/// A process that has ended.
#[derive(Debug)]
pub struct Finished {
    /// How.
    pub status: ExitStatus,
    /// All that it has written to stderr.
    pub stderr: String,
}

impl Process {
    /// Starts `command` and waits for the line on stdout that says where it listens.
    ///
    /// # Panics
    ///
    /// If that line does not come; with what the process has said instead.
    pub fn start(command: Command) -> Self {
        let (mut child, stderr) = spawn(command);
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            loop {
                let mut line = String::new();
                // A test harness around the server has lines of its own.
                match stdout.read_line(&mut line) {
                    Ok(0) | Err(_) => return,
                    Ok(_) if address_in(&line).is_some() => drop(sender.send(line)),
                    Ok(_) => {}
                }
            }
        });
        match lines.recv_timeout(PATIENCE) {
            Ok(ready_line) => Self {
                address: address_in(&ready_line).unwrap(),
                child,
                ready_line,
                stderr: Some(stderr),
            },
            Err(_) => {
                let _ = child.kill();
                let status = child.wait();
                let said = stderr.join().unwrap();
                panic!("no ready line; {status:?}\n{said}");
            }
        }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it said when it was ready.
    #[must_use]
    pub fn ready_line(&self) -> &str {
        &self.ready_line
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its resident memory in bytes.
    #[must_use]
    pub fn rss_bytes(&self) -> usize {
        system::rss_bytes(self.pid())
    }

    /// Its open descriptors.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        system::descriptors(self.pid())
    }

    /// Sends it a signal.
    ///
    /// # Panics
    ///
    /// If it has ended.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Sends it SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    ///
    /// If it does not end in time, or is waited for twice.
    pub fn wait(&mut self) -> Finished {
        finish(&mut self.child, self.stderr.take().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command that is expected to end by itself.
///
/// # Panics
///
/// If it does not end in time.
pub fn run(command: Command) -> Finished {
    let (mut child, stderr) = spawn(command);
    finish(&mut child, stderr)
}

fn spawn(mut command: Command) -> (Child, JoinHandle<String>) {
    // The settings of whoever runs the tests are not those of the tests.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("COREWIRE_") {
            command.env_remove(name);
        }
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let mut pipe = child.stderr.take().unwrap();
    let stderr = std::thread::spawn(move || {
        let mut said = Vec::new();
        let _ = pipe.read_to_end(&mut said);
        String::from_utf8_lossy(&said).into_owned()
    });
    (child, stderr)
}

fn finish(child: &mut Child, stderr: JoinHandle<String>) -> Finished {
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > PATIENCE {
            let _ = child.kill();
            panic!("process {} does not end", child.id());
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    };
    Finished {
        status,
        stderr: stderr.join().unwrap(),
    }
}

/// The first socket address in a line, with or without a scheme and a path.
fn address_in(line: &str) -> Option<SocketAddr> {
    let part = |c: char| !(c.is_ascii_hexdigit() || matches!(c, '.' | ':' | '[' | ']'));
    line.split(part)
        .find_map(|word| word.trim_matches(['.', ':']).parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_in_a_line() {
        let expected: SocketAddr = "127.0.0.1:9001".parse().unwrap();
        for line in [
            "corewire listens on http://127.0.0.1:9001/ with 2 cores",
            "listening on 127.0.0.1:9001: /echo",
            "ready 127.0.0.1:9001.",
        ] {
            assert_eq!(address_in(line), Some(expected), "{line}");
        }
        assert_eq!(address_in("running 1 test"), None);
    }
}
