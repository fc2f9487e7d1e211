//! Which header fields are for credentials, so that their values are shown nowhere: not by the
//! admin interface, not in access records.

use http::HeaderName;

/// What stands in the place of such a value.
pub const REDACTED: &str = "redacted";

/// Parts of the names of such fields.
const PARTS: [&str; 10] = [
    "auth",
    "cookie",
    "credential",
    "jwt",
    "key",
    "pass",
    "secret",
    "session",
    "signature",
    "token",
];

/// Whether a field of this name may carry a credential.
pub fn is_for_credentials(name: &HeaderName) -> bool {
    PARTS.iter().any(|part| name.as_str().contains(part))
}
