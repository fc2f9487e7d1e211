//! Certificates that change while sluice runs: read again by themselves and at a reload, kept where
//! the new ones cannot be used; and what an upgrade means for connections over TLS.

use crate::support;

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::PKCS_ECDSA_P256_SHA256;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use support::proxy::{field, run};
use support::tls::{Authority, Bridge, Files, private};
use support::websocket::{handshake, masked_frame, read_frame};
use support::{EchoBackend, HttpBackend, Proxy, Succession, Wire};

const GET: &str = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";

/// A configuration with TLS; `more` are further keys of `[listen.tls]` and tables.
fn secure(backend: SocketAddr, cert: &Path, key: &Path, more: &str) -> String {
    format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[listen.tls]\ncert = \"{}\"\nkey = \"{}\"\n\
         {more}[[route]]\nto = \"{backend}\"\n",
        cert.display(),
        key.display()
    )
}

/// The certificate that a client gets.
fn served(authority: &Authority, address: SocketAddr) -> Vec<u8> {
    let name = "a.test".try_into().unwrap();
    let mut client = rustls::ClientConnection::new(authority.client().into(), name).unwrap();
    let mut socket = std::net::TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(support::DEADLINE)).unwrap();
    while client.is_handshaking() {
        client.complete_io(&mut socket).unwrap();
    }
    client.peer_certificates().unwrap()[0].to_vec()
}

fn content(files: &Files) -> Vec<u8> {
    CertificateDer::from_pem_file(&files.cert).unwrap().to_vec()
}

fn put(from: &Files, cert: &Path, key: &Path) {
    for (from, to) in [(&from.key, key), (&from.cert, cert)] {
        let new = to.with_extension("new");
        std::fs::copy(from, &new).unwrap();
        private(&new);
        std::fs::rename(new, to).unwrap();
    }
}

fn certificates(proxy: &Proxy) -> Vec<Value> {
    let status: Value = serde_json::from_str(&proxy.get_admin("/v1/status").1).unwrap();
    status["certificates"].as_array().unwrap().clone()
}

fn read_successfully(proxy: &Proxy) -> f64 {
    proxy
        .scrape()
        .sum("sluice_certificate_last_read_successful", &[])
}

#[test]
fn a_renewed_certificate_is_taken_up_by_itself_and_a_tunnel_stays() {
    let (authority, backend) = (Authority::new(), EchoBackend::start());
    let [first, second] = [(); 2].map(|()| authority.pair(&["a.test"]));
    let (cert, key) = (authority.path("cert.pem"), authority.path("key.pem"));
    put(&first, &cert, &key);
    let proxy = Proxy::start(&secure(backend.address(), &cert, &key, ""));
    assert_eq!(served(&authority, proxy.address()), content(&first));
    let bridge = Bridge::start(proxy.address(), "a.test", authority.client());
    let mut tunnel = Wire::connect(bridge.address());
    tunnel.send(handshake("a.test", "/", ""));
    assert_eq!(tunnel.read_head().status(), 101);
    put(&second, &cert, &key);
    eventually!(served(&authority, proxy.address()) == content(&second));
    tunnel.send(masked_frame(1, b"still here"));
    assert_eq!(read_frame(&mut tunnel).1, b"still here");
    assert_eq!(read_successfully(&proxy), 1.0);
}

#[test]
fn the_symlink_swap_of_a_mounted_secret_is_seen() {
    let (authority, backend) = (Authority::new(), HttpBackend::start());
    let [first, second] = [(); 2].map(|()| authority.pair(&["a.test"]));
    for (version, files) in [("v1", &first), ("v2", &second)] {
        let folder = authority.path(version);
        std::fs::create_dir(&folder).unwrap();
        put(files, &folder.join("tls.crt"), &folder.join("tls.key"));
    }
    let data = authority.path("..data");
    std::os::unix::fs::symlink("v1", &data).unwrap();
    for name in ["tls.crt", "tls.key"] {
        std::os::unix::fs::symlink(format!("..data/{name}"), authority.path(name)).unwrap();
    }
    let (cert, key) = (authority.path("tls.crt"), authority.path("tls.key"));
    let proxy = Proxy::start(&secure(backend.address(), &cert, &key, ""));
    assert_eq!(served(&authority, proxy.address()), content(&first));
    std::os::unix::fs::symlink("v2", authority.path("..data_tmp")).unwrap();
    std::fs::rename(authority.path("..data_tmp"), &data).unwrap();
    eventually!(served(&authority, proxy.address()) == content(&second));
}

#[test]
fn a_pair_that_cannot_be_used_leaves_the_one_before_and_is_told_of() {
    let (authority, backend) = (Authority::new(), HttpBackend::start());
    let [first, second] = [(); 2].map(|()| authority.pair(&["a.test"]));
    let (cert, key) = (authority.path("cert.pem"), authority.path("key.pem"));
    put(&first, &cert, &key);
    let proxy = Proxy::start(&secure(backend.address(), &cert, &key, ""));
    // The certificate of another key.
    std::fs::copy(&second.cert, &cert).unwrap();
    eventually!(read_successfully(&proxy) == 0.0);
    let kept = "a certificate could not be read again: the one from before stays";
    let event = proxy
        .wait_for_log(kept, |line| *field(&line.json, "message") == kept)
        .json;
    let error = field(&event, "error").as_str().unwrap();
    assert!(
        error.contains("does not belong to the certificate"),
        "{event}"
    );
    assert_eq!(served(&authority, proxy.address()), content(&first));
    let status = &certificates(&proxy)[0];
    assert!(
        status["problem"]
            .as_str()
            .unwrap()
            .contains("does not belong"),
        "{status}"
    );
    let said = proxy.command(&["status"]);
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(
        said.contains("not read again") && said.contains("hint: the certificate"),
        "{said}"
    );
    // Its key follows.
    std::fs::copy(&second.key, &key).unwrap();
    eventually!(read_successfully(&proxy) == 1.0);
    assert_eq!(served(&authority, proxy.address()), content(&second));
    assert_eq!(certificates(&proxy)[0]["problem"], Value::Null);
    // What cannot even be read is no reason to stop.
    std::fs::remove_file(&key).unwrap();
    let toml = secure(backend.address(), &cert, &key, "");
    let reloaded = proxy.reload(&toml);
    assert_eq!(*field(&reloaded, "message"), "reloaded", "{reloaded}");
    assert_eq!(served(&authority, proxy.address()), content(&second));
    assert_eq!(read_successfully(&proxy), 0.0);
}

