//! Paths of the configuration that lead to no ordinary file: directories, sockets, block
//! devices, terminals, devices that are full. Each is taken or refused with what it is, by `check`
//! as by `run`; nothing waits, and nothing of it is replaced.

use crate::support;

use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::Proxy;
use support::proxy::{binary, run};

const RIGHT: &str =
    "[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\nrespond = { status = 200 }\n";

/// What stands at a path.
fn what(path: &str) -> (u64, u64, u32) {
    let found: Metadata = Path::new(path).symlink_metadata().expect("it is there");
    (found.dev(), found.ino(), found.mode())
}

/// A block device, where one can be made or is there.
fn block_device(folder: &Path) -> Option<String> {
    let own = folder.join("block");
    let mut mknod = Command::new("mknod");
    let made = mknod.arg(&own).args(["b", "7", "250"]).output();
    let made = made.is_ok_and(|made| made.status.success());
    let found = match made {
        true => Some(own),
        false => { std::fs::read_dir("/dev").ok()? }
            .flatten()
            .map(|entry| entry.path())
            .find(|path: &PathBuf| {
                path.metadata()
                    .is_ok_and(|found| found.file_type().is_block_device())
            }),
    };
    found.map(|path| path.display().to_string())
}

/// In a session without a terminal, which `/dev/tty` leads nowhere in.
fn without_terminal(arguments: &[&str]) -> Output {
    let mut command = Command::new("setsid");
    command.arg("--wait").arg(binary()).args(arguments);
    command.env_remove("RUST_LOG").output().expect("it runs")
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn what_is_no_file_is_refused_by_name_and_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let directory = folder.path().join("directory").display().to_string();
    std::fs::create_dir(&directory).expect("a folder");
    let socket = folder.path().join("socket").display().to_string();
    let _held = UnixListener::bind(&socket).expect("a socket");
    let mut odd = vec![
        (directory, "irectory"),
        (socket, "socket"),
        ("/dev/tty".to_owned(), "/dev/tty"),
    ];
    odd.extend(block_device(folder.path()).map(|path| (path, "block")));
    assert!(odd.len() >= 3);

    let config = folder.path().join("sluice.toml").display().to_string();
    for (path, is) in &odd {
        let before = what(path);
        for toml in [
            format!("{RIGHT}[log]\naccess = \"{path}\"\n"),
            format!("pid_file = \"{path}\"\n{RIGHT}"),
            format!("{RIGHT}[admin]\nlisten = \"127.0.0.1:0\"\ntoken_file = \"{path}\"\n"),
        ] {
            std::fs::write(&config, &toml).expect("written");
            for command in [["check", "-c"], ["run", "-c"]] {
                let output = without_terminal(&[&command[..], &[&config]].concat());
                let said = words(&output);
                assert_eq!(output.status.code(), Some(1), "{toml}{said}");
                assert!(
                    said.contains(path.as_str()) && said.contains(is),
                    "{toml}{said}"
                );
            }
        }
        // As a configuration, too.
        for command in [["check", "-c"], ["run", "-c"]] {
            let output = without_terminal(&[&command[..], &[path.as_str()]].concat());
            assert_eq!(output.status.code(), Some(1), "{path}");
            assert!(words(&output).contains(path.as_str()), "{}", words(&output));
        }
        // What is there is no socket that a listener could take the place of.
        if !is.contains("socket") {
            std::fs::write(
                &config,
                RIGHT.replace("127.0.0.1:0", &format!("unix:{path}")),
            )
            .expect("written");
            let output = without_terminal(&["run", "-c", &config]);
            assert_eq!(output.status.code(), Some(1), "{path}");
            assert!(
                words(&output).contains("cannot listen on unix:"),
                "{}",
                words(&output)
            );
        }
        assert_eq!(what(path), before, "{path}");
    }
}

#[test]
fn a_device_that_is_full_takes_a_log_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("sluice.toml").display().to_string();
    let before = what("/dev/full");
    for toml in [
        format!("pid_file = \"/dev/full\"\n{RIGHT}"),
        format!("{RIGHT}[admin]\nlisten = \"127.0.0.1:0\"\ntoken_file = \"/dev/full\"\n"),
    ] {
        std::fs::write(&config, &toml).expect("written");
        for command in ["check", "run"] {
            let output = run(&[command, "-c", &config]);
            assert_eq!(output.status.code(), Some(1), "{toml}");
            assert!(words(&output).contains("/dev/full"), "{}", words(&output));
        }
    }
    for command in ["check", "run"] {
        let output = run(&[command, "-c", "/dev/full"]);
        assert_eq!(output.status.code(), Some(1), "{command}");
    }
    let mut proxy = Proxy::start(&format!("{RIGHT}[log]\naccess = \"/dev/full\"\n"));
    assert_eq!(proxy.ask("GET", "/", ""), 200);
    let lost = || {
        let (_, page) = proxy.get_admin("/metrics");
        let family = "sluice_access_log_dropped_lines_total";
        page.lines().any(|line| {
            line.strip_prefix(family)
                .is_some_and(|count| count.trim() != "0")
        })
    };
    eventually!(lost());
    proxy.terminate();
    assert_eq!(proxy.wait_exit().code(), Some(0));
    assert_eq!(what("/dev/full"), before);
}
