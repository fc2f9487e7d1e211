//! Fuzz body of a live tunnel that another process hands over (`tunnel::state`): what is not a
//! sound state is refused by name, and a tunnel that is taken lives through bytes, Pings, time
//! and its end. Whether it is taken is known before.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sluice::tunnel::{Resume, TunnelState, resume};
use sluice::tunnel_registry::{self, Cut, reserve_ids};
use tokio::net::UnixStream;
use tokio::runtime::Runtime;

thread_local! {
    static RUNTIME: Runtime = {
        reserve_ids(1);
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().build().expect("a runtime")
    };
}

/// The first line is the state, the second what was still to be written to the upstream; the
/// rest comes from both sides afterwards.
pub fn run(data: &[u8]) {
    let mut lines = data.splitn(3, |byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let (json, spill, bytes) = (line(), line(), line());
    let Ok(state) = serde_json::from_slice::<TunnelState>(json) else {
        return;
    };
    let again = serde_json::to_vec(&state).expect("JSON");
    let again: TunnelState = serde_json::from_slice(&again).expect("a state");
    // The last bits of a fraction may differ.
    assert_eq!((again.id, &again.identity), (state.id, &state.identity));
    let identity = state.identity.identity();
    let texts = identity.client().len() + identity.host().len() + identity.path().len();
    assert!(texts <= usize::from(u16::MAX));
    let _ = identity.trace_id();
    RUNTIME.with(|runtime| runtime.block_on(live(state, spill, bytes)));
}

async fn live(state: TunnelState, spill: &[u8], bytes: &[u8]) {
    let spill = [spill.to_vec(), Vec::new()];
    let checked = state.check(&spill);
    if let Err(error) = checked {
        let text = error.to_string();
        assert!(text.starts_with("the state of a tunnel: "), "{text}");
        return;
    }
    let pair = || UnixStream::pair().expect("a pair");
    let fd = |stream: UnixStream| OwnedFd::from(stream.into_std().expect("a stream"));
    let ((client, near_client), (upstream, near_upstream)) = (pair(), pair());
    let handle = resume(Resume {
        client: fd(near_client),
        upstream: fd(near_upstream),
        tls: [None, None],
        settings: Arc::new(state.settings.settings()),
        identity: state.identity.identity(),
        state,
        spill,
        guard: (),
        report: |_| (),
    })
    .expect("what was checked is taken");
    let now = Instant::now();
    let (early, late) = bytes.split_at(bytes.len() / 3);
    for part in [early, late] {
        let _ = (client.try_write(part), upstream.try_write(part));
        for after in [0, 40, 4000] {
            tunnel_registry::tick(now + Duration::from_secs(after));
            tokio::task::yield_now().await;
        }
    }
    drop((client, upstream));
    handle.cut(Cut::Command);
    drop(handle);
    for _ in 0..1000 {
        if tunnel_registry::count() == 0 {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("a tunnel that was cut does not end");
}
