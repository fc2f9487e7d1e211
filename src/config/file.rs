//! The top level of the file, and the whole configuration.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::available_parallelism;

use schemars::{Schema, SchemaGenerator, json_schema};
use toml::de::DeValue;

use super::admin::{AdminConfig, AdminTable};
use super::clients::{HttpConfig, HttpTable};
use super::drain::{DrainConfig, DrainTable};
use super::form::file::FilePath;
use super::form::request::UpstreamName;
use super::listen::{ListenTable, Listener};
use super::log::{LogConfig, LogTable};
use super::operation::{ReloadConfig, ReloadTable, UpgradeConfig, UpgradeTable};
use super::route::{RouteConfig, RouteTable};
use super::trace::{TraceConfig, TraceTable};
use super::upstream::{ResolverConfig, ResolverTable, UpstreamConfig, UpstreamTable};
use crate::setting::list::{Blocks, Entries};
use crate::setting::read::{Node, Read, Sink};
use crate::setting::scalar::{Count, Optional};
use crate::setting::table::table;
use crate::setting::typed::Setting;
use crate::setting::written::Written;

table! {
    /// The configuration of sluice.
    FileTable in "the top level" {
        /// Where commands such as `sluice reload` are taken.
        admin: AdminTable,
        /// Where clients are accepted; one or more `[[listen]]` blocks.
        listen: Blocks<ListenTable> [required],
        /// Which requests go where; one or more `[[route]]` blocks. The most specific match
        /// wins, whatever the order.
        route: Blocks<RouteTable> [required],
        /// The servers that are forwarded to, each an `[upstream.NAME]` table.
        upstream: Entries<UpstreamName, UpstreamTable>,
    } => Config {
        /// Number of worker threads; `"auto"` is one for each CPU the process may use.
        workers: Workers as NonZeroUsize = "auto",
        /// The file that holds the process id while sluice runs; `"off"` for none.
        pid_file: Optional<FilePath> as Option<PathBuf> = "off",
        /// What is logged, and how.
        log: LogTable as LogConfig,
        /// How client connections are treated.
        http: HttpTable as HttpConfig,
        /// What a shutdown does with live tunnels.
        drain: DrainTable as DrainConfig,
        /// How a changed file is noticed.
        reload: ReloadTable as ReloadConfig,
        /// How the binary is replaced.
        upgrade: UpgradeTable as UpgradeConfig,
        /// Which traces sluice takes part in, and where its spans go.
        trace: TraceTable as TraceConfig,
        /// How the names of upstream endpoints are resolved.
        resolver: ResolverTable as ResolverConfig,
    } with {
        /// Where clients are accepted; never empty.
        listeners: Vec<Listener> = Vec::new(),
        /// The routes in the order of the file; no two of them can tie.
        routes: Vec<Arc<RouteConfig>> = Vec::new(),
        /// Upstreams by name. A route's inline `to` appears under the route's own name.
        upstreams: BTreeMap<String, Arc<UpstreamConfig>> = BTreeMap::new(),
        /// Where the admin interface listens.
        admin: AdminConfig = AdminConfig::default(),
    }
}

/// `workers`: a number, or `"auto"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Workers(pub(crate) Option<usize>);

impl Read for Workers {
    fn expected() -> String {
        "`\"auto\"` or an integer from 1 to 1024".to_owned()
    }

    fn read(node: &Node<'_>, sink: &mut Sink) -> Option<Self> {
        match node.value {
            DeValue::String(text) if text == "auto" => Some(Workers(None)),
            DeValue::Integer(_) => {
                Count::<1, 1024>::read(node, sink).map(|count| Workers(Some(count.value())))
            }
            _ => {
                sink.wrong_type(node, &Self::expected());
                None
            }
        }
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "enum": ["auto"] }, Count::<1, 1024>::schema(generator)] })
    }
}

impl Setting<NonZeroUsize> for Workers {
    fn value(&self) -> NonZeroUsize {
        let every_cpu = || available_parallelism().unwrap_or(NonZeroUsize::MIN);
        self.0.and_then(NonZeroUsize::new).unwrap_or_else(every_cpu)
    }

    fn write(value: &NonZeroUsize) -> Written {
        (value.get() as u64).into()
    }
}
