//! States that no sane process would send: they are refused by name, or the tunnel
//! goes on as it can. Nothing panics.

use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use super::*;
use crate::tunnel::state::StateError;

/// States from all over a tunnel's life, with their bytes.
async fn valid() -> Vec<(Value, [Vec<u8>; 2])> {
    let mut states = Vec::new();
    for (up, down) in [
        (&b""[..], &b""[..]),
        // Inside headers, control frames and data.
        (b"\x82", b"\x8a\x0c\x01"),
        (b"\x82\xfe\x01", b"\x82\x7f\0\0\0\0\0\x01"),
        (b"\x89\x83\0\0\0\0x", b"\x01\x03abc\x80\x05x"),
        (b"\x01\x83\0\0\0\0abc\x89\x80\0\0\0\0", b"\x82\x05ab"),
        (b"\x8a\x8c\0\0\0\0x", b"\x8a\x05ab"),
        (b"\x88\x82\0\0\0\0\x03\xe8", b"\x81\x00"),
        (b"\x81\x01not masked", b"\xff"),
    ] {
        for (pinged, half) in [(false, false), (true, false), (true, true)] {
            let (mut client, mut upstream, handle) = open(WebSocketConfig::default()).await;
            if pinged {
                handle.ask(command::PING_CLIENT | command::PING_UPSTREAM);
                read(&mut client, 14).await;
                read(&mut upstream, 18).await;
            }
            client.write_all(up).await.expect("write");
            upstream.write_all(down).await.expect("write");
            received(&handle, Side::Client, up.len()).await;
            received(&handle, Side::Upstream, down.len()).await;
            if half {
                client.shutdown().await.expect("shutdown");
                until("the phase", || handle.phase() == Phase::Half).await;
            }
            let exported = hand_off().await;
            let value = serde_json::to_value(&exported.state).expect("JSON");
            states.push((value, exported.spill));
        }
    }
    states
}

/// Lets a tunnel live on from a state, if it is taken, through all that can befall one.
async fn live(state: TunnelState, spill: [Vec<u8>; 2], bytes: &[u8]) -> Result<(), StateError> {
    let checked = state.check(&spill);
    let (client, near_client) = UnixStream::pair().expect("pair");
    let (upstream, near_upstream) = UnixStream::pair().expect("pair");
    let fd = |stream: UnixStream| stream.into_std().expect("std").into();
    let resumed = resume(Resume {
        client: fd(near_client),
        upstream: fd(near_upstream),
        tls: [None, None],
        settings: Arc::new(state.settings.settings()),
        identity: state.identity.identity(),
        state,
        spill,
        guard: (),
        report: record,
    });
    assert_eq!(resumed.is_ok(), checked.is_ok());
    let Ok(handle) = resumed else {
        assert_eq!(registry::count(), 0);
        return checked;
    };
    handle.ask(command::PING_CLIENT | command::PING_UPSTREAM);
    for part in [&bytes[..bytes.len() / 3], &bytes[bytes.len() / 3..]] {
        // A sink that is gone is one of the things that can befall it.
        let _ = (client.try_write(part), upstream.try_write(part));
        for after in [0, 40, 4000] {
            tick_at(Duration::from_secs(after));
            tokio::task::yield_now().await;
        }
    }
    if let Ok(exported) = try_hand_off().await {
        assert_eq!(
            exported.state.check(&exported.spill),
            Ok(()),
            "what leaves is valid"
        );
        exported.restore().expect("restored");
    }
    drop((client, upstream));
    tick_at(Duration::from_secs(5000));
    tick_at(Duration::from_secs(9000));
    for handle in registry::handles() {
        handle.cut(Cut::Command);
    }
    let ended = ended().await;
    assert_ne!(ended.closed_by, ClosedBy::Error, "its task panicked");
    checked
}

/// The paths of all values inside `value`.
fn paths(value: &Value, at: &str, out: &mut Vec<String>) {
    let mut inner = |key: &str, value: &Value| {
        let path = format!("{at}/{key}");
        out.push(path.clone());
        paths(value, &path, out);
    };
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| inner(key, value)),
        Value::Array(list) => {
            for (i, value) in list.iter().enumerate() {
                inner(&i.to_string(), value);
            }
        }
        _ => {}
    }
}

/// What is put in the place of a value.
#[derive(Debug, Clone)]
enum Change {
    /// Another one of its kind.
    Alike(u64),
    Other(Value),
}

fn change() -> impl Strategy<Value = Change> {
    let close = (any::<u16>(), "[a-z]{0,9}");
    prop_oneof![
        12 => any::<u64>().prop_map(Change::Alike),
        1 => any::<bool>().prop_map(|flag| Change::Other(flag.into())),
        1 => any::<i64>().prop_map(|number| Change::Other(number.into())),
        1 => any::<f64>().prop_map(|number| Change::Other(number.into())),
        1 => Just(Change::Other(Value::Null)),
        1 => Just(Change::Other("client".into())),
        1 => close.prop_map(|(code, reason)| Change::Other(json!({"code": code, "reason": reason}))),
    ]
}

