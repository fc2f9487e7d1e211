//! Characters that are not seen, or move what is, leave no command as they came: not from the
//! command line, not from the configuration, not from a file's name.

use crate::support;

use std::path::Path;
use std::process::{Command, Output};

use support::Proxy;
use support::proxy::binary;

/// A C1 control, an override of the direction, a line break of Unicode, one without width, and
/// the escape that all the others stand for.
const HIDDEN: &str = "\u{9b}2J\u{202e}\u{2028}\u{200b}\u{1b}[2J";

const SPELLED: &str = "\\u{9b}2J\\u{202e}\\u{2028}\\u{200b}\\u{1b}[2J";

fn sluice(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.args(arguments).current_dir(folder);
    command.output().expect("it runs")
}

/// All that was printed; nothing of it is hidden.
fn harmless(output: &Output) -> String {
    let mut all = String::new();
    for bytes in [&output.stdout, &output.stderr] {
        let text = std::str::from_utf8(bytes).expect("text");
        for hidden in ['\u{9b}', '\u{202e}', '\u{2028}', '\u{200b}', '\u{1b}'] {
            assert!(!text.contains(hidden), "{text:?}");
        }
        all += text;
    }
    all
}

#[test]
fn what_check_quotes_of_a_file_is_spelled() {
    let folder = tempfile::tempdir().expect("a folder");
    let name = format!("{HIDDEN}.toml").replace('/', "");
    let file = folder.path().join(&name);
    // In a value, in a key, in a comment beside an error, and after a syntax error.
    for toml in [
        "[[listen]]\naddress = \"127.0.0.1:0X\"\n[[route]]\nto = \"a:1\"\n",
        "[[listen]]\n\"adressX\" = 1\n",
        "[[listen]]\nadress = 1 # X\n",
        "[[listen]]\naddress = = X\n",
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\nupstream = \"X\"\n",
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[upstream.\"X\"]\nendpoints = \"a:1\"\n\
         [[route]]\nto = \"b:1\"\n",
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\nto = \"a:1\"\n\
         [log]\naccess = \"/no/such/X/a.log\"\n",
    ] {
        std::fs::write(&file, toml.replace('X', HIDDEN)).expect("written");
        let output = sluice(folder.path(), &["check", &name]);
        let said = harmless(&output);
        assert!(said.contains(&format!("{SPELLED}.toml")), "{toml}{said}");
        assert!(said.matches(SPELLED).count() > 1, "{toml}{said}");
        if output.status.code() == Some(1) {
            harmless(&sluice(folder.path(), &["run", "--config", &name]));
            harmless(&sluice(folder.path(), &["health", "--config", &name]));
        }
    }
    let right = "[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\nto = \"a:1\"\n";
    std::fs::write(&file, right).expect("written");
    let said = harmless(&sluice(folder.path(), &["check", &name]));
    assert!(said.starts_with(&format!("{SPELLED}.toml: ok")), "{said}");
}

#[test]
fn what_is_repeated_of_the_command_line_is_spelled() {
    let folder = tempfile::tempdir().expect("a folder");
    for arguments in [
        &["X"][..],
        &["check", "X"],
        &["check", "a", "X"],
        &["status", "--X"],
        &["status", "--admin", "X"],
        &["status", "--admin", "unix:/no/X"],
        &["status", "--config", "X"],
        &["status", "--admin", "127.0.0.1:1", "--token-file", "X"],
        &["drain", "--all", "--over", "X"],
        &["drain", "--endpoint", "X"],
        &["tunnels", "--sort", "X"],
        &["tunnels", "--client", "X"],
        &["tunnels", "close", "X"],
        &["health", "--url", "X"],
        &["health", "--url", "unix:/no/X"],
        &["run", "--listen", "X", "--to", "X"],
        &["run", "--config", "X"],
        &["upgrade", "--config", "X"],
    ] {
        let arguments: Vec<String> = { arguments.iter() }
            .map(|one| one.replace('X', HIDDEN))
            .collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = sluice(folder.path(), &arguments);
        assert!(!output.status.success(), "{arguments:?}");
        let said = harmless(&output);
        // The parser of the command line takes whole sequences of a terminal out by itself.
        let (shown, _) = SPELLED.split_once("\\u{1b}").expect("it has one");
        assert!(said.contains(shown), "{arguments:?}: {said}");
    }
}

#[test]
fn what_a_running_sluice_is_asked_for_and_has_is_spelled() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join(format!("{HIDDEN}.toml"));
    let admin = folder.path().join("admin.sock");
    let toml = format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\nto = \"127.0.0.1:1\"\n\
         [admin]\nlisten = \"unix:{}\"\n",
        admin.display()
    );
    std::fs::write(&file, &toml).expect("written");
    let proxy = Proxy::start_file(&file);
    for arguments in [
        &["status"][..],
        &["status", "--json"],
        &["tunnels", "--route", HIDDEN],
        &["tunnels", "--endpoint", HIDDEN],
        &["tunnels", "close", "--upstream", HIDDEN],
        &["tap", "--route", HIDDEN],
        &["drain", "--route", HIDDEN],
        &["undrain", "--route", HIDDEN],
    ] {
        let said = harmless(&proxy.command(arguments));
        let shown = said.contains("\\u{9b}2J") || said.contains("\\u009b2J");
        assert!(shown, "{arguments:?}: {said}");
    }
    std::fs::write(&file, format!("{toml}{HIDDEN}")).expect("written");
    let said = harmless(&proxy.command(&["reload"]));
    assert!(said.contains(&format!("{SPELLED}.toml")), "{said}");
    harmless(&proxy.command(&["status"]));
    harmless(&proxy.command(&["top", "--once"]));
}
