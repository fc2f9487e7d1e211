//! The house as `src/lib.rs` describes it: an import points to a lower floor or stays in its
//! room, no files import each other in a circle, and every room stands in the table.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by a panic"
)]

#[path = "architecture/graph.rs"]
mod graph;
#[path = "architecture/source.rs"]
mod source;

use std::fs;
use std::path::{Path, PathBuf};

use graph::{faults, floors, imports};
use source::Source;

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn table() -> String {
    fs::read_to_string(src().join("lib.rs")).expect("the crate's root")
}

#[test]
fn imports_point_downward_and_never_in_a_circle() {
    let found = faults(&Source::read(&src()), &floors(&table()));
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_room_of_the_table_is_there() {
    let floors = floors(&table());
    assert!(floors.len() > 10, "the table is not read: {floors:?}");
    for room in floors.keys() {
        let (file, folder) = (src().join(format!("{room}.rs")), src().join(room));
        assert!(file.exists() || folder.exists(), "there is no room {room}");
    }
}

/// An empty pass proves nothing: what the parser found is held against a plain reading.
#[test]
fn no_import_is_overlooked() {
    let source = Source::read(&src());
    let files: std::collections::BTreeSet<_> =
        source.modules.values().map(|module| &module.file).collect();
    let by_text: usize = files.iter().map(|file| uses_in(&src().join(file))).sum();
    assert_eq!(source.uses, by_text);
    let imports = imports(&source);
    let linked = imports
        .iter()
        .map(|one| &one.from)
        .collect::<std::collections::BTreeSet<_>>();
    assert!(imports.len() > files.len() * 2, "{} imports", imports.len());
    assert!(
        linked.len() * 10 > files.len() * 8,
        "{} of {} files import",
        linked.len(),
        files.len()
    );
}

/// The most lines of a room, its tests not counted: beyond that it is two rooms.
const LARGEST_ROOM: usize = 4_500;

#[test]
fn no_room_is_too_large_to_live_in() {
    let source = Source::read(&src());
    let files: std::collections::BTreeSet<_> =
        source.modules.values().map(|module| &module.file).collect();
    let mut rooms = std::collections::BTreeMap::<String, usize>::new();
    for file in files {
        let name = file.to_str().expect("a name").split(['/', '.']).next();
        let room = name.expect("a room").to_owned();
        *rooms.entry(room).or_default() += lines_in(&src().join(file));
    }
    let all: usize = rooms.values().sum();
    assert!(all > 30_000, "only {all} lines were seen");
    rooms.retain(|_, lines| *lines > LARGEST_ROOM);
    assert!(rooms.is_empty(), "{rooms:?}");
}

/// The lines of a file up to its tests, which stand at its end.
fn lines_in(file: &Path) -> usize {
    let text = fs::read_to_string(file).expect("a source file");
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines
        .windows(2)
        .position(|pair| pair[0] == "#[cfg(test)]" && pair[1].ends_with('{'));
    tests.unwrap_or(lines.len())
}

/// Lines that begin a `use`, but for those of tests.
fn uses_in(file: &Path) -> usize {
    let text = fs::read_to_string(file).expect("a source file");
    let mut uses = 0;
    let mut is_test = false;
    for line in text.lines().map(str::trim_start) {
        if is_test && line.ends_with("mod tests {") {
            break; // The tests stand at the end of a file.
        }
        let code = match line.split_once(") ") {
            Some((visibility, rest)) if visibility.starts_with("pub(") => rest,
            _ => line.strip_prefix("pub ").unwrap_or(line),
        };
        uses += usize::from(code.starts_with("use ") && !is_test);
        is_test = line == "#[cfg(test)]";
    }
    uses
}

/// A small tree that breaks each rule, and one that breaks none.
fn judged(files: &[(&str, &str)]) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    let lib = files
        .iter()
        .find(|(name, _)| *name == "lib.rs")
        .expect("a root");
    faults(&Source::read(folder.path()), &floors(lib.1))
}

const ROOT: &str = "//! | floor | room | owns |\n//! |---|---|---|\n//! | 2 | [`high`] | |\n\
                    //! | 1 | [`low`], [`beside`] | |\npub mod high;\npub mod low;\npub mod beside;\n";

#[test]
fn a_tree_that_keeps_the_rules_has_no_fault() {
    let found = judged(&[
        ("lib.rs", ROOT),
        ("high/mod.rs", "mod a; mod b; pub use a::A;"),
        (
            "high/a.rs",
            "use super::b::B; use crate::low; pub struct A(B, low::Low);",
        ),
        ("high/b.rs", "use std::fmt; pub struct B;"),
        (
            "low.rs",
            "pub struct Low; #[cfg(test)] mod tests { use crate::high::A; }",
        ),
        ("beside.rs", "fn own() { self::own() }"),
    ]);
    assert_eq!(found, [""; 0]);
}

#[test]
fn each_way_of_importing_upward_is_a_fault() {
    for low in [
        "use crate::high::A;",
        "pub use crate::high::A;",
        "use crate::{high::A as B};",
        "use crate::high; fn f(_: high::A) {}",
        "fn f(_: crate::high::A) {}",
        "fn f() { println!(\"{:?}\", crate::high::A) }",
        "fn f() { use super::high::A; }",
        "impl std::fmt::Debug for crate::high::A {}",
        "use crate::beside::Beside;",
    ] {
        let found = judged(&[
            ("lib.rs", ROOT),
            ("high/mod.rs", "mod a; pub use a::A;"),
            ("high/a.rs", "pub struct A;"),
            ("low.rs", low),
            ("beside.rs", "pub struct Beside;"),
        ]);
        assert!(
            matches!(&*found, [one, ..] if one.starts_with("upward: low.rs on floor 1")),
            "{low}: {found:?}"
        );
    }
}

#[test]
fn a_circle_of_files_is_a_fault() {
    let found = judged(&[
        ("lib.rs", ROOT),
        ("high/mod.rs", "mod a; mod b; mod c;"),
        ("high/a.rs", "use super::b::B; pub struct A;"),
        ("high/b.rs", "use super::c::C; pub struct B;"),
        (
            "high/c.rs",
            "pub struct C; fn f() -> super::a::A { super::a::A }",
        ),
        ("low.rs", ""),
        ("beside.rs", ""),
    ]);
    assert_eq!(found, ["circle of 3: high/a.rs, high/b.rs, high/c.rs"]);
}

#[test]
fn a_file_and_the_module_that_uses_it_can_be_a_circle() {
    let found = judged(&[
        ("lib.rs", ROOT),
        ("high/mod.rs", "mod a; pub struct H(a::A);"),
        ("high/a.rs", "pub struct A; fn f(_: super::H) {}"),
        ("low.rs", ""),
        ("beside.rs", ""),
    ]);
    assert_eq!(found, ["circle of 2: high/a.rs, high/mod.rs"]);
}

#[test]
fn a_room_that_the_table_lacks_is_a_fault() {
    let root = format!("{ROOT}pub mod attic;\n");
    let found = judged(&[
        ("lib.rs", &root),
        ("high/mod.rs", ""),
        ("low.rs", ""),
        ("beside.rs", ""),
        ("attic.rs", ""),
    ]);
    assert_eq!(found, ["the table lacks the room attic"]);
}
