//! `corewire sub` and `corewire pub` as their users meet them, against a real server.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![expect(
    clippy::disallowed_methods,
    reason = "a reader's thread, so that a test does not wait for ever"
)]

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use corewire_testkit::{PATIENCE, Process, Serve, eventually};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

const CORES: usize = 2;

#[test]
fn what_is_published_is_printed_line_by_line_with_all_that_belongs_to_it() {
    let server = Serve::new(BINARY).cores(CORES).start();
    let mut sub = Sub::start(&url(&server), &["chat.>", "--count", "5"]);
    sub.says("subscribed to chat.>");
    let output = publish(
        &url(&server),
        &["chat.a", "{\"text\": \"hi\"}", "--key", "k"],
        b"",
    );
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&told["topic"], &told["offset"]),
        (&json!("chat.a"), &json!(1))
    );
    let line = sub.line();
    assert_eq!(line["data"], json!({"text": "hi"}));
    assert_eq!(
        (&line["key"], &line["epoch"]),
        (&json!("k"), &told["epoch"])
    );
    assert!(
        line["user"].is_string() && line["time_ms"].is_u64(),
        "{line}"
    );

    // Text, all of stdin, bytes of a file, and each line for itself.
    publish(&url(&server), &["chat.a", "plain text"], b"");
    assert_eq!(sub.line()["data"], json!("plain text"));
    publish(&url(&server), &["chat.a"], b"two\nlines\n");
    assert_eq!(sub.line()["data"], json!("two\nlines"));
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bytes");
    fs::write(&file, [0xff, 0]).unwrap();
    publish(
        &url(&server),
        &["chat.a", "--file", file.to_str().unwrap()],
        b"",
    );
    assert_eq!(sub.line()["b64"], json!("/wA="));
    let output = publish(&url(&server), &["chat.b", "--lines"], b"1\n[2]\nthree\n");
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 3);
    assert_eq!(sub.line()["data"], json!(1));
    assert_eq!(sub.end(), Some(0));
}

#[test]
fn raw_prints_the_data_as_it_was_and_ctrl_c_ends_well() {
    let server = Serve::new(BINARY).cores(CORES).start();
    let mut sub = Sub::start(&url(&server), &["chat.a", "--raw"]);
    sub.says("subscribed to chat.a");
    publish(&url(&server), &["chat.a", "{\"b\":1,  \"a\":2}"], b"");
    assert_eq!(sub.raw(), "{\"b\":1,  \"a\":2}");
    kill_process(Pid::from_child(&sub.child), Signal::INT).unwrap();
    assert_eq!(sub.end(), Some(0));
}

