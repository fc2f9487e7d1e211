//! A client over TLS 1.3 whose every record is under control: when it goes, in which pieces, and
//! under which keys.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::DEADLINE;
use super::tls::Authority;
use super::websocket::{frame, handshake, masked_frame};

/// A client of `a.test`.
pub struct Client {
    tls: ClientConnection,
    socket: TcpStream,
    /// Data that has come.
    came: Vec<u8>,
}

impl Client {
    /// Connects, trusts the authority, and offers this cipher suite only or all.
    pub fn connect(authority: &Authority, to: SocketAddr, suite: Option<u16>) -> Client {
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        let offered = |one: u16| suite.is_none_or(|suite| suite == one);
        provider
            .cipher_suites
            .retain(|one| offered(one.suite().into()));
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_file(authority.file()).expect("a certificate");
        roots.add(root).expect("an authority");
        let config = ClientConfig::builder_with_provider(provider.into())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("a version")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = "a.test".try_into().expect("a name");
        let mut tls = ClientConnection::new(config.into(), name).expect("a client");
        tls.set_buffer_limit(None);
        let mut socket = TcpStream::connect(to).expect("a connection");
        socket.set_nodelay(true).expect("a socket option");
        socket.set_read_timeout(Some(DEADLINE)).expect("an option");
        while tls.is_handshaking() {
            tls.complete_io(&mut socket).expect("a handshake");
        }
        Client {
            tls,
            socket,
            came: Vec::new(),
        }
    }

    /// Asks for a tunnel, and gets it.
    pub fn switch(&mut self) {
        self.say(handshake("a.test", "/ws", "").as_bytes());
        self.expect_101();
    }

    /// Changes its keys, and asks the server to; said with the next data.
    pub fn update_keys(&mut self) {
        self.tls.refresh_traffic_keys().expect("TLS 1.3");
    }

    /// Waits for a fatal alert; what rustls says of it.
    pub fn expect_alert(&mut self) -> String {
        loop {
            let n = self.tls.read_tls(&mut self.socket).expect("read");
            match self.tls.process_new_packets() {
                Ok(_) => assert!(n > 0, "the end instead of an alert"),
                Err(error) => return error.to_string(),
            }
        }
    }

    /// Everything up to the server's close_notify.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        while self.receive() {}
        std::mem::take(&mut self.came)
    }

    /// The records that data becomes, which are not sent.
    pub fn seal(&mut self, data: &[u8]) -> Vec<u8> {
        self.tls.writer().write_all(data).expect("a buffer");
        let mut records = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut records).expect("a vector");
        }
        records
    }

    pub fn send(&mut self, records: &[u8]) {
        self.socket.write_all(records).expect("sent");
    }

    pub fn say(&mut self, data: &[u8]) {
        let records = self.seal(data);
        self.send(&records);
    }

    /// Reads once; whether anything may follow.
    fn receive(&mut self) -> bool {
        let n = self.tls.read_tls(&mut self.socket).expect("read");
        self.tls.process_new_packets().expect("sound records");
        match self.tls.reader().read_to_end(&mut self.came) {
            Ok(_) => false,
            Err(error) if error.kind() == ErrorKind::WouldBlock => n > 0,
            Err(error) => panic!("{error}"),
        }
    }

    pub fn expect(&mut self, data: &[u8]) {
        while self.came.len() < data.len() {
            assert!(self.receive(), "the end instead of {data:?}");
        }
        let rest = self.came.split_off(data.len());
        assert!(std::mem::replace(&mut self.came, rest) == data);
    }

    pub fn expect_101(&mut self) {
        let end = |came: &[u8]| came.windows(4).position(|four| four == b"\r\n\r\n");
        while end(&self.came).is_none() {
            assert!(self.receive(), "the end instead of a head");
        }
        let rest = { end(&self.came) }.map_or(0, |at| at + 4);
        let rest = self.came.split_off(rest);
        let head = std::mem::replace(&mut self.came, rest);
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{head:?}");
    }

    /// A message there and back.
    pub fn echo(&mut self, message: &[u8]) {
        self.say(&masked_frame(2, message));
        self.expect(&frame(2, message));
    }
}
