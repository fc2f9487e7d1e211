//! Which request is answered by whom. What is not in the table is 404, or 405 with the
//! methods that would be right.

use std::sync::Arc;

use http::{Method, Request, StatusCode};
use hyper::body::Incoming;

use super::answer::{Answer, Refusal, json, page};
use super::filter::Query;
use super::slots::Slot;
use super::state::{AdminState, Context};
use super::{
    close, dashboard, health, instance, numbers, orders, stats, status, stream, tap, tunnels,
    upstreams,
};
use crate::exposition;

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Dashboard,
    Live,
    Ready,
    Metrics,
    OpenApi,
    Status,
    Config,
    Routes,
    Upstreams,
    Tunnels,
    Tunnel,
    CloseTunnel,
    CloseTunnels,
    Events,
    Tap,
    Stats,
    Reload,
    Drains,
    Drain,
    Undrain,
    Upgrade,
}

impl What {
    /// Whether a query is read where the answer is made, or, outside of `/v1`, may say what it
    /// likes: scrapers and browsers add to it. Elsewhere a filter that is none is a mistake.
    fn takes_parameters(self, path: &str) -> bool {
        let reads = matches!(
            self,
            What::Tunnels | What::CloseTunnel | What::Events | What::Tap
        );
        reads || !path.starts_with("/v1/")
    }
}

/// What a request gets.
enum Granted {
    /// An answer that is there.
    Answer(Answer),
    /// One without an end.
    Stream(Answer),
}

/// `{id}` stands for one segment.
static TABLE: [(Method, &str, What); 21] = [
    (Method::GET, "/", What::Dashboard),
    (Method::GET, "/healthz", What::Live),
    (Method::GET, "/readyz", What::Ready),
    (Method::GET, "/metrics", What::Metrics),
    (Method::GET, "/openapi.json", What::OpenApi),
    (Method::GET, "/v1/status", What::Status),
    (Method::GET, "/v1/config", What::Config),
    (Method::GET, "/v1/routes", What::Routes),
    (Method::GET, "/v1/upstreams", What::Upstreams),
    (Method::GET, "/v1/tunnels", What::Tunnels),
    (Method::GET, "/v1/tunnels/{id}", What::Tunnel),
    (Method::DELETE, "/v1/tunnels/{id}", What::CloseTunnel),
    (Method::POST, "/v1/tunnels/close", What::CloseTunnels),
    (Method::GET, "/v1/events", What::Events),
    (Method::GET, "/v1/tap", What::Tap),
    (Method::GET, "/v1/stats", What::Stats),
    (Method::POST, "/v1/reload", What::Reload),
    (Method::GET, "/v1/drains", What::Drains),
    (Method::POST, "/v1/drain", What::Drain),
    (Method::POST, "/v1/undrain", What::Undrain),
    (Method::POST, "/v1/upgrade", What::Upgrade),
];

/// The description of all of it (OpenAPI 3.1).
static OPENAPI: &str = include_str!("openapi.json");

pub(super) async fn answer(
    request: Request<Incoming>,
    admin: &AdminState,
    slot: Arc<Slot>,
) -> Answer {
    slot.talks();
    match granted(request, admin, &slot).await {
        Ok(Granted::Answer(answer)) => {
            slot.talks();
            answer
        }
        Ok(Granted::Stream(answer)) if slot.follows() => answer,
        Ok(Granted::Stream(_)) => {
            slot.talks();
            let message = "as many follow a stream as the limit of open files has room for";
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message).into()
        }
        Err(refusal) => {
            slot.talks();
            refusal.into()
        }
    }
}

async fn granted(
    request: Request<Incoming>,
    admin: &AdminState,
    slot: &Slot,
) -> Result<Granted, Refusal> {
    let context: &Context = &admin.context;
    let token = context.token.as_ref();
    admin.guard.check(&request, token)?;
    if admin.guard.shows_a_right(&request, token) {
        slot.is_known();
    }
    instance::check(request.headers(), context.source.as_ref()).await?;
    let what = find(request.method(), request.uri().path())?;
    let state = &context.shared.state;
    let snapshot = || context.shared.snapshot.load();
    let uri = request.uri().clone();
    if !what.takes_parameters(uri.path()) {
        Query::parse(uri.query())?.finish()?;
    }
    // The last segment, where it is a parameter.
    let id = || uri.path().rsplit('/').next().unwrap_or_default();
    let closing = || admin.closing.subscribe();
    let answer = match what {
        What::Dashboard => Ok(dashboard::page()),
        What::Live => Ok(health::live()),
        What::Ready => Ok(health::ready(state)),
        What::Metrics => Ok(numbers::of(&request, context).await),
        What::OpenApi => Ok(page("application/json", OPENAPI.to_owned())),
        What::Status => Ok(json(
            StatusCode::OK,
            &status::of(context, &admin.history).await,
        )),
        What::Config => Ok(json(StatusCode::OK, &snapshot().config.to_json())),
        What::Routes => Ok(json(
            StatusCode::OK,
            &upstreams::routes(&snapshot(), &exposition::figures()),
        )),
        What::Upstreams => Ok(json(StatusCode::OK, &upstreams::of(&context.shared))),
        What::Tunnels => Ok(json(
            StatusCode::OK,
            &tunnels::list(context, uri.query()).await?,
        )),
        What::Tunnel => Ok(json(StatusCode::OK, &tunnels::one(context, id()).await?)),
        What::CloseTunnel => close::one(context, id(), uri.query()).await,
        What::CloseTunnels => close::many(request, context).await,
        What::Events => {
            let events = stream::of(request.headers(), uri.query(), closing())?;
            return Ok(Granted::Stream(events));
        }
        What::Tap => {
            let frames = tap::of(context, uri.query(), closing()).await?;
            return Ok(Granted::Stream(frames));
        }
        What::Stats => Ok(json(
            StatusCode::OK,
            &stats::of(context, &admin.history).await,
        )),
        What::Reload => orders::reload(request, context).await,
        What::Drains => Ok(json(StatusCode::OK, &state.drain_views())),
        What::Drain => orders::drain(request, context).await,
        What::Undrain => orders::undrain(request, context).await,
        What::Upgrade => orders::upgrade(request, context).await,
    };
    answer.map(Granted::Answer)
}

