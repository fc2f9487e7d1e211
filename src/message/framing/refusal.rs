//! Every reason to refuse a client's bytes before hyper sees them, with the status and the
//! sentence of the answer. The checks are in the other files.

use http::StatusCode;

use crate::message::chunked::Broken;

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident => $status:ident, $reason:literal;)*) => {
        /// Why a request is refused. The answer closes the connection.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Refusal {
            $($(#[$doc])* $name,)*
        }

        impl Refusal {
            /// All refusals, for counters and documentation.
            pub const ALL: &[Refusal] = &[$(Refusal::$name),*];

            /// Status of the answer.
            pub fn status(self) -> StatusCode {
                match self {
                    $(Refusal::$name => StatusCode::$status,)*
                }
            }

            /// One line saying what is wrong, for the answer and the log.
            pub fn reason(self) -> &'static str {
                match self {
                    $(Refusal::$name => $reason,)*
                }
            }
        }
    };
}

refusals! {
    /// A TLS handshake on a plain port.
    Tls => BAD_REQUEST, "this is a TLS handshake, but the port speaks plain HTTP: use http:// and ws://, or give this listener a [listen.tls] table";
    /// The first line of the PROXY protocol, version 1.
    ProxyProtocol1 => BAD_REQUEST, "this is the PROXY protocol, version 1, but the port speaks plain HTTP: switch it off in the balancer in front (`send-proxy`, `proxy_protocol on`), have that send X-Forwarded-For, and add its address to `http.trusted_proxies`";
    /// The signature of the PROXY protocol, version 2.
    ProxyProtocol2 => BAD_REQUEST, "this is the PROXY protocol, version 2, but the port speaks plain HTTP: switch it off in the balancer in front (`send-proxy-v2`, the target group's `proxy_protocol_v2`), have that send X-Forwarded-For, and add its address to `http.trusted_proxies`";
    /// The first byte cannot begin a request.
    NotHttp => BAD_REQUEST, "the connection does not begin with an HTTP request";
    /// More than one empty line in front of a request (RFC 9112 section 2.2).
    EmptyLines => BAD_REQUEST, "more than one empty line in front of the request line";
    /// LF without CR (RFC 9112 section 2.2).
    BareLf => BAD_REQUEST, "a line ends in LF without CR";
    /// CR without LF (RFC 9112 section 2.2).
    BareCr => BAD_REQUEST, "a CR that is not followed by LF";
    /// The request line is not `method SP target SP version` (RFC 9112 section 3).
    RequestLine => BAD_REQUEST, "the request line is not `method target version` with single spaces";
    /// The method is not a token (RFC 9110 section 9.1).
    Method => BAD_REQUEST, "the method has a character that no method may have";
    /// CONNECT: sluice opens no tunnels of that kind (RFC 9110 section 9.3.6).
    Connect => METHOD_NOT_ALLOWED, "CONNECT is not offered";
    /// TRACE: it would echo credentials (RFC 9110 section 9.3.8).
    Trace => METHOD_NOT_ALLOWED, "TRACE is not offered";
    /// The target contains a control character, or its path a `#` (RFC 9112 section 3.2).
    TargetCharacter => BAD_REQUEST, "the request target has a character that no target may have";
    /// The target is in none of the four forms (RFC 9112 section 3.2).
    TargetForm => BAD_REQUEST, "the request target is neither a path nor an http or ws URL";
    /// Userinfo in the target or in Host (RFC 9110 section 4.2.4).
    Userinfo => BAD_REQUEST, "the authority holds userinfo (`@`)";
    /// The target is longer than `http.max_target`.
    TargetTooLong => URI_TOO_LONG, "the request target is too long";
    /// The HTTP/2 connection preface (RFC 9113 section 3.4).
    Http2Preface => HTTP_VERSION_NOT_SUPPORTED, "this is HTTP/2, but the port speaks HTTP/1.1 only";
    /// A version other than 1.0 and 1.1 (RFC 9110 section 15.6.6).
    Version => HTTP_VERSION_NOT_SUPPORTED, "the HTTP version is neither 1.0 nor 1.1";
    /// The head is longer than `http.max_head`.
    HeadTooLarge => REQUEST_HEADER_FIELDS_TOO_LARGE, "the request head is too large";
    /// More lines than `http.max_header_lines`.
    TooManyLines => REQUEST_HEADER_FIELDS_TOO_LARGE, "the request head has too many lines";
    /// The name of a field is longer than a map of fields can hold.
    NameTooLong => REQUEST_HEADER_FIELDS_TOO_LARGE, "a header field's name is too long";
    /// A line folded over two (RFC 9112 section 5.2).
    ObsFold => BAD_REQUEST, "a header line begins with white space (obsolete line folding)";
    /// A line that begins with a colon.
    EmptyName => BAD_REQUEST, "a header field has no name";
    /// White space between name and colon (RFC 9112 section 5.1).
    SpaceBeforeColon => BAD_REQUEST, "white space between a header field's name and its colon";
    /// A line without a colon, or a name that is not a token.
    FieldName => BAD_REQUEST, "a header field's name has a character that no name may have";
    /// A control character in a value (RFC 9110 section 5.5).
    FieldValue => BAD_REQUEST, "a header field's value has a control character";
    /// HTTP/1.1 without Host (RFC 9112 section 3.2).
    HostMissing => BAD_REQUEST, "an HTTP/1.1 request without Host";
    /// An empty Host where the target names no authority, in any version: it leaves no valid
    /// http URL (RFC 9110 section 4.2.1).
    HostEmpty => BAD_REQUEST, "Host is empty";
    /// Two Host lines (RFC 9112 section 3.2).
    HostRepeated => BAD_REQUEST, "more than one Host";
    /// Host is not `host[:port]` (RFC 9110 section 7.2).
    Host => BAD_REQUEST, "Host is not a host name or address with an optional port";
    /// Two Content-Length, equal or not (RFC 9112 section 6.3).
    ContentLengthRepeated => BAD_REQUEST, "more than one Content-Length";
    /// Content-Length is not a number (RFC 9110 section 8.6).
    ContentLength => BAD_REQUEST, "Content-Length is not a decimal number in range";
    /// Both lengths at once: request smuggling (RFC 9112 section 6.1).
    LengthAndEncoding => BAD_REQUEST, "Content-Length and Transfer-Encoding in one request";
    /// Two Transfer-Encoding lines, or `chunked` twice or not last (RFC 9112 section 6.1).
    TransferEncoding => BAD_REQUEST, "Transfer-Encoding is not exactly `chunked`";
    /// A coding in front of `chunked` (RFC 9112 section 6.1).
    TransferCoding => NOT_IMPLEMENTED, "a transfer coding other than `chunked`";
    /// Transfer-Encoding on HTTP/1.0 (RFC 9112 section 6.1).
    EncodingOnHttp10 => BAD_REQUEST, "Transfer-Encoding on HTTP/1.0";
    /// A chunk's size is not hexadecimal or too long (RFC 9112 section 7.1).
    ChunkSize => BAD_REQUEST, "a chunk's size is not a hexadecimal number in range";
    /// A chunk extension is too long or holds a control character (RFC 9112 section 7.1.1).
    ChunkExtension => BAD_REQUEST, "a chunk extension is malformed or too long";
    /// A chunk, its size line or the trailer does not end in CRLF.
    ChunkEnd => BAD_REQUEST, "a chunk or its size line does not end in CRLF";
    /// The trailer section is too large.
    TrailerTooLarge => REQUEST_HEADER_FIELDS_TOO_LARGE, "the trailer section is too large";
    /// A trailer line is malformed (RFC 9112 section 7.1.2).
    Trailer => BAD_REQUEST, "a trailer field is malformed";
    /// A field in the trailer that only a head may carry (RFC 9110 section 6.5.1).
    TrailerField => BAD_REQUEST, "a trailer field that belongs into the head";
}

impl Refusal {
    /// The `Allow` that a 405 must carry (RFC 9110 section 15.5.6).
    pub fn allow(self) -> Option<&'static str> {
        (self.status() == StatusCode::METHOD_NOT_ALLOWED)
            .then_some("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for Refusal {}

impl From<Broken> for Refusal {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Size => Refusal::ChunkSize,
            Broken::Extension => Refusal::ChunkExtension,
            Broken::End => Refusal::ChunkEnd,
            Broken::TrailersTooLarge => Refusal::TrailerTooLarge,
            Broken::Trailer => Refusal::Trailer,
            Broken::TrailerField => Refusal::TrailerField,
        }
    }
}
