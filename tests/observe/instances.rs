//! Several sluices in one runtime directory: each has a socket of its own, and no command does
//! anything to another one than it names.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::Proxy;
use crate::support::admin::{parsed, printed, status};
use crate::support::proxy::binary;

/// A runtime directory with two configurations beside it.
struct Place(TempDir);

impl Place {
    fn new() -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        std::fs::create_dir(place.runtime()).unwrap();
        for name in ["one", "two"] {
            place.write(name, "204");
        }
        place
    }

    fn runtime(&self) -> PathBuf {
        self.0.path().join("run")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name).with_extension("toml")
    }

    fn write(&self, name: &str, status: &str) {
        let toml = format!(
            "[[listen]]\naddress = \"127.0.0.1:0\"\n\
             [[route]]\nname = \"{name}\"\nrespond.status = {status}\n"
        );
        std::fs::write(self.file(name), toml).unwrap();
    }

    fn environment(&self, command: &mut Command) {
        command.env("RUNTIME_DIRECTORY", self.runtime());
    }

    fn start(&self, name: &str) -> Proxy {
        let change = |command: &mut Command| self.environment(command);
        Proxy::start_binary(&binary(), &self.file(name), change)
    }

    /// Runs a command, away from any file that it would find by itself.
    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(binary());
        self.environment(&mut command);
        command.args(arguments).current_dir(self.runtime());
        printed(&command.output().expect("the command runs"))
    }

    /// The same for the sluice of a file.
    fn run_for(&self, file: &Path, arguments: &[&str]) -> (i32, String, String) {
        self.run(&[arguments, &["--config", file.to_str().unwrap()]].concat())
    }
}

#[test]
fn each_has_a_socket_and_each_command_its_sluice() {
    let place = Place::new();
    let (first, second) = (place.start("one"), place.start("two"));
    assert_eq!(first.admin_socket(), place.runtime().join("admin.sock"));
    assert_eq!(second.admin_socket().parent(), Some(&*place.runtime()));
    for proxy in [&first, &second] {
        let mode = std::fs::metadata(proxy.admin_socket()).unwrap();
        assert_eq!(mode.permissions().mode() & 0o777, 0o600);
    }
    for (name, own, other) in [("one", &first, &second), ("two", &second, &first)] {
        let before = status(other)["generation"].clone();
        place.write(name, "200");
        let (code, out, err) = place.run_for(&place.file(name), &["reload"]);
        assert_eq!(code, 0, "{err}");
        assert!(out.contains(&format!("route {name} changed")), "{out}");
        assert_eq!(own.ask("GET", "/", ""), 200);
        assert_eq!(status(other)["generation"], before);
    }
    // A link leads to the same file.
    let link = place.file("link");
    std::os::unix::fs::symlink(place.file("two"), &link).unwrap();
    let (code, out, err) = place.run_for(&link, &["status", "--json"]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(parsed(&out)["pid"], second.id());
    // Without a file there are two to choose from.
    let (code, _, err) = place.run(&["reload"]);
    assert_eq!(code, 1);
    for socket in [first.admin_socket(), second.admin_socket()] {
        assert!(err.contains(socket.to_str().unwrap()), "{err}");
    }
}

#[test]
fn a_command_for_another_sluice_is_refused_and_both_are_named() {
    let place = Place::new();
    let first = place.start("one");
    for command in [
        &["reload"][..],
        &["drain", "--all", "--detach"],
        &["undrain"],
        &["status"],
        &["tunnels"],
        &["log", "--past"],
        &["upgrade"],
    ] {
        let (code, out, err) = place.run_for(&place.file("two"), command);
        assert_eq!((code, out.as_str()), (1, ""), "{command:?}");
        for said in ["/one.toml", "/two.toml", "--admin"] {
            assert!(err.contains(said), "{command:?}: {err}");
        }
    }
    // The file need not be there any more, and an address says whom it means.
    let two = place.file("two");
    std::fs::write(&two, format!("[admin]\nlisten = \"{}\"\n", first.admin())).unwrap();
    let (code, _, err) = place.run_for(&two, &["reload"]);
    assert_eq!(code, 1);
    assert!(
        err.contains("/one.toml") && err.contains("/two.toml"),
        "{err}"
    );
    assert_eq!(status(&first)["generation"], 1);
    assert_eq!(status(&first)["drains"], serde_json::json!([]));
    let (code, _, err) = place.run(&["reload", "--admin", first.admin()]);
    assert_eq!(code, 0, "{err}");
}

/// What the file says of the admin interface holds from the next upgrade on, which must be asked
/// for where the process still is.
#[test]
fn a_file_with_a_new_admin_address_leads_to_the_process_that_runs_with_it() {
    let place = Place::new();
    let (one, _two) = (place.start("one"), place.start("two"));
    let file = place.file("one");
    let text = std::fs::read_to_string(&file).unwrap();
    for listen in ["127.0.0.1:1", "unix:/nowhere/admin.sock", "off"] {
        std::fs::write(&file, format!("{text}[admin]\nlisten = \"{listen}\"\n")).unwrap();
        let (code, out, err) = place.run_for(&file, &["status", "--json"]);
        assert_eq!(code, 0, "{listen}: {err}");
        assert_eq!(parsed(&out)["pid"], one.id());
        let (code, _, err) = place.run_for(&file, &["reload"]);
        assert_eq!(code, 0, "{listen}: {err}");
    }
}

#[test]
fn a_sluice_without_a_file_is_not_that_of_one() {
    let backend = crate::support::HttpBackend::start();
    let place = Place::new();
    let to = backend.address().to_string();
    let arguments = ["--listen", "127.0.0.1:0", "--to", &to];
    let _proxy = Proxy::start_without_file_with(&arguments, |command| place.environment(command));
    let (code, _, err) = place.run_for(&place.file("two"), &["status"]);
    assert_eq!(code, 1);
    assert!(err.contains("without a configuration file"), "{err}");
    let (code, _, err) = place.run(&["status"]);
    assert_eq!(code, 0, "{err}");
}

#[test]
fn a_socket_of_its_own_is_kept_by_an_upgrade_and_found_again_after_a_kill() {
    let place = Place::new();
    let (_first, mut second) = (place.start("one"), place.start("two"));
    let own = second.admin_socket().to_owned();
    let (code, _, err) = place.run_for(&place.file("two"), &["upgrade"]);
    assert_eq!(code, 0, "{err}");
    assert!(second.wait_exit().success());
    let (code, out, err) = place.run_for(&place.file("two"), &["status", "--json"]);
    assert_eq!(code, 0, "{err}");
    let pid = parsed(&out)["pid"].as_u64().unwrap();
    assert_ne!(pid, u64::from(second.id()));
    let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
    rustix::process::kill_process(pid, Signal::KILL).unwrap();
    eventually!(std::os::unix::net::UnixStream::connect(&own).is_err());
    let third = place.start("two");
    assert_eq!(third.admin_socket(), own);
}