/// Another value like `value`, which the bits of `seed` choose.
fn alike(value: &Value, seed: u64) -> Value {
    let rest = seed >> 3;
    match value {
        Value::Bool(flag) => (!flag).into(),
        Value::Number(number) => match (number.as_u64().unwrap_or(0), seed % 8) {
            (_, 0) => (rest % 16).into(),
            (_, 1) => (rest % 256).into(),
            (_, 2) => (1_u64 << (rest % 64)).into(),
            (_, 3) => ((1_u64 << (rest % 64)) - 1).into(),
            (_, 4) => rest.into(),
            (now, 5) => now.wrapping_sub(1).into(),
            (_, 6) => (rest % (1 << 32)).into(),
            (now, _) => now.wrapping_add(1).into(),
        },
        Value::Array(_) => {
            let bytes = rest.to_le_bytes();
            let first = [0x81, 0x02, 0x89, 0x8A, 0x88, 0x82, 0x80, 0x00][seed as usize % 8];
            let all = [&[first, bytes[0] % 128 + bytes[1] % 2 * 128], &bytes[2..]].concat();
            all[..bytes[7] as usize % 9].into()
        }
        Value::String(_) => format!("{rest:x}").into(),
        Value::Null => [
            json!(rest % 600),
            json!("client"),
            json!("upstream"),
            json!({}),
        ][seed as usize % 4]
            .clone(),
        Value::Object(_) => json!({}),
    }
}

