//! Live tunnels that leave and go on, through JSON as between two processes: what the peers
//! see must be what they see of a tunnel that stays.

use tokio::sync::mpsc::unbounded_channel;

use super::*;

mod bytes;
mod clocks;
mod marks;
mod state;
mod traffic;

/// Asks every tunnel of this thread to leave; returns what they answer.
async fn export() -> Vec<Export> {
    let (sink, mut answers) = unbounded_channel();
    crate::tunnel::end_export();
    let asked = crate::tunnel::export(usize::MAX, &sink);
    let mut exports = Vec::new();
    for _ in 0..asked {
        let waiting = tokio::time::timeout(Duration::from_secs(10), answers.recv());
        exports.push(waiting.await.expect("in time").expect("an answer"));
    }
    assert!(answers.try_recv().is_err(), "one answer each");
    exports
}

/// The thread's only tunnel in pieces, or why it stays.
pub(super) async fn try_hand_off() -> Result<ExportedTunnel, &'static str> {
    let mut exports = export().await;
    assert!(exports.len() <= 1);
    match exports.pop() {
        Some(Export::Exported(exported)) => {
            assert_eq!(registry::count(), 0, "it is not registered any more");
            Ok(*exported)
        }
        Some(Export::Stays(_, why)) => Err(why),
        None => Err("not asked"),
    }
}

pub(super) async fn hand_off() -> ExportedTunnel {
    try_hand_off().await.expect("it leaves")
}

/// Lets the tunnel go on as another process would, of the bytes that such a one gets.
pub(super) fn go_on(exported: ExportedTunnel) -> Arc<TunnelHandle> {
    let json = serde_json::to_string(&exported.state).expect("JSON");
    let state: TunnelState = serde_json::from_str(&json).expect("a state");
    assert_eq!(state, exported.state);
    resume(Resume {
        client: exported.client,
        upstream: exported.upstream,
        tls: exported.tls,
        settings: Arc::new(state.settings.settings()),
        identity: state.identity.identity(),
        state,
        spill: exported.spill,
        guard: (),
        report: record,
    })
    .expect("it goes on")
}

pub(super) async fn move_on() -> Arc<TunnelHandle> {
    go_on(hand_off().await)
}

/// Waits for a condition without giving time away, for at most ten seconds.
pub(super) async fn soon(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::task::yield_now().await;
    }
}

pub(super) async fn received(handle: &TunnelHandle, side: Side, bytes: usize) {
    soon("the bytes", || {
        handle.counters(side).bytes() == bytes as u64
    })
    .await;
}
