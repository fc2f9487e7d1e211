//! The outcome of reading a head: how the content after it ends, or why it is not valid.

/// How a response's content ends (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyKind {
    /// There is none: 1xx, 204, 304. After a 101 the tunnel's bytes begin.
    None,
    /// After this many bytes.
    Length(u64),
    /// With the last chunk.
    Chunked,
    /// With the connection.
    UntilClose,
}

/// Why bytes are not a response head. More bytes do not change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadError {
    /// The first bytes are not `HTTP/1.`: another protocol.
    NotHttp,
    /// No end within the limit.
    TooLarge,
    /// More field lines than the upstream may send.
    TooManyFields,
    /// A line that does not end in CR LF. Accepted where the upstream has `lenient = true`.
    BareLineFeed,
    /// A field's value goes on in the next line. Accepted where the upstream has `lenient = true`.
    Folded,
    /// A field that says where the message ends goes on in the next line. It is never accepted.
    FoldedFraming,
    /// Blanks repeat in the status line. Accepted where the upstream has `lenient = true`.
    StatusBlanks,
    /// Anything else that breaks the grammar.
    Malformed(&'static str),
    /// A length that is repeated, contradictory or not understood: the end is unknown.
    Framing(&'static str),
}

impl HeadError {
    /// Whether an upstream with `lenient = true` may answer so.
    pub fn is_taken_by_lenient(self) -> bool {
        use HeadError::{BareLineFeed, Folded, StatusBlanks};
        matches!(self, BareLineFeed | Folded | StatusBlanks)
    }
}

impl std::fmt::Display for HeadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            HeadError::NotHttp => f.write_str("the answer is not HTTP/1"),
            HeadError::TooLarge => f.write_str("the head of the answer is too large"),
            HeadError::TooManyFields => f.write_str(
                "the answer has more header lines than the upstream's `max_header_lines`",
            ),
            HeadError::BareLineFeed => f.write_str(
                "a header line does not end in CR LF; `lenient = true` of the upstream takes it",
            ),
            HeadError::Folded => {
                f.write_str("a header line is folded; `lenient = true` of the upstream takes it")
            }
            HeadError::FoldedFraming => f.write_str(
                "a Content-Length, Transfer-Encoding or Connection of the answer is folded, which \
                 no setting takes",
            ),
            HeadError::StatusBlanks => f.write_str(
                "blanks repeat in the answer's status line; `lenient = true` of the upstream takes it",
            ),
            HeadError::Malformed(what) => write!(f, "the head of the answer is malformed: {what}"),
            HeadError::Framing(what) => write!(f, "the length of the answer is unclear: {what}"),
        }
    }
}

impl std::error::Error for HeadError {}
