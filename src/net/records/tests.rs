//! Streams of records over real sockets, with ends of ours on both sides.

use std::future::poll_fn;
use std::io::ErrorKind;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

use super::*;
use crate::tls_record;

/// A server's stream and its client's.
fn pair() -> (Records, Records) {
    let (one, other) = UnixStream::pair().expect("a pair");
    let (server, client) = tls_record::pair();
    (
        Records::new(Socket::Unix(one), server),
        Records::new(Socket::Unix(other), client),
    )
}

/// A server's stream, and its client's socket in the clear.
fn bare() -> (Records, UnixStream, Session) {
    let (one, other) = UnixStream::pair().expect("a pair");
    let (server, client) = tls_record::pair();
    (Records::new(Socket::Unix(one), server), other, client)
}

async fn read(from: &mut Records, most: usize) -> io::Result<Vec<u8>> {
    let mut room = vec![0; most];
    let n = poll_fn(|cx| {
        let mut room = ReadBuf::new(&mut room);
        from.poll_read(cx, &mut room)
            .map_ok(|()| room.filled().len())
    })
    .await?;
    room.truncate(n);
    Ok(room)
}

async fn read_to_end(from: &mut Records, most: usize) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let some = read(from, most).await?;
        if some.is_empty() {
            return Ok(all);
        }
        all.extend(some);
    }
}

async fn write(to: &mut Records, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let n = poll_fn(|cx| to.poll_write(cx, bytes)).await?;
        assert!((1..=bytes.len()).contains(&n));
        bytes = &bytes[n..];
    }
    Ok(())
}

async fn end(to: &mut Records) -> io::Result<()> {
    poll_fn(|cx| to.poll_shutdown(cx)).await
}

fn noise(n: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(8446);
    std::iter::repeat_with(|| random.u8(..)).take(n).collect()
}

#[tokio::test]
async fn everything_arrives_whatever_the_reader_has_room_for() {
    for (size, room) in [
        (1, 1),
        (300, 7),
        (70_000, 16),
        (1_000_000, 4096),
        (3_000_000, MAX_RECORD - 1),
        (3_000_000, MAX_RECORD),
        (10_000_000, 64 * 1024),
    ] {
        let (mut server, mut client) = pair();
        let data = noise(size);
        let writing = async {
            write(&mut server, &data).await?;
            end(&mut server).await
        };
        let (written, all) = tokio::join!(writing, read_to_end(&mut client, room));
        written.expect("written");
        assert!(
            all.expect("read") == data,
            "{size} bytes in pieces of {room}"
        );
        assert!(client.session.is_at_rest() && server.session.is_at_rest());
        // The other direction goes on.
        write(&mut client, b"still").await.expect("written");
        assert_eq!(read(&mut server, 100).await.expect("read"), b"still");
        end(&mut client).await.expect("ended");
        assert_eq!(read(&mut server, 100).await.expect("an end"), b"");
        end(&mut server).await.expect("once more is no harm");
    }
}

#[tokio::test]
async fn what_is_not_taken_is_sealed_once() {
    let (mut server, mut client) = pair();
    let data = noise(10_000_000);
    let mut sent = 0;
    // Until the socket is full, and then some.
    poll_fn(|cx| {
        while let Poll::Ready(n) = server.poll_write(cx, &data[sent..]) {
            sent += n.expect("written");
        }
        for _ in 0..5 {
            assert!(server.poll_write(cx, &data[sent..]).is_pending());
        }
        Poll::Ready(())
    })
    .await;
    assert!(!server.session.is_at_rest(), "records are kept");
    let rest = data[sent..].to_vec();
    let writing = async {
        write(&mut server, &rest).await?;
        end(&mut server).await
    };
    let (written, all) = tokio::join!(writing, read_to_end(&mut client, 64 * 1024));
    written.expect("written");
    assert!(all.expect("read") == data);
}

#[tokio::test]
async fn an_end_without_a_close_notify_is_an_error() {
    let (mut server, mut client) = pair();
    write(&mut client, b"data").await.expect("written");
    drop(client);
    assert_eq!(read(&mut server, 100).await.expect("read"), b"data");
    for _ in 0..2 {
        let cut = read(&mut server, 100).await.expect_err("cut off");
        assert_eq!(cut.kind(), ErrorKind::UnexpectedEof);
    }
    // In the middle of a record, too.
    let (mut server, mut far, mut client) = bare();
    let mut room = [0; 1000];
    let sealed = client.seal(b"data", &mut room).expect("sealed");
    far.write_all(&room[..sealed.length - 1])
        .await
        .expect("written");
    drop(far);
    let cut = read(&mut server, 100).await.expect_err("cut off");
    assert_eq!(cut.kind(), ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn a_broken_protocol_is_answered_with_its_alert() {
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[23, 3, 3, 0, 17], &[0; 40]] {
        let (mut server, mut far, client) = bare();
        let mut client = Records::new(Socket::Unix(UnixStream::pair().expect("a pair").0), client);
        far.write_all(garbage).await.expect("written");
        if garbage.len() == 5 {
            far.write_all(&[0; 17]).await.expect("written");
        }
        let broken = read(&mut server, 100).await.expect_err("no TLS");
        assert_eq!(broken.kind(), ErrorKind::InvalidData);
        assert!(broken.to_string().starts_with("TLS: a record "), "{broken}");
        // Only an alert was sent, and nothing more can be.
        let unsent = write(&mut server, b"x").await.expect_err("after the end");
        assert_eq!(unsent.kind(), ErrorKind::BrokenPipe);
        client.socket = Socket::Unix(far);
        let told = read(&mut client, 100).await.expect_err("an alert");
        assert_eq!(told.kind(), ErrorKind::ConnectionAborted);
        let told = told.to_string();
        assert!(told.starts_with("TLS: the peer sent the alert "), "{told}");
        // It is not answered.
        end(&mut client).await.expect("ended");
        assert_eq!(client.session.unsent(), b"");
    }
}

#[tokio::test]
async fn data_before_a_fault_is_still_read() {
    let (mut server, mut far, mut client) = bare();
    let mut room = [0; 1000];
    let sealed = client.seal(b"last words", &mut room).expect("sealed");
    let bytes = [&room[..sealed.length], b"garbage"].concat();
    far.write_all(&bytes).await.expect("written");
    assert_eq!(read(&mut server, 4).await.expect("read"), b"last");
    assert_eq!(read(&mut server, 100).await.expect("read"), b" words");
    read(&mut server, 100).await.expect_err("no TLS");
}

#[tokio::test]
async fn nothing_is_written_of_nothing_and_of_slices_the_first_that_has_anything() {
    let (mut server, mut client) = pair();
    let n = poll_fn(|cx| server.poll_write(cx, b"")).await;
    assert_eq!(n.expect("written"), 0);
    let slices = [b"", &b"ab"[..], b"cd"].map(IoSlice::new);
    let n = poll_fn(|cx| server.poll_write_vectored(cx, &slices)).await;
    assert_eq!(n.expect("written"), 2);
    assert_eq!(read(&mut client, 100).await.expect("read"), b"ab");
}
