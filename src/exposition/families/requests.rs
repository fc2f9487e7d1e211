//! Plain exchanges and handshakes, and how long they took. Tunnels' lives are not in here.

use std::fmt;

use super::super::scrape::Scrape;
use crate::exposition::page::Page;
use crate::metrics::cells::WAITS;
use crate::metrics::labels::{CAUSES, ERRORS, METHODS, status_label};

pub(super) fn write(page: &mut Page<'_>, scrape: &Scrape) -> fmt::Result {
    counts(page, scrape)?;
    spans(page, scrape)?;
    page.counters(
        "sluice_handshakes_refused",
        None,
        "WebSocket handshakes that became no tunnel, by the group and name of the cause",
        |family| {
            for (name, route) in &scrape.routes {
                let refusals = route.refusals.iter().flat_map(|refusals| refusals.iter());
                for ((cause, reason), n) in CAUSES.iter().zip(refusals) {
                    if *n > 0 {
                        let route = ("route", &**name);
                        family.counter(&[route, ("reason", reason), ("cause", cause)], *n)?;
                    }
                }
            }
            Ok(())
        },
    )
}

fn counts(page: &mut Page<'_>, scrape: &Scrape) -> fmt::Result {
    page.counters(
        "sluice_requests",
        None,
        "Requests that have ended, handshakes included; without a route: none took them",
        |family| {
            for (name, route) in &scrape.routes {
                for (method, statuses) in &route.requests {
                    for (place, n) in statuses.iter().enumerate().filter(|(_, n)| **n > 0) {
                        let labels = [
                            ("route", &**name),
                            ("method", METHODS[*method]),
                            ("status", &status_label(place)),
                        ];
                        family.counter(&labels, *n)?;
                    }
                }
            }
            Ok(())
        },
    )?;
    page.counters(
        "sluice_request_errors",
        None,
        "Answers of sluice's own that were errors, by their type in RFC 9209",
        |family| {
            for (error, n) in ERRORS.iter().zip(&scrape.own.errors) {
                family.counter(&[("error", error)], *n)?;
            }
            Ok(())
        },
    )
}

fn spans(page: &mut Page<'_>, scrape: &Scrape) -> fmt::Result {
    page.histograms(
        "sluice_request_first_byte",
        "From a request's head to the head of its answer, handshakes excluded",
        |family| {
            for (name, route) in &scrape.routes {
                if route.first_byte.count() > 0 {
                    family.histogram(&[("route", name)], &WAITS, &route.first_byte)?;
                }
            }
            Ok(())
        },
    )?;
    page.histograms(
        "sluice_request_duration",
        "From a request's head to the end of its answer, handshakes excluded",
        |family| {
            for (name, route) in &scrape.routes {
                if route.exchange.count() > 0 {
                    family.histogram(&[("route", name)], &WAITS, &route.exchange)?;
                }
            }
            Ok(())
        },
    )?;
    page.histograms(
        "sluice_handshake_duration",
        "From a WebSocket handshake's head to the 101 or the refusal",
        |family| {
            for (name, route) in &scrape.routes {
                for (outcome, spans) in ["opened", "refused"].iter().zip(&route.handshakes) {
                    if spans.count() > 0 {
                        let labels = [("route", &**name), ("outcome", outcome)];
                        family.histogram(&labels, &WAITS, spans)?;
                    }
                }
            }
            Ok(())
        },
    )
}
