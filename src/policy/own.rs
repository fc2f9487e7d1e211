//! Answers that need no upstream: about sluice itself, and from routes that respond or
//! redirect.

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};

use super::redirect;
use crate::config::Action;
use crate::fault::answer::{PROXY_NAME, PROXY_STATUS};
use crate::fault::error::{Kind, ProxyError};
use crate::message::headers;
use crate::route::origin::PublicAuthority;
use crate::route::target::Target;
use crate::snapshot::Route;

/// `OPTIONS` with `Max-Forwards: 0` asks sluice itself (RFC 9110 section 7.6.2): it is how
/// `sluice health` asks. Otherwise the count goes down by one.
pub fn by_hop_count(parts: &mut Parts) -> Option<Response<Bytes>> {
    if parts.method != Method::OPTIONS {
        return None;
    }
    let left = parts.headers.get(header::MAX_FORWARDS)?;
    let left: u32 = left.to_str().ok()?.parse().ok()?;
    let Some(left) = left.checked_sub(1) else {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let own = HeaderValue::from_static(PROXY_NAME);
        response.headers_mut().insert(PROXY_STATUS, own);
        return Some(response);
    };
    parts
        .headers
        .insert(header::MAX_FORWARDS, HeaderValue::from(left));
    None
}

/// The redirect of a listener whose clients are to come by https, on this port. A client of
/// WebSocket is sent to `wss`, which is all that most of them understand.
pub fn to_https(
    port: u16,
    websocket: bool,
    path: &[u8],
    target: &Target,
    public: &PublicAuthority<'_>,
) -> Result<Response<Bytes>, ProxyError> {
    if public.host.is_empty() {
        let detail = "the request has no Host that could be redirected to https";
        return Err(ProxyError::client(StatusCode::BAD_REQUEST, detail));
    }
    let scheme = if websocket { "wss" } else { "https" };
    let to = match port {
        443 => format!("{scheme}://{{hostname}}{{path}}{{query}}"),
        port => format!("{scheme}://{{hostname}}:{port}{{path}}{{query}}"),
    };
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    set_location(
        &mut response,
        redirect::location(&to, public, path, target.query()),
    )?;
    Ok(response)
}

fn set_location(response: &mut Response<Bytes>, to: String) -> Result<(), ProxyError> {
    let location = HeaderValue::try_from(to).map_err(|_| {
        ProxyError::client(StatusCode::BAD_REQUEST, "the redirect would not be valid")
    })?;
    response.headers_mut().insert(header::LOCATION, location);
    Ok(())
}

/// The answer of a route with `respond` or `redirect`.
pub fn of_route(
    route: &Route,
    path: &[u8],
    target: &Target,
    public: &PublicAuthority<'_>,
) -> Result<Response<Bytes>, ProxyError> {
    let mut response = Response::new(Bytes::new());
    match &route.config.action {
        Action::Respond { status, body } => {
            *response.status_mut() = *status;
            *response.body_mut() = Bytes::copy_from_slice(body.as_bytes());
            let text = HeaderValue::from_static("text/plain; charset=utf-8");
            response.headers_mut().insert(header::CONTENT_TYPE, text);
        }
        Action::Redirect { status, to } => {
            *response.status_mut() = *status;
            if public.host.is_empty() && redirect::needs_host(to) {
                return Err(ProxyError::client(
                    StatusCode::BAD_REQUEST,
                    "the request has no Host, which the redirect needs",
                ));
            }
            set_location(
                &mut response,
                redirect::location(to, public, path, target.query()),
            )?;
        }
        Action::Upstream(name) => {
            return Err(ProxyError::sluice(
                StatusCode::INTERNAL_SERVER_ERROR,
                Kind::Internal,
                format!("the upstream {name} is gone"),
            ));
        }
    }
    headers::apply_edits(response.headers_mut(), &route.config.response_headers);
    Ok(response)
}
