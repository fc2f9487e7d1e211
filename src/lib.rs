//! sluice: a reverse proxy for HTTP/1.1 and WebSocket, whose tunnels need no configuration
//! and whose every end has a named cause.
//!
//! # The rooms
//!
//! Dependencies point downward in this list. What looks upward names types only: those that
//! everybody shares (`server::Shared` and `Front`), the words of orders (`lifecycle::order`),
//! and those of what is told and counted (`events`, `tap` and `metrics` know tunnels).
//!
//! | module | owns |
//! |---|---|
//! | [`cli`] | one file a subcommand: `run`, `demo`, `check`, …, and those that speak to a running sluice through `client` |
//! | [`server`] | the composition root: binds, builds the first snapshot, starts the workers |
//! | [`admin`] | questions and orders over HTTP on a listener of its own |
//! | [`lifecycle`] | the control task: `order`s, `signals`, `reload` and its `review` of live tunnels, `drains`, `upgrade`, `stop` |
//! | [`handover`] | two processes: `wire`, `protocol`, what is given and what is taken |
//! | [`supervise`] | the service manager: inherited sockets, readiness, watchdog, PID file |
//! | [`site`] | all workers and listeners: who accepts where |
//! | [`worker`] | one core: a thread, its runtime, its tick |
//! | [`http`] | a client's connection: `connection` → `client_io` (strict bytes, marks) → `exchange` (one request, its phases) → `forward` or `upgrade` |
//! | [`snapshot`] | routes and upstreams of one configuration, swapped as a whole |
//! | [`trace`] | W3C trace context, the spans of exchanges and tunnels, their export |
//! | [`tunnel`] | two sockets relayed and observed: `frame` (no I/O), `pump`, `splice`, `registry` (the only clock), `state` (what travels) |
//! | [`route`] | paths, hosts, the route table, the Origin policy: no sockets |
//! | [`upstream`] | endpoints, balance, names, connecting, pool, and our HTTP/1.1 client |
//! | [`listen`] | binding and accepting |
//! | [`events`] | what happens, for those who follow it: noted by workers, kept and told by one ring |
//! | [`tap`] | the frames of tunnels, for those who look at them: followed without I/O, told as far as there is room |
//! | [`access_log`], [`metrics`], [`logging`] | what is written down and counted |
//! | [`writer`] | how lines leave the process: a bounded queue and a thread, never waited for |
//! | [`files`] | files that a configuration names: opened without waiting, read within bounds |
//! | [`visible`] | which characters of a text are not what they seem, and how they are written |
//! | [`config`] | TOML to a `Config` that is valid by construction, or every problem at once |
//! | [`chunked`], [`octets`] | the chunked coding and the byte classes that both sides read it with: no I/O |
//! | [`credentials`] | which header fields are shown nowhere |
//! | [`descriptors`] | the limit of open files: raised, kept back for control, told when it is reached |
//! | [`span`], [`stamp`] | how times are written |
//! | [`lock`] | how every mutex is taken |
//! | [`io`] | one enum over the stream types, and the worker's scratch buffer |
//! | [`allocator`] | mimalloc, called without detours; the one place with `unsafe` besides the SSE2 scan in `octets` |
//!
//! # The flows
//!
//! **A plain request.** [`worker`] accepts → [`http::connection`] lets hyper serve the socket
//! through [`http::client_io`], where [`http::framing`] refuses what must not be repaired →
//! [`http::exchange`] plans it without waiting (route, policy, header fields) →
//! [`http::forward`] takes a connection from [`upstream::pool`] or opens one, writes the
//! request and reads the answer in the same task → [`http::record`] writes its line when it
//! is dropped, whatever happened.
//!
//! **An upgrade and its tunnel.** The same as far as the plan, then [`http::upgrade`]: the
//! handshake is written upstream by us, its answer judged by [`http::handshake`] and, where it
//! is a refusal, explained by [`http::diagnosis`]. On a valid 101 the service tells hyper to
//! let go; the socket and the bytes already read are taken out, we write our own 101, and
//! [`tunnel::spawn`] starts a task of its own that is a few hundred bytes large.
//!
//! **Time.** Nothing arms a timer for a request, message or tunnel. Connections leave marks
//! ([`http::watch`]), tunnels count bytes; the worker's tick compares them every 250 ms.
//!
//! **A reload.** [`lifecycle`] loads the file, binds what is new and resolves names; only then
//! the [`snapshot`] is swapped (what live tunnels hold of the old one is shared with the new),
//! listeners are switched in [`site`], and each worker's [`tunnel::registry`] asks the review
//! what becomes of each tunnel.
//!
//! **A drain.** Of an endpoint, a route, everything, or at the end: each worker's registry closes
//! its share at random over the span, and the order's progress is shared by all of them. At the
//! end [`lifecycle`] first gives up readiness, then closes the listeners and lets exchanges finish.
//!
//! **An upgrade.** The new process is given the listeners and says that it is ready; then
//! [`handover`] offers every idle connection and tunnel with its state, and lets it go once it is
//! taken. A tunnel is exported in its own poll, so that nothing is half-done, and resumed by the
//! other process as it was.
//!
//! # Where this differs from the first design
//!
//! - Upstream connections are served by our own small HTTP/1.1 client instead of hyper's, so
//!   that a request needs no task, channel or copy of its head: the head is kept as bytes and
//!   sent again as it is when a pooled connection turns out to be closed. One strict parser
//!   serves plain answers and 101s.
//! - hyper's upgrade machinery is not used on either side. The service ends hyper's work with
//!   an error that means "the socket is wanted"; hyper's `101` and its boxed `Upgraded` fall
//!   away, and the 101 has RFC 6455 spelling.
//! - hyper repairs some framing silently, so a scanner reads every byte before it.
//! - A worker's pool, registry, tick list and scratch buffer are thread-locals: futures stay
//!   `Send` and no lock stands around them.

pub mod access_log;
pub mod admin;
pub mod allocator;
pub mod chunked;
pub mod cli;
pub mod config;
pub mod credentials;
pub mod descriptors;
pub mod events;
pub mod files;
pub mod handover;
pub mod http;
pub mod io;
pub mod lifecycle;
pub mod listen;
pub mod lock;
pub mod logging;
pub mod metrics;
pub mod octets;
pub mod route;
pub mod server;
pub mod site;
pub mod snapshot;
pub mod span;
pub mod stamp;
pub mod supervise;
pub mod tap;
pub mod trace;
pub mod tunnel;
pub mod upstream;
pub mod visible;
pub mod worker;
pub mod writer;