/// As behind `| head -1`: it ends, although nothing more comes.
#[test]
fn a_subscriber_ends_when_nobody_reads_it_any_more() {
    let server = Serve::new(BINARY).cores(1).start();
    let url = url(&server);
    publish(&url, &["chat.a", "1"], b"");
    let mut sub = corewire(&["sub", "chat.a", "--last", "1", "--url", &url])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(sub.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    assert!(line.contains("chat.a"), "{line}");
    drop(stdout);
    assert_eq!(sub.wait().unwrap().code(), Some(0));
}

/// Who does not want to know where messages stand wants them published.
#[test]
fn a_publisher_goes_on_when_nobody_reads_it_any_more() {
    const LINES: usize = 5000;
    let server = Serve::new(BINARY)
        .cores(1)
        .setting("messaging.publish_per_s", "0")
        .start();
    let url = url(&server);
    let mut child = corewire(&["pub", "chat.a", "--lines", "--url", &url])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all("1\n".repeat(LINES).as_bytes()).unwrap();
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let last = publish(&url, &["chat.a", "last"], b"");
    let told: Value = serde_json::from_slice(&last.stdout).unwrap();
    assert_eq!(told["offset"], json!(LINES + 1));
}

// USERS 52, 53: a restart costs nobody more than the messages of the time between.
#[test]
fn it_comes_back_when_the_server_does_and_says_so() {
    // A port that stays the same.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let url = format!("ws://{address}/ws");
    let sub = Sub::start(&url, &["chat.>", "chat.a"]);
    // The one that listens is no server, and is gone.
    drop(listener);
    sub.says("trying again in");
    let start = || {
        Serve::new(BINARY)
            .arguments(&["--listen", &address])
            .start()
    };
    let server = start();
    sub.says("connected to");
    publish(&url, &["chat.a", "1"], b"");
    assert_eq!(sub.line()["data"], json!(1));
    assert_eq!(sub.line()["data"], json!(1));
    drop(server);
    sub.says("trying again in");
    let _server = start();
    sub.says("reset: what chat.a had before is not known (");
    publish(&url, &["chat.a", "2"], b"");
    assert_eq!(sub.line()["data"], json!(2));
}

// USERS 20, 27: a program can tell what it has not been told.
#[test]
fn what_is_missing_is_printed_among_the_messages_for_programs() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let url = format!("ws://{address}/ws");
    drop(listener);
    let start = || {
        Serve::new(BINARY)
            .arguments(&["--listen", &address])
            .start()
    };
    let server = start();
    let retry = ["--retry-max-ms", "20"];
    let sub = Sub::start(&url, &[&["chat.a", "--events"], &retry[..]].concat());
    let subscribed = &sub.line()["subscribed"];
    assert_eq!(
        (&subscribed["pattern"], &subscribed["offset"]),
        (&json!("chat.a"), &json!(0))
    );
    publish(&url, &["chat.a", "1"], b"");
    let line = sub.line();
    assert_eq!(
        (&line["epoch"], &line["offset"]),
        (&subscribed["epoch"], &json!(1))
    );
    drop(server);
    let _server = start();
    let reset = sub.line();
    let (epoch, cause) = (&reset["reset"]["epoch"], &reset["reset"]["cause"]);
    assert_eq!((cause, epoch != &line["epoch"]), (&json!("node"), true));
    let output = publish(
        &url,
        &["chat.a", "--lines", "--on-error", "continue"],
        b"2\n3\n",
    );
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 2);
    assert_eq!(
        (&sub.line()["epoch"], &sub.line()["data"]),
        (epoch, &json!(3))
    );
}

#[test]
fn a_line_that_cannot_be_published_does_not_end_the_others() {
    let server = Serve::new(BINARY)
        .cores(1)
        .arguments(&["--max-message-size", "64KiB"])
        .start();
    let lines = format!("one\n{}\nthree\n", "x".repeat(100_000));
    let mut child = corewire(&[
        "pub",
        "a",
        "--lines",
        "--on-error",
        "continue",
        "--url",
        &url(&server),
    ])
    .stdin(Stdio::piped())
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(lines.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let lines = output.stdout.split(|byte| *byte == b'\n');
    let told: Vec<Value> = lines
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    assert_eq!(told[0]["offset"], json!(1));
    assert_eq!(
        (&told[1]["error"], &told[1]["line"]),
        (&json!("too_large"), &json!(2))
    );
    assert_eq!(told[2]["offset"], json!(2));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("1 of 3 lines"), "{stderr}");
}

#[test]
fn where_a_line_ends_it_all_what_was_published_is_printed() {
    let server = Serve::new(BINARY)
        .cores(1)
        .arguments(&["--max-message-size", "64KiB"])
        .start();
    let url = url(&server);
    let bad = "x".repeat(100_000);
    let behind = (1..=2000).map(|number| number.to_string());
    let lines: Vec<String> = ["before".to_owned(), bad]
        .into_iter()
        .chain(behind)
        .collect();
    let output = publish_somehow(&url, &["a", "--lines"], lines.join("\n").as_bytes());
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("a: line 2: 100000 bytes"), "{stderr}");
    let printed = output.stdout.iter().filter(|byte| **byte == b'\n').count();
    // Whatever was on its way, and no more: the next one has the next offset.
    let next = publish(&url, &["a"], b"next").stdout;
    let next: Value = serde_json::from_slice(&next).unwrap();
    assert_eq!(next["offset"], json!(printed + 1), "{stderr}");
    assert!((1..2000).contains(&printed), "{printed}");
    let told = format!("{} of the lines behind it", printed - 1);
    assert_eq!(stderr.contains(&told), printed > 1, "{stderr}");
}

