//! Notices that the configuration file has changed, by looking at it: what `stat` says of
//! the file that the path leads to changes with an edit, a rename over it and a swap of the
//! symlinks on its way (as Kubernetes does with a ConfigMap), on every file system.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::process::Shared;
use crate::process::order::{Handle, Order};
use crate::system::{alarm, files};

/// What tells one version of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Signature {
    /// `None`: there is no such file just now.
    pub fn of(path: &Path) -> Option<Signature> {
        let found = std::fs::metadata(path).ok()?;
        Some(Signature {
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}

/// Asks for a reload whenever the file has changed, while the configuration in force says
/// so; `read` is what that was read from. It is looked at every second, and a change is taken up
/// when the next look finds the same, so that a file that is being written is left alone. Never
/// returns.
pub(super) async fn watch(
    file: PathBuf,
    read: Option<Signature>,
    shared: Arc<Shared>,
    control: Handle,
) {
    let (mut taken_up, mut before) = (read, read);
    let mut seconds = alarm::seconds();
    loop {
        seconds.tick().await;
        if !shared.snapshot.load().config.reload.watch {
            // What changes now is read by the reload that switches the watch on.
            taken_up = None;
            continue;
        }
        let looked_at = file.clone();
        // One that hangs is no change; the reload would say so.
        let Ok(now) = files::apart(move || Signature::of(&looked_at)).await else {
            continue;
        };
        if taken_up.is_none() {
            taken_up = now;
        }
        let settled = now == before;
        before = now;
        if now.is_some() && now != taken_up && settled {
            taken_up = now;
            tracing::info!(file = %file.display(), "the configuration file has changed");
            // How it went is logged by the reload.
            let _ = control.ask(Order::Reload).await;
        }
    }
}
