//! Upstreams: connects, reuse, retries, and how their endpoints are.

use std::fmt;
use std::sync::Arc;

use super::super::scrape::Scrape;
use crate::exposition::page::{Family, Page};
use crate::metrics::thread::{CONNECTS, RETRIES};
use crate::upstream::Endpoint;

pub(super) fn write(page: &mut Page<'_>, scrape: &Scrape) -> fmt::Result {
    page.counters(
        "sluice_upstream_connects",
        None,
        "Connects to an endpoint by what came of them",
        |f| {
            for endpoint in &scrape.endpoints {
                for (result, n) in CONNECTS.iter().zip(endpoint.connects) {
                    let [upstream, address] =
                        names(endpoint.place.name(), endpoint.place.address());
                    f.counter(&[upstream, address, ("result", result)], n)?;
                }
            }
            Ok(())
        },
    )?;
    page.counters(
        "sluice_upstream_connections_reused",
        None,
        "Requests that found an open connection to their endpoint",
        |f| {
            for endpoint in &scrape.endpoints {
                let names = names(endpoint.place.name(), endpoint.place.address());
                f.counter(&names, endpoint.reused)?;
            }
            Ok(())
        },
    )?;
    page.counters(
        "sluice_upstream_retries",
        None,
        "Further attempts after a failure with an endpoint, by what had failed",
        |f| {
            for endpoint in &scrape.endpoints {
                for (reason, n) in RETRIES.iter().zip(endpoint.retries) {
                    let [upstream, address] =
                        names(endpoint.place.name(), endpoint.place.address());
                    f.counter(&[upstream, address, ("reason", reason)], n)?;
                }
            }
            Ok(())
        },
    )?;
    page.counter(
        "sluice_dns_failures",
        "Look-ups of upstreams' names that failed",
        scrape.own.dns_failures,
    )?;
    gauges(page, scrape)
}

/// What a gauge tells of one endpoint.
type Look = fn(&Endpoint) -> u32;

/// Which endpoints a gauge has: those of the configuration, or also those that are leaving.
#[derive(Clone, Copy)]
enum Whom {
    Present,
    All,
}

fn gauges(page: &mut Page<'_>, scrape: &Scrape) -> fmt::Result {
    let of_endpoints: [(&str, &str, Whom, Look); 4] = [
        (
            "sluice_upstream_endpoint_up",
            "0 from a failed connect to the next that succeeds, else 1",
            Whom::Present,
            |endpoint| u32::from(!endpoint.has_failed()),
        ),
        (
            "sluice_upstream_endpoint_draining",
            "1 while an endpoint gets nothing new by an operator's command, else 0",
            Whom::Present,
            |endpoint| u32::from(endpoint.is_draining()),
        ),
        (
            "sluice_upstream_requests_in_flight",
            "Exchanges under way with an endpoint",
            Whom::All,
            Endpoint::in_flight,
        ),
        (
            "sluice_upstream_tunnels_open",
            "Tunnels open to an endpoint",
            Whom::All,
            Endpoint::tunnels,
        ),
    ];
    for (name, help, whom, look) in of_endpoints {
        page.gauges(name, None, help, |family| {
            each(scrape, family, whom, |endpoint, _| look(endpoint))
        })?;
    }
    page.gauges(
        "sluice_upstream_endpoint_leaving",
        None,
        "1 for an endpoint that a reload or its name's addresses removed and that still has \
         tunnels or exchanges, else 0",
        |family| each(scrape, family, Whom::All, |_, leaving| u32::from(leaving)),
    )?;
    page.gauges(
        "sluice_upstream_endpoints",
        None,
        "Addresses that an upstream has; 0: none of its names has been resolved",
        |family| {
            for (name, upstream) in &scrape.snapshot.upstreams {
                let count = upstream.endpoints().iter().count();
                family.gauge(&[("upstream", name)], &count)?;
            }
            Ok(())
        },
    )
}

fn each(
    scrape: &Scrape,
    family: &mut Family<'_>,
    whom: Whom,
    look: impl Fn(&Endpoint, bool) -> u32,
) -> fmt::Result {
    let mut tell = |endpoint: &Endpoint, leaving| {
        let names = names(endpoint.upstream(), endpoint.name());
        family.gauge(&names, &look(endpoint, leaving))
    };
    for upstream in scrape.snapshot.upstreams.values() {
        let endpoints = upstream.endpoints();
        { endpoints.iter() }.try_for_each(|endpoint| tell(endpoint, false))?;
    }
    match whom {
        Whom::Present => Ok(()),
        Whom::All => { scrape.leaving.iter() }.try_for_each(|endpoint| tell(endpoint, true)),
    }
}

fn names<'a>(upstream: &'a Arc<str>, endpoint: &'a Arc<str>) -> [(&'a str, &'a str); 2] {
    [("upstream", upstream), ("endpoint", endpoint)]
}
