//! Last words to peers that read, do not read, reset or leave, over real sockets whose buffers
//! are full.

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// Far longer than a test takes: a wait for it would not end in time.
const LONG: Duration = Duration::from_secs(3600);
const WORDS: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\r\n";

/// A peer, and our end of its connection.
async fn pair() -> (TcpStream, Io) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let (far, near) = tokio::join!(TcpStream::connect(address), listener.accept());
    (far.expect("connect"), near.expect("accept").0.into())
}

/// Fills what the peer's kernel and ours take; gives how much that is.
async fn fill(io: &Io) -> usize {
    let io = io.descriptor().expect("a socket");
    let mut filled = 0;
    // The kernel moves what it has from one buffer to the other for a while.
    while let Ok(ready) = tokio::time::timeout(LOOK, poll_fn(|cx| io.poll_write_ready(cx))).await {
        ready.expect("a connection");
        filled += io.try_write(&[b'x'; 65536]).unwrap_or(0);
    }
    filled
}

fn reset(peer: TcpStream) {
    let socket = socket2::SockRef::from(&peer);
    socket.set_linger(Some(Duration::ZERO)).expect("an option");
}

async fn write(io: &mut Io, limit: Duration) -> Result<(), Unwritten> {
    write_while(io, WORDS, limit, || None).await
}

#[tokio::test]
async fn a_peer_that_reads_in_the_end_gets_its_last_words() {
    let (mut peer, mut io) = pair().await;
    let filled = fill(&io).await;
    let reading = async {
        // The write waits by now.
        tokio::task::yield_now().await;
        let mut all = vec![0; filled + WORDS.len()];
        peer.read_exact(&mut all).await.expect("all of it");
        all
    };
    let (written, all) = tokio::join!(write(&mut io, LONG), reading);
    written.expect("the words go");
    assert!(all.ends_with(WORDS));
}

#[tokio::test]
async fn a_peer_that_resets_is_not_waited_for() {
    let (peer, mut io) = pair().await;
    fill(&io).await;
    let resetting = async {
        tokio::task::yield_now().await;
        reset(peer);
    };
    let (written, ()) = tokio::join!(write(&mut io, LONG), resetting);
    assert!(matches!(written, Err(Unwritten::Gone(_))), "{written:?}");
    // A reset that came before is as good.
    let written = write(&mut io, LONG).await;
    assert!(matches!(written, Err(Unwritten::Gone(_))), "{written:?}");
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_waited_for_until_the_limit() {
    let (_peer, mut io) = pair().await;
    fill(&io).await;
    let written = write(&mut io, 2 * LOOK).await;
    assert!(matches!(written, Err(Unwritten::Unread)), "{written:?}");
}

#[tokio::test]
async fn the_break_of_the_other_side_ends_the_wait() {
    let (_peer, mut io) = pair().await;
    let (other, near_other) = pair().await;
    fill(&io).await;
    let write = write_while(&mut io, WORDS, LONG, || near_other.broken(false));
    let resetting = async {
        tokio::task::yield_now().await;
        reset(other);
    };
    let (written, ()) = tokio::join!(write, resetting);
    assert!(matches!(written, Err(Unwritten::Other(_))), "{written:?}");
}

#[tokio::test]
async fn a_peer_that_ends_or_resets_is_not_lingered_for() {
    for resets in [false, true] {
        let (mut peer, io) = pair().await;
        let ending = async {
            // Our end has come: it lingers.
            assert_eq!(peer.read(&mut [0; 8]).await.expect("the end"), 0);
            peer.write_all(b"more").await.expect("it is read");
            match resets {
                true => reset(peer),
                false => drop(peer),
            }
        };
        tokio::join!(linger_for(io, LONG), ending);
    }
}

#[tokio::test]
async fn a_peer_that_sends_without_end_is_lingered_for_within_bounds() {
    let (mut peer, io) = pair().await;
    let sending = async {
        let mut sent = 0;
        while let Ok(n) = peer.write(&[b'x'; 4096]).await {
            sent += n;
        }
        sent
    };
    let ((), sent) = tokio::join!(linger_for(io, LONG), sending);
    assert!(sent >= LINGER_BYTES, "as much is read: {sent}");
}

#[tokio::test]
async fn a_silent_peer_is_lingered_for_and_let_go() {
    let (mut peer, io) = pair().await;
    linger(io).await;
    assert_eq!(peer.read(&mut [0; 8]).await.expect("the end"), 0);
    // Nothing holds the connection any more.
    while peer.write(b"x").await.is_ok() {
        tokio::task::yield_now().await;
    }
}
