//! The crate's modules as files: which file a module path names, and every path that its
//! code outside tests writes down (`use` trees, expressions, types, patterns, macro input).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree};

/// A path from the crate's root, without `crate`: `["tunnel", "frame"]`.
pub type ModulePath = Vec<String>;

/// One module.
#[derive(Debug, Default)]
pub struct Module {
    /// Relative to the source folder.
    pub file: PathBuf,
    /// Paths written in it, as written.
    pub mentions: Vec<Mention>,
    /// Names that `use` brings in, and what each stands for.
    pub aliases: BTreeMap<String, Vec<String>>,
    /// Paths of `use …::*`.
    pub globs: Vec<Vec<String>>,
    /// Names of modules declared in it.
    pub children: Vec<String>,
}

/// A path as it stands in the code.
#[derive(Debug, Clone)]
pub struct Mention {
    pub path: Vec<String>,
    /// It stands in a `use` that others may import from (`pub use`).
    pub is_reexport: bool,
}

/// All modules of the crate, and how many `use` items they have between them.
#[derive(Debug, Default)]
pub struct Source {
    pub modules: BTreeMap<ModulePath, Module>,
    pub uses: usize,
}

impl Source {
    /// Reads the crate whose root is `lib.rs` in this folder.
    pub fn read(folder: &Path) -> Source {
        let mut source = Source::default();
        source.read_file(folder, Path::new("lib.rs"), Vec::new());
        source
    }

    fn read_file(&mut self, folder: &Path, file: &Path, module: ModulePath) {
        let text = fs::read_to_string(folder.join(file))
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let syntax =
            syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        self.read_items(folder, file, module, &syntax.items);
    }

    fn read_items(&mut self, folder: &Path, file: &Path, module: ModulePath, items: &[Item]) {
        let mut reader = Reader::default();
        let mut inner = Vec::new();
        for item in items {
            match item {
                Item::Mod(item) if !is_test(&item.attrs) => inner.push(item),
                Item::Mod(_) => {}
                item => reader.visit_item(item),
            }
        }
        self.uses += reader.uses;
        let names = inner.iter().map(|item| item.ident.to_string());
        let read = Module {
            file: file.to_owned(),
            mentions: reader.mentions,
            aliases: reader.aliases,
            globs: reader.globs,
            children: names.collect(),
        };
        self.modules.insert(module.clone(), read);
        for item in inner {
            let name = item.ident.to_string();
            let path = [module.clone(), vec![name.clone()]].concat();
            match &item.content {
                Some((_, items)) => self.read_items(folder, file, path, items),
                None => {
                    let file = file_of(folder, file, &name);
                    self.read_file(folder, &file, path);
                }
            }
        }
    }
}

/// Where `mod name;` in `parent` is kept.
fn file_of(folder: &Path, parent: &Path, name: &str) -> PathBuf {
    let stem = parent.file_stem().and_then(|stem| stem.to_str());
    let beside = match stem {
        Some("lib" | "main" | "mod") => parent.with_file_name(""),
        _ => parent.with_extension(""),
    };
    let flat = beside.join(format!("{name}.rs"));
    match folder.join(&flat).exists() {
        true => flat,
        false => beside.join(name).join("mod.rs"),
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|one| {
        one.path().is_ident("cfg")
            && one
                .parse_args::<syn::Ident>()
                .is_ok_and(|what| what == "test")
    })
}

#[derive(Default)]
struct Reader {
    mentions: Vec<Mention>,
    aliases: BTreeMap<String, Vec<String>>,
    globs: Vec<Vec<String>>,
    uses: usize,
}

impl Reader {
    fn mention(&mut self, path: Vec<String>, is_reexport: bool) {
        self.mentions.push(Mention { path, is_reexport });
    }

    fn use_tree(&mut self, tree: &UseTree, prefix: &[String], is_reexport: bool) {
        let with = |name: String| [prefix, &[name]].concat();
        match tree {
            UseTree::Path(path) => {
                self.use_tree(&path.tree, &with(path.ident.to_string()), is_reexport);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.use_tree(tree, prefix, is_reexport);
                }
            }
            UseTree::Glob(_) => {
                self.mention(prefix.to_vec(), is_reexport);
                self.globs.push(prefix.to_vec());
            }
            UseTree::Name(name) => {
                let name = name.ident.to_string();
                self.name(&name, prefix, name.clone(), is_reexport);
            }
            UseTree::Rename(rename) => {
                let (name, alias) = (rename.ident.to_string(), rename.rename.to_string());
                self.name(&name, prefix, alias, is_reexport);
            }
        }
    }

    fn name(&mut self, name: &str, prefix: &[String], alias: String, public: bool) {
        let (path, alias) = match (name, prefix.last()) {
            ("self", Some(last)) => (prefix.to_vec(), last.clone()),
            _ => ([prefix, &[name.to_owned()]].concat(), alias),
        };
        self.mention(path.clone(), public);
        self.aliases.insert(alias, path);
    }

    /// Paths in what a macro is given: `a::b::c` wherever it stands.
    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let is_colon =
            |at: usize| matches!(tokens.get(at), Some(TokenTree::Punct(p)) if p.as_char() == ':');
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            at += 1;
            match token {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Ident(word) if word == "use" => self.uses += 1,
                TokenTree::Ident(first) => {
                    let mut path = vec![first.to_string()];
                    while is_colon(at) && is_colon(at + 1) {
                        let Some(TokenTree::Ident(next)) = tokens.get(at + 2) else {
                            break;
                        };
                        path.push(next.to_string());
                        at += 3;
                    }
                    if path.len() > 1 {
                        self.mention(path, false);
                    }
                }
                _ => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            Item::Struct(item) => &item.attrs,
            Item::Const(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        if !is_test(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_test(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.uses += 1;
        let is_reexport = !matches!(item.vis, syn::Visibility::Inherited);
        self.use_tree(&item.tree, &[], is_reexport);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        self.mention(names, false);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        visit::visit_macro(self, called);
        self.tokens(called.tokens.clone());
    }

    // `pub(in path)` and attributes name no code that is used.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}
    fn visit_attribute(&mut self, _: &'ast Attribute) {}
}
