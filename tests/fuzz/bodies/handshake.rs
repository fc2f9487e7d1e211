//! A handshake is accepted or refused in words; an answer likewise.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};

/// The input is a header section, one field a line.
pub fn run(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|&byte| byte == b'\n') {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else {
            continue;
        };
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        {
            headers.append(name, value);
        }
    }
    let _ = sluice::http::handshake::check_request(&Method::GET, Version::HTTP_11, &headers);
}
