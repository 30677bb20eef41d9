//! The load generator as its users meet it: `corewire bench` against real servers and dead ones.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a failed unwrap is a failed test; a stall takes its time"
)]

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use corewire_testkit::{Process, Serve, eventually, system};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use socket2::{Domain, Socket, Type};

const BINARY: &str = env!("CARGO_BIN_EXE_corewire");

#[test]
fn a_server_that_is_stopped_for_200_ms_shows_in_the_tail() {
    let report = stalled(Stopped::Server);
    let latency = &report["round_trip_ns"];
    assert!(latency["p99.9"].as_u64() > Some(180_000_000), "{report}");
    // 400 of 6,000 messages were due meanwhile.
    assert!(latency["p99"].as_u64() > Some(100_000_000), "{report}");
    assert_eq!(report["schedule"]["due"], 6000, "{report}");
}

/// What was due while the generator could not send has waited, too, and that is said.
#[test]
fn a_generator_that_is_stopped_for_200_ms_shows_in_the_tail_and_says_so() {
    let report = stalled(Stopped::Generator);
    let latency = &report["round_trip_ns"];
    assert!(latency["p99.9"].as_u64() > Some(180_000_000), "{report}");
    assert!(latency["p99"].as_u64() > Some(100_000_000), "{report}");
    let schedule = &report["schedule"];
    assert_eq!(schedule["due"], 6000, "{report}");
    assert!(schedule["late"].as_u64() > Some(300), "{report}");
    assert!(
        schedule["worst_ns"].as_u64() > Some(180_000_000),
        "{report}"
    );
    let told = |warning: &Value| {
        warning
            .as_str()
            .unwrap()
            .contains("did not keep its schedule")
    };
    assert!(
        report["warnings"].as_array().unwrap().iter().any(told),
        "{report}"
    );
}

#[derive(Clone, Copy)]
enum Stopped {
    Server,
    Generator,
}

/// The report of an open loop in whose course one side stands still for 200 ms.
fn stalled(stopped: Stopped) -> Value {
    let server = Serve::new(BINARY).cores(1).start();
    let before_ms = system::cpu_ms(server.pid());
    let bench = start(&[
        "bench",
        "echo",
        &url(&server),
        "--connections",
        "10",
        "--rate",
        "2000",
        "--warmup",
        "0",
        "--seconds",
        "3",
        "--json",
    ]);
    eventually("there is load", || {
        system::cpu_ms(server.pid()) > before_ms + 10
    });
    let signal = |signal| match stopped {
        Stopped::Server => server.signal(signal),
        Stopped::Generator => kill_process(Pid::from_child(&bench), signal).unwrap(),
    };
    signal(Signal::STOP);
    // This is the stall: it is as long as the time that passes here.
    std::thread::sleep(Duration::from_millis(200));
    signal(Signal::CONT);
    json(&bench.wait_with_output().unwrap())
}

#[test]
fn every_measurement_has_a_report_for_people_and_one_for_machines() {
    let server = Serve::new(BINARY).cores(1).start();
    let (url, pid) = (url(&server), server.pid().to_string());
    let plot = Path::new(env!("CARGO_TARGET_TMPDIR")).join("connect.svg");
    let short = ["--seconds", "0.2", "--warmup", "0", "--server-pid", &pid];
    let echo = ["bench", "echo", &url, "--connections", "4"];
    let connect = [
        "bench",
        "connect",
        &url,
        "--at-once",
        "4",
        "--plot",
        plot.to_str().unwrap(),
    ];
    for (arguments, keys) in [
        (
            &echo[..],
            &["messages", "messages_per_second", "round_trip_ns", "cpu"][..],
        ),
        (
            &connect[..],
            &["handshakes", "handshakes_per_second", "handshake_ns", "cpu"][..],
        ),
    ] {
        let arguments = [arguments, &short[..]].concat();
        let table = corewire(&arguments);
        assert_eq!(table.status.code(), Some(0), "{}", said(&table));
        assert!(
            String::from_utf8(table.stdout)
                .unwrap()
                .contains("server CPU")
        );
        // No progress bar where nobody watches.
        assert_eq!(String::from_utf8(table.stderr).unwrap(), "");
        let report = json(&corewire(&[&arguments[..], &["--json"]].concat()));
        for key in keys {
            assert!(!report[key].is_null(), "{key} is missing: {report}");
        }
        assert!(report["cpu"]["server"]["ns_per_message"].as_f64() > Some(0.0));
    }
    let picture = fs::read_to_string(plot).unwrap();
    assert!(picture.contains("handshakes/s"), "{picture}");
}

