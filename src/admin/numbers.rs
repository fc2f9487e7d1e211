//! `/metrics`: asks every worker for what it alone knows, and answers in the form that the
//! client wants. What is counted, and how it is spelled, is up to `metrics`.

use http::Request;
use http::header::{ACCEPT, HeaderValue, VARY};
use hyper::body::Incoming;

use super::answer::{Answer, page};
use super::state::Context;
use crate::exposition;

pub(super) async fn of(request: &Request<Incoming>, context: &Context) -> Answer {
    let accepts = request.headers().get_all(ACCEPT).into_iter();
    let accepts: Vec<&str> = accepts.filter_map(|value| value.to_str().ok()).collect();
    let openmetrics = exposition::wants_openmetrics(&accepts.join(","));
    let live = context.workers.ask(|| exposition::sample).await;
    let text = exposition::render(&context.shared, &live, openmetrics);
    let media_type = match openmetrics {
        true => exposition::OPENMETRICS,
        false => exposition::PROMETHEUS,
    };
    let mut answer = page(media_type, text);
    answer
        .headers_mut()
        .insert(VARY, HeaderValue::from_static("accept"));
    answer
}