#[test]
fn where_positions_cannot_be_printed_it_ends() {
    let server = Serve::new(BINARY).cores(1).start();
    // More than are on their way at a time.
    let lines = "1\n".repeat(5000);
    let mut child = corewire(&["pub", "a", "--lines", "--url", &url(&server)])
        .stdin(Stdio::piped())
        .stdout(File::create("/dev/full").unwrap())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _ = child.stdin.take().unwrap().write_all(lines.as_bytes());
    eventually("it ends", || child.try_wait().unwrap().is_some());
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn a_reader_begins_in_the_past_where_it_is_told_to() {
    let server = Serve::new(BINARY).cores(CORES).start();
    let url = url(&server);
    let output = publish(&url, &["chat.a", "--lines"], b"1\n2\n3\n4\n");
    let told = String::from_utf8(output.stdout).unwrap();
    let second: Value = serde_json::from_str(told.lines().nth(1).unwrap()).unwrap();
    let position = format!("{}:{}", second["epoch"].as_str().unwrap(), second["offset"]);
    for (arguments, expected) in [
        (&["chat.a", "--last", "1"][..], vec![4]),
        (&["chat.>", "--last", "3"], vec![2, 3, 4]),
        (&["chat.a", "--from", &position], vec![3, 4]),
        (&["chat.a", "--since", "1h"], vec![1, 2, 3, 4]),
        (&["chat.>", "--since", "1h"], vec![1, 2, 3, 4]),
    ] {
        let count = expected.len().to_string();
        let mut sub = Sub::start(&url, &[arguments, &["--count", &count]].concat());
        for data in expected {
            assert_eq!(sub.line()["data"], json!(data), "{arguments:?}");
        }
        assert_eq!(sub.end(), Some(0));
    }
    let sub = Sub::start(&url, &["chat.a", "--from", "nobody:2"]);
    sub.says("reset: what chat.a had before is not known (node)");
}

#[test]
fn what_stands_beside_the_data_arrives_and_a_key_is_published_once() {
    let server = Serve::new(BINARY).cores(CORES).start();
    let url = url(&server);
    let sub = Sub::start(&url, &["chat.a"]);
    sub.says("subscribed to chat.a");
    let once = [
        "chat.a", "1", "--idem", "k", "--tag", "lang=de", "--ttl", "1h",
    ];
    let first = publish(&url, &once, b"");
    let line = sub.line();
    assert_eq!(
        (&line["data"], &line["tags"]),
        (&json!(1), &json!({"lang": "de"}))
    );
    let again = publish(&url, &once, b"");
    assert_eq!(again.stdout, first.stdout);
    publish(&url, &["chat.a", "2"], b"");
    let line = sub.line();
    assert_eq!((&line["data"], &line["tags"]), (&json!(2), &Value::Null));
}

#[test]
fn what_cannot_be_is_said_with_a_remedy() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("ws://{}/ws", listener.local_addr().unwrap());
    drop(listener);
    let cases: &[(&[&str], i32, &str)] = &[
        (
            &["pub", "a", "b", "--wait", "1", "--url", &nobody],
            1,
            "corewire serve",
        ),
        (&["pub", "a", "b", "--url", "http://a"], 2, "ws://"),
        (
            &["pub", "a", "--file", "/nowhere", "--url", &nobody],
            2,
            "/nowhere",
        ),
        (
            &["pub", "a", "b", "--lines", "--url", &nobody],
            2,
            "--lines",
        ),
        (
            &["pub", "no spaces", "x", "--url", &nobody],
            2,
            "a space at position 2",
        ),
        (
            &["sub", "a..b", "--url", &nobody],
            2,
            "an empty level at position 2",
        ),
        (
            &["sub", "a", "--token-file", "/nowhere", "--url", &nobody],
            2,
            "/nowhere",
        ),
        (&["sub", "a", "--since", "5"], 2, "90s, 5m or 1h"),
        (&["sub", "a", "--from", "5"], 2, "k3:41"),
        (
            &["sub", "a.*", "--from", "k3:41", "--url", &nobody],
            2,
            "a position is of one topic",
        ),
        (&["sub", "a", "--last", "1", "--since", "1s"], 2, "--last"),
        (&["pub", "a", "b", "--tag", "x"], 2, "name=value"),
        (&["sub"], 2, "PATTERN"),
    ];
    for (arguments, code, words) in cases {
        let output = corewire(arguments).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(*code), "{arguments:?}: {stderr}");
        assert!(stderr.contains(words), "{arguments:?}: {stderr}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn what_the_server_refuses_is_said_in_its_words() {
    let server = Serve::new(BINARY).cores(1).start();
    let url = url(&server);
    let echo = url.replace("/ws", "/echo");
    for (arguments, words) in [
        (
            ["sub", "a", "--url", &url, "--user", "ann"],
            "--anonymous-names",
        ),
        (
            ["sub", "a", "--url", &url, "--token", "x"],
            "--token-key-file",
        ),
        (
            ["pub", "a", "b", "--url", &url, "--token=x"],
            "--token-key-file",
        ),
        (
            ["sub", "a", "b", "--url", &echo, "--raw"],
            "corewire listens at /ws",
        ),
    ] {
        let output = corewire(&arguments).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {stderr}");
        assert!(stderr.contains(words), "{arguments:?}: {stderr}");
        assert!(!stderr.contains("Is there a server"), "{stderr}");
    }
}

#[test]
fn the_url_and_the_name_come_from_where_they_are_given() {
    let server = Serve::new(BINARY)
        .cores(1)
        .arguments(&["--anonymous-names"])
        .start();
    let sub = Sub::start(&url(&server), &["a"]);
    sub.says("subscribed to a");
    let output = corewire(&["pub", "a", "1", "--user", "ann"])
        .env("COREWIRE_URL", url(&server))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(sub.line()["user"], json!("ann"));
}

const BINARY: &str = env!("CARGO_BIN_EXE_corewire");

fn url(server: &Process) -> String {
    format!("ws://{}/ws", server.address())
}

fn corewire(arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

fn publish(url: &str, arguments: &[&str], input: &[u8]) -> Output {
    let output = publish_somehow(url, arguments, input);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}");
    output
}

/// The same, which may fail.
fn publish_somehow(url: &str, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = corewire(&["pub", "--url", url])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that does not read it has closed it.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

/// A subscriber that runs.
struct Sub {
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

impl Sub {
    fn start(url: &str, arguments: &[&str]) -> Self {
        let mut child = corewire(&["sub", "--url", url])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            stdout: lines(child.stdout.take().unwrap()),
            stderr: lines(child.stderr.take().unwrap()),
            child,
        }
    }

    /// Waits until it says this on stderr.
    fn says(&self, words: &str) {
        let mut before = Vec::new();
        loop {
            match self.stderr.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(words) => return,
                Ok(line) => before.push(line),
                Err(_) => panic!("it does not say {words:?}, but {before:?}"),
            }
        }
    }

    fn raw(&self) -> String {
        self.stdout
            .recv_timeout(PATIENCE)
            .expect("it prints a line")
    }

    fn line(&self) -> Value {
        serde_json::from_str(&self.raw()).unwrap()
    }

    fn end(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Sub {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
