//! Messages over a real socket pair, with real descriptors.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;

use serde_json::value::RawValue;

use super::*;
use crate::handover::wire::MAX_BYTES;

fn pair() -> (Channel, Channel) {
    let (one, other) = UnixStream::pair().expect("a socket pair");
    let channel = |end: UnixStream| Channel::new(end.into()).expect("inside a runtime");
    (channel(one), channel(other))
}

fn item(id: u64) -> TunnelItem {
    TunnelItem {
        id,
        from_client: 0,
        tls: [0; 2],
        state: RawValue::from_string("{}".into()).expect("it is JSON"),
    }
}

#[test]
fn ranges_agree_on_the_newest_common_format() {
    let range = |from, to| Formats { from, to };
    assert_eq!(range(1, 1).common(range(1, 1)), Some(1));
    assert_eq!(range(1, 3).common(range(2, 5)), Some(3));
    assert_eq!(range(4, 5).common(range(1, 3)), None);
    assert_eq!(range(1, 3).common(range(4, 5)), None);
}

#[tokio::test]
async fn descriptors_arrive_with_their_message_and_no_other() {
    let (one, mut other) = pair();
    let (mut near, far) = UnixStream::pair().expect("a socket pair");
    let bytes = vec![7; 300_000];
    let sent = tokio::spawn(async move {
        for id in 0..20 {
            send(&one, Message::Taken(About { id }), &[]).await.unwrap();
            let message = Message::Tunnel(item(id), bytes.clone().into());
            let fds = [far.as_fd(), far.as_fd()];
            send(&one, message, &fds).await.unwrap();
        }
        one
    });
    let mut ends = Vec::new();
    for wanted in 0..20 {
        let (message, fds) = receive(&mut other).await.unwrap().expect("a message");
        assert!(matches!(message, Message::Taken(About { id }) if id == wanted));
        assert!(fds.is_empty());
        let (message, fds) = receive(&mut other).await.unwrap().expect("a message");
        let Message::Tunnel(item, bytes) = message else {
            panic!("{message:?}");
        };
        assert_eq!((item.id, bytes.len(), fds.len()), (wanted, 300_000, 2));
        ends.extend(fds);
    }
    drop(sent.await.expect("no panic"));
    assert!(receive(&mut other).await.unwrap().is_none(), "the end");
    for end in ends {
        let flags = rustix::io::fcntl_getfd(&end).expect("it is open");
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        UnixStream::from(end)
            .write_all(b"x")
            .expect("it is our socket");
    }
    let mut all = Vec::new();
    near.read_to_end(&mut all).expect("every copy is closed");
    assert_eq!(all.len(), 40);
}

#[tokio::test]
async fn an_abandoned_receive_loses_nothing() {
    let (one, mut other) = pair();
    let (near, far) = UnixStream::pair().expect("a socket pair");
    let frame = Message::Tunnel(item(1), vec![1; 100].into())
        .encode(1)
        .unwrap();
    let header = frame.header().unwrap();
    let parts = [&header[..7], &header[7..], &frame.json, &frame.bytes];
    for (n, part) in parts.into_iter().enumerate() {
        let abandoned = receive(&mut other);
        let waited = tokio::time::timeout(std::time::Duration::from_millis(5), abandoned).await;
        assert!(waited.is_err(), "nothing is complete yet");
        let fds = [far.as_fd()];
        one.send_raw(part, if n == 0 { &fds } else { &[] }).await;
    }
    let (message, fds) = receive(&mut other).await.unwrap().expect("a message");
    assert!(matches!(message, Message::Tunnel(..)) && fds.len() == 1);
    drop((far, fds));
    let mut near = near;
    assert_eq!(near.read(&mut [0]).unwrap(), 0, "no copy is left");
}

/// How many copies of the other end exist shows when the last one is closed.
async fn refused(frame: &[u8], fds: usize) {
    let (one, mut other) = pair();
    let (mut near, far) = UnixStream::pair().expect("a socket pair");
    let copies = vec![far.as_fd(); fds];
    one.send_raw(frame, &copies).await;
    drop(copies);
    drop((far, one));
    let error = receive(&mut other).await.expect_err("it is no message");
    drop(other);
    assert_eq!(near.read(&mut [0]).unwrap(), 0, "a copy was kept: {error}");
}

#[tokio::test]
async fn no_descriptor_is_kept_of_what_is_refused() {
    let frame = Frame {
        kind: 9,
        json: b"{\"id\":1}".to_vec(),
        ..Frame::default()
    };
    let whole = |frame: &Frame| [&frame.header().unwrap()[..], &frame.json, &frame.bytes].concat();
    refused(&whole(&frame), 1).await;
    refused(b"GET / HTTP/1.1\r\n\r\n", 2).await;
    refused(&whole(&frame)[..20], 1).await;
    refused(&whole(&frame)[..3], 4).await;
    let (unknown, broken) = (
        Frame {
            kind: 99,
            descriptors: 1,
            ..Frame::default()
        },
        Frame {
            descriptors: 1,
            json: b"{\"id\":".to_vec(),
            ..frame.clone()
        },
    );
    refused(&whole(&unknown), 1).await;
    refused(&whole(&broken), 1).await;
}

#[tokio::test]
async fn a_message_that_is_too_large_leaves_the_stream_whole() {
    let (one, mut other) = pair();
    let message = Message::Tunnel(item(1), vec![0; MAX_BYTES + 1].into());
    assert!(send(&one, message, &[]).await.is_err());
    send(&one, Message::End, &[]).await.unwrap();
    let (message, _) = receive(&mut other).await.unwrap().expect("a message");
    assert!(matches!(message, Message::End));
}

#[tokio::test]
async fn sending_to_nobody_fails_and_raises_no_signal() {
    let (one, other) = pair();
    drop(other);
    let null = File::open("/dev/null").expect("it is there");
    assert!(null.as_raw_fd() > 2);
    assert!(send(&one, Message::Done, &[null.as_fd()]).await.is_err());
}
