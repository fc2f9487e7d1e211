//! Listening with real sockets.

use super::socket::{KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, USER_TIMEOUT};
use super::*;
use rustix::net::sockopt;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn tcp(address: &str) -> ListenAddress {
    ListenAddress::Tcp(address.parse().unwrap())
}

fn unix(path: &Path) -> ListenAddress {
    ListenAddress::Unix {
        path: path.to_owned(),
        mode: 0o660,
    }
}

fn refusal(address: &ListenAddress) -> String {
    bind(address).expect_err("must not bind").to_string()
}

#[tokio::test]
async fn accepted_sockets_inherit_what_the_listener_set() {
    let listener = bind(&tcp("127.0.0.1:0")).unwrap();
    let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let accepted = Arc::new(listener)
        .start(Whom::Clients)
        .unwrap()
        .accept()
        .await
        .unwrap();
    assert_eq!(accepted.peer(), Peer::Tcp(client.local_addr().unwrap()));
    let socket = accepted.into_socket().unwrap();
    let socket = socket.as_fd();
    assert!(sockopt::tcp_nodelay(socket).unwrap());
    assert!(sockopt::socket_keepalive(socket).unwrap());
    assert_eq!(sockopt::tcp_keepidle(socket).unwrap(), KEEPALIVE_IDLE);
    assert_eq!(sockopt::tcp_keepintvl(socket).unwrap(), KEEPALIVE_INTERVAL);
    let timeout = sockopt::tcp_user_timeout(socket).unwrap();
    assert_eq!(u128::from(timeout), USER_TIMEOUT.as_millis());
    let status = rustix::fs::fcntl_getfl(socket).unwrap();
    assert!(status.contains(rustix::fs::OFlags::NONBLOCK));
    let flags = rustix::io::fcntl_getfd(socket).unwrap();
    assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
}

#[tokio::test]
async fn any_ipv6_takes_ipv4_and_shows_it_as_such() {
    let listener = bind(&tcp("[::]:0")).unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut acceptor = Arc::new(listener).start(Whom::Clients).unwrap();
    for (host, ip) in [("127.0.0.1", "127.0.0.1"), ("::1", "::1")] {
        let _client = std::net::TcpStream::connect((host, port)).unwrap();
        let peer = acceptor.accept().await.unwrap().peer();
        assert_eq!(peer.ip(), Some(ip.parse().unwrap()));
    }
}

#[tokio::test]
async fn an_accepted_socket_works_in_another_runtime() {
    let listener = bind(&tcp("127.0.0.1:0")).unwrap();
    let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let accepted = Arc::new(listener)
        .start(Whom::Clients)
        .unwrap()
        .accept()
        .await
        .unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut io = accepted.into_io().unwrap();
            std::future::poll_fn(|cx| io.poll_write(cx, b"from the worker"))
                .await
                .unwrap();
        });
    })
    .join()
    .unwrap();
    let mut got = String::new();
    std::io::Read::read_to_string(&mut client, &mut got).unwrap();
    assert_eq!(got, "from the worker");
}

#[test]
fn errors_name_the_address_and_the_fix() {
    let held = bind(&tcp("127.0.0.1:0")).unwrap();
    let address = held.local_addr().unwrap();
    let text = refusal(&ListenAddress::Tcp(address));
    assert!(text.starts_with(&format!(
        "cannot listen on {address}: address already in use: "
    )));

    let text = refusal(&tcp("192.0.2.1:0"));
    assert!(
        text.contains("no interface of this machine has 192.0.2.1"),
        "{text}"
    );

    let denied = BindError::new(&tcp("0.0.0.0:80"), io::ErrorKind::PermissionDenied.into());
    assert_eq!(
        denied.to_string(),
        "cannot listen on 0.0.0.0:80: permission denied: ports below 1024 need root or \
         CAP_NET_BIND_SERVICE; choose a higher one (or set the sysctl \
         net.ipv4.ip_unprivileged_port_start=80)"
    );
}

