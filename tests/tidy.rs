//! The house rules that no compiler checks: floors, sizes, and what each part may not touch.
//! ARCHITECTURE.md explains them.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Which modules of `src/` a module may import, besides itself and the protocol crate where
/// [`MAY_IMPORT_PROTOCOL`] says so.
const FLOORS: &[(&str, &[&str])] = &[
    // Floor 1: parts.
    ("hash", &[]),
    ("ids", &[]),
    ("mailbox", &["ids", "sync"]),
    ("metrics", &[]),
    ("sync", &[]),
    ("timers", &[]),
    // Floor 2: one core without system calls.
    ("engine", &["ids", "mailbox", "metrics", "timers"]),
    // Floor 3: an application of the engine.
    ("messaging", &["hash", "ids", "metrics", "timers", "engine"]),
    // Floor 3: the only system calls.
    (
        "runtime",
        &["ids", "mailbox", "metrics", "sync", "timers", "engine"],
    ),
    // Floor 5: the roof.
    ("server", ANY),
    ("config", ANY),
    ("bench", ANY),
    ("cli", ANY),
    ("lib", ANY),
    ("main", ANY),
];

const ANY: &[&str] = &["*"];

/// Modules that may name `corewire_protocol`.
const MAY_IMPORT_PROTOCOL: &[&str] = &[
    "timers",
    "engine",
    "messaging",
    "server",
    "config",
    "bench",
    "cli",
    "lib",
    "main",
];

/// Files of more than [`LINES_MAX`] lines, each with the reason why it is one noun all the same.
const LONG_FILES: &[(&str, &str)] = &[];
const LINES_MAX: usize = 800;

/// What the protocol crate must not know: sockets, threads, files, clocks.
const NOT_IN_PROTOCOL: &[&str] = &[
    "std::net",
    "std::thread",
    "std::fs",
    "std::time",
    "std::env",
    "std::process",
    "tracing::",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && name != "node_modules" && !name.starts_with('.')
            {
                folders.push(path);
            } else if path.extension().is_some_and(|of_file| of_file == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap_or(path)
        .display()
        .to_string()
}

/// The module of `src/` that a file belongs to.
fn module(path: &Path) -> String {
    let inside = path.strip_prefix(root().join("src")).unwrap();
    let first = inside.components().next().unwrap().as_os_str();
    first.to_string_lossy().trim_end_matches(".rs").to_owned()
}

/// The part of a source file before its tests, without comments.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The first segments after `crate::` in a source file, those inside braces included.
fn imports(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            assert!(
                !group.is_empty(),
                "write one `use crate::module` line for each module"
            );
        }
        found.insert(
            rest.chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect(),
        );
    }
    found
}

#[test]
fn modules_import_down_the_floors_only() {
    let files = files("src", "rs");
    assert!(files.len() > 20, "the files were not found");
    for path in files {
        let module = module(&path);
        let code = code(&path);
        let (_, may) = FLOORS
            .iter()
            .find(|(known, _)| *known == module)
            .unwrap_or_else(|| panic!("{module} stands on no floor: add it to FLOORS"));
        for import in imports(&code) {
            assert!(
                import == module || may.contains(&import.as_str()) || *may == ANY,
                "{} imports crate::{import}: {module} may import {may:?}",
                shown(&path),
            );
        }
        assert!(
            !code.contains("corewire_protocol") || MAY_IMPORT_PROTOCOL.contains(&module.as_str()),
            "{} imports the protocol crate: {module} may not",
            shown(&path),
        );
    }
}

#[test]
fn the_protocol_crate_knows_no_system() {
    let files = files("protocol/src", "rs");
    assert!(files.len() > 15, "the files were not found");
    for path in files {
        let code = code(&path);
        for word in NOT_IN_PROTOCOL {
            assert!(!code.contains(word), "{} uses {word}", shown(&path));
        }
    }
}

#[test]
fn the_clients_machine_knows_no_system() {
    let files = files("clients/rust/src/machine", "rs");
    assert!(files.len() > 10, "the files were not found");
    for path in files {
        let code = code(&path);
        for word in NOT_IN_PROTOCOL
            .iter()
            .chain(&["tokio", "getrandom", "rustls"])
        {
            assert!(!code.contains(word), "{} uses {word}", shown(&path));
        }
    }
}

#[test]
fn system_calls_stay_in_the_runtime() {
    for path in files("src", "rs") {
        let module = module(&path);
        if matches!(module.as_str(), "runtime" | "bench") {
            continue;
        }
        for word in ["mio::", "socket2::"] {
            assert!(!code(&path).contains(word), "{} uses {word}", shown(&path));
        }
    }
}

#[test]
fn files_stay_short() {
    for folder in ["src", "protocol", "clients", "tests", "benches", "examples"] {
        for path in files(folder, "rs") {
            let name = shown(&path);
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            let excused = LONG_FILES.iter().any(|(known, _)| *known == name);
            assert!(
                lines <= LINES_MAX || excused,
                "{name} has {lines} lines: which second noun has moved in?"
            );
        }
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut documents = files("docs", "md");
    documents.extend(files("protocol", "md"));
    documents.extend(files("clients", "md"));
    documents.extend(files("autobahn", "md"));
    for entry in fs::read_dir(root()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "md") {
            documents.push(path);
        }
    }
    for path in documents {
        let text = fs::read_to_string(&path).unwrap();
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split(')').next().unwrap();
            let file = target.split('#').next().unwrap();
            if file.is_empty() || file.contains("://") {
                continue;
            }
            let there = path.parent().unwrap().join(file).exists();
            assert!(
                there,
                "{} links to {target}, which is not there",
                shown(&path)
            );
        }
    }
}
