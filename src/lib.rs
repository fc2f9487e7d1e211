//! sluice: a reverse proxy for HTTP/1.1 and WebSocket, whose tunnels need no configuration
//! and whose every end has a named cause.
//!
//! # The rooms
//!
//! An import points to a lower floor or stays in its room, and no files import each other in a
//! circle: `tests/architecture.rs` reads this table and holds the code to it.
//!
//! | floor | room | owns |
//! |---|---|---|
//! | 20 | [`cli`] | one file a subcommand: `run`, `demo`, `check`, …, and those that speak to a running sluice |
//! | 19 | [`daemon`] | the composition root: start, reload, drain, stop, upgrade |
//! | 18 | [`handover`] | two processes: `wire`, `protocol`, what is given and what is taken |
//! | 18 | [`client`] | a running sluice as commands see it: which one is meant, and what is asked of its admin interface |
//! | 17 | [`admin`] | questions and orders over HTTP on a listener of its own |
//! | 16 | [`exposition`] | the reading half of metrics: what was counted, put together |
//! | 16 | [`supervise`] | the service manager: inherited sockets, readiness, watchdog, PID file |
//! | 15 | [`worker`] | one core each: a thread, its runtime, its tick; the set of them and who accepts where |
//! | 14 | [`h1`] | the connections of HTTP/1.1: requests in, answers out, a socket taken for its tunnel |
//! | 13 | [`proxy`] | one exchange whatever the protocol, an upgrade, their record |
//! | 12 | [`policy`] | what is decided about a request: route and rewritten head, an answer, a refusal |
//! | 12 | [`process`] | what all workers see: the snapshot in force, readiness, the ledger of drains, the review of tunnels |
//! | 11 | [`trace`] | W3C trace context, the spans of exchanges and tunnels, their export |
//! | 10 | [`snapshot`] | routes and upstreams of one configuration, swapped as a whole |
//! | 9 | [`upstream`] | endpoints, balance, names, connecting, pool, and our HTTP/1.1 client |
//! | 8 | [`events`] | what happens, for those who follow it |
//! | 7 | [`access_log`] | records of exchanges and tunnels |
//! | 7 | [`tunnel`] | two byte streams relayed and observed |
//! | 6 | [`tunnel_registry`] | the live tunnels of each worker: what others see of them, their deadlines, their drains |
//! | 6 | [`tap`] | the frames of tunnels, for those who look at them |
//! | 6 | [`logging`] | events as lines on standard error |
//! | 6 | [`net`] | sockets: one type over the streams, TLS, listeners |
//! | 5 | [`fault`] | what goes wrong with an exchange: whose fault, the cause, what probably happened |
//! | 5 | [`tunnel_info`] | what is known of a tunnel, as values: whose it is, and what became of it |
//! | 5 | [`writer`] | where lines leave the process, without waiting |
//! | 4 | [`websocket`] | WebSocket as bytes without I/O: the handshake, the frames that pass, the frames of our own |
//! | 3 | [`config_file`] | a file to a `Config` that is valid by construction, or every problem at once |
//! | 3 | [`metrics`] | counting |
//! | 3 | [`message`] | HTTP/1.1 as bytes without I/O: framing, header rules, forwarded fields, heads of answers, chunked coding |
//! | 2 | [`config`] | every key of the file, declared once, and the typed `Config` that follows |
//! | 1 | [`setting`] | how a setting is declared: read from TOML with its place, described to editors; knows no key |
//! | 1 | [`tls_record`] | TLS 1.3 after its handshake, as bytes without I/O: records, KeyUpdate, alerts |
//! | 1 | [`route`] | host, path and Origin patterns, and the table of routes: no sockets |
//! | 1 | [`certificate`] | certificates without a protocol: files, names, chains, which one a name gets |
//! | 0 | [`vocabulary`] | words that every floor uses; how text, time and spans are written |
//! | 0 | [`system`] | small tools over the operating system |
//!
//! # The flows
//!
//! **A plain request.** [`worker`] accepts → [`h1::connection`] lets hyper serve the socket
//! through [`h1::client_io`], where [`message::framing`] refuses what must not be repaired →
//! [`h1::service`] makes each request an exchange → [`proxy::exchange`]:
//! [`policy::decide`] says at once, without I/O, what becomes of it (route, rewritten head, own
//! answer, refusal), [`policy::authorize`] may wait → [`proxy::forward`] encodes the head,
//! [`proxy::send`] takes a connection from [`upstream::pool`] or opens one, writes the request and
//! reads the answer in the same task → an outcome, which the protocol carries out →
//! [`proxy::underway`] is dropped with the answer's end, whatever happened: it tells the client's
//! stream, then [`proxy::record`], which writes its line.
//!
//! An exchange knows its client's side as a [`proxy::stream::Stream`] and the request's content as a
//! [`proxy::incoming::Incoming`], not the connection: how many exchanges that carries, and how it
//! spells, flushes and closes, is the protocol's.
//!
//! **A handshake and its tunnel.** The same as far as the decision, then [`proxy::upgrade`]: the
//! handshake is written upstream by us, its answer judged by [`websocket::handshake`] and, where it
//! is a refusal, explained by [`fault::diagnosis`]. A valid 101 makes the outcome a tunnel. How
//! the client's socket is taken is private to [`h1`]: the service waits until hyper's
//! buffer is empty and tells hyper to let go; the socket and the bytes already read are taken out,
//! its 101 is written from the [`proxy::acceptance`], and [`proxy::pending`] starts the tunnel
//! ([`tunnel::spawn`]) as a task of its own that is a few hundred bytes large.
//!
//! **Time.** Nothing arms a timer for a request, message or tunnel. Connections and exchanges count
//! their activity ([`h1::watch`], [`proxy::clock`]), tunnels count bytes; the worker's tick
//! compares them every 250 ms.
//!
//! **A reload.** [`daemon`] loads the file, binds what is new, builds the [`snapshot`] and resolves
//! names; what comes of it is one value, a transition, and only that changes anything: the snapshot
//! is swapped (what live tunnels hold of the old one is shared with the new), listeners are
//! switched in [`worker::listeners`], and each worker's [`tunnel_registry`] asks the review what becomes
//! of each tunnel.
//!
//! **A drain.** Of an endpoint, a route, everything, or at the end: each worker's registry closes
//! its share at random over the span, and the order's progress is shared by all of them. At the
//! end [`daemon`] first gives up readiness, then closes the listeners and lets exchanges finish.
//!
//! **An upgrade.** The new process is given the listeners and says that it is ready; then
//! [`handover`] offers every idle connection and tunnel with its state, and lets it go once it is
//! taken. What is not taken goes on where it was. A tunnel is exported in its own poll, so that
//! nothing is half-done, and resumed by the other process as it was. Exchanges hold none of that
//! up: what they keep is offered the same way when they end.
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
pub mod certificate;
pub mod cli;
pub mod client;
pub mod config;
pub mod config_file;
pub mod daemon;
pub mod events;
pub mod exposition;
pub mod fault;
pub mod h1;
pub mod handover;
pub mod logging;
pub mod message;
pub mod metrics;
pub mod net;
pub mod policy;
pub mod process;
pub mod proxy;
pub mod route;
pub mod setting;
pub mod snapshot;
pub mod supervise;
pub mod system;
pub mod tap;
pub mod tls_record;
pub mod trace;
pub mod tunnel;
pub mod tunnel_info;
pub mod tunnel_registry;
pub mod upstream;
pub mod vocabulary;
pub mod websocket;
pub mod worker;
pub mod writer;
