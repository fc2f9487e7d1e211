//! The certificates of a configuration, judged before they are in force: what keeps a start from
//! succeeding, and what clients would stumble over.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::SystemTime;

use super::certificates::Certificate;
use crate::certificate::facts::Life;
use crate::certificate::{Facts, chain, pem};
use crate::config::{CertificateFiles, Config, HostPattern, Listener};

/// Something that is wrong with a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What, and what would be right.
    pub message: String,
    /// Whether a start fails of it.
    pub fatal: bool,
}

/// Reads all of them, and says what is wrong. Waits for files.
pub fn of(config: &Config) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut held: Vec<String> = Vec::new();
    let secured = config.listeners.iter().filter_map(|one| one.tls.as_ref());
    for files in secured.flat_map(|tls| &tls.certificates) {
        match Certificate::read(files) {
            Err(error) => found.push(Finding {
                message: format!("{error} (`listen.tls`)"),
                fatal: true,
            }),
            Ok(certificate) => {
                let facts = &certificate.facts;
                held.extend(facts.names.iter().cloned());
                let doubts = doubts(files, facts, config);
                found.extend(doubts.into_iter().map(|message| Finding {
                    message,
                    fatal: false,
                }));
            }
        }
    }
    if found.iter().all(|finding| !finding.fatal) {
        found.extend(hosts_without(config, &held));
    }
    found
}

/// What is hardly meant.
fn doubts(files: &CertificateFiles, facts: &Facts, config: &Config) -> Vec<String> {
    let cert = files.cert.display();
    let mut doubts = Vec::new();
    let all = pem::certificates(&files.cert).unwrap_or_default();
    let all: Result<Vec<Facts>, String> = all.iter().map(|der| Facts::of(der)).collect();
    match all.as_deref().map(chain::doubt) {
        Ok(None) => {}
        Ok(Some(why)) => doubts.push(format!("{cert}: {why}")),
        Err(why) => doubts.push(format!("{cert}: a certificate of the chain: {why}")),
    }
    let (now, end) = (SystemTime::now(), facts.end_text());
    match facts.life(now) {
        Life::Valid => {}
        Life::Expired => doubts.push(format!(
            "{cert}: it has expired at {end}: clients refuse it"
        )),
        Life::ExpiresSoon => doubts.push(format!("{cert}: it expires at {end}: renew it")),
        Life::NotYet => doubts.push(format!(
            "{cert}: it does not hold yet: is this machine's clock right?"
        )),
    }
    if facts.names.is_empty() {
        doubts.push(format!(
            "{cert}: it holds for no name (subjectAltName), and clients do not look at the \
             common name: they will refuse it"
        ));
    }
    let routed = hosts(config);
    for name in &facts.names {
        if routed
            .as_ref()
            .is_some_and(|hosts| !hosts.iter().any(|host| meets(host, name)))
        {
            doubts.push(format!(
                "{cert}: it holds for `{name}`, which is the `host` of no route: requests for \
                 it get 404"
            ));
        }
    }
    if let Some(mode) = mode(&files.key).filter(|mode| mode & 0o004 != 0) {
        doubts.push(format!(
            "{}: every user of this machine can read the private key (mode {:04o}): chmod 0600",
            files.key.display(),
            mode & 0o7777
        ));
    }
    doubts
}

fn mode(file: &Path) -> Option<u32> {
    file.metadata().ok().map(|found| found.permissions().mode())
}

/// The hosts of all routes; `None` where a route takes every host.
fn hosts(config: &Config) -> Option<Vec<&HostPattern>> {
    let mut all = Vec::new();
    for route in &config.routes {
        if route.matches.hosts.is_empty() {
            return None;
        }
        all.extend(&route.matches.hosts);
    }
    Some(all)
}

/// Whether a request for a name of the certificate may be one for this host.
fn meets(host: &HostPattern, name: &str) -> bool {
    let below = |name: &str, suffix: &str| {
        name.strip_suffix(suffix)
            .is_some_and(|rest| rest.ends_with('.') && rest.len() > 1)
    };
    match (host, name.strip_prefix("*.")) {
        (HostPattern::Exact(host), None) => host.trim_matches(['[', ']']) == name,
        (HostPattern::Exact(host), Some(parent)) => covers(parent, host),
        (HostPattern::Suffix(suffix), None) => below(name, suffix),
        (HostPattern::Suffix(suffix), Some(parent)) => parent == suffix || below(parent, suffix),
    }
}

/// Whether a wildcard over `parent` holds for the host.
fn covers(parent: &str, host: &str) -> bool {
    host.split_once('.')
        .is_some_and(|(label, rest)| !label.is_empty() && rest == parent)
}

/// Hosts of routes that no certificate holds for, where every listener speaks TLS.
fn hosts_without(config: &Config, held: &[String]) -> Vec<Finding> {
    let is_secure = |listener: &Listener| listener.tls.is_some();
    if !config.listeners.iter().all(is_secure) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for route in &config.routes {
        for host in &route.matches.hosts {
            if !held.iter().any(|name| meets(host, name)) {
                found.push(Finding {
                    message: format!(
                        "no certificate holds for `{host}`, the `host` of route `{}`: clients \
                         will refuse what they get",
                        route.name
                    ),
                    fatal: false,
                });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_meets_the_hosts_that_it_is_asked_for() {
        let exact = |host: &str| HostPattern::Exact(host.to_owned());
        let below = |suffix: &str| HostPattern::Suffix(suffix.to_owned());
        for (host, name, meet) in [
            (exact("a.test"), "a.test", true),
            (exact("a.test"), "b.test", false),
            (exact("x.a.test"), "*.a.test", true),
            (exact("y.x.a.test"), "*.a.test", false),
            (exact("a.test"), "*.a.test", false),
            (exact("[::1]"), "::1", true),
            (below("a.test"), "x.a.test", true),
            (below("a.test"), "y.x.a.test", true),
            (below("a.test"), "a.test", false),
            (below("a.test"), "xa.test", false),
            (below("a.test"), "*.a.test", true),
            (below("a.test"), "*.x.a.test", true),
            (below("x.a.test"), "*.a.test", false),
            (below("a.test"), "*.b.test", false),
        ] {
            assert_eq!(meets(&host, name), meet, "{host} and {name}");
        }
    }
}
