//! Runs each fuzz body over its corpus and over seeded mutations of it, so that what the
//! fuzzer once found is tested by every `cargo test`. Finds nothing new by design: that is
//! the fuzzer's work (`tests/fuzz/Cargo.toml`).
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by a panic"
)]

use std::fs;
use std::path::Path;

#[path = "fuzz/bodies/chunked.rs"]
mod chunked;
#[path = "fuzz/bodies/config.rs"]
mod config;
#[path = "fuzz/bodies/fields.rs"]
mod fields;
#[path = "fuzz/bodies/frame.rs"]
mod frame;
#[path = "fuzz/bodies/framing.rs"]
mod framing;
#[path = "fuzz/bodies/handover.rs"]
mod handover;
#[path = "fuzz/bodies/handshake.rs"]
mod handshake;
#[path = "fuzz/bodies/origin.rs"]
mod origin;
#[path = "fuzz/bodies/path.rs"]
mod path;
#[path = "fuzz/bodies/query.rs"]
mod query;
#[path = "fuzz/bodies/response.rs"]
mod response;
#[path = "fuzz/bodies/routes.rs"]
mod routes;
#[path = "fuzz/bodies/state.rs"]
mod state;
#[path = "fuzz/bodies/tap.rs"]
mod tap;
#[path = "fuzz/bodies/target.rs"]
mod target;
#[path = "fuzz/bodies/tls_record.rs"]
mod tls_record;
#[path = "fuzz/bodies/trace.rs"]
mod trace;
#[path = "fuzz/bodies/visible.rs"]
mod visible;

/// Mutations of all seeds of a target; bounded so that all targets together stay below a few
/// seconds, however large a corpus becomes.
const MUTATIONS: usize = 5000;

fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fuzz/corpus")
        .join(target);
    let entries =
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("a corpus entry").path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "the corpus of {target} is empty");
    let seeds: Vec<Vec<u8>> = files
        .iter()
        .map(|file| fs::read(file).expect("a seed"))
        .collect();
    let mut random = fastrand::Rng::with_seed(6455);
    for seed in &seeds {
        run(seed);
        for _ in 0..MUTATIONS / seeds.len() {
            run(&mutation(seed, &seeds, &mut random));
        }
    }
}

/// Up to four changes: a byte set, removed or doubled, or a piece of another seed put in.
fn mutation(seed: &[u8], seeds: &[Vec<u8>], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut data = seed.to_vec();
    for _ in 0..random.usize(1..=4) {
        let at = random.usize(0..=data.len());
        match random.u8(0..4) {
            0 if at < data.len() => data[at] = random.u8(..),
            1 if at < data.len() => drop(data.remove(at)),
            2 if at < data.len() => data.insert(at, data[at]),
            _ => {
                let other = &seeds[random.usize(0..seeds.len())];
                let from = random.usize(0..=other.len());
                let to = random.usize(from..=other.len());
                data.splice(at..at, other[from..to].iter().copied());
            }
        }
    }
    data
}

#[test]
fn path_corpus() {
    replay("path", path::run);
}

#[test]
fn origin_corpus() {
    replay("origin", origin::run);
}

#[test]
fn config_corpus() {
    replay("config", config::run);
}

#[test]
fn framing_corpus() {
    replay("framing", framing::run);
}

#[test]
fn handshake_corpus() {
    replay("handshake", handshake::run);
}

#[test]
fn frame_corpus() {
    replay("frame", frame::run);
}

#[test]
fn tap_corpus() {
    replay("tap", tap::run);
}

#[test]
fn trace_corpus() {
    replay("trace", trace::run);
}

#[test]
fn handover_corpus() {
    replay("handover", handover::run);
}

#[test]
fn chunked_corpus() {
    replay("chunked", chunked::run);
}

#[test]
fn fields_corpus() {
    replay("fields", fields::run);
}

#[test]
fn query_corpus() {
    replay("query", query::run);
}

#[test]
fn response_corpus() {
    replay("response", response::run);
}

#[test]
fn routes_corpus() {
    replay("routes", routes::run);
}

#[test]
fn state_corpus() {
    replay("state", state::run);
}

#[test]
fn target_corpus() {
    replay("target", target::run);
}

#[test]
fn tls_record_corpus() {
    replay("tls_record", tls_record::run);
}

#[test]
fn visible_corpus() {
    replay("visible", visible::run);
}
