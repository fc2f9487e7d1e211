//! At every byte of every kind of frame, in both directions.

use super::*;

/// What both peers send, up to their Closes.
struct Script {
    client: Vec<u8>,
    upstream: Vec<u8>,
    /// What each of them is to receive.
    to_client: Vec<u8>,
    to_upstream: Vec<u8>,
}

/// All kinds of frames; `frame` makes one, `ours` is the payload of our Ping to that side.
/// Returns what it sends and what of it arrives.
fn sent(frame: impl Fn(u8, &[u8]) -> Vec<u8>, ours: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut sent = Vec::new();
    sent.extend(frame(0x81, b"one"));
    sent.extend(frame(0x01, b"frag"));
    sent.extend(frame(0x89, b"between"));
    sent.extend(frame(0x00, b""));
    let first = sent.clone();
    sent.extend(frame(0x8A, ours));
    let second = [
        frame(0x80, b"ment"),
        frame(0x82, &[7; 130]),
        frame(0x8A, b"twelve bytes"),
        frame(0x8A, ours),
        frame(0x89, b""),
        frame(0x81, b""),
    ]
    .concat();
    sent.extend(&second);
    let ours = frame(0x8A, ours);
    let at = second
        .windows(ours.len())
        .position(|part| part == ours)
        .expect("the second answer");
    let rest = [&second[..at], &second[at + ours.len()..]].concat();
    (sent, [first, rest].concat())
}

fn masked(stream: &[u8]) -> Vec<u8> {
    let (header, payload) = stream.split_at(6);
    let key = &header[2..];
    payload
        .iter()
        .enumerate()
        .map(|(i, byte)| byte ^ key[i % 4])
        .collect()
}

/// Opens a tunnel whose peers have each got a Ping of ours.
async fn begin() -> (TcpStream, TcpStream, Arc<TunnelHandle>, Script) {
    let (mut client, mut upstream, handle) = open(WebSocketConfig::default()).await;
    handle.ask(command::PING_CLIENT | command::PING_UPSTREAM);
    let to_client = read(&mut client, 14).await;
    let to_upstream = masked(&read(&mut upstream, 18).await);
    let (from_client, at_upstream) = sent(client_frame, &to_client[2..]);
    let (from_upstream, at_client) = sent(server_frame, &to_upstream);
    let script = Script {
        client: from_client,
        upstream: from_upstream,
        to_client: at_client,
        to_upstream: at_upstream,
    };
    (client, upstream, handle, script)
}

/// Runs the script to its end, with the tunnel moved at each of these points, told by how
/// many bytes were sent before. Returns the record.
async fn run(moves: impl IntoIterator<Item = usize>) -> Ended {
    let (mut client, mut upstream, mut handle, script) = begin().await;
    let (bye, answer) = (
        client_frame(0x88, b"\x03\xe9bye"),
        server_frame(0x88, b"\x03\xe9"),
    );
    let from_client = [&script.client[..], &bye].concat();
    let from_upstream = [&script.upstream[..], &answer].concat();
    let order = order(&script, bye.len(), answer.len());
    let (mut up, mut down) = (0, 0);
    let mut moves = moves.into_iter();
    while up + down < order.len() {
        let point = moves.next();
        let part = &order[up + down..point.unwrap_or(order.len())];
        let n = part.iter().filter(|side| **side == Side::Client).count();
        let (more, m) = (&from_client[up..up + n], part.len() - n);
        client.write_all(more).await.expect("write");
        up += n;
        received(&handle, Side::Client, up).await;
        let more = &from_upstream[down..down + m];
        upstream.write_all(more).await.expect("write");
        down += m;
        if point.is_some() {
            received(&handle, Side::Upstream, down).await;
            handle = move_on().await;
        }
    }
    let expected = [script.to_client, answer].concat();
    assert_eq!(read_to_end(&mut client).await, expected);
    let expected = [script.to_upstream, bye].concat();
    assert_eq!(read(&mut upstream, expected.len()).await, expected);
    drop((client, upstream));
    ended().await
}

fn same(one: &Ended, other: &Ended) {
    assert_eq!(
        (one.closed_by, &one.detail, &one.closes),
        (other.closed_by, &other.detail, &other.closes)
    );
    assert_eq!(
        (one.from_client, one.from_upstream),
        (other.from_client, other.from_upstream)
    );
}

/// Who sends each byte: both in turns, then the client its Close, then the upstream its own.
fn order(script: &Script, bye: usize, answer: usize) -> Vec<Side> {
    let (client, upstream) = (script.client.len(), script.upstream.len());
    let mut order = Vec::new();
    for at in 0..client.max(upstream) {
        order.extend((at < client).then_some(Side::Client));
        order.extend((at < upstream).then_some(Side::Upstream));
    }
    order.extend(vec![Side::Client; bye]);
    order.extend(vec![Side::Upstream; answer]);
    order
}

#[tokio::test]
async fn one_move_at_every_byte() {
    let stayed = run([]).await;
    assert_eq!(
        (stayed.closed_by, stayed.from_client.pongs),
        (ClosedBy::Client, 3)
    );
    // A move after the last byte has nothing left to move.
    let length = (stayed.from_client.bytes + stayed.from_upstream.bytes) as usize;
    assert!(length > 400);
    for at in 0..length {
        same(&run([at]).await, &stayed);
    }
}

#[tokio::test]
async fn a_move_at_all_bytes_in_a_row() {
    let stayed = run([]).await;
    let length = (stayed.from_client.bytes + stayed.from_upstream.bytes) as usize;
    same(&run(0..length).await, &stayed);
}

#[tokio::test]
async fn what_is_no_framing_goes_on_unseen() {
    let (mut client, mut upstream, handle) = open(WebSocketConfig::default()).await;
    client.write_all(b"\x83no frames").await.expect("write");
    received(&handle, Side::Client, 10).await;
    move_on().await;
    client.write_all(b"\x81\x80 at all").await.expect("write");
    let expected = b"\x83no frames\x81\x80 at all";
    assert_eq!(read(&mut upstream, expected.len()).await, expected);
    drop((client, upstream));
    let ended = ended().await;
    assert_eq!((ended.from_client.bytes, ended.from_client.frames), (19, 0));
}

#[tokio::test]
async fn unix_sockets_move_too_and_seeds_are_not_lost() {
    let (mut client, near_client) = UnixStream::pair().expect("pair");
    let (mut upstream, near_upstream) = tcp_pair().await;
    let mut spec = spec(near_client, near_upstream);
    spec.from_client = client_frame(0x81, b"seed").into();
    // The task has not run yet.
    let first = spawn(spec);
    let exported = hand_off().await;
    assert_eq!(exported.spill[0], client_frame(0x81, b"seed"));
    let handle = go_on(exported);
    assert_eq!(handle.id, first.id);
    assert!(next_id() > first.id);
    assert_eq!(read(&mut upstream, 10).await, client_frame(0x81, b"seed"));
    upstream
        .write_all(&server_frame(0x81, b"x"))
        .await
        .expect("write");
    assert_eq!(read(&mut client, 3).await, server_frame(0x81, b"x"));
}
