//! Closes by command: of one tunnel, or of all that a filter takes. Each gets a Close with
//! the code and reason that were asked for, at once; spreading them is what a drain is for.

use std::sync::Arc;

use http::{Request, StatusCode};
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};

use super::answer::{Answer, Refusal, body, json};
use super::filter::{Filter, FilterRequest, Query};
use super::live::{self, Moment};
use super::state::Context;
use crate::tunnel_registry::CloseOrder;
use crate::vocabulary::ClosedBy;

/// RFC 6455 section 7.4.1: going away.
const GOING_AWAY: u16 = 1001;

/// What fits after the code into a control frame (RFC 6455 section 5.5), in bytes.
const LONGEST_REASON: usize = 123;

/// Asks for closes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CloseRequest {
    /// Which tunnels.
    pub filter: FilterRequest,
    /// Every tunnel is meant; needed where the filter is empty.
    pub all: bool,
    /// The code for both sides; without one 1001.
    pub code: Option<u16>,
    /// The reason for both sides.
    pub reason: Option<String>,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloseOutcome {
    /// Tunnels that are being closed because of it; those that were already are not counted.
    pub closed: u64,
}

/// Closes one tunnel.
pub(super) async fn one(
    context: &Context,
    id: &str,
    query: Option<&str>,
) -> Result<Answer, Refusal> {
    let mut query = Query::parse(query)?;
    let code = query.take("code").map(|text| text.parse::<u16>());
    let code = code.transpose().map_err(|_| bad(&unsendable("it")))?;
    let order = order(code, query.take("reason"))?;
    query.finish()?;
    let live = live::find(context, id).await?;
    if !live.tunnel.handle.close(order) {
        let message = format!("tunnel {id} is being closed already");
        return Err(Refusal::new(StatusCode::CONFLICT, message));
    }
    tracing::info!(tunnel = id, "closed by command");
    Ok(json(StatusCode::ACCEPTED, &CloseOutcome { closed: 1 }))
}

/// Closes all that the filter takes.
pub(super) async fn many(request: Request<Incoming>, context: &Context) -> Result<Answer, Refusal> {
    let CloseRequest {
        filter,
        all,
        code,
        reason,
    } = body(request).await?;
    match (filter.is_empty(), all) {
        (true, false) => {
            return Err(bad(
                "the filter is empty; for every tunnel write \"all\": true",
            ));
        }
        (false, true) => return Err(bad("\"all\" goes with an empty filter")),
        _ => {}
    }
    let order = order(code, reason)?;
    let filter = Filter::new(filter)?;
    let moment = Moment::now(context);
    let mut live = live::all(context).await;
    filter.check(&context.shared, &live)?;
    // Each close wakes its tunnel; the control thread has other things to do meanwhile.
    let closing = move || {
        live.retain(|one| filter.takes(&one.tunnel, moment.now));
        let closed = live
            .iter()
            .filter(|one| one.tunnel.handle.close(order.clone()));
        closed.count() as u64
    };
    let closed = tokio::task::spawn_blocking(closing)
        .await
        .map_err(|_| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "closing broke off"))?;
    tracing::info!(closed, "tunnels closed by command");
    Ok(json(StatusCode::OK, &CloseOutcome { closed }))
}

fn order(code: Option<u16>, reason: Option<String>) -> Result<Arc<CloseOrder>, Refusal> {
    let code = code.unwrap_or(GOING_AWAY);
    let reason = reason.unwrap_or_default();
    if !is_sendable(code) {
        return Err(bad(&unsendable(&code.to_string())));
    }
    check_reason(&reason).map_err(|wrong| bad(&wrong))?;
    Ok(Arc::new(CloseOrder {
        by: ClosedBy::Command,
        detail: None,
        client_code: code,
        upstream_code: code,
        reason: reason.into(),
    }))
}

/// RFC 6455 section 7.4 and the IANA registry: those that may stand in a frame.
pub fn is_sendable(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// What is said of another.
pub fn unsendable(what: &str) -> String {
    format!(
        "{what} is not a close code that can be sent: 1000 to 1003, 1007 to 1014, or 3000 to \
         4999 of your own"
    )
}

/// Whether a close reason fits.
///
/// # Errors
/// How long it is.
pub fn check_reason(reason: &str) -> Result<(), String> {
    match reason.len() {
        0..=LONGEST_REASON => Ok(()),
        length => Err(format!(
            "a close reason has at most {LONGEST_REASON} bytes; this one has {length}"
        )),
    }
}

fn bad(message: &str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_sent_is_taken() {
        for code in [1000, 1001, 1003, 1007, 1014, 3000, 4999] {
            assert!(order(Some(code), None).is_ok(), "{code}");
        }
        for code in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000, u16::MAX] {
            assert!(order(Some(code), None).is_err(), "{code}");
        }
        assert!(order(None, Some("x".repeat(123))).is_ok());
        assert!(order(None, Some("é".repeat(62))).is_err());
    }
}
