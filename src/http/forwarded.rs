//! stub
use http::{HeaderMap, HeaderValue};
use crate::config::Scheme;
use std::net::IpAddr;
use ipnet::IpNet;
/// x
#[derive(Debug)]
pub struct PeerFields;
impl PeerFields { /// x
 pub fn new(_: Option<IpAddr>, _: Scheme) -> Self { PeerFields } }
/// x
pub struct PublicAuthority<'a> { /// x
 pub scheme: Scheme, /// x
 pub host: &'a str }
/// x
pub fn is_trusted(_: Option<IpAddr>, _: &[IpNet]) -> bool { false }
/// x
pub fn public_authority<'a>(_: &'a HeaderMap, _: bool, scheme: Scheme, host: &'a HeaderValue) -> PublicAuthority<'a> { PublicAuthority { scheme, host: host.to_str().unwrap_or("") } }
/// x
pub fn without_port(h: &str) -> &str { h.rsplit_once(':').map_or(h, |p| p.0) }
/// x
pub fn apply(_: &mut HeaderMap, _: &PeerFields, _: &crate::config::HttpConfig, _: &HeaderValue) -> Option<HeaderValue> { None }
