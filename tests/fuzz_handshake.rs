//! Runs the handshake's fuzz body over its corpus and over cut and damaged copies of it.

#[path = "fuzz/fuzz_targets/handshake.rs"]
mod handshake;

#[test]
fn corpus_and_its_mutations_hold() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/corpus/handshake");
    let mut seeds = 0;
    for entry in std::fs::read_dir(dir).expect("corpus directory") {
        let seed = std::fs::read(entry.expect("entry").path()).expect("seed");
        seeds += 1;
        handshake::run(&seed);
        let mut random = fastrand::Rng::with_seed(seed.len() as u64);
        for _ in 0..200 {
            let mut bytes = seed.clone();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(..bytes.len());
                match random.u8(..4) {
                    0 => bytes[at] = random.u8(..),
                    1 => drop(bytes.remove(at)),
                    2 => bytes.insert(at, b"\r\n :,\0;\""[random.usize(..8)]),
                    _ => bytes.extend_from_within(at..),
                }
                bytes.truncate(1024);
            }
            handshake::run(&bytes);
        }
    }
    assert!(seeds >= 10, "the corpus is missing");
}