#[test]
fn a_reload_reads_them_where_they_are_not_watched() {
    let (authority, backend) = (Authority::new(), HttpBackend::start());
    let [first, second] = [(); 2].map(|()| authority.pair(&["a.test"]));
    let (cert, key) = (authority.path("cert.pem"), authority.path("key.pem"));
    put(&first, &cert, &key);
    let toml = secure(backend.address(), &cert, &key, "watch = false\n");
    let proxy = Proxy::start(&toml);
    put(&second, &cert, &key);
    proxy.reload(&toml);
    assert_eq!(served(&authority, proxy.address()), content(&second));
}

#[test]
fn a_reload_changes_the_settings_and_refuses_a_certificate_that_cannot_be_used() {
    let (authority, backend) = (Authority::new(), HttpBackend::start());
    let [first, second] = [(); 2].map(|()| authority.pair(&["a.test"]));
    let toml = |files: &Files, more: &str| secure(backend.address(), &files.cert, &files.key, more);
    let proxy = Proxy::start(&toml(&first, ""));
    let crossed = secure(backend.address(), &second.cert, &first.key, "");
    let refused = proxy.reload(&crossed);
    let error = field(&refused, "error").as_str().unwrap_or_default();
    assert!(
        error.contains("does not belong to the certificate"),
        "{refused}"
    );
    assert_eq!(served(&authority, proxy.address()), content(&first));
    proxy.reload(&toml(&second, "min_version = \"1.3\"\n"));
    assert_eq!(served(&authority, proxy.address()), content(&second));
    // And a plain listener becomes one with TLS, and plain again.
    let plain = format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\nto = \"{}\"\n",
        backend.address()
    );
    proxy.reload(&plain);
    assert_eq!(proxy.send(GET).read_response().status(), 200);
    proxy.reload(&toml(&first, ""));
    assert_eq!(served(&authority, proxy.address()), content(&first));
}

#[test]
fn a_start_with_a_pair_that_does_not_match_says_so() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let [first, second] = [(); 2].map(|()| authority.pair(&["a.test"]));
    let file = folder.path().join("sluice.toml");
    let address = SocketAddr::from(([127, 0, 0, 1], 9));
    std::fs::write(&file, secure(address, &first.cert, &second.key, "")).unwrap();
    let output = run(&["run", "--config", file.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        said.contains("does not belong to the certificate") && said.contains("listen.tls"),
        "{said}"
    );
}

#[test]
fn an_end_that_comes_near_is_told_of() {
    let (authority, backend) = (Authority::new(), HttpBackend::start());
    let day = Duration::from_secs(86_400);
    let now = SystemTime::now();
    let soon = authority.sign(&["a.test"], &PKCS_ECDSA_P256_SHA256, |params| {
        params.not_before = (now - 80 * day).into();
        params.not_after = (now + 10 * day).into();
    });
    let proxy = Proxy::start(&secure(backend.address(), &soon.cert, &soon.key, ""));
    proxy.wait_for_log("a warning", |line| {
        line.text.contains("a certificate ends soon") && line.text.contains("WARN")
    });
    let scrape = proxy.scrape();
    assert_eq!(scrape.sum("sluice_certificate_expires_soon", &[]), 1.0);
    let ends = scrape.sum(
        "sluice_certificate_end_timestamp_seconds",
        &[("name", "a.test")],
    );
    let unix = (now + 10 * day)
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    assert!((ends - unix.as_secs_f64()).abs() < 2.0, "{ends}");
    let status = &certificates(&proxy)[0];
    assert_eq!(
        (&status["state"], &status["names"]),
        (&json!("expires_soon"), &json!(["a.test"]))
    );
    let said = String::from_utf8_lossy(&proxy.command(&["status"]).stdout).into_owned();
    assert!(
        said.contains("expires soon") && said.contains("9d"),
        "{said}"
    );
}

#[test]
fn an_upgrade_serves_new_clients_and_ends_idle_ones_in_order() {
    let (authority, backend) = (Authority::new(), EchoBackend::start());
    let files = authority.pair(&["a.test"]);
    let succession = Succession::start(|_| {
        let plain = secure(backend.address(), &files.cert, &files.key, "");
        format!("{plain}[drain]\nover = \"0s\"\n[upgrade]\ndeadline = \"2s\"\n")
    });
    let bridge = Bridge::start(succession.proxy.address(), "a.test", authority.client());
    let mut tunnel = Wire::connect(bridge.address());
    tunnel.send(handshake("a.test", "/", ""));
    assert_eq!(tunnel.read_head().status(), 101);
    let mut idle = Wire::connect(bridge.address());
    idle.send(GET);
    idle.read_response();
    succession.upgrade();
    // By a close_notify: the bridge would pass on a broken end as a reset.
    assert_eq!(idle.read_until_end(), b"");
    served(&authority, succession.proxy.address());
    // It has gone there with its keys.
    tunnel.send(masked_frame(1, b"still here"));
    assert_eq!(read_frame(&mut tunnel).1, b"still here");
}
