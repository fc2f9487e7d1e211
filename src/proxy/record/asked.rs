//! What only the access log needs of a request. Values are shared with the request's
//! head, not copied.

use std::borrow::Cow;
use std::sync::Arc;

use http::header::{HeaderName, HeaderValue, REFERER, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, Version};

use crate::access_log::{self, Line};
use crate::net::tls::Session;
use crate::vocabulary::credentials::{REDACTED, is_for_credentials};

/// What a request said about itself.
#[derive(Debug)]
pub struct Asked {
    /// As far as it was read.
    protocol: Option<Cow<'static, str>>,
    user_agent: Option<HeaderValue>,
    referer: Option<HeaderValue>,
    /// What TLS has agreed on, where the client came by it.
    tls: Option<Arc<Session>>,
    /// Those that `log.headers` names.
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Asked {
    pub(super) fn of(parts: &Parts, tls: Option<Arc<Session>>) -> Box<Asked> {
        let protocol = match parts.version {
            Version::HTTP_10 => "HTTP/1.0",
            Version::HTTP_2 => "HTTP/2",
            Version::HTTP_3 => "HTTP/3",
            _ => "HTTP/1.1",
        };
        Box::new(Asked {
            tls,
            ..Asked::read(Some(protocol.into()), &parts.headers)
        })
    }

    /// What was read of a request that was refused before it was one.
    pub fn glimpsed(
        protocol: Option<String>,
        fields: &HeaderMap,
        tls: Option<Arc<Session>>,
    ) -> Asked {
        Asked {
            tls,
            ..Asked::read(protocol.map(Cow::Owned), fields)
        }
    }

    fn read(protocol: Option<Cow<'static, str>>, fields: &HeaderMap) -> Asked {
        Asked {
            protocol,
            tls: None,
            user_agent: fields.get(USER_AGENT).cloned(),
            referer: fields.get(REFERER).cloned(),
            headers: chosen(fields, &access_log::headers()),
        }
    }

    /// Adds it to a record.
    pub fn write(&self, line: &mut Line<'_>) {
        line.optional("protocol", self.protocol.as_deref());
        if let Some(tls) = &self.tls {
            line.text("tls_version", tls.version);
            line.text("tls_cipher", &tls.cipher);
            line.optional("tls_server_name", tls.server_name.as_deref());
            let client = tls.client.as_ref();
            line.optional("tls_client", client.map(|client| &*client.subject));
        }
        let fields = [("user_agent", &self.user_agent), ("referer", &self.referer)];
        for (name, value) in fields {
            line.optional(name, value.as_ref().map(shown).as_deref());
        }
        let headers = self.headers.iter();
        line.object(
            "headers",
            headers.map(|(name, value)| match is_for_credentials(name) {
                true => (name.as_str(), REDACTED.into()),
                false => (name.as_str(), shown(value)),
            }),
        );
    }
}

/// The longest joined value, in bytes.
const LONGEST: usize = 8192;

/// The lines of each, as one.
fn chosen(fields: &HeaderMap, names: &[HeaderName]) -> Vec<(HeaderName, HeaderValue)> {
    let found = names
        .iter()
        .filter_map(|name| Some((name.clone(), joined(fields, name)?)));
    found.collect()
}

/// Repeated lines are a list (RFC 9110 section 5.3). Those that would make it too long are left
/// out.
fn joined(fields: &HeaderMap, name: &HeaderName) -> Option<HeaderValue> {
    let mut lines = fields.get_all(name).iter();
    let first = lines.next()?;
    let mut lines = lines.peekable();
    if lines.peek().is_none() {
        return Some(first.clone());
    }
    let mut list = first.as_bytes().to_vec();
    for line in lines {
        if list.len() + line.len() > LONGEST {
            break;
        }
        list.extend_from_slice(b", ");
        list.extend_from_slice(line.as_bytes());
    }
    HeaderValue::try_from(list).ok()
}

fn shown(value: &HeaderValue) -> Cow<'_, str> {
    String::from_utf8_lossy(value.as_bytes())
}
