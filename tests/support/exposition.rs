//! A strict reader of what `/metrics` answers: OpenMetrics text 1.0 and Prometheus text
//! 0.0.4. Whatever bends a rule fails the test.

use std::collections::{BTreeMap, BTreeSet};

use super::Proxy;

/// Name and value of each label.
pub type Labels = BTreeMap<String, String>;

/// A scrape that was read.
#[derive(Debug, Clone, Default)]
pub struct Scrape {
    pub text: String,
    /// The type of each family.
    pub types: BTreeMap<String, String>,
    pub samples: BTreeMap<(String, Labels), f64>,
}

impl Proxy {
    /// Asks for `/metrics` with this Accept; the answer's Content-Type and body.
    pub fn metrics(&self, accept: &str) -> (String, String) {
        let host = self.admin_host();
        let answer = self.raw_admin(format!(
            "GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nAccept: {accept}\r\n\r\n"
        ));
        let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let mut fields = head.lines().filter_map(|line| line.split_once(": "));
        let kind = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        (kind.expect("a type").1.to_owned(), body.to_owned())
    }

    /// Scrapes in OpenMetrics.
    pub fn scrape(&self) -> Scrape {
        Scrape::openmetrics(&self.metrics("application/openmetrics-text").1)
    }
}

impl Scrape {
    /// Reads OpenMetrics text.
    pub fn openmetrics(text: &str) -> Scrape {
        let body = text.strip_suffix("# EOF\n").expect("an end");
        read(body, true)
    }

    /// Reads Prometheus text.
    pub fn plain(text: &str) -> Scrape {
        read(text, false)
    }

    /// Requests that have these labels.
    pub fn requests(&self, labels: &[(&str, &str)]) -> f64 {
        self.sum("sluice_requests_total", labels)
    }

    /// The sum over the samples of this name that have these labels.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let fits = |own: &Labels| {
            labels
                .iter()
                .all(|(name, value)| own.get(*name).is_some_and(|own| own == value))
        };
        self.samples
            .iter()
            .filter(|((own, own_labels), _)| own == name && fits(own_labels))
            .map(|(_, value)| value)
            .sum()
    }

    /// Every value that a label has.
    pub fn values(&self, label: &str) -> BTreeSet<&str> {
        let labels = self.samples.keys().filter_map(|(_, l)| l.get(label));
        labels.map(String::as_str).collect()
    }

    /// The names of all samples.
    pub fn names(&self) -> BTreeSet<&str> {
        self.samples.keys().map(|(name, _)| name.as_str()).collect()
    }
}

fn read(text: &str, openmetrics: bool) -> Scrape {
    let mut scrape = Scrape {
        text: text.to_owned(),
        ..Scrape::default()
    };
    assert!(text.ends_with('\n') && !text.contains("\n\n"));
    // The family that samples belong to just now, and what was said of it.
    let mut family = String::new();
    let mut said = BTreeSet::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let parts: Vec<&str> = comment.splitn(3, ' ').collect();
            let [what, name, rest] = parts[..] else {
                panic!("{line}");
            };
            check_name(name);
            if name != family {
                assert!(!scrape.types.contains_key(name), "in two places: {line}");
                name.clone_into(&mut family);
                said.clear();
            }
            assert!(said.insert(what.to_owned()), "said twice: {line}");
            match what {
                "HELP" => assert!(!rest.is_empty(), "{line}"),
                "TYPE" => {
                    let known: &[&str] = match openmetrics {
                        true => &["counter", "gauge", "histogram", "info"],
                        false => &["counter", "gauge", "histogram"],
                    };
                    assert!(known.contains(&rest), "{line}");
                    scrape.types.insert(name.to_owned(), rest.to_owned());
                }
                "UNIT" => {
                    assert!(openmetrics, "{line}");
                    assert!(name.ends_with(&format!("_{rest}")), "{line}");
                }
                _ => panic!("{line}"),
            }
            continue;
        }
        let (name, labels, value) = sample(line);
        let of = scrape.types.get(&family).map(String::as_str);
        let suffix = name.strip_prefix(family.as_str()).expect("of its family");
        let right = match (of, openmetrics) {
            (Some("counter"), true) => suffix == "_total",
            (Some("counter"), false) => suffix.is_empty() && family.ends_with("_total"),
            (Some("info"), _) => suffix == "_info" && value == 1.0,
            (Some("histogram"), _) => ["_bucket", "_sum", "_count"].contains(&suffix),
            (Some("gauge"), _) => suffix.is_empty(),
            _ => false,
        };
        assert!(right, "{line} in {family}, a {of:?}");
        assert!(said.contains("HELP"), "no help: {family}");
        assert!(of == Some("gauge") || value >= 0.0, "below zero: {line}");
        assert_eq!(suffix == "_bucket", labels.contains_key("le"), "{line}");
        let twice = scrape.samples.insert((name, labels), value);
        assert!(twice.is_none(), "twice: {line}");
    }
    check_histograms(&scrape);
    scrape
}

/// Buckets grow, and the last holds what `_count` says.
fn check_histograms(scrape: &Scrape) {
    let mut all: BTreeMap<(&str, Labels), Vec<(f64, f64)>> = BTreeMap::new();
    for ((name, labels), value) in &scrape.samples {
        let Some(family) = name.strip_suffix("_bucket") else {
            continue;
        };
        let mut labels = labels.clone();
        let bound = labels.remove("le").expect("a bound");
        all.entry((family, labels))
            .or_default()
            .push((number(&bound), *value));
    }
    for ((family, labels), mut buckets) in all {
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1));
        let last = buckets.last().expect("a bucket");
        let count = scrape
            .samples
            .get(&(format!("{family}_count"), labels.clone()));
        assert_eq!((last.0, Some(&last.1)), (f64::INFINITY, count), "{family}");
        assert!(
            scrape
                .samples
                .contains_key(&(format!("{family}_sum"), labels))
        );
    }
}

fn sample(line: &str) -> (String, Labels, f64) {
    let end = line.find(['{', ' ']).expect("a value");
    let (name, mut rest) = line.split_at(end);
    check_name(name);
    let mut labels = Labels::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        while !rest.starts_with('}') {
            let (label, behind) = rest.split_once("=\"").expect("a label");
            check_name(label);
            assert!(!label.contains(':'), "{line}");
            let (value, behind) = quoted(behind);
            assert!(labels.insert(label.to_owned(), value).is_none(), "{line}");
            rest = match behind.strip_prefix(',') {
                Some(more) => {
                    assert!(!more.starts_with('}'), "{line}");
                    more
                }
                None => behind,
            };
        }
        rest = &rest[1..];
    }
    let value = rest.strip_prefix(' ').expect("one space");
    (name.to_owned(), labels, number(value))
}

/// The text up to the closing quote, and what is behind that.
fn quoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.push(match chars.next().expect("an escaped character").1 {
                'n' => '\n',
                c @ ('"' | '\\') => c,
                c => panic!("\\{c} means nothing"),
            }),
            c => value.push(c),
        }
    }
    panic!("no end: {text}");
}

fn number(text: &str) -> f64 {
    assert!(!text.contains(' ') && !text.is_empty(), "{text}");
    match text {
        "+Inf" => f64::INFINITY,
        text => text.parse().expect("a number"),
    }
}

fn check_name(name: &str) {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let right = name.starts_with(first) && name.chars().all(|c| first(c) || c.is_ascii_digit());
    assert!(right, "{name:?} is no name");
}