fn is_at(own: &str, path: &str) -> bool {
    match own.strip_suffix("{id}") {
        None => own == path,
        // What stands in the table by itself is no parameter.
        Some(before) => path.strip_prefix(before).is_some_and(|id| {
            !id.is_empty() && !id.contains('/') && TABLE.iter().all(|(_, other, _)| *other != path)
        }),
    }
}

fn find(method: &Method, path: &str) -> Result<What, Refusal> {
    let at_path = || TABLE.iter().filter(|(_, own, _)| is_at(own, path));
    // RFC 9110 section 9.3.2: HEAD is GET whose body is not sent; hyper leaves it out.
    let asked = match *method {
        Method::HEAD => &Method::GET,
        _ => method,
    };
    if let Some((_, _, what)) = at_path().find(|(own, _, _)| own == asked) {
        return Ok(*what);
    }
    let mut allowed: Vec<&str> = at_path().map(|(own, _, _)| own.as_str()).collect();
    if allowed.is_empty() {
        let message = format!("there is nothing at {path}");
        return Err(Refusal::new(StatusCode::NOT_FOUND, message));
    }
    if allowed.contains(&"GET") {
        allowed.push("HEAD");
    }
    let allowed = allowed.join(", ");
    let message = format!("{path} takes {allowed}");
    Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, message).allow(&allowed))
}

#[cfg(test)]
mod tests {
    use http::header::ALLOW;

    use super::*;

    #[test]
    fn a_request_finds_its_answer_or_learns_what_would_be_right() {
        for (method, path, what) in &TABLE {
            let path = path.replace("{id}", "7");
            assert_eq!(find(method, &path).unwrap(), *what, "{method} {path}");
        }
        assert_eq!(find(&Method::HEAD, "/readyz").unwrap(), What::Ready);
        for (method, path, status, allow) in [
            (Method::POST, "/", 405, Some("GET, HEAD")),
            (Method::GET, "/healthz/", 404, None),
            (Method::POST, "/v1/nothing", 404, None),
            (Method::POST, "/healthz", 405, Some("GET, HEAD")),
            (Method::GET, "/v1/reload", 405, Some("POST")),
            (Method::HEAD, "/v1/reload", 405, Some("POST")),
            (Method::DELETE, "/v1/drains", 405, Some("GET, HEAD")),
            (
                Method::POST,
                "/v1/tunnels/7",
                405,
                Some("GET, DELETE, HEAD"),
            ),
            (Method::GET, "/v1/tunnels/close", 405, Some("POST")),
            (Method::GET, "/v1/tunnels/", 404, None),
            (Method::GET, "/v1/tunnels/7/x", 404, None),
        ] {
            let refusal = Answer::from(find(&method, path).unwrap_err());
            assert_eq!(refusal.status().as_u16(), status, "{method} {path}");
            let said = refusal.headers().get(ALLOW);
            assert_eq!(said.map(|value| value.to_str().unwrap()), allow, "{path}");
        }
    }

    #[test]
    fn the_description_has_every_request_and_no_other() {
        let described: serde_json::Value = serde_json::from_str(OPENAPI).unwrap();
        let paths = described["paths"].as_object().unwrap().iter();
        let mut said: Vec<(String, String)> = paths
            .flat_map(|(path, methods)| {
                let methods = methods.as_object().unwrap().keys();
                methods.map(|method| (path.clone(), method.to_uppercase()))
            })
            .collect();
        let mut known: Vec<(String, String)> = TABLE
            .iter()
            .map(|(method, path, _)| ((*path).to_owned(), method.to_string()))
            .collect();
        said.sort();
        known.sort();
        assert_eq!(said, known);
    }
}
