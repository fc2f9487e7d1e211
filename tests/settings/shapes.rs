//! Configurations that are made to cost: what is refused before it is parsed, with its place, in a
//! process that serves meanwhile and does not grow by more than a few times the file.

use std::path::Path;

use crate::support::admin::printed;
use crate::support::{Proxy, Succession};

const RIGHT: &str =
    "[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\nrespond = { status = 200 }\n";

const SIZE: usize = 6 << 20;

/// The most memory that the process ever had, in bytes.
fn peak(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number
        .expect("Linux says so")
        .parse::<usize>()
        .expect("KiB")
        << 10
}

/// What to write, and where it is refused.
fn shapes() -> Vec<(&'static str, String, &'static str)> {
    let fill = |piece: &str| piece.repeat(SIZE / piece.len());
    vec![
        ("dots", fill("a.") + "a = 1\n", ":1:128: a dotted key"),
        (
            "header",
            format!("[{}a]\n", fill("a.")),
            ":1:129: a dotted key",
        ),
        (
            "numbers",
            format!("x = 1{}\n", fill(".1")),
            ":1:132: a dotted key",
        ),
        ("arrays", format!("x = {}", fill("[")), ":1:69: arrays"),
        ("tables", format!("x = {}", fill("{a=")), ":1:197: arrays"),
        ("both", format!("x = {}", fill("[{a=")), ":1:133: arrays"),
        ("keys", format!("{} = 1\n", fill("a")), ":1:1: a key"),
        ("quoted", format!("[[\"{}\"]]\n", fill("a")), ":1:3: a key"),
        (
            "flat",
            format!("x = [{}]\n", fill("1,")),
            ": the file has more",
        ),
        ("lines", fill("\n"), ": the file has more"),
        ("signs", fill("="), ": the file has more"),
        (
            "one string",
            format!("x = \"{}\"\n", fill("\\n")),
            ": unknown key `x`",
        ),
        (
            "one comment",
            format!("# {}\nx = 1\n", fill("a")),
            ": unknown key `x`",
        ),
    ]
}

#[test]
fn what_would_cost_memory_is_refused_by_its_shape() {
    let succession = Succession::start(|_| RIGHT.to_owned());
    let pid = succession.proxy.id();
    for (name, text, place) in shapes() {
        let before = peak(pid);
        std::fs::write(succession.config(), &text).expect("the file is ours");
        let (code, out, err) = printed(&succession.proxy.command(&["reload"]));
        assert_ne!(code, 0, "{name}: {out}");
        let (at, what) = place.split_once(": ").expect("both");
        let told = err.contains(&format!("sluice.toml{at}")) && err.contains(what);
        assert!(told, "{name}: {}", &err[..err.len().min(500)]);
        let grown = peak(pid).saturating_sub(before);
        assert!(grown < 5 * SIZE, "{name}: {} MiB", grown >> 20);
    }
}

/// As many faults as fit are told by the first hundred, in no more time than they take.
#[test]
fn a_file_of_faults_is_answered_with_the_first_of_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("faults.toml");
    let lines = |line: &dyn Fn(usize) -> String| (0..100_000).map(line).collect::<String>();
    for text in [
        lines(&|n| format!("k{n} = 1\n")),
        lines(&|_| "a = 1\n".to_owned()),
        lines(&|_| "=\n".to_owned()),
        lines(&|n| format!("[[route]]\nto = {n}\n")),
        ".".repeat(500_000),
    ] {
        std::fs::write(&file, &text).expect("the file is ours");
        let checked = check(&file);
        assert!(checked.matches("\n --> ").count() <= 100, "{}", &text[..20]);
        assert!(checked.contains("error"), "{checked}");
    }
}

fn check(file: &Path) -> String {
    let path = file.display().to_string();
    let (code, _, err) = printed(&crate::support::proxy::run(&["check", &path]));
    assert_ne!(code, 0, "{err}");
    err
}

#[test]
fn a_large_flat_configuration_is_right() {
    let routes: String = (0..10_000)
        .map(|n| {
            format!(
                "[[route]]\nname = \"r{n}\"\npath_prefix = \"/{n}\"\nrespond = {{ status = 200 }}\n"
            )
        })
        .collect();
    let proxy = Proxy::start(&format!("[[listen]]\naddress = \"127.0.0.1:0\"\n{routes}"));
    assert_eq!(proxy.ask("GET", "/77", ""), 200);
}
