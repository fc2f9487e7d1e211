//! `[trace]`: which traces sluice takes part in, and where its spans go.

use http::Uri;

use crate::setting::read::{FromText, Wrong};
use crate::setting::scalar::{Optional, Share, words};
use crate::setting::table::table;
use crate::setting::typed::{Setting, held_as_read};
use crate::setting::written::Written;

table! {
    /// `[trace]`: which traces sluice takes part in, and where its spans go.
    TraceTable in "`[trace]`" => TraceConfig {
        /// The base URL of an OTLP/HTTP collector such as `http://127.0.0.1:4318`; spans go to
        /// `/v1/traces` below it. `"off"`: `traceparent` and `tracestate` pass untouched.
        endpoint: Optional<Collector> as Option<String> = "off",
        /// Share of the traces begun here that is recorded, 0 to 1. A trace that is continued
        /// is recorded where its `traceparent` says so.
        sample: Share as f64 = 0.01,
        /// A valid `traceparent` of a request: `continue` takes part in its trace; `trusted`
        /// does so for `http.trusted_proxies`, and begins a trace with a link to it for
        /// other peers; `ignore` always begins one.
        parent: ParentRule as ParentRule = "continue",
        /// The `service.name` of the spans.
        service_name: ServiceName as String = "sluice",
    }
}

/// What a valid `traceparent` of a request means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ParentRule {
    /// Its trace goes on here, sampled as it says.
    #[default]
    Continue,
    /// The same from `http.trusted_proxies`; that of another peer is linked from a trace of our own.
    Trusted,
    /// Nothing: every request begins a trace.
    Ignore,
}
words!(ParentRule, "`\"continue\"`, `\"trusted\"` or `\"ignore\"`",
    "continue" => ParentRule::Continue,
    "trusted" => ParentRule::Trusted,
    "ignore" => ParentRule::Ignore,
);

/// `trace.endpoint`: the base URL of a collector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Collector(String);

impl FromText for Collector {
    const EXPECTED: &'static str = "a URL such as `\"http://127.0.0.1:4318\"`";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        let wrong = || {
            Wrong::new(format!("`{text}` is not the URL of a collector"))
                .hint("write `\"http://127.0.0.1:4318\"`, with a path where the collector has one")
        };
        let url: Uri = text.parse().map_err(|_| wrong())?;
        let authority = url.authority().ok_or_else(wrong)?;
        if url.scheme_str() == Some("https") {
            return Err(Wrong::new("sluice sends spans without TLS").hint(
                "name a collector on this host or network by `\"http://...\"`, and let that one \
                 encrypt",
            ));
        }
        let port = &authority.as_str()[authority.host().len()..];
        let port_is_wrong = !port.is_empty() && authority.port_u16().is_none();
        if url.scheme_str() != Some("http")
            || authority.as_str().contains('@')
            || authority.host().is_empty()
            || port_is_wrong
            || url.query().is_some()
        {
            return Err(wrong());
        }
        Ok(Collector(text.to_owned()))
    }
}

impl Setting<String> for Collector {
    fn value(&self) -> String {
        self.0.clone()
    }

    /// What stands before an `@` may be a password.
    fn write(value: &String) -> Written {
        match value.contains('@') {
            true => Written::Secret(value.clone()),
            false => value.as_str().into(),
        }
    }
}

/// `trace.service_name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServiceName(String);

impl FromText for ServiceName {
    const EXPECTED: &'static str = "a name such as `\"sluice\"`";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        if text.trim().is_empty() {
            return Err(Wrong::new("a service has a name").hint("leave it out for `\"sluice\"`"));
        }
        Ok(ServiceName(text.to_owned()))
    }
}

held_as_read!(ServiceName => String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_an_http_url() {
        for url in [
            "http://127.0.0.1:4318",
            "http://collector",
            "http://[::1]:4318/",
            "http://collector:4318/otlp",
        ] {
            assert!(Collector::from_text(url).is_ok(), "{url}");
        }
        for url in [
            "",
            "collector:4318",
            "/v1/traces",
            "https://collector:4318",
            "grpc://collector:4317",
            "http://user@collector",
            "http://collector:99999",
            "http://collector:",
            "http://collector/?a",
            "http://:4318",
        ] {
            assert!(Collector::from_text(url).is_err(), "{url}");
        }
    }
}
