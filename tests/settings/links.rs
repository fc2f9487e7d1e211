//! The links of the README, `docs/` and the changelog: every relative one names a file that is
//! there, and every anchor a heading of it, spelled as GitHub spells anchors.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::readme::documents;

/// The lines that are text, not code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut code = false;
    text.lines().filter(move |line| {
        let fence = line.starts_with("```");
        code ^= fence;
        !code && !fence
    })
}

/// The line without what stands between backticks.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

/// The targets of the inline links and pictures.
fn targets(text: &str) -> Vec<String> {
    // A link's words may be broken over two lines, its target not.
    let lines = prose(text).map(without_code);
    let after = lines.flat_map(|line| {
        let pieces: Vec<_> = line.split("](").skip(1).map(str::to_owned).collect();
        pieces
    });
    after
        .filter_map(|piece| piece.split_once(')').map(|(target, _)| target.to_owned()))
        .collect()
}

fn anchors(text: &str) -> BTreeSet<String> {
    let titles = prose(text).filter_map(|line| {
        let title = line.trim_start_matches('#');
        (title.len() < line.len()).then(|| title.strip_prefix(' '))?
    });
    let mut anchors = BTreeSet::new();
    for title in titles {
        let title = title.to_lowercase();
        let kept = title
            .chars()
            .filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        // GitHub numbers the second of two equal ones, and who writes the link does not know.
        assert!(
            anchors.insert(anchor.clone()),
            "two headings make #{anchor}"
        );
    }
    anchors
}

/// What is wrong with the links of a file at `path`, and how many were followed.
fn broken(path: &Path, text: &str) -> (Vec<String>, usize) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut broken = Vec::new();
    let mut followed = 0;
    for target in targets(text) {
        if target.contains("://") {
            continue;
        }
        followed += 1;
        let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
        let file = match file {
            "" => root.join(path),
            file => root.join(path).with_file_name("").join(file),
        };
        let there = file.exists() && !Path::new(&target).is_absolute();
        let named = || {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            anchor.is_empty() || anchors(&text).contains(anchor)
        };
        if !there || !named() {
            broken.push(format!("{}: {target}", path.display()));
        }
    }
    (broken, followed)
}

#[test]
fn every_relative_link_leads_somewhere() {
    let mut texts = documents();
    for path in ["CHANGELOG.md", "tests/interop/README.md"] {
        let full = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        texts.push((path.into(), std::fs::read_to_string(full).expect("a text")));
    }
    let (mut wrong, mut followed) = (Vec::new(), 0);
    for (name, text) in &texts {
        let (broken, count) = broken(Path::new(name), text);
        wrong.extend(broken);
        followed += count;
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(followed > 30, "{followed}");
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let text = "# Some title: of `code`\n[a](docs/none.md) ![b](none.svg)\n[c](#some-title)\n\
                [d](#some-title-of-code) [e](https://example.com/#x) `[f](g)`\n\
                ```\n[h](i)\n```\n[two\nlines](docs/none.md#x) [k](Cargo.toml#x)\n";
    let expected: Vec<_> = [
        "docs/none.md",
        "none.svg",
        "#some-title",
        "#some-title-of-code",
        "docs/none.md#x",
        "Cargo.toml#x",
    ]
    .map(|target| format!("README.md: {target}"))
    .into();
    // The file itself is read for its anchors, which has neither of these.
    assert_eq!(broken(Path::new("README.md"), text), (expected, 6));
    assert!(anchors(text).contains("some-title-of-code"));
}

#[test]
fn every_page_is_linked_from_the_readme() {
    let documents = documents();
    let (_, readme) = &documents[0];
    let linked: BTreeSet<PathBuf> = targets(readme)
        .iter()
        .map(|target| target.split('#').next().unwrap_or_default().into())
        .collect();
    for (name, _) in &documents[1..] {
        assert!(linked.contains(Path::new(name)), "{name}");
    }
}

/// What a page names between backticks as a file or folder of the repository is there.
#[test]
fn every_path_in_the_repository_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut named = 0;
    for (page, text) in documents() {
        for code in prose(&text).flat_map(|line| line.split('`').skip(1).step_by(2)) {
            let is_path = ["src/", "tests/", "benches/", "config/", "docs/"]
                .iter()
                .any(|folder| code.starts_with(folder));
            if is_path && !code.contains([' ', '*']) {
                assert!(root.join(code).exists(), "{page}: {code}");
                named += 1;
            }
        }
    }
    assert!(named > 20, "{named}");
}
