//! The requests that change something: each is read, handed to the control task, and its
//! outcome answered.

use http::{Request, StatusCode};
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};

use super::answer::{Answer, Refusal, body, json};
use super::state::Context;
use crate::process::order::{DrainRequest, Order, OrderError, Target, UpgradeRequest};
use crate::process::state::Phase;

/// The longest span of a drain in milliseconds: ten years, as in the configuration.
const LONGEST: u64 = 3650 * 86_400_000;

/// Asks for drains to be taken back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UndrainRequest {
    /// Those of this target; without one all of them.
    #[serde(default)]
    pub target: Option<Target>,
}

/// What an order without parameters comes with.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// What came of a request.
type Outcome = Result<Answer, Refusal>;

pub(super) async fn reload(request: Request<Incoming>, context: &Context) -> Outcome {
    let Nothing {} = body(request).await?;
    let reloaded = context.orders.ask(Order::Reload).await;
    // Without a file, or at the end, no configuration could have been taken.
    let possible = context.source.is_some() && context.shared.state.phase() != Phase::Draining;
    let refused = if possible {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::CONFLICT
    };
    outcome(reloaded, refused)
}

pub(super) async fn drain(request: Request<Incoming>, context: &Context) -> Outcome {
    let request: DrainRequest = body(request).await?;
    check(&request).map_err(|wrong| Refusal::new(StatusCode::BAD_REQUEST, wrong))?;
    let drained = context.orders.ask(|answer| Order::Drain(request, answer));
    outcome(drained.await, StatusCode::CONFLICT)
}

fn check(request: &DrainRequest) -> Result<(), &'static str> {
    let DrainRequest {
        target: _,
        over_ms,
        deadline_ms,
    } = *request;
    if over_ms.max(deadline_ms).is_some_and(|span| span > LONGEST) {
        return Err("a drain takes at most ten years");
    }
    match (over_ms, deadline_ms) {
        (Some(over), Some(deadline)) if deadline < over => {
            Err("the deadline (deadline_ms) is shorter than the span (over_ms)")
        }
        _ => Ok(()),
    }
}

pub(super) async fn undrain(request: Request<Incoming>, context: &Context) -> Outcome {
    let UndrainRequest { target } = body(request).await?;
    let undrained = context.orders.ask(|answer| Order::Undrain(target, answer));
    outcome(undrained.await, StatusCode::CONFLICT)
}

pub(super) async fn upgrade(request: Request<Incoming>, context: &Context) -> Outcome {
    let request: UpgradeRequest = body(request).await?;
    let upgraded = context.orders.ask(|answer| Order::Upgrade(request, answer));
    outcome(upgraded.await, StatusCode::CONFLICT)
}

/// `refused`: the status where the order was refused.
fn outcome<T: Serialize>(outcome: Result<T, OrderError>, refused: StatusCode) -> Outcome {
    match outcome {
        Ok(done) => Ok(json(StatusCode::OK, &done)),
        Err(why) => Err(Refusal::of(refused, why)),
    }
}
