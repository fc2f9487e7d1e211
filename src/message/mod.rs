//! HTTP/1.1 as bytes and without I/O: request framing, header rules, forwarded fields, heads of
//! answers, the chunked coding, the spelling of names.

pub mod chunked;
pub mod forwarded;
pub mod framing;
pub mod headers;
pub mod octets;
pub mod response;
pub mod spelling;
