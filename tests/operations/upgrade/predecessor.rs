//! The other direction: the real binary takes over from this test, which says what an old
//! process never should, or dies at a bad moment.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::value::RawValue;
use sluice::handover::ENVIRONMENT;
use sluice::handover::channel::Channel;
use sluice::handover::protocol::{
    About, Address, ConnectionItem, FORMATS, Formats, Hello, LISTENERS_ONLY, Message, Offer,
    TunnelItem, receive, send,
};
use tempfile::TempDir;

use crate::support::proxy::binary;
use crate::support::{DEADLINE, HttpBackend, Wire};

/// The new process and the way to it.
struct Heir {
    child: Child,
    channel: Channel,
    listener: TcpListener,
    _folder: TempDir,
}

impl Drop for Heir {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Heir {
    fn start(to: SocketAddr) -> Heir {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("sluice.toml");
        let admin = folder.path().join("admin.sock");
        let admin = format!("[admin]\nlisten = \"unix:{}\"\n", admin.display());
        std::fs::write(&config, super::settings(to, &admin)).expect("the file");
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        let child = Command::new(binary())
            .args(["run", "--config"])
            .arg(&config)
            .env(ENVIRONMENT, "1")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        Heir {
            child,
            channel: Channel::new(ours.into()).expect("a socket"),
            listener: TcpListener::bind("127.0.0.1:0").expect("a free port"),
            _folder: folder,
        }
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("it is bound")
    }

