//! From the text of a configuration file to the typed [`Config`], in two stages: what `config`
//! declares gives every value its type and place, then what the values mean together is judged
//! here, in `settings` and in `route`. All problems are collected on the way. And back: `write`.

pub mod default;
mod doubt;
mod hint;
mod listen;
mod route;
mod schema;
mod settings;
mod shape;
mod tls;
mod upstream;
mod verbatim;
mod without_effect;
mod write;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use crate::config::file::FileTable;
use crate::config::form::address::Bind;
use crate::config::{
    Action, AdminConfig, Config, EndpointAddress, ListenAddress, Listener, RouteConfig,
    UpstreamConfig,
};
use crate::setting::problem::MOST;
use crate::setting::read::{FromText, Node, Read, Sink, Span, Wrong};
use crate::setting::{Problem, Problems};
use crate::system::files;

pub use self::schema::schema;

/// The largest file that is read, in bytes: 16 MiB.
pub const LARGEST: u64 = 16 << 20;

/// Reads a configuration file: a regular one, and never waits for another.
///
/// # Errors
/// Everything that is wrong with it, or that it could not be read.
pub fn load(path: &Path) -> Result<Reviewed, Problems> {
    let source = read_text(path, files::read(path, LARGEST))?;
    review(&source, &path.display().to_string())
}

/// As [`load`] for a command: what it was given open (`/dev/stdin`, a shell's `<(…)`) may be a
/// pipe, whose end is waited for.
///
/// # Errors
/// As [`load`].
pub fn load_given(path: &Path) -> Result<Reviewed, Problems> {
    review(&source_given(path)?, &path.display().to_string())
}

/// The text that [`load_given`] reads.
///
/// # Errors
/// When it cannot be read, or is no text.
pub fn source_given(path: &Path) -> Result<String, Problems> {
    read_text(path, files::read_given(path, LARGEST))
}

fn read_text(path: &Path, read: std::io::Result<Vec<u8>>) -> Result<String, Problems> {
    let name = path.display().to_string();
    let bytes = read.map_err(|error| {
        let message = format!("can't read {name}: {error}");
        Problems::unreadable(&name, message, None)
    })?;
    text(bytes, &name)
}

/// The bytes of a configuration as text.
///
/// # Errors
/// When they are none.
pub fn text(bytes: Vec<u8>, name: &str) -> Result<String, Problems> {
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|&&byte| byte == b'\n').count() + 1;
        let message = format!("{name} is not UTF-8 text (line {line})");
        Problems::unreadable(name, message, None)
    })
}

/// Reads the text of a configuration; `name` is what the problems call it.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(source: &str, name: &str) -> Result<Config, Problems> {
    review(source, name).map(|(config, _)| config)
}

/// A configuration that can be put in force, and warnings of what in it is hardly meant.
pub type Reviewed = (Config, Option<Problems>);

/// The same, with warnings.
///
/// # Errors
/// Everything that is wrong with it.
pub fn review(source: &str, name: &str) -> Result<Reviewed, Problems> {
    let mut sink = Sink::new(hint::hint_for);
    if let Err((span, message)) = shape::check(source) {
        sink.report(&span, "", message);
        return Err(Problems::new(name, source, sink.problems));
    }
    let (document, errors) = DeTable::parse_recoverable(source);
    let root = DeValue::Table(document.into_inner());
    let node = Node {
        value: &root,
        span: 0..0,
        key: String::new(),
    };
    let file = FileTable::read(&node, &mut sink);
    if !errors.is_empty() {
        sink.problems = syntax_problems(source, &errors, sink.problems);
        return Err(Problems::new(name, source, sink.problems));
    }
    // The root is a table, so it was read; without it nothing would be found wrong either.
    let file = file.unwrap_or_default();
    let config = assemble(&file, &mut sink);
    if !sink.problems.is_empty() {
        return Err(Problems::new(name, source, sink.problems));
    }
    doubt::warnings(&node, &file, &mut sink);
    let doubts = (!sink.problems.is_empty()).then_some(sink.problems);
    let warnings = doubts.map(|doubts| Problems::new(name, source, doubts).into_warnings());
    Ok((config, warnings))
}

/// `[admin]` of a configuration file, whatever else may be wrong with it: a file with errors
/// must not hide the process that is to be told of it.
///
/// # Errors
/// When the file cannot be read.
pub fn admin_of(path: &Path) -> std::io::Result<AdminConfig> {
    let source = files::read_given(path, LARGEST).map_err(|error| {
        std::io::Error::new(
            error.kind(),
            format!("can't read {}: {error}", path.display()),
        )
    })?;
    let source = String::from_utf8_lossy(&source);
    let readable = shape::check(&source).map_or("", |()| &source);
    let (document, _) = DeTable::parse_recoverable(readable);
    let root = DeValue::Table(document.into_inner());
    let node = Node {
        value: &root,
        span: 0..0,
        key: String::new(),
    };
    let mut sink = Sink::new(hint::hint_for);
    let file = FileTable::read(&node, &mut sink).unwrap_or_default();
    Ok(settings::admin(file.admin.value(), &mut sink))
}

