//! The protocols besides WebSocket that a request may switch to (RFC 9110 section 7.8): those
//! that it asks for and its route allows.

use http::Version;
use http::header::{self, HeaderValue};

use crate::message::response::ResponseHead;
use crate::websocket::handshake::UpstreamProblem;

/// The protocols that a request asks for and its route allows, as the client wrote them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer(Vec<Vec<u8>>);

impl Offer {
    /// Keeps of `asked` what is `allowed`, in its order; `None` where nothing is left.
    pub fn new(asked: &[HeaderValue], allowed: &[String]) -> Option<Offer> {
        let offered: Vec<Vec<u8>> = asked
            .iter()
            .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
            .map(<[u8]>::trim_ascii)
            .filter(|protocol| allowed.iter().any(|one| is_same(one.as_bytes(), protocol)))
            .map(<[u8]>::to_vec)
            .collect();
        (!offered.is_empty()).then_some(Offer(offered))
    }

    /// The `Upgrade` for the upstream.
    pub fn value(&self) -> Vec<u8> {
        self.0.join(&b", "[..])
    }

    /// The protocol that a 101 names.
    ///
    /// # Errors
    /// What is wrong with the 101.
    pub fn chosen(&self, head: &ResponseHead) -> Result<String, UpstreamProblem> {
        if head.version != Version::HTTP_11 {
            return Err(UpstreamProblem::HttpVersion);
        }
        let mut lines = head.headers.get_all(header::UPGRADE).iter();
        let named = lines.next().ok_or(UpstreamProblem::UpgradeMissing)?;
        let is_asked_for = self.0.iter().any(|one| is_same(one, named.as_bytes()));
        if lines.next().is_some() || !is_asked_for {
            return Err(UpstreamProblem::UpgradeOther);
        }
        let mut options = head.headers.get_all(header::CONNECTION).iter();
        let says_upgrade = options.any(|line| {
            let mut options = line.as_bytes().split(|byte| *byte == b',');
            options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
        });
        match says_upgrade {
            true => Ok(String::from_utf8_lossy(named.as_bytes()).into_owned()),
            false => Err(UpstreamProblem::ConnectionMissing),
        }
    }
}

/// Names of protocols are case-insensitive, their versions are not.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let end = |text: &[u8]| memchr::memchr(b'/', text).unwrap_or(text.len());
    let (name, version) = one.split_at(end(one));
    let (other_name, other_version) = other.split_at(end(other));
    name.eq_ignore_ascii_case(other_name) && version == other_version
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_what_is_allowed_is_offered() {
        let allowed = ["tcp".to_owned(), "SPDY/3.1".to_owned()];
        for (asked, offered) in [
            ("tcp", Some("tcp")),
            ("TCP", Some("TCP")),
            ("spdy/3.1", Some("spdy/3.1")),
            ("h2c, Spdy/3.1 ,tcp", Some("Spdy/3.1, tcp")),
            ("spdy/3.10", None),
            ("spdy", None),
            ("tcp/1", None),
            ("tcpx", None),
            ("h2c", None),
            ("", None),
        ] {
            let offer = Offer::new(&[HeaderValue::from_static(asked)], &allowed);
            let value = offer.map(|offer| String::from_utf8(offer.value()).unwrap());
            assert_eq!(value.as_deref(), offered, "{asked}");
        }
    }
}