#[test]
fn garbled_states_never_panic() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let valid = runtime.block_on(valid());
    let strategy = (
        any::<prop::sample::Index>(),
        proptest::collection::vec((any::<prop::sample::Index>(), change()), 1..4),
        proptest::option::weighted(0.2, proptest::collection::vec(any::<u8>(), 0..40)),
        proptest::collection::vec(any::<u8>(), 0..400),
    );
    let (taken, refused) = (Cell::new(0), Cell::new(0));
    let mut runner = TestRunner::new(ProptestConfig::with_cases(2000));
    let result = runner.run(&strategy, |(which, changes, spilled, bytes)| {
        let (mut value, mut spill) = valid[which.index(valid.len())].clone();
        let mut all = Vec::new();
        paths(&value, "", &mut all);
        for (path, change) in changes {
            if let Some(place) = value.pointer_mut(&all[path.index(all.len())]) {
                *place = match change {
                    Change::Alike(seed) => alike(place, seed),
                    Change::Other(value) => value,
                };
            }
        }
        if let Some(spilled) = spilled {
            spill[which.index(2)] = spilled;
        }
        if let Ok(state) = serde_json::from_value::<TunnelState>(value) {
            let counted = match runtime.block_on(live(state, spill, &bytes)) {
                Ok(()) => &taken,
                Err(_) => &refused,
            };
            counted.set(counted.get() + 1);
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    let (taken, refused) = (taken.get(), refused.get());
    assert!(
        taken > 200 && refused > 100,
        "{taken} taken, {refused} refused"
    );
}

#[tokio::test]
async fn every_valid_state_lives_on() {
    let states = valid().await;
    assert_eq!(states.len(), 24);
    for (value, spill) in states {
        let state = serde_json::from_value(value).expect("a state");
        assert_eq!(live(state, spill, b"\x8a\x00 and so on").await, Ok(()));
    }
}

#[tokio::test]
async fn what_has_counted_all_it_can_still_leaves() {
    let (mut value, spill) = valid().await.remove(0);
    const MOST: u64 = (1 << 53) - 1;
    value["age"] = json!(MOST);
    for (side, start) in [("client", MOST), ("upstream", MOST - 1)] {
        for count in ["bytes", "frames", "text", "text_bytes"] {
            value[side]["counters"][count] = json!(start);
        }
    }
    let state = serde_json::from_value(value).expect("a state");
    // As bytes of either side: a client's texts, which an upstream's framing does not allow.
    let texts = client_frame(0x81, b"one more").repeat(3);
    assert_eq!(live(state, spill, &texts).await, Ok(()));
}

#[tokio::test]
async fn what_contradicts_itself_is_refused_by_name() {
    let (_client, mut upstream, handle) = open(WebSocketConfig::default()).await;
    upstream.write_all(b"\x82\x05ab").await.expect("write");
    received(&handle, Side::Upstream, 4).await;
    let exported = hand_off().await;
    let value = serde_json::to_value(&exported.state).expect("JSON");
    let scanner = |left: u64, pending: &[u8], in_header: bool| {
        json!({
            "left": left, "pending": pending, "in_header": in_header,
            "fin": true, "opcode": 9, "open": false, "text": false,
        })
    };
    let ping = [0x89, 0x83, 0, 0, 0, 0];
    for (path, wrong, field) in [
        ("/id", json!(0), "id"),
        ("/id", json!(u64::MAX), "id"),
        ("/age", json!(u64::MAX), "age"),
        (
            "/settings/max_age_jitter",
            json!(1.5),
            "settings.max_age_jitter",
        ),
        (
            "/settings/close_timeout",
            json!(u64::MAX),
            "settings.close_timeout",
        ),
        ("/ended_by", json!("client"), "ended_by"),
        ("/client/close", json!({}), "ended_by"),
        (
            "/upstream/counters/text",
            json!(u64::MAX),
            "upstream.counters",
        ),
        ("/client/pings/sequence", json!(1), "secret"),
        ("/client/scanner/opcode", json!(3), "client.scanner.opcode"),
        (
            "/client/scanner/in_header",
            json!(true),
            "client.scanner.pending",
        ),
        (
            "/client/scanner/pending",
            json!([0x89]),
            "client.scanner.pending",
        ),
        (
            "/client/scanner/pending",
            json!([0x82, 0x85, 0, 0, 0, 0]),
            "client.scanner.pending",
        ),
        (
            "/client/scanner",
            scanner(4, &ping, false),
            "client.scanner.left",
        ),
        (
            "/client/scanner",
            scanner(1, &ping[..1], true),
            "client.scanner.left",
        ),
        (
            "/upstream/scanner/left",
            json!(u64::MAX),
            "upstream.scanner.left",
        ),
        (
            "/upstream/scanner/opcode",
            json!(9),
            "upstream.scanner.opcode",
        ),
        (
            "/upstream/scanner/text",
            json!(true),
            "upstream.scanner.text",
        ),
        (
            "/upstream/scanner/open",
            json!(true),
            "upstream.scanner.open",
        ),
        (
            "/upstream/flow/holding",
            json!(true),
            "upstream.flow.holding",
        ),
        ("/upstream/flow/done", json!(true), "upstream.flow.done"),
    ] {
        let mut value = value.clone();
        *value.pointer_mut(path).expect(path) = wrong;
        let state: TunnelState = serde_json::from_value(value).expect(path);
        let error = live(state, Default::default(), b"").await.expect_err(path);
        let text = std::io::Error::from(error).to_string();
        assert!(
            text.starts_with(&format!("the state of a tunnel: {field}: ")),
            "{path}: {text}"
        );
    }
    let two = json!({"eof": true, "done": true, "observing": true, "holding": false, "bulk": false, "ping_due": false});
    let both = |key: &str, with: &Value| {
        let mut value = value.clone();
        value["ended_by"] = json!("client");
        for side in ["client", "upstream"] {
            value[side][key] = with.clone();
        }
        serde_json::from_value::<TunnelState>(value).expect("a state")
    };
    let error = both("flow", &two)
        .check(&Default::default())
        .map_err(|e| e.field);
    assert_eq!(error, Err("flow.done"));
    let error = both("close", &json!({"code": 1000})).check(&Default::default());
    assert_eq!(error.map_err(|e| e.field), Err("close"));
}

#[tokio::test]
async fn fields_of_other_versions_do_no_harm() {
    let (client, upstream, _handle) = open(WebSocketConfig::default()).await;
    let exported = hand_off().await;
    let mut value = serde_json::to_value(&exported.state).expect("JSON");
    value["later"] = json!({"a": 1});
    value["client"]["flow"]["later"] = json!("b");
    value["client"]["scanner"]["later"] = json!([]);
    let state: TunnelState = serde_json::from_value(value.clone()).expect("a state");
    assert_eq!(state, exported.state);
    // What may be lacking is not needed.
    for path in ["ended_by", "secret", "written"] {
        value.as_object_mut().expect("an object").remove(path);
    }
    value["client"]
        .as_object_mut()
        .expect("an object")
        .remove("close");
    value["clock"] = json!({});
    let state: TunnelState = serde_json::from_value(value.clone()).expect("a state");
    assert_eq!(state.check(&exported.spill), Ok(()));
    // Where the frames stand is.
    value["client"]
        .as_object_mut()
        .expect("an object")
        .remove("scanner");
    serde_json::from_value::<TunnelState>(value).expect_err("it says nothing of its frames");
    drop((client, upstream));
}

#[tokio::test]
async fn a_ping_that_can_never_be_sent_is_taken_as_none() {
    // An earlier version wrote a Ping as due after frames that it could not follow.
    let (client, upstream, _handle) = open(WebSocketConfig::default()).await;
    let exported = hand_off().await;
    let mut value = serde_json::to_value(&exported.state).expect("JSON");
    value["client"]["flow"]["observing"] = json!(false);
    value["client"]["flow"]["ping_due"] = json!(true);
    let state: TunnelState = serde_json::from_value(value).expect("a state");
    let resumed = resume(Resume {
        client: exported.client,
        upstream: exported.upstream,
        tls: exported.tls,
        settings: Arc::default(),
        identity: state.identity.identity(),
        state,
        spill: exported.spill,
        guard: (),
        report: record,
    });
    resumed.expect("it goes on");
    let flow = hand_off().await.state.client.flow;
    assert_eq!((flow.observing, flow.ping_due), (false, false));
    drop((client, upstream));
}
