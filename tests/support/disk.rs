//! Places for logs that take little or nothing: FIFOs, and a disk that can be filled.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Makes a FIFO.
pub fn fifo(path: &Path) {
    let (kind, mode) = (
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
    );
    rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0).expect("a FIFO");
}

/// A file system of 64 KiB; it goes with the value.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts it at a new folder. `None`, and said so, where that may not be done: it takes root.
    pub fn mount(at: &Path) -> Option<SmallDisk> {
        std::fs::create_dir(at).expect("a new folder");
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=64k", "none"])
            .arg(at);
        if !mount.output().is_ok_and(|output| output.status.success()) {
            eprintln!("a file system cannot be mounted here");
            return None;
        }
        Some(SmallDisk(at.to_owned()))
    }

    /// Takes all the room that it has with a file; without that one it has room again.
    pub fn fill(&self) -> PathBuf {
        let ballast = self.0.join("ballast");
        let mut file = std::fs::File::create(&ballast).expect("a file");
        while file.write_all(&[0; 4096]).is_ok() {}
        ballast
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The proxy may still have its log open.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
