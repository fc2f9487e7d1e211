//! What the admin interface and the commands that speak to it answer.

use std::process::Output;

use serde_json::Value;

use super::Proxy;

/// JSON, or a failure that shows what came instead.
pub fn parsed(body: &str) -> Value {
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

/// The answer of `/v1/status`.
pub fn status(proxy: &Proxy) -> Value {
    let (code, body) = proxy.get_admin("/v1/status");
    assert_eq!(code, 200, "{body}");
    parsed(&body)
}

/// A command's exit code, standard output and standard error.
pub fn printed(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let code = output.status.code().expect("it exits");
    (code, text(&output.stdout), text(&output.stderr))
}

/// Writes the configuration again, with its `[admin]` table.
pub fn rewrite(proxy: &Proxy, change: impl FnOnce(String) -> String) {
    let old = std::fs::read_to_string(proxy.config()).unwrap();
    std::fs::write(proxy.config(), change(old)).unwrap();
}
