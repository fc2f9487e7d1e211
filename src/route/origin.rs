//! stub
use crate::config::*;
use http::HeaderMap;
/// x
pub struct PublicAuthority<'a> { /// x
 pub scheme: Scheme, /// x
 pub host: &'a str }
/// x
pub fn parse_pattern(s: &str) -> Result<OriginPattern, String> { Ok(OriginPattern::Exact(s.into())) }
/// x
pub fn check(_: &WebSocketConfig, _: &HeaderMap, _: PublicAuthority<'_>) -> Result<(), String> { Ok(()) }
