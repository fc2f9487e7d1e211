//! What becomes of a request, for the protocol that carries it: an answer, a tunnel, or
//! nothing, since the client is gone.

use bytes::Bytes;
use http::Response;

use super::body::ExchangeBody;
use super::pending::PendingTunnel;
use super::spelling::Spelling;

/// What becomes of a request.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one an exchange, nearly always an answer; a box would be an allocation"
)]
pub enum Outcome {
    /// It is answered.
    Answer(Answer),
    /// It becomes a tunnel once the protocol has let go of the client's stream.
    Tunnel(Box<PendingTunnel>),
    /// The client is gone, and gets no answer.
    ClientGone,
}

/// An answer, in the form that every protocol can send.
#[derive(Debug)]
pub struct Answer {
    /// Status, fields and content.
    pub response: Response<ExchangeBody>,
    /// The length that a 304 names although it has no content.
    pub named_length: Option<u64>,
    /// The reason phrase of HTTP/1.1, where it is not the usual one of the status.
    pub reason: Option<Bytes>,
    /// How HTTP/1.1 spells its names.
    pub spelling: Spelling,
    /// What the client sends after this request cannot be trusted, or is not wanted.
    pub close: bool,
}
