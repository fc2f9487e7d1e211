//! What a scrape tells: names, help and labels of every family. Names and units follow the
//! conventions of Prometheus; labels hold configured names and closed lists only.

mod requests;
mod state;
mod tls;
mod tunnels;
mod upstreams;

use std::fmt;

use super::scrape::Scrape;
use crate::exposition::page::Page;

/// Writes all of them.
pub(super) fn write(page: &mut Page<'_>, scrape: &Scrape) -> fmt::Result {
    requests::write(page, scrape)?;
    tunnels::write(page, scrape)?;
    upstreams::write(page, scrape)?;
    tls::write(page, scrape)?;
    state::write(page, scrape)
}
