//! What a route does with a request that took it: forward, answer, redirect.

use http::StatusCode;
use schemars::{Schema, SchemaGenerator, json_schema};
use toml::de::DeValue;

use super::form::answer::{RedirectStatus, RedirectTarget, Status, Text};
use crate::setting::read::{Node, Read, Sink};
use crate::setting::table::table;

/// What a route does with its requests.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Forward to this upstream, a key of [`Config::upstreams`](super::Config::upstreams).
    Upstream(String),
    /// Answer at once.
    Respond {
        /// Status of the answer.
        status: StatusCode,
        /// Body, sent as `text/plain; charset=utf-8`.
        body: String,
    },
    /// Redirect to another URL.
    Redirect {
        /// 301, 302, 303, 307 or 308. Default: 308.
        status: StatusCode,
        /// The target; `{scheme}`, `{host}` (with its port), `{hostname}` (without), `{path}` and
        /// `{query}` (with its `?`) stand for the request's.
        to: String,
    },
}

/// There is nothing here.
impl Default for Action {
    fn default() -> Self {
        Action::Respond {
            status: StatusCode::NOT_FOUND,
            body: String::new(),
        }
    }
}

table! {
    /// `respond`: an answer without an upstream.
    RespondTable in "`respond`" {
        /// The status, 200 to 599.
        status: Status [required],
        /// The body, sent as `text/plain; charset=utf-8`.
        body: Text = "",
    }
}

table! {
    /// `redirect`: another URL.
    RedirectTable in "`redirect`" {
        /// The target; `{scheme}`, `{host}` (with its port), `{hostname}` (without), `{path}` and
        /// `{query}` (with its `?`) stand for the request's.
        to: RedirectTarget [required],
        /// 301, 302, 303, 307 or 308.
        status: RedirectStatus = 308,
    }
}

/// `redirect` of a route: a URL, or a table.
#[derive(Debug)]
pub(crate) enum RedirectKey {
    To(RedirectTarget),
    Table(RedirectTable),
}

impl Read for RedirectKey {
    fn expected() -> String {
        "a URL or a table with `to` and `status`".to_owned()
    }

    fn read(node: &Node<'_>, sink: &mut Sink) -> Option<Self> {
        match node.value {
            DeValue::String(_) => RedirectTarget::read(node, sink).map(RedirectKey::To),
            DeValue::Table(_) => RedirectTable::read(node, sink).map(RedirectKey::Table),
            _ => {
                sink.wrong_type(node, &Self::expected());
                None
            }
        }
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string" }, RedirectTable::schema(generator)] })
    }
}
