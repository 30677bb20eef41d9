//! The committed corpus, run through its targets without a fuzzer.

use std::fs;
use std::path::Path;

const TARGETS: [(&str, fn(&[u8])); 11] = [
    ("deflate_roundtrip", crate::deflate_roundtrip),
    ("extensions", crate::extensions),
    ("frame_header", crate::frame_header),
    ("handshake_request", crate::handshake_request),
    ("handshake_response", crate::handshake_response),
    ("http_head", crate::http_head),
    ("inflate", crate::inflate),
    ("native", crate::native),
    ("shard", crate::shard),
    ("utf8", crate::utf8),
    ("websocket", crate::websocket),
];

/// Names the file that is being replayed when it fails.
struct Replaying<'a>(&'a Path);

impl Drop for Replaying<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("it was {}", self.0.display());
        }
    }
}

/// One test, since targets bound the heap of the process: one at a time.
#[test]
fn every_file_passes_its_target() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, target) in TARGETS {
        target(&[]);
        let mut files: Vec<_> = fs::read_dir(root.join("corpus").join(name))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        assert!(!files.is_empty(), "{name} has no corpus");
        for file in &files {
            let _named = Replaying(file);
            target(&fs::read(file).unwrap());
        }
        println!("{name}: {} files", files.len());
    }
}

/// A target that is not in the list would never be replayed, nor one without a program fuzzed.
#[test]
fn every_program_has_its_target_here() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz_targets");
    let mut programs: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_owned())
        .collect();
    programs.sort();
    assert!(programs.iter().eq(TARGETS.map(|(name, _)| name).iter()));
}
