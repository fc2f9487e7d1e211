//! TLS: handshakes, why they failed, and the certificates in force.

use std::fmt;
use std::time::SystemTime;

use super::super::scrape::Scrape;
use crate::certificate::facts::Life;
use crate::exposition::page::{Page, SECONDS, unix};
use crate::net::tls::{Certificate, Kind};

pub(super) fn write(page: &mut Page<'_>, scrape: &Scrape) -> fmt::Result {
    page.counters(
        "sluice_tls_handshakes",
        None,
        "TLS handshakes of clients that were completed; resumed: of an earlier session",
        |family| {
            for (at, n) in scrape.own.tls_handshakes.into_iter().enumerate() {
                let version = if at < 2 { "1.2" } else { "1.3" };
                let resumed = if at % 2 == 0 { "false" } else { "true" };
                family.counter(&[("version", version), ("resumed", resumed)], n)?;
            }
            Ok(())
        },
    )?;
    page.counters(
        "sluice_tls_handshake_errors",
        None,
        "TLS handshakes of clients that came to nothing, by kind",
        |family| {
            for ((_, kind), n) in Kind::ALL.iter().zip(scrape.own.tls_failures) {
                family.counter(&[("reason", kind)], n)?;
            }
            Ok(())
        },
    )?;
    certificates(page, scrape)
}

fn certificates(page: &mut Page<'_>, scrape: &Scrape) -> fmt::Result {
    let secured = scrape.snapshot.secured();
    let all: Vec<(String, Vec<Certificate>)> = secured
        .map(|(address, server)| (address.to_string(), server.certificates()))
        .collect();
    let each = || {
        all.iter().flat_map(|(listen, certificates)| {
            certificates.iter().map(move |certificate| {
                let cert = certificate.files.cert.display().to_string();
                (&**listen, cert, certificate)
            })
        })
    };
    page.gauges(
        "sluice_certificate_end_timestamp",
        SECONDS,
        "When a listener's certificate ends, in seconds since 1970",
        |family| {
            for (listen, cert, certificate) in each() {
                let labels = [
                    ("listen", listen),
                    ("cert", &cert),
                    ("name", certificate.facts.name()),
                ];
                family.gauge(&labels, &unix(certificate.facts.ends))?;
            }
            Ok(())
        },
    )?;
    let now = SystemTime::now();
    page.gauges(
        "sluice_certificate_expires_soon",
        None,
        "1 from 14 days before a certificate's end, or from the last third of a shorter life",
        |family| {
            for (listen, cert, certificate) in each() {
                let labels = [("listen", listen), ("cert", &*cert)];
                let is_due = matches!(
                    certificate.facts.life(now),
                    Life::ExpiresSoon | Life::Expired
                );
                family.gauge(&labels, &u32::from(is_due))?;
            }
            Ok(())
        },
    )?;
    page.gauges(
        "sluice_certificate_last_read_successful",
        None,
        "0 if a certificate's files could not be read again and the one before stays, else 1",
        |family| {
            for (listen, cert, certificate) in each() {
                let labels = [("listen", listen), ("cert", &*cert)];
                family.gauge(&labels, &u32::from(certificate.problem.is_none()))?;
            }
            Ok(())
        },
    )
}
