//! stub
use http::HeaderMap;
use crate::config::HeaderEdits;
/// x
pub fn strip_hop_by_hop(h: &mut HeaderMap) {
    for n in ["connection", "upgrade", "keep-alive", "transfer-encoding", "te", "proxy-connection"] { h.remove(n); }
}
/// x
pub fn apply_edits(_: &mut HeaderMap, _: &HeaderEdits) {}
