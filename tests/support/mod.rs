//! What the integration tests stand on: the real binary (`Proxy`), backends to put behind it
//! (`HttpBackend`, `EchoBackend`, `RawBackend`), a raw-byte peer (`Wire`), foreign programs
//! (`Foreign`), a place where backends wait (`gate`), a service manager (`Manager`) and a browser (`Browser`). No test waits by
//! sleeping: everything waits for a condition with a deadline.
//!
//! Declare backends before the proxy: values drop in reverse, so that the proxy goes first.

// Each test program uses its own part of this module.
#![allow(dead_code, unused_imports)]

pub mod admin;
pub mod backend;
pub mod browser;
pub mod disk;
pub mod exposition;
pub mod foreign;
pub mod gate;
pub mod http_backend;
pub mod json_line;
pub mod manager;
pub mod process;
pub mod proxy;
pub mod succession;
pub mod tls;
pub mod tls_client;
pub mod websocket;
pub mod wire;

use std::time::Duration;

pub use backend::RawBackend;
pub use browser::{Browser, Page};
pub use exposition::Scrape;
pub use foreign::Foreign;
pub use gate::{Door, Gate, gate, held};
pub use http_backend::HttpBackend;
pub use manager::Manager;
pub use proxy::Proxy;
pub use succession::Succession;
pub use websocket::EchoBackend;
pub use wire::{Head, Response, Wire};

/// How long anything may take before a test gives up on it. Generous: test machines are busy.
pub const DEADLINE: Duration = Duration::from_secs(15);

/// Waits until the condition holds, and fails the test when it does not within [`DEADLINE`].
#[macro_export]
macro_rules! eventually {
    ($condition:expr) => {
        $crate::eventually!($condition, stringify!($condition))
    };
    ($condition:expr, $($what:tt)+) => {{
        let give_up = std::time::Instant::now() + $crate::support::DEADLINE;
        loop {
            if $condition {
                break;
            }
            if std::time::Instant::now() > give_up {
                panic!("never came true: {}", format_args!($($what)+));
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }};
}

/// Says that a test cannot run here and why; under CI that is a failure.
pub fn skip(reason: &str) {
    assert!(
        std::env::var_os("CI").is_none_or(|value| value != "true"),
        "cannot run, and CI must not skip: {reason}"
    );
    eprintln!("\n=== SKIPPED: {reason} ===\n");
}

/// A program that a test needs from the machine.
pub struct Tool;

impl Tool {
    /// Whether `name` is on the PATH. Outside CI a missing one is a loud skip, under
    /// `CI=true` a failure.
    pub fn require(name: &str) -> bool {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut folders: Vec<_> = std::env::split_paths(&path).collect();
        folders.extend(["/usr/sbin".into(), "/usr/local/sbin".into()]);
        if folders.iter().any(|folder| folder.join(name).is_file()) {
            return true;
        }
        skip(&format!("`{name}` is not installed"));
        false
    }
}
