//! A collector that takes OTLP over HTTP and keeps the spans, decoded.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1 as proto;
use prost::Message;

use crate::support::RawBackend;

/// A span with its attributes, and those of its resource, as text.
#[derive(Debug, Clone)]
pub struct Span {
    pub name: String,
    pub trace_id: String,
    pub span_id: String,
    pub parent: String,
    /// Ids of trace and span.
    pub links: Vec<(String, String)>,
    /// 1 internal, 2 server, 3 client.
    pub kind: i32,
    /// 2 is an error.
    pub status: i32,
    /// Start and end, in nanoseconds since 1970.
    pub times: (u64, u64),
    pub attributes: BTreeMap<String, String>,
    pub resource: BTreeMap<String, String>,
}

impl Span {
    /// The value of an attribute; empty where there is none.
    pub fn get(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

/// A running collector.
pub struct Collector {
    backend: RawBackend,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Collector {
    pub fn start() -> Collector {
        let spans = Arc::<Mutex<Vec<Span>>>::default();
        let ours = spans.clone();
        let backend = RawBackend::start(move |_, mut wire| {
            while let Some(head) = wire.try_read_head() {
                assert_eq!(head.first, "POST /v1/traces HTTP/1.1");
                let kind = head.field("content-type");
                assert_eq!(kind.as_deref(), Some("application/x-protobuf"));
                let length = head.field("content-length").expect("a length");
                let body = wire.read_exact(length.parse().expect("a number"));
                let request = ExportTraceServiceRequest::decode(&*body).expect("OTLP");
                ours.lock().unwrap().extend(spans_of(request));
                wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            }
        });
        Collector { backend, spans }
    }

    pub fn address(&self) -> SocketAddr {
        self.backend.address()
    }

    /// Everything so far.
    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap().clone()
    }

    /// Waits for a span.
    pub fn wait_for(&self, what: &str, wanted: impl Fn(&Span) -> bool) -> Span {
        let find = || self.spans().into_iter().find(|span| wanted(span));
        crate::eventually!(
            find().is_some(),
            "a span of {what} among {:#?}",
            self.spans()
        );
        find().expect("it was found")
    }
}

fn spans_of(request: ExportTraceServiceRequest) -> Vec<Span> {
    let mut spans = Vec::new();
    for of_resource in request.resource_spans {
        let resource = of_resource.resource.map(|resource| resource.attributes);
        let resource = texts(resource.unwrap_or_default());
        for span in of_resource.scope_spans.into_iter().flat_map(|s| s.spans) {
            spans.push(span_of(span, resource.clone()));
        }
    }
    spans
}

fn span_of(span: proto::Span, resource: BTreeMap<String, String>) -> Span {
    let links = span.links.iter();
    Span {
        name: span.name,
        trace_id: hex(&span.trace_id),
        span_id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        links: links
            .map(|link| (hex(&link.trace_id), hex(&link.span_id)))
            .collect(),
        kind: span.kind,
        status: span.status.map_or(0, |status| status.code),
        times: (span.start_time_unix_nano, span.end_time_unix_nano),
        attributes: texts(span.attributes),
        resource,
    }
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |attribute: KeyValue| {
        let value = match attribute.value.and_then(|value| value.value) {
            Some(Value::StringValue(text)) => text,
            Some(Value::IntValue(number)) => number.to_string(),
            other => format!("{other:?}"),
        };
        (attribute.key, value)
    };
    attributes.into_iter().map(text).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
