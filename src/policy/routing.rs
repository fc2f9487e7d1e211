//! Finding the route of a request, and the path that is sent.

use std::borrow::Cow;
use std::sync::Arc;

use http::StatusCode;
use http::header::HeaderValue;
use http::request::Parts;

use crate::config::{PathPattern, PathRewrite};
use crate::fault::error::{Kind, ProxyError};
use crate::net::listen::ListenerInfo;
use crate::route::host;
use crate::route::matcher::{RequestView, Unrouted};
use crate::route::origin::PublicAuthority;
use crate::route::path::{self, PathProblem, RequestPath};
use crate::route::target::Target;
use crate::snapshot::{Route, Snapshot};

/// The readings of the target's path. `OPTIONS *` asks about the server and takes the route of
/// `/`.
pub fn read_path(target: &Target) -> Result<RequestPath<'_>, ProxyError> {
    let path = match target.path() {
        b"*" => b"/",
        path => path,
    };
    path::read(path).map_err(bad_path)
}

fn bad_path(problem: PathProblem) -> ProxyError {
    ProxyError::client(StatusCode::BAD_REQUEST, problem.to_string())
}

/// The path to send, where it differs from the received one.
pub fn sent_path<'a>(
    rewritten: Option<Vec<u8>>,
    target: &Target,
    path: &'a RequestPath<'_>,
) -> Option<Cow<'a, [u8]>> {
    if target.path() == b"*" {
        return None;
    }
    match (rewritten, &path.sent) {
        (Some(rewritten), _) => Some(rewritten.into()),
        (None, Cow::Borrowed(_)) => None,
        (None, Cow::Owned(sent)) => Some(sent.into()),
    }
}

/// The route, and the path to send where the route replaces a prefix. A public host other than
/// that of the request's authority is one that a trusted proxy named in `X-Forwarded-Host`.
pub fn find(
    (snapshot, listener): (&Snapshot, &ListenerInfo),
    parts: &Parts,
    (public, authority): (&PublicAuthority<'_>, &HeaderValue),
    path: &RequestPath<'_>,
    websocket: bool,
) -> Result<(Arc<Route>, Option<Vec<u8>>), ProxyError> {
    let view = RequestView {
        host: host::split_port(public.host).map_or(public.host, |(host, _)| host),
        path: &path.normal,
        readings: &path.readings,
        method: &parts.method,
        headers: &parts.headers,
        websocket,
    };
    let table = snapshot.tables.of(listener.name.as_deref());
    let find = |view: &RequestView<'_>| match table.find(view) {
        Ok(index) => Ok(snapshot.routes.get(index).cloned()),
        Err(Unrouted::NoRoute) => Ok(None),
        Err(Unrouted::Ambiguous) => Err(bad_path(PathProblem::AnotherRoute)),
    };
    let route = find(&view)?.ok_or_else(|| {
        ProxyError::sluice(
            StatusCode::NOT_FOUND,
            Kind::DestinationUnavailable,
            match public.host.as_bytes() == authority.as_bytes() {
                true => "no route takes this host, path and method",
                false => "no route takes the host of X-Forwarded-Host, this path and method",
            },
        )
    })?;
    let rules = (&route.config.rewrite, &route.config.matches.path);
    let (PathRewrite::ReplacePrefix(to), PathPattern::Prefix(prefix)) = rules else {
        return Ok((route, None));
    };
    let rewritten = path::rewrite(&path.sent, &path.normal, prefix, to);
    let readings = path::before_rewrite(&rewritten, prefix, to).map_err(bad_path)?;
    if !readings.is_empty() {
        find(&RequestView {
            readings: &readings,
            ..view
        })?;
    }
    Ok((route, Some(rewritten)))
}
