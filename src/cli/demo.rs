//! `sluice demo`: an embedded backend and the proxy in front of it, with no file and no other
//! server. Owns the configuration of the demo; the backend is in `demo/backend.rs`, and the
//! proxy is the one that `sluice run` starts.

mod backend;

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use super::dev_cert;
use crate::certificate::issue::{Fleeting, TryOut};
use crate::config::{
    CertificateFiles, Config, DrainConfig, EndpointAddress, ErrorDetail, ListenAddress, Scheme,
    TlsConfig,
};
use crate::net::listen;

pub use backend::Backend;

/// Where the demo listens unless told otherwise; if the port is taken, any free one.
pub const LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);

/// Starts the backend, prints the URL, and runs `serve`, the proxy, until it returns.
///
/// `listen`: the address asked for; `None` means [`LISTEN`].
pub fn run<T, E: From<io::Error>>(
    listen: Option<SocketAddr>,
    tls: bool,
    serve: impl FnOnce(Config) -> Result<T, E>,
) -> Result<T, E> {
    let listen = listen.map_or_else(free_address, Ok)?;
    let backend = Backend::start()?;
    let scheme = if tls { "https" } else { "http" };
    println!("sluice demo: open {scheme}://{listen}/ in a browser, in two tabs to chat");
    println!(
        "             its backend is {}; Ctrl-C ends the demo, a second one at once",
        backend.address()
    );
    let mut config = config(listen, backend.address());
    if !tls {
        return serve(config);
    }
    let fleeting = Fleeting::new()?;
    let made = &fleeting.made;
    println!("             clients that do not trust its certificate warn of it:");
    dev_cert::trust(&made.authority.display().to_string(), &mut io::stdout())?;
    speak_tls(&mut config, made);
    serve(config)
}

fn speak_tls(config: &mut Config, made: &TryOut) {
    let tls = Arc::new(TlsConfig {
        certificates: vec![CertificateFiles {
            cert: made.cert.clone(),
            key: made.key.clone(),
        }],
        ..TlsConfig::default()
    });
    for listener in &mut config.listeners {
        listener.scheme = Scheme::Https;
        listener.tls = Some(tls.clone());
    }
}

/// [`LISTEN`], or a free port beside it.
fn free_address() -> io::Result<SocketAddr> {
    let bound = listen::bind(&ListenAddress::Tcp(LISTEN))
        .or_else(|_| listen::bind(&ListenAddress::Tcp(SocketAddr::new(LISTEN.ip(), 0))))
        .map_err(|error| io::Error::new(error.kind(), error.to_string()))?;
    Ok(bound.local_addr().unwrap_or(LISTEN))
}

/// What `sluice run --listen LISTEN --to BACKEND` would use, except that one worker is
/// enough, that tunnels are pinged and that a stop does not take half a minute.
pub fn config(listen: SocketAddr, backend: SocketAddr) -> Config {
    let endpoint = EndpointAddress::Host {
        host: backend.ip().to_string(),
        port: backend.port(),
    };
    let mut config = Config::everything_to("demo", ListenAddress::Tcp(listen), endpoint);
    config.workers = NonZeroUsize::MIN;
    config.http.error_detail = ErrorDetail::Full;
    for route in &mut config.routes {
        let websocket = &mut Arc::make_mut(route).websocket;
        Arc::make_mut(websocket).ping_interval = Some(Duration::from_secs(20));
    }
    config.drain = DrainConfig {
        over: Duration::from_secs(1),
        deadline: Duration::from_secs(3),
        reason: "the demo has ended".into(),
        ..DrainConfig::default()
    };
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proxy_is_given_the_running_backend() {
        let served = run(
            Some(SocketAddr::from(([127, 0, 0, 1], 4711))),
            false,
            |config| {
                assert_eq!(
                    config.listeners[0].address,
                    ListenAddress::Tcp("127.0.0.1:4711".parse().unwrap())
                );
                let EndpointAddress::Host { host, port } = &config.upstreams["demo"].endpoints[0]
                else {
                    panic!("a TCP backend");
                };
                std::net::TcpStream::connect((host.as_str(), *port))?;
                Err::<(), _>(io::Error::other("the proxy's own result"))
            },
        );
        assert_eq!(served.unwrap_err().to_string(), "the proxy's own result");
    }

    #[test]
    fn a_taken_port_is_replaced_by_a_free_one() {
        // Whether this bind succeeds or another process has the port: now it is taken.
        let _held = listen::bind(&ListenAddress::Tcp(LISTEN));
        let free = free_address().unwrap();
        assert_ne!(free.port(), LISTEN.port());
        listen::bind(&ListenAddress::Tcp(free)).expect("it is free");
    }
}