/// What is reported of a text that isn't TOML: its syntax errors, and the misspelt keys and
/// values of other lines. What seems to be missing may only not have been understood.
fn syntax_problems(source: &str, errors: &[toml::de::Error], others: Vec<Problem>) -> Vec<Problem> {
    let ends: Vec<usize> = memchr::memchr_iter(b'\n', source.as_bytes()).collect();
    let line_of = |span: &Span| ends.partition_point(|end| *end < span.start);
    let mut sink = Sink::default();
    let mut lines = HashSet::new();
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        // What follows on the same line is most often a consequence of the first.
        if lines.insert(line_of(&span)) {
            let twice = hint::hint_for_twice(twice(source, &span));
            sink.report(&span, "", error.message()).hint = twice.map(str::to_owned);
        }
    }
    sink.problems.extend(others.into_iter().filter(|other| {
        !other.message.starts_with("missing key")
            && !other.message.starts_with("there is no")
            && !lines.contains(&line_of(&other.span))
    }));
    sink.problems.truncate(MOST);
    sink.problems
}

/// The key that a syntax error points at, if it is one: `websocket` of `websocket.origin = 1`,
/// of `[route.websocket]` and of `websocket = true`.
fn twice<'s>(source: &'s str, span: &Span) -> &'s str {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let pointed = source.get(span.clone()).unwrap_or_default();
    let path = pointed.trim_matches(['[', ']']);
    let key = path.rsplit('.').next().unwrap_or_default().trim();
    if key.chars().all(word) { key } else { "" }
}

fn assemble(file: &FileTable, sink: &mut Sink) -> Config {
    let mut upstreams = upstream::upstreams(file, sink);
    let mut config = Config {
        listeners: listen::listeners(file, sink),
        routes: route::routes(file, &mut upstreams, sink),
        upstreams,
        admin: settings::admin(file.admin.value(), sink),
        ..Config::default()
    };
    file.apply(&mut config);
    settings::http(file, &config.http, sink);
    settings::drain(file, &config.drain, sink);
    settings::resolver(file, &config.resolver, sink);
    config
}

impl Config {
    /// The configuration of `sluice run --listen ADDR --to ADDR`: everything that comes to
    /// one address goes to one endpoint, with every setting at its default.
    ///
    /// # Errors
    /// Which of the two addresses can't be understood.
    pub fn from_listen_to(listen: &str, to: &str) -> Result<Config, Problems> {
        let source = format!("--listen {listen} --to {to}");
        let listen_span = 9..9 + listen.len();
        let to_span = source.len() - to.len()..source.len();
        let mut sink = Sink::default();
        let mut note = |span: Span, key: &str, wrong: Wrong| {
            sink.report(&span, key, wrong.message).hint = wrong.hint;
        };
        let bind = Bind::from_text(listen).map_err(|wrong| note(listen_span, "--listen", wrong));
        let endpoint = EndpointAddress::from_text(to).map_err(|wrong| note(to_span, "--to", wrong));
        match (bind, endpoint) {
            (Ok(bind), Ok(endpoint)) => {
                let address = match bind {
                    Bind::Tcp(address) => ListenAddress::Tcp(address),
                    Bind::Unix(path) => ListenAddress::Unix {
                        path,
                        mode: listen::DEFAULT_MODE,
                    },
                };
                Ok(Config::everything_to("default", address, endpoint))
            }
            _ => Err(Problems::new("command line", &source, sink.problems)),
        }
    }
}

impl Config {
    /// One listener, one upstream, and one route called `name` that takes everything; every
    /// setting is the default one.
    pub(crate) fn everything_to(
        name: &str,
        address: ListenAddress,
        endpoint: EndpointAddress,
    ) -> Config {
        let name = name.to_owned();
        let route = RouteConfig {
            name: name.clone(),
            action: Action::Upstream(name.clone()),
            ..RouteConfig::default()
        };
        let upstream = UpstreamConfig::new(name.clone(), vec![endpoint]);
        Config {
            listeners: vec![Listener {
                address,
                ..Listener::default()
            }],
            routes: vec![Arc::new(route)],
            upstreams: [(name, Arc::new(upstream))].into(),
            ..Config::default()
        }
    }
}
