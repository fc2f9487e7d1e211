//! `[listen.tls]`: the files of its certificates. Whether they can be used is found out by reading
//! them.

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::form::file::FilePath;
use crate::config::listen::ListenTable;
use crate::config::tls::{CertificateFiles, TlsConfig, TlsTable};
use crate::config::{Listener, Scheme};
use crate::setting::list::Blocks;
use crate::setting::read::{Key, Located, Sink};
use crate::setting::typed::Setting;

/// Puts what the file says of TLS into the listener.
pub(super) fn secure(table: &ListenTable, listener: &mut Listener, sink: &mut Sink) {
    let Some(tls) = table.tls.value() else {
        return;
    };
    if let Some(scheme) = table
        .scheme
        .given()
        .filter(|scheme| scheme.value == Scheme::Http)
    {
        sink.at(
            scheme,
            "clients of a listener with `[listen.tls]` come by https",
        )
        .hint("leave `scheme` out");
    }
    listener.scheme = Scheme::Https;
    let mut config = TlsConfig {
        certificates: certificates(tls, sink),
        ..TlsConfig::default()
    };
    tls.apply(&mut config);
    listener.tls = Some(Arc::new(config));
}

fn certificates(tls: &TlsTable, sink: &mut Sink) -> Vec<CertificateFiles> {
    let mut all = Vec::new();
    let mut given: Vec<&Located<FilePath>> = Vec::new();
    match (tls.cert.given(), tls.key.given()) {
        (Some(cert), Some(key)) => add(cert, key, &mut all, &mut given, sink),
        (Some(cert), None) if tls.key.is_absent() => {
            sink.at(cert, "`cert` needs its `key`")
                .hint("write the file with the private key as `key`; both may stand in one file");
        }
        (None, Some(key)) if tls.cert.is_absent() => {
            sink.at(key, "`key` needs its `cert`")
                .hint("write the file with the certificate chain as `cert`");
        }
        _ => {}
    }
    for block in tls
        .certificate
        .value()
        .into_iter()
        .flat_map(|blocks| &blocks.0)
    {
        if let (Some(cert), Some(key)) = (block.value.cert.given(), block.value.key.given()) {
            add(cert, key, &mut all, &mut given, sink);
        }
    }
    let nothing = tls.cert.is_absent() && tls.key.is_absent() && !has_blocks(&tls.certificate);
    if nothing {
        sink.report(
            &tls.span,
            &tls.key_path,
            "`[listen.tls]` has no certificate",
        )
        .hint(
            "write `cert = \"/path/fullchain.pem\"` and `key = \"/path/privkey.pem\"`; \
                 `sluice dev-cert` makes a pair for a try-out",
        );
    }
    all
}

fn has_blocks<T>(blocks: &Key<Blocks<T>>) -> bool {
    blocks.is_invalid() || blocks.value().is_some_and(|blocks| !blocks.0.is_empty())
}

fn add<'t>(
    cert: &'t Located<FilePath>,
    key: &Located<FilePath>,
    all: &mut Vec<CertificateFiles>,
    given: &mut Vec<&'t Located<FilePath>>,
    sink: &mut Sink,
) {
    if let Some(first) = given.iter().find(|first| first.value == cert.value) {
        let path: PathBuf = cert.value.value();
        let message = format!("{} is named twice", path.display());
        sink.at(cert, message)
            .related(first.span.clone(), "first here");
    }
    given.push(cert);
    all.push(CertificateFiles {
        cert: cert.value.value(),
        key: key.value.value(),
    });
}
