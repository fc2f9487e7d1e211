//! `[upstream.NAME]`: named groups of endpoints.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::file::FileTable;
use crate::config::upstream::UpstreamTable;
use crate::config::{EndpointAddress, UpstreamConfig};
use crate::setting::list::OneOrMany;
use crate::setting::read::{Located, Sink};

pub(super) type Upstreams = BTreeMap<String, Arc<UpstreamConfig>>;

pub(super) fn upstreams(file: &FileTable, sink: &mut Sink) -> Upstreams {
    let mut upstreams = Upstreams::new();
    if let Some(entries) = file.upstream.value() {
        for (name, table) in &entries.0 {
            let upstream = upstream(&name.value.0, &table.value, sink);
            upstreams.insert(name.value.0.clone(), Arc::new(upstream));
        }
    }
    upstreams
}

fn upstream(name: &str, table: &UpstreamTable, sink: &mut Sink) -> UpstreamConfig {
    let endpoints = table
        .endpoints
        .value()
        .map_or_else(Vec::new, |list| endpoints(list, sink));
    let mut upstream = UpstreamConfig::new(name.to_owned(), endpoints);
    table.apply(&mut upstream);
    upstream
}

/// The endpoints, of which none is named twice.
pub(super) fn endpoints(
    list: &OneOrMany<EndpointAddress>,
    sink: &mut Sink,
) -> Vec<EndpointAddress> {
    let mut seen: Vec<&Located<EndpointAddress>> = Vec::new();
    for endpoint in &list.0 {
        if let Some(first) = seen.iter().find(|first| first.value == endpoint.value) {
            sink.at(endpoint, format!("{} is named twice", endpoint.value))
                .related(first.span.clone(), "first here");
        } else {
            seen.push(endpoint);
        }
    }
    seen.into_iter()
        .map(|located| located.value.clone())
        .collect()
}
