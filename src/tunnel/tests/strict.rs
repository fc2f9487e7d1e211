//! Strict routes: a Close that RFC 6455 sections 5.5 and 7.4 forbid is not passed on, nor are
//! data frames after one.

use super::*;

/// Payloads of Close frames that must not be sent, each with what is wrong.
const FORBIDDEN: [(&[u8], &str); 7] = [
    (b"\x03", "close payload of one byte"),
    (b"\x03\xe8\xff", "close reason that is not UTF-8"),
    (b"\x03\xe8\xe2\x82", "close reason that is not UTF-8"),
    (b"\x03\xed", "close code that must not be sent"),
    (b"\x03\xee", "close code that must not be sent"),
    (b"\x03\xe7", "close code that must not be sent"),
    (b"\x07\xd0", "close code that must not be sent"),
];

/// Sends `bytes` through a tunnel in two pieces, and gives what its other side got of it:
/// all to the end, with an end of its own after `most` bytes.
async fn got(strict: bool, from: Side, bytes: &[u8], split: usize, most: u64) -> (Vec<u8>, Ended) {
    let (client, upstream, _) = open(WebSocketConfig {
        strict,
        ..WebSocketConfig::default()
    })
    .await;
    let (mut from, mut to) = match from {
        Side::Client => (client, upstream),
        Side::Upstream => (upstream, client),
    };
    from.write_all(&bytes[..split]).await.expect("write");
    // What came is read before the rest does.
    let handle = registry::handles().remove(0);
    let seen = || handle.counters.iter().map(|one| one.bytes()).sum::<u64>();
    until("the first piece", || seen() == split as u64).await;
    // The tunnel may have said its word by now, and take no more.
    let _ = from.write_all(&bytes[split..]).await;
    let _ = from.shutdown().await;
    let mut all = Vec::new();
    let mut some = (&mut to).take(most);
    let reading = some.read_to_end(&mut all);
    let reading = tokio::time::timeout(Duration::from_secs(10), reading).await;
    let _ = reading.expect("in time");
    let _ = to.shutdown().await;
    let rest = tokio::time::timeout(Duration::from_secs(10), to.read_to_end(&mut all)).await;
    let _ = rest.expect("in time");
    drop((from, to));
    (all, ended().await)
}

#[tokio::test]
async fn a_forbidden_close_is_refused_wherever_it_is_split() {
    for from in [Side::Client, Side::Upstream] {
        for (payload, problem) in FORBIDDEN {
            let valid = match from {
                Side::Client => client_frame(0x81, b"fine"),
                Side::Upstream => server_frame(0x81, b"fine"),
            };
            let close = match from {
                Side::Client => client_frame(0x88, payload),
                Side::Upstream => server_frame(0x88, payload),
            };
            let bytes = [valid.clone(), close].concat();
            for split in valid.len()..bytes.len() {
                let head = if from == Side::Client { 6 } else { 2 };
                let most = (valid.len() + head + 2 + problem.len()) as u64;
                let (all, ended) = got(true, from, &bytes, split, most).await;
                assert_eq!(all[..valid.len()], valid);
                let ours = &all[valid.len()..];
                let key = match from {
                    Side::Client => ours[2..6].to_vec(),
                    Side::Upstream => vec![0; 4],
                };
                let code = &ours[ours.len() - problem.len() - 2..][..2];
                let code: Vec<u8> = code.iter().zip(&key).map(|(a, b)| a ^ b).collect();
                assert_eq!((ours[0], &code[..]), (0x88, &b"\x03\xea"[..]), "{problem}");
                assert_eq!(ended.closed_by, ClosedBy::Policy, "{problem}");
                assert_eq!(ended.detail.as_deref(), Some(problem));
                assert_eq!((ended.closes.client, ended.closes.upstream), (None, None));
            }
        }
    }
}

#[tokio::test]
async fn others_pass_it_as_it_is() {
    for (payload, _) in FORBIDDEN {
        let close = server_frame(0x88, payload);
        let (all, ended) = got(false, Side::Upstream, &close, 2, u64::MAX).await;
        assert_eq!(all, close);
        assert_eq!(ended.closed_by, ClosedBy::Upstream);
    }
}

#[tokio::test]
async fn what_may_be_sent_passes_a_strict_route_in_pieces() {
    for payload in [
        &b""[..],
        b"\x03\xe8",
        b"\x0f\xa1gr\xc3\xbc\xc3\x9fe",
        b"\x03\xf6",
    ] {
        let close = server_frame(0x88, payload);
        for split in 1..close.len() {
            let (all, ended) = got(true, Side::Upstream, &close, split, u64::MAX).await;
            assert_eq!(all, close);
            assert_eq!((ended.closed_by, ended.detail), (ClosedBy::Upstream, None));
        }
    }
}

/// Frames that may not follow a Close, and that may.
const LATE: [(u8, bool); 6] = [
    (0x81, false),
    (0x82, false),
    (0x01, false),
    (0x00, false),
    (0x89, true),
    (0x8A, true),
];

#[tokio::test]
async fn data_after_a_close_is_refused_wherever_it_is_split() {
    for (from, frame) in [
        (Side::Client, client_frame as fn(u8, &[u8]) -> Vec<u8>),
        (Side::Upstream, server_frame),
    ] {
        let close = frame(0x88, b"\x03\xe8");
        for (first, allowed) in LATE {
            let bytes = [close.clone(), frame(first, b"late")].concat();
            for split in 1..bytes.len() {
                let expected = if allowed { &bytes } else { &close };
                let most = expected.len() as u64;
                let (all, ended) = got(true, from, &bytes, split, most).await;
                assert_eq!(&all, expected, "{from:?} {first:#x} {split}");
                let detail = (!allowed).then_some("data frame after a close");
                assert_eq!(
                    ended.detail.as_deref(),
                    detail,
                    "{from:?} {first:#x} {split}"
                );
            }
            let (all, ended) = got(false, from, &bytes, 1, bytes.len() as u64).await;
            assert_eq!((all, ended.detail), (bytes, None), "others pass it");
        }
    }
}