/// It has two on most systems, and the server listens on one of them.
#[test]
fn of_the_addresses_of_localhost_the_servers_is_found() {
    let server = Serve::new(BINARY).cores(1).start();
    let url = format!("ws://localhost:{}/echo", server.address().port());
    let short = ["--connections", "2", "--seconds", "0.1", "--warmup", "0"];
    let report = json(&corewire(
        &[&["bench", "echo", &url, "--json"], &short[..]].concat(),
    ));
    assert!(report["messages"].as_u64() > Some(0), "{report}");
}

#[test]
fn a_run_without_a_result_leaves_pictures_as_they_are() {
    let (_held, dead) = dead();
    let picture = Path::new(env!("CARGO_TARGET_TMPDIR")).join("no-result.svg");
    let url = at(dead);
    let arguments = ["bench", "echo", &url, "--plot", picture.to_str().unwrap()];
    let _ = fs::remove_file(&picture);
    assert_eq!(corewire(&arguments).status.code(), Some(1));
    assert!(!picture.exists());
    fs::write(&picture, "an older one").unwrap();
    assert_eq!(corewire(&arguments).status.code(), Some(1));
    assert_eq!(fs::read_to_string(&picture).unwrap(), "an older one");
}

#[test]
fn without_a_pid_the_rest_of_the_machine_is_told() {
    let server = Serve::new(BINARY).cores(1).start();
    let url = url(&server);
    let arguments = [
        "bench",
        "echo",
        &url,
        "--connections",
        "4",
        "--seconds",
        "0.5",
    ];
    let report = json(&corewire(&[&arguments[..], &["--json"]].concat()));
    assert!(report["cpu"]["server"].is_null(), "{report}");
    assert!(report["cpu"]["foreign_share"].is_null(), "{report}");
    // The server is in it.
    assert!(report["cpu"]["rest_share"].as_f64() > Some(0.0), "{report}");
    let table = String::from_utf8(corewire(&arguments).stdout).unwrap();
    assert!(table.contains("--server-pid tells"), "{table}");
}

#[test]
fn memory_per_connection_is_the_slope_between_two_readings() {
    let server = Serve::new(BINARY).cores(1).start();
    let (url, pid) = (url(&server), server.pid().to_string());
    let idle = |pid: &str, format: &[&str]| {
        let arguments = ["bench", "idle", &url, "--server-pid", pid];
        corewire(&[&arguments[..], &["--from", "50", "--to", "850"], format].concat())
    };
    let report = json(&idle(&pid, &["--json"]));
    let rss = |at: &str| report[at]["memory"]["rss_bytes"].as_f64().unwrap();
    assert_eq!(report["from"]["connections"], 50, "{report}");
    assert_eq!(report["to"]["connections"], 850, "{report}");
    let slope = report["rss_bytes_per_connection"].as_f64().unwrap();
    assert!(
        (slope - (rss("to") - rss("from")) / 800.0).abs() < 1.0,
        "{report}"
    );
    // Every 16th of them.
    assert_eq!(report["pinged"], 54, "{report}");

    let table = idle(&pid, &[]);
    assert_eq!(table.status.code(), Some(0), "{}", said(&table));
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(
        table.contains("850 open") && table.contains("a connection"),
        "{table}"
    );

    // It is the memory of the process that is named: here of one that is smaller than the server,
    // and than the generator.
    let mut small = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    let report = json(&idle(&small.id().to_string(), &["--json"]));
    let resident = report["to"]["memory"]["rss_bytes"].as_f64().unwrap();
    assert!(
        resident > 0.0 && resident < server.rss_bytes() as f64 / 2.0,
        "{report}"
    );
    assert_eq!(report["rss_bytes_per_connection"], 0.0, "{report}");
    let warning = report["warnings"][0].as_str().unwrap();
    assert!(warning.contains("it is not the server"), "{report}");
    assert!(!warning.contains("  "), "{report}");
    small.kill().unwrap();
    small.wait().unwrap();
}

