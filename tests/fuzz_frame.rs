//! Runs the frame scanner's fuzz body over its corpus, and over mutations of it.

#[path = "fuzz/fuzz_targets/frame.rs"]
mod frame;

#[test]
fn the_corpus_and_its_mutations_hold() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/corpus/frame");
    let mut random = fastrand::Rng::with_seed(1);
    let mut inputs = 0;
    for entry in std::fs::read_dir(folder).expect("the corpus") {
        let input = std::fs::read(entry.expect("an entry").path()).expect("an input");
        frame::run(&input);
        for _ in 0..2000 {
            let mut mutant = input.clone();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(..mutant.len());
                mutant[at] = random.u8(..);
            }
            frame::run(&mutant);
        }
        inputs += 1;
    }
    assert!(inputs > 5, "the corpus is there");
}
