//! The Origin policy of a route, as it is configured.

/// The Origin policy of a route.
#[derive(Debug, Clone, Copy)]
pub struct OriginPolicy<'a> {
    /// Which origins may connect.
    pub rule: &'a OriginRule,
    /// What happens to a handshake without `Origin`.
    pub missing: MissingOrigin,
}

/// Which `Origin` values may open a tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OriginRule {
    /// `origin = "same-origin"`: host and port of the public authority, see `route::origin`.
    SameOrigin,
    /// `origin = "any"`.
    Any,
    /// `origin = ["https://app.example.com", "https://*.example.com", "null", "same-origin"]`.
    List(Vec<OriginPattern>),
}

/// One entry of an origin list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum OriginPattern {
    /// The public authority itself.
    SameOrigin,
    /// The literal `null` origin.
    Null,
    /// Origins of one scheme.
    Site {
        /// The scheme, lower-case.
        scheme: String,
        /// Their hosts.
        host: OriginHost,
        /// Their ports.
        port: OriginPort,
    },
}

/// The hosts that an entry of an origin list admits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum OriginHost {
    /// `scheme://*`: every host, and an empty one (`file://`).
    Any,
    /// One host, lower-case; empty in `file://`.
    Is(String),
    /// `scheme://*.suffix`: one or more labels in front of the suffix, which is lower-case.
    Below(String),
}

/// The ports that an entry of an origin list admits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OriginPort {
    /// `:*`: every port, written or not.
    Any,
    /// This one; where none is written the scheme's default, which not every scheme has.
    Is(Option<u16>),
}

/// What happens to a handshake that carries no `Origin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingOrigin {
    /// It may connect.
    Allow,
    /// It is refused with 403.
    Deny,
}