#[test]
fn a_fan_out_that_delivers_nothing_says_so() {
    // This server returns to the publisher alone what it sends.
    let server = Serve::new(BINARY).cores(1).start();
    let report = json(&corewire(&[
        "bench",
        "fanout",
        &url(&server),
        "--subscribers",
        "3",
        "--rate",
        "100",
        "--seconds",
        "0.2",
        "--warmup",
        "0",
        "--json",
    ]));
    assert_eq!(report["publications"], 20);
    assert_eq!(report["delivered_ratio"], 0.0);
    assert_eq!(report["to_publishers"], 20);
    for key in [
        "deliveries",
        "deliveries_per_second",
        "duplicates",
        "out_of_order",
        "delivery_ns",
        "cpu",
    ] {
        assert!(!report[key].is_null(), "{key} is missing: {report}");
    }
    let warnings = report["warnings"].as_array().unwrap();
    let told = |warning: &Value| warning.as_str().unwrap().contains("60 of 60");
    assert!(warnings.iter().any(told), "{report}");
}

#[test]
fn what_cannot_be_measured_ends_with_1_and_the_reason() {
    let (_held, dead) = dead();
    let mail = answering(b"220 mail.example.com ESMTP\r\n\r\n");
    let page = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let server = Serve::new(BINARY).cores(1).start();
    for (arguments, reason) in [
        (&["echo", &at(dead)][..], "is the server running?"),
        (&["fanout", &at(dead)], "is the server running?"),
        (&["connect", &at(dead)], "is the server running?"),
        (&["echo", &at(mail)], "not HTTP"),
        (&["connect", &at(page)], "status 200"),
        (&["echo", &at(server.address())], "path of the URL"),
        (
            &["fanout", &format!("{}ws", at(server.address()))],
            "it says: offer one of the WebSocket subprotocols",
        ),
        (
            &["fanout", &url(&server), "--subprotocol", "mqtt"],
            "subprotocol \"mqtt\"",
        ),
        (
            &["echo", &url(&server), "--deflate", "takeover"],
            "context takeover",
        ),
        (
            &["connect", &url(&server), "--server-pid", "4194304"],
            "--server-pid",
        ),
    ] {
        let output = corewire(&[&["bench"], arguments].concat());
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {stderr}");
        assert!(stderr.contains(reason), "{arguments:?}: {stderr}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn wrong_arguments_end_with_2_and_the_remedy() {
    let url = "ws://127.0.0.1:9/";
    let most = usize::MAX.to_string();
    for (arguments, named) in [
        (&["echo"][..], "<URL>"),
        (&["echo", "http://127.0.0.1:9/"], "ws://HOST:PORT/PATH"),
        (&["echo", "wss://127.0.0.1:9/"], "TLS"),
        (&["echo", url, "--rate", "0"], "--rate"),
        (&["echo", url, "--rate", "1", "--depth", "2"], "--depth"),
        (&["echo", url, "--seconds", "0"], "--seconds"),
        (
            &["echo", url, "--seconds", "soon"],
            "not a number of seconds",
        ),
        (&["echo", url, "--seconds", "-1"], "not a number of seconds"),
        (&["echo", url, "--warmup", "nan"], "not a number of seconds"),
        (&["echo", url, "--seconds", "90000"], "--seconds"),
        (&["echo", url, "--warmup", "1e18"], "--warmup"),
        (&["fanout", url, "--warmup", "1e18"], "--warmup"),
        (&["echo", url, "--rate", "-5"], "--rate"),
        (&["echo", url, "--threads", "0"], "--threads"),
        (&["echo", url, "--depth", &most], "--depth"),
        (&["echo", url, "--connections", &most], "ulimit"),
        (&["connect", url, "--at-once", &most], "ulimit"),
        (
            &["echo", url, "--connections", "1", "--threads", "2"],
            "--connections",
        ),
        (&["echo", url, "--deflate", "best"], "takeover"),
        (&["echo", url, "--deflate", "--size", "0"], "--size"),
        (
            &["echo", url, "--plot", "/nowhere/plot.svg"],
            "/nowhere/plot.svg",
        ),
        (&["connect", url, "--at-once", "0"], "--at-once"),
        (&["connect", "tcp://127.0.0.1:9"], "ws://"),
        (&["fanout", url, "--size", "31"], "--size"),
        (&["fanout", url, "--publish", "{dada}"], "{dada}"),
        (&["fanout", url, "--publish", "hex:0"], "two hex digits"),
        (&["fanout", url, "--publish", "nothing"], "{data}"),
        (&["fanout", url, "--topics", "101"], "--topics"),
        (&["fanout", url, "--threads", "65"], "--threads"),
        (&["fanout", url, "--answer", "PING"], "TEXT=ANSWER"),
        (&["fanout", url, "--ready", ""], "a text to wait for"),
        (
            &["fanout", url, "--in-flight", "2", "--rate", "2"],
            "--in-flight",
        ),
    ] {
        let output = corewire(&[&["bench"], arguments].concat());
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(named), "{arguments:?}: {stderr}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

/// What makes a connection one of the server's clients is sent, and what the server makes of it is
/// noticed.
#[test]
fn idle_connections_can_be_clients_of_topics() {
    let server = Serve::new(BINARY).cores(1).start();
    let url = format!("{}ws", at(server.address()));
    let pid = server.pid().to_string();
    let hello = r#"{"id":1,"hello":{"v":1,"subs":[{"s":1,"topic":"idle.{n}"}]}}"#;
    let idle = |greeting: &str| {
        let limits = ["--from", "8", "--to", "32", "--server-pid", &pid, "--json"];
        let words = ["--subprotocol", "corewire.v1.json", "--on-open", greeting];
        corewire(&[&["bench", "idle", &url], &limits[..], &words[..]].concat())
    };
    let report = json(&idle(hello));
    assert!(report["pinged"].as_u64().unwrap() >= 2, "{report}");
    // Sent before any hello, it ends the connection.
    let refused = idle(r#"{"id":1,"sub":{"s":1,"topic":"idle.{n}"}}"#);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("4003"), "{}", said(&refused));
}

#[test]
fn every_measurement_has_help_with_examples() {
    for measurement in ["echo", "fanout", "connect", "idle"] {
        let output = corewire(&["bench", measurement, "--help"]);
        assert_eq!(output.status.code(), Some(0));
        let help = String::from_utf8(output.stdout).unwrap();
        let example = format!("corewire bench {measurement} ws://");
        assert!(
            help.contains("Examples:") && help.contains(&example),
            "{help}"
        );
        // Which clap would take for a new line.
        assert_eq!(help.contains("u16('sub{n}')"), measurement == "fanout");
        assert_eq!(help.contains(r#""idle.{n}""#), measurement == "idle");
        assert!(!help.contains('\x1b'), "{help}");
    }
}

/// What stands in the documentation for other servers is understood; the port is dead.
#[test]
fn the_documented_commands_are_sound() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/bench.md");
    let text = fs::read_to_string(path).unwrap();
    let (_held, dead) = dead();
    let blocks = text.split("```sh\n").skip(1);
    let mut count = 0;
    for block in blocks {
        let (block, _) = block.split_once("```").unwrap();
        for command in block.replace("\\\n", " ").lines() {
            let Some(arguments) = command.strip_prefix("corewire ") else {
                continue;
            };
            // The shell takes the quotes off, as for whoever copies it.
            let script = format!("exec \"$0\" {arguments}")
                .replace("$(pidof corewire)", &std::process::id().to_string());
            let (before, after) = script.split_once("ws://").unwrap();
            let end = after.find(['/', ' ']).unwrap();
            let script = format!("{before}ws://{dead}{}", &after[end..]);
            let script = script.replace("--plot echo.svg", "");
            let output = Command::new("sh").args(["-c", &script, BINARY]).output();
            let stderr = said(&output.unwrap());
            assert!(
                stderr.contains("is the server running?"),
                "{script}: {stderr}"
            );
            count += 1;
        }
    }
    let written = text.matches("\ncorewire bench ").count();
    assert!(
        count > 0 && count == written,
        "{count} of {written} commands"
    );
}

fn url(server: &Process) -> String {
    format!("{}echo", at(server.address()))
}

fn at(address: SocketAddr) -> String {
    format!("ws://{address}/")
}

/// An address where nobody listens, nor anybody else can while the socket is held.
fn dead() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(&any.into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// A server that says this to whoever connects.
fn answering(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.write_all(answer);
            // Until the other side has gone.
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
    address
}

fn start(arguments: &[&str]) -> Child {
    Command::new(BINARY)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn corewire(arguments: &[&str]) -> Output {
    start(arguments).wait_with_output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{}", said(output));
    serde_json::from_slice(&output.stdout).unwrap()
}
