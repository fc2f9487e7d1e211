//! Tunnels: how many, why they ended, how long they lived and what they moved.

use std::fmt;

use super::super::scrape::{Scrape, TunnelSums};
use crate::exposition::page::{BYTES, Page};
use crate::metrics::cells::{LIVES, WAITS};
use crate::metrics::labels::CODES;
use crate::metrics::thread::{FLOWS, flow};
use crate::vocabulary::ClosedBy;

const SIDES: [&str; 2] = ["client", "upstream"];
const DIRECTIONS: [&str; 2] = ["from_client", "from_upstream"];

pub(super) fn write(page: &mut Page<'_>, scrape: &Scrape) -> fmt::Result {
    page.gauges("sluice_tunnels_open", None, "Tunnels that are open", |f| {
        each(scrape, |route, tunnels| {
            f.gauge(&[("route", route)], &tunnels.open)
        })
    })?;
    page.counters("sluice_tunnels_opened", None, "Tunnels opened", |f| {
        each(scrape, |route, tunnels| {
            f.counter(&[("route", route)], tunnels.opened)
        })
    })?;
    ends(page, scrape)?;
    flows(page, scrape)?;
    page.histograms(
        "sluice_tunnel_ping_rtt",
        "From a Ping to its Pong, whichever side sent the Ping, by the side that answered",
        |f| {
            let both = SIDES.iter().zip(&scrape.own.round_trips);
            { both }.try_for_each(|(side, spans)| f.histogram(&[("side", side)], &WAITS, spans))
        },
    )
}

fn ends(page: &mut Page<'_>, scrape: &Scrape) -> fmt::Result {
    page.counters(
        "sluice_tunnels_closed",
        None,
        "Tunnels that have ended, by who or what ended them",
        |f| {
            each(scrape, |route, tunnels| {
                for (by, n) in ClosedBy::ALL.iter().zip(tunnels.closed_by) {
                    f.counter(&[("route", route), ("closed_by", by.as_str())], n)?;
                }
                Ok(())
            })
        },
    )?;
    page.counters(
        "sluice_tunnel_close_codes",
        None,
        "Close codes that each side sent; none: it ended without a Close, 1005: without a code",
        |f| {
            each(scrape, |route, tunnels| {
                for (side, codes) in SIDES.iter().zip(&tunnels.codes) {
                    for (code, n) in CODES.iter().zip(codes).filter(|(_, n)| **n > 0) {
                        f.counter(&[("route", route), ("side", side), ("code", code)], *n)?;
                    }
                }
                Ok(())
            })
        },
    )?;
    page.histograms(
        "sluice_tunnel_lifetime",
        "From a tunnel's 101 to its end",
        |f| {
            each(scrape, |route, tunnels| {
                f.histogram(&[("route", route)], &LIVES, &tunnels.lifetime)
            })
        },
    )
}

fn flows(page: &mut Page<'_>, scrape: &Scrape) -> fmt::Result {
    const MESSAGES: [(&str, usize); 5] = [
        ("text", flow::TEXT),
        ("binary", flow::BINARY),
        ("ping", flow::PING),
        ("pong", flow::PONG),
        ("close", flow::CLOSE),
    ];
    const PAYLOADS: [(&str, usize); 2] =
        [("text", flow::TEXT_BYTES), ("binary", flow::BINARY_BYTES)];
    page.counters(
        "sluice_tunnel_messages",
        None,
        "Complete messages and control frames; a Close is counted when its tunnel has ended",
        |f| {
            each_flow(scrape, |route, direction, flow| {
                for (opcode, at) in MESSAGES {
                    let labels = [("route", route), ("direction", direction)];
                    f.counter(&[labels[0], labels[1], ("opcode", opcode)], flow[at])?;
                }
                Ok(())
            })
        },
    )?;
    page.counters(
        "sluice_tunnel_payload",
        BYTES,
        "Payload of data messages as it is on the wire, maybe compressed",
        |f| {
            each_flow(scrape, |route, direction, flow| {
                for (opcode, at) in PAYLOADS {
                    let labels = [("route", route), ("direction", direction)];
                    f.counter(&[labels[0], labels[1], ("opcode", opcode)], flow[at])?;
                }
                Ok(())
            })
        },
    )?;
    page.counters(
        "sluice_tunnel",
        BYTES,
        "Everything that came through tunnels, control frames and frame headers included",
        |f| {
            each_flow(scrape, |route, direction, flow| {
                f.counter(
                    &[("route", route), ("direction", direction)],
                    flow[flow::BYTES],
                )
            })
        },
    )
}

/// Every route that has had a tunnel.
fn each(scrape: &Scrape, mut write: impl FnMut(&str, &TunnelSums) -> fmt::Result) -> fmt::Result {
    for (name, route) in &scrape.routes {
        if let Some(tunnels) = &route.tunnels {
            write(name, tunnels)?;
        }
    }
    Ok(())
}

fn each_flow(
    scrape: &Scrape,
    mut write: impl FnMut(&str, &str, &[u64; FLOWS]) -> fmt::Result,
) -> fmt::Result {
    each(scrape, |route, tunnels| {
        for (direction, flow) in DIRECTIONS.iter().zip(&tunnels.flows) {
            write(route, direction, flow)?;
        }
        Ok(())
    })
}
