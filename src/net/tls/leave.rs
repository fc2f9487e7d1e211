//! A stream leaves rustls for records of our own, between two records and with nothing to send: where
//! anything else is so, it stays.

use std::io;

use rustls::{ConnectionTrafficSecrets, ProtocolVersion};

use super::stream::Stream;
use crate::net::records::Records;
use crate::tls_record::{Extracted, Role, Session, Suite};

impl Stream {
    /// Whether a session of ours could go on exactly here.
    pub(in crate::net) fn may_leave(&mut self) -> bool {
        let is_new = self.connection.protocol_version() == Some(ProtocolVersion::TLSv1_3);
        let is_at_rest = self.border.is_here() && self.sealed == 0 && !self.ended;
        if !is_new || !is_at_rest || !self.secrets.are_known() || self.connection.wants_write() {
            return false;
        }
        let state = self.connection.process_new_packets();
        state.is_ok_and(|state| state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed())
    }

    /// Goes on without rustls; [`Stream::may_leave`] was true, and what was written last was data,
    /// before which rustls sends the KeyUpdate that it may owe.
    ///
    /// # Errors
    /// Where rustls lets no secrets go, or those it has are not known here. The stream is lost.
    pub(in crate::net) fn leave(self) -> io::Result<Records> {
        let lost = |why: String| io::Error::other(format!("TLS cannot be gone on with: {why}"));
        let secrets = self.connection.dangerous_extract_secrets();
        let secrets = secrets.map_err(|error| lost(error.to_string()))?;
        let (suite, writing) = extracted(&secrets.tx).ok_or_else(|| lost("a suite".to_owned()))?;
        let (_, reading) = extracted(&secrets.rx).ok_or_else(|| lost("a suite".to_owned()))?;
        let own = self.secrets.of_server(suite);
        let (written, read) = own.ok_or_else(|| lost("other secrets".to_owned()))?;
        let session = Session::new(Role::Server, (written, writing), (read, reading));
        let session = session.map_err(|unclear| lost(unclear.to_string()))?;
        Ok(Records::new(self.socket, session))
    }
}

fn extracted(
    (sequence, secrets): &(u64, ConnectionTrafficSecrets),
) -> Option<(Suite, Extracted<'_>)> {
    let (suite, key, iv) = match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (Suite::Aes128Gcm, key, iv),
        ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (Suite::Aes256Gcm, key, iv),
        ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => {
            (Suite::Chacha20Poly1305, key, iv)
        }
        _ => return None,
    };
    let extracted = Extracted {
        sequence: *sequence,
        key: key.as_ref(),
        iv: iv.as_ref(),
    };
    Some((suite, extracted))
}