    async fn say(&self, message: Message, descriptors: &[BorrowedFd<'_>]) {
        send(&self.channel, message, descriptors)
            .await
            .expect("it reads");
    }

    async fn hear(&mut self) -> Option<Message> {
        let heard = tokio::time::timeout(DEADLINE, receive(&mut self.channel)).await;
        let heard = heard.expect("an answer in time").ok().flatten();
        heard.map(|(message, _)| message)
    }

    async fn introduce(&mut self, formats: Formats) -> Option<Message> {
        self.offer(formats).await;
        self.hear().await
    }

    /// As the end of an old process looks to it.
    fn die(&mut self) {
        let (_, other) = UnixStream::pair().expect("a socket pair");
        self.channel = Channel::new(other.into()).expect("a socket");
    }

    async fn offer(&self, formats: Formats) {
        let hello = Hello {
            formats,
            pid: std::process::id(),
            version: "0".to_owned(),
            next_tunnel_id: 1,
            generation: 1,
            drains: Vec::new(),
            acknowledges: false,
            ticket_keys: Vec::new(),
        };
        self.say(Message::Hello(hello), &[]).await;
        let offer = Offer {
            address: Address::Tcp(([127, 0, 0, 1], 0).into()),
            owns_file: false,
            managed: false,
        };
        // One that is told of no common format does not read on.
        let _ = send(
            &self.channel,
            Message::Listener(offer),
            &[self.listener.as_fd()],
        )
        .await;
        let _ = send(&self.channel, Message::EndOfListeners, &[]).await;
    }

    /// It has taken the listener and accepts.
    async fn ready(to: SocketAddr) -> Heir {
        let mut heir = Heir::start(to);
        let answer = heir.introduce(FORMATS).await;
        assert!(matches!(answer, Some(Message::Ready(_))), "{answer:?}");
        heir
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(test);
}

fn serves(address: SocketAddr) {
    let mut wire = Wire::connect(address);
    wire.send(super::GET);
    assert_eq!(wire.read_response().status(), 200);
}

fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let near = TcpStream::connect(address).expect("it listens");
    near.set_read_timeout(Some(DEADLINE)).expect("an option");
    (near, listener.accept().expect("it came").0)
}

fn connection(id: u64) -> Message {
    Message::Connection(ConnectionItem {
        id,
        peer: Some(([127, 0, 0, 1], 5000).into()),
        https: false,
        port: 80,
        listener: None,
        https_port: None,
    })
}

fn tunnel(id: u64, state: &str, bytes: usize) -> Message {
    let item = TunnelItem {
        id,
        from_client: 1000,
        tls: [0; 2],
        state: RawValue::from_string(state.to_owned()).expect("it is JSON"),
    };
    Message::Tunnel(item, vec![0; bytes].into())
}

#[test]
fn without_a_common_format_the_new_process_takes_the_listeners_only() {
    let backend = HttpBackend::start();
    run(async {
        let mut heir = Heir::start(backend.address());
        let answer = heir.introduce(Formats { from: 700, to: 701 }).await;
        let Some(Message::Ready(ready)) = answer else {
            panic!("{answer:?}");
        };
        assert_eq!(ready.format, LISTENERS_ONLY);
        heir.say(Message::End, &[]).await;
        assert!(matches!(heir.hear().await, Some(Message::Done)));
        serves(heir.address());
    });
}

#[test]
fn when_the_old_process_dies_the_new_one_goes_on_with_all_that_it_was_given() {
    let backend = HttpBackend::start();
    run(async {
        let mut heir = Heir::ready(backend.address()).await;
        let (mut near, far) = tcp_pair();
        heir.say(connection(1), &[far.as_fd()]).await;
        let answer = heir.hear().await;
        assert!(matches!(answer, Some(Message::Taken(About { id: 1 }))));
        drop(far);
        near.set_read_timeout(Some(Duration::from_millis(300)))
            .expect("an option");
        near.write_all(super::GET.as_bytes()).expect("it is open");
        near.read(&mut [0]).expect_err("nobody may touch it yet");
        near.set_read_timeout(Some(DEADLINE)).expect("an option");
        // It cannot be told any more that this one came.
        let (unanswered, far) = tcp_pair();
        heir.say(connection(2), &[far.as_fd()]).await;
        drop(far);
        let address = heir.address();
        heir.die();
        let mut unanswered = Wire::over(unanswered);
        unanswered.send(super::GET);
        for wire in [&mut Wire::over(near), &mut unanswered] {
            assert_eq!(wire.read_response().status(), 200);
        }
        serves(address);
    });
}

#[test]
fn when_the_old_process_dies_before_it_hears_of_it_the_new_one_serves() {
    let backend = HttpBackend::start();
    run(async {
        let mut heir = Heir::start(backend.address());
        heir.offer(FORMATS).await;
        let address = heir.address();
        heir.die();
        serves(address);
    });
}

#[test]
fn an_item_lives_from_the_moment_it_was_let_go() {
    let backend = HttpBackend::start();
    run(async {
        let mut heir = Heir::ready(backend.address()).await;
        let (near, far) = tcp_pair();
        heir.say(connection(4), &[far.as_fd()]).await;
        let answer = heir.hear().await;
        assert!(matches!(answer, Some(Message::Taken(About { id: 4 }))));
        drop(far);
        let mut near = Wire::over(near);
        near.send(super::GET);
        heir.say(Message::Go(About { id: 99 }), &[]).await;
        heir.say(Message::Go(About { id: 4 }), &[]).await;
        assert_eq!(near.read_response().status(), 200);
        heir.say(Message::End, &[]).await;
        assert!(matches!(heir.hear().await, Some(Message::Done)));
        assert!(heir.hear().await.is_none(), "nothing follows");
        near.send(super::GET);
        assert_eq!(near.read_response().status(), 200);
    });
}

#[test]
fn what_is_no_tunnel_is_refused_and_the_rest_goes_on() {
    let backend = HttpBackend::start();
    run(async {
        let mut heir = Heir::ready(backend.address()).await;
        let ((_one, client), (_other, upstream)) = (tcp_pair(), tcp_pair());
        let both = [client.as_fd(), upstream.as_fd()];
        let offers: [(Message, &[BorrowedFd<'_>], &str); 4] = [
            (tunnel(1, "{}", 1000), &both, "state"),
            (tunnel(2, "[1,2,3]", 1000), &both, "state"),
            (tunnel(3, "{}", 999), &both, "unsent bytes"),
            (tunnel(4, "{}", 1000), &both[..1], "open files"),
        ];
        for (wanted, (message, descriptors, word)) in offers.into_iter().enumerate() {
            heir.say(message, descriptors).await;
            let answer = heir.hear().await;
            let Some(Message::Refused(refusal)) = answer else {
                panic!("{answer:?}");
            };
            assert_eq!(refusal.id, wanted as u64 + 1);
            assert!(refusal.why.contains(word), "{refusal:?}");
        }
        serves(heir.address());
        heir.say(Message::End, &[]).await;
        assert!(matches!(heir.hear().await, Some(Message::Done)));
    });
}
