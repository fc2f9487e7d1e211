//! The fuzzer's entry; the body stands apart so that `cargo test` runs it too.
#![no_main]

#[path = "../bodies/tls_record.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
