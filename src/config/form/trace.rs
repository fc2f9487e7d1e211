//! `[trace]`: its values as they are written.

use http::Uri;

use crate::setting::read::{FromText, Plain, Wrong};

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

impl Plain<String> for Collector {
    fn plain(&self) -> String {
        self.0.clone()
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

impl Plain<String> for ServiceName {
    fn plain(&self) -> String {
        self.0.clone()
    }
}

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
