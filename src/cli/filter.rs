//! Which tunnels a command is about, and how a question carries that.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use crate::admin::{FilterRequest, spelled_client};
use crate::config::parse_duration;

/// Which tunnels: all of what is given must hold.
#[derive(Debug, Default, Args)]
pub struct FilterArguments {
    /// Only tunnels of this route
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub route: Option<String>,
    /// Only tunnels to this upstream
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub upstream: Option<String>,
    /// Only tunnels to this endpoint: 10.0.0.3:9000 or app/10.0.0.3:9000
    #[arg(long, value_name = "ADDR", value_parser = NonEmptyStringValueParser::new())]
    pub endpoint: Option<String>,
    /// Only tunnels from this client, with or without its port
    #[arg(long, value_name = "ADDR", value_parser = client)]
    pub client: Option<String>,
    /// Only tunnels with this text in their path, host, origin or any other field
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    pub search: Option<String>,
    /// Only tunnels open for at least this long: 30s, 2h
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub min_age: Option<String>,
    /// Only tunnels silent for at least this long
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub min_idle: Option<String>,
}

/// Checked here already, so that the option is named.
fn client(text: &str) -> Result<String, String> {
    spelled_client(text).ok_or_else(|| {
        "write an IP address, with or without a port: 192.0.2.7, [2001:db8::1]:50000; or unix"
            .to_owned()
    })
}

fn span(text: &str) -> Result<String, String> {
    match parse_duration(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(wrong) => Err(wrong.to_string()),
    }
}

impl FilterArguments {
    pub(super) fn request(&self) -> FilterRequest {
        FilterRequest {
            route: self.route.clone(),
            upstream: self.upstream.clone(),
            endpoint: self.endpoint.clone(),
            client: self.client.clone(),
            q: self.search.clone(),
            min_age: self.min_age.clone(),
            min_idle: self.min_idle.clone(),
        }
    }

    pub(super) fn parameters(&self) -> Vec<(&'static str, &str)> {
        let all = [
            ("route", &self.route),
            ("upstream", &self.upstream),
            ("endpoint", &self.endpoint),
            ("client", &self.client),
            ("q", &self.search),
            ("min_age", &self.min_age),
            ("min_idle", &self.min_idle),
        ];
        let given = all.into_iter();
        given
            .filter_map(|(name, value)| Some((name, value.as_deref()?)))
            .collect()
    }
}

/// A path with parameters, percent-encoded.
pub(super) fn with_query(path: &str, parameters: &[(&str, &str)]) -> String {
    let mut whole = path.to_owned();
    for (index, (name, value)) in parameters.iter().enumerate() {
        whole.push(if index == 0 { '?' } else { '&' });
        whole.push_str(name);
        whole.push('=');
        for byte in value.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    whole.push(char::from(byte));
                }
                _ => whole.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_stands_in_a_parameter_stays_in_it() {
        let query = with_query("/x", &[("a", "1&b=2 é%"), ("c", "")]);
        assert_eq!(query, "/x?a=1%26b%3D2%20%C3%A9%25&c=");
    }
}
