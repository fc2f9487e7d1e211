//! Who imports whom: the paths of [`Source`] resolved to files, and what is wrong with them
//! by the table of rooms.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::source::{Mention, ModulePath, Source};

/// One file uses what another one owns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import {
    pub from: PathBuf,
    pub to: PathBuf,
    /// A `pub use` of the file's own submodule: an address for others, not a dependence.
    pub is_facade: bool,
}

/// Every import of one file by another.
pub fn imports(source: &Source) -> Vec<Import> {
    let mut all = BTreeSet::new();
    for (path, module) in &source.modules {
        for mention in &module.mentions {
            let Some(target) = resolve(source, path, &mention.path, 0) else {
                continue;
            };
            if target == *path && mention.path.len() > 1 && !mention.is_reexport {
                continue;
            }
            let to = &source.modules[&target].file;
            if *to != module.file {
                all.insert(Import {
                    from: module.file.clone(),
                    to: to.clone(),
                    is_facade: is_facade(path, &target, mention),
                });
            }
        }
    }
    all.into_iter().collect()
}

fn is_facade(from: &ModulePath, to: &ModulePath, mention: &Mention) -> bool {
    mention.is_reexport && to.len() > from.len() && to.starts_with(from)
}

/// The module that owns what `path` names, written in `module`. `None`: not of this crate.
fn resolve(
    source: &Source,
    module: &ModulePath,
    path: &[String],
    depth: usize,
) -> Option<ModulePath> {
    if depth > 16 {
        return None;
    }
    let (first, mut rest) = path.split_first()?;
    let mut at = match first.as_str() {
        "crate" => Vec::new(),
        "self" => module.clone(),
        "super" => parent(module)?,
        name => {
            let own = &source.modules[module];
            if own.children.iter().any(|child| child == name) {
                [module.clone(), vec![name.to_owned()]].concat()
            } else {
                let alias = own.aliases.get(name)?;
                if alias.first() == Some(first) {
                    return None; // `use bytes::Bytes` and the like
                }
                let target = [alias, rest].concat();
                return resolve(source, module, &target, depth + 1);
            }
        }
    };
    while let Some((name, after)) = rest.split_first() {
        let here = &source.modules[&at];
        if name == "super" {
            at = parent(&at)?;
        } else if here.children.contains(name) {
            at.push(name.clone());
        } else if let Some(alias) = here.aliases.get(name) {
            // What is named there is owned elsewhere.
            let target = [alias, after].concat();
            return resolve(source, &at, &target, depth + 1).or(Some(at));
        } else {
            for glob in &here.globs {
                if let Some(found) = resolve(source, &at, glob, depth + 1)
                    && source.modules[&found].children.contains(name)
                {
                    return resolve(
                        source,
                        &found,
                        &[&["self".to_owned()], rest].concat(),
                        depth + 1,
                    );
                }
            }
            return Some(at);
        }
        rest = after;
    }
    Some(at)
}

fn parent(module: &ModulePath) -> Option<ModulePath> {
    let (_, above) = module.split_last()?;
    Some(above.to_vec())
}

/// The room of a file: its first folder, or the file itself at the top.
pub fn room(file: &Path) -> String {
    let first = file
        .components()
        .next()
        .map(|one| Path::new(one.as_os_str()));
    let stem = first
        .and_then(Path::file_stem)
        .and_then(|stem| stem.to_str());
    stem.unwrap_or_default().to_owned()
}

/// The floors of the rooms, as the table in `lib.rs` has them: `//! | 3 | [`a`], [`b`] | … |`.
pub fn floors(lib: &str) -> BTreeMap<String, u32> {
    let mut floors = BTreeMap::new();
    for line in lib.lines() {
        let Some(row) = line.strip_prefix("//! |") else {
            continue;
        };
        let mut cells = row.split('|').map(str::trim);
        let (Some(floor), Some(rooms)) = (cells.next(), cells.next()) else {
            continue;
        };
        let Ok(floor) = floor.parse::<u32>() else {
            continue;
        };
        for name in rooms.split('`').skip(1).step_by(2) {
            assert!(
                floors.insert(name.to_owned(), floor).is_none(),
                "the room {name} stands twice in the table"
            );
        }
    }
    floors
}

/// Everything that breaks a rule, one line each, sorted.
pub fn faults(source: &Source, floors: &BTreeMap<String, u32>) -> Vec<String> {
    let imports = imports(source);
    let mut faults = BTreeSet::new();
    for module in source.modules.values() {
        let room = room(&module.file);
        if room != "lib" && !floors.contains_key(&room) {
            faults.insert(format!("the table lacks the room {room}"));
        }
    }
    for import in &imports {
        let (from, to) = (room(&import.from), room(&import.to));
        if from == to || from == "lib" {
            continue;
        }
        if let (Some(own), Some(other)) = (floors.get(&from), floors.get(&to))
            && other >= own
        {
            faults.insert(format!(
                "upward: {} on floor {own} imports {} of floor {other}",
                import.from.display(),
                import.to.display(),
            ));
        }
    }
    for circle in circles(&imports) {
        let names: Vec<String> = circle
            .iter()
            .map(|file| file.display().to_string())
            .collect();
        faults.insert(format!("circle of {}: {}", names.len(), names.join(", ")));
    }
    faults.into_iter().collect()
}

/// Files that import each other round about: the strongly connected components, by repeated
/// taking away of files that import or are imported by no other of what is left.
pub fn circles(imports: &[Import]) -> Vec<Vec<PathBuf>> {
    let mut reach: BTreeMap<&Path, BTreeSet<&Path>> = BTreeMap::new();
    for import in imports.iter().filter(|import| !import.is_facade) {
        reach.entry(&import.from).or_default().insert(&import.to);
    }
    let files: Vec<&Path> = reach.keys().copied().collect();
    let reachable = |start: &Path| {
        let mut seen = BTreeSet::new();
        let mut open: Vec<&Path> = reach.get(start).into_iter().flatten().copied().collect();
        while let Some(file) = open.pop() {
            if seen.insert(file.to_owned()) {
                open.extend(reach.get(file).into_iter().flatten().copied());
            }
        }
        seen
    };
    let from: BTreeMap<&Path, BTreeSet<PathBuf>> =
        files.iter().map(|file| (*file, reachable(file))).collect();
    let mut all = BTreeSet::new();
    for file in &files {
        if from[file].contains(*file) {
            let mutual = files
                .iter()
                .filter(|other| from[file].contains(**other) && from[**other].contains(*file));
            all.insert(mutual.map(|path| path.to_path_buf()).collect::<Vec<_>>());
        }
    }
    all.into_iter().collect()
}
