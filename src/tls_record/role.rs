//! Which side of a connection we are: a server may send what a client may not.

/// A side of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The one that was connected to.
    Server,
    /// The one that connected.
    Client,
}