#[test]
fn a_port_can_be_bound_again_at_once() {
    let listener = bind(&tcp("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let client = std::net::TcpStream::connect(address).unwrap();
    let (accepted, _) = accept(&listener.fd).unwrap();
    drop(accepted); // closed here first: this end stays in TIME_WAIT
    drop(client);
    drop(listener);
    bind(&ListenAddress::Tcp(address)).expect("SO_REUSEADDR");
}

#[tokio::test]
async fn unix_sockets_have_their_mode_and_end_with_the_listener() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sluice.sock");
    let mut acceptor = Arc::new(bind(&unix(&path)).unwrap())
        .start(Whom::Clients)
        .unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o660);
    let _client = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let accepted = acceptor.accept().await.unwrap();
    assert_eq!(accepted.peer(), Peer::Unix);
    assert!(matches!(accepted.into_socket().unwrap(), Socket::Unix(_)));
    drop(acceptor);
    assert!(!path.exists());
}

#[test]
fn a_new_mode_is_that_of_the_socket_and_of_nothing_that_a_link_leads_to() {
    let dir = tempfile::tempdir().unwrap();
    let (path, other) = (dir.path().join("sluice.sock"), dir.path().join("other"));
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let address = |mode| ListenAddress::Unix {
        path: path.clone(),
        mode,
    };
    let listener = bind(&address(0o666)).unwrap();
    assert_eq!(mode(&path), 0o666, "whatever the umask says");
    listener.set_mode(&address(0o600));
    assert_eq!(mode(&path), 0o600);

    std::fs::write(&other, "").unwrap();
    std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o640)).unwrap();
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&other, &path).unwrap();
    listener.set_mode(&address(0o666));
    assert_eq!(mode(&other), 0o640);
}

#[test]
fn only_a_stale_socket_file_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sluice.sock");

    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "left behind, as by a killed process");
    let alive = bind(&unix(&path)).expect("nothing listens on it");

    assert!(refusal(&unix(&path)).contains("another process listens on this socket"));
    std::os::unix::net::UnixStream::connect(&path).expect("the first one is untouched");

    std::fs::remove_file(&path).unwrap();
    let next = bind(&unix(&path)).unwrap();
    drop(alive);
    assert!(path.exists(), "the file belongs to the next listener");
    drop(next);
    assert!(!path.exists());
}

#[test]
fn unix_errors_name_the_fix() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    assert!(refusal(&unix(&file)).contains("exists and is not a socket"));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");

    let missing = dir.path().join("missing/sluice.sock");
    let text = refusal(&unix(&missing));
    assert!(text.contains(&format!(
        "create the directory {}",
        missing.parent().unwrap().display()
    )));

    let long = dir.path().join("x".repeat(108));
    assert!(refusal(&unix(&long)).contains("at most 107 bytes"));
}

/// Runs in a process of its own, because the limit on descriptors is the process's.
#[test]
fn accepting_outlasts_a_shortage_of_descriptors() {
    const CHILD: &str = "SLUICE_TEST_SHORTAGE";
    if std::env::var_os(CHILD).is_none() {
        let name = "listen::tests::accepting_outlasts_a_shortage_of_descriptors";
        let ran = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--test-threads=1"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        assert!(
            ran.status.success(),
            "{}",
            String::from_utf8_lossy(&ran.stdout)
        );
        return;
    }
    std::thread::spawn(|| {
        // The process's own deadline: a thread that spins cannot be asked.
        std::thread::sleep(Duration::from_secs(20));
        eprintln!("it spins instead of resting");
        std::process::exit(3);
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let listener = bind(&tcp("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let mut acceptor = Arc::new(listener).start(Whom::Clients).unwrap();
        let client = std::net::TcpStream::connect(address).unwrap();
        let mut hoard = Vec::new();
        let limit = rustix::process::Rlimit {
            current: Some(64),
            maximum: Some(64),
        };
        rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
        while let Ok(fd) = rustix::io::fcntl_dupfd_cloexec(&client, 0) {
            hoard.push(fd);
        }
        assert!(!hoard.is_empty());
        tokio::select! {
            biased;
            accepted = acceptor.accept() => panic!("without a descriptor: {accepted:?}"),
            // Time has to pass, in which nothing is accepted and nothing fails.
            () = tokio::time::sleep(3 * EXHAUSTED_PAUSE) => {}
        }
        hoard.clear();
        let accepted = tokio::time::timeout(Duration::from_secs(10), acceptor.accept()).await;
        assert_eq!(
            accepted.expect("in time").unwrap().peer(),
            Peer::Tcp(client.local_addr().unwrap())
        );
    });
}
