//! Clients that show a certificate: who is let in, what upstreams are told, and what clients cannot
//! say of themselves.

use crate::support;

use std::net::SocketAddr;
use std::path::Path;

use rcgen::PKCS_ECDSA_P256_SHA256;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use support::proxy::field;
use support::tls::{Authority, Bridge, Files, text};
use support::{HttpBackend, Proxy, Succession, Tool, Wire};

/// A client that trusts `servers` and shows this certificate.
fn client(servers: &Authority, files: Option<&Files>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(servers.file()).unwrap())
        .unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    match files {
        None => builder.with_no_client_auth(),
        Some(files) => {
            let chain = vec![CertificateDer::from_pem_file(&files.cert).unwrap()];
            let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    }
}

fn listen(files: &Files, ca: &Path, more: &str) -> String {
    format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[listen.tls]\n{}client_ca = \"{}\"\n{more}\n",
        files.toml(),
        ca.display()
    )
}

/// The status of a request, with these further lines.
fn ask(proxy: SocketAddr, name: &str, client: ClientConfig, host: &str, more: &str) -> u16 {
    let bridge = Bridge::start(proxy, name, client);
    let mut wire = Wire::connect(bridge.address());
    wire.send(format!(
        "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n"
    ));
    wire.try_read_head().map_or(0, |head| head.status())
}

fn told(request: &Value) -> Vec<(String, String)> {
    let fields = request["headers"].as_array().unwrap().iter();
    let pair = |field: &Value| {
        let text = |n: usize| field[n].as_str().unwrap().to_owned();
        (text(0), text(1))
    };
    let ours = |(name, _): &(String, String)| name.replace('_', "-").starts_with("x-client-cert");
    fields.map(pair).filter(ours).collect()
}

#[test]
fn only_clients_of_the_authority_are_let_in_and_upstreams_learn_who_they_are() {
    let (servers, clients, others) = (Authority::new(), Authority::new(), Authority::new());
    let backend = HttpBackend::start();
    let files = servers.pair(&["a.test"]);
    let own = clients.sign(&["x.client"], &PKCS_ECDSA_P256_SHA256, |params| {
        params
            .distinguished_name
            .push(rcgen::DnType::OrganizationName, "A\u{e9}, B");
    });
    let stranger = others.pair(&["x.client"]);
    let proxy = Proxy::start(&format!(
        "{}[[route]]\nto = \"{}\"\n",
        listen(&files, &clients.file(), ""),
        backend.address()
    ));
    let forged = "X-Client-Cert-Subject: CN=root\r\nX_Client_Cert_San: DNS:root\r\nX-Client-Cert-Chain: x\r\n";
    let status = |files| {
        ask(
            proxy.address(),
            "a.test",
            client(&servers, files),
            "a.test",
            forged,
        )
    };
    assert_eq!(status(Some(&own)), 200);
    assert_eq!(status(Some(&stranger)), 0, "not signed by the authority");
    assert_eq!(status(None), 0, "no certificate");
    let requests = backend.requests();
    assert_eq!(requests.len(), 1);
    let told = told(&requests[0]);
    let value = |name: &str| &told.iter().find(|(own, _)| own == name).unwrap().1;
    assert_eq!(told.len(), 3, "{told:?}");
    assert_eq!(value("x-client-cert-san"), "DNS:x.client");
    let subject = value("x-client-cert-subject");
    assert!(
        subject.contains("CN=x.client") && subject.contains("A%C3%A9"),
        "{subject}"
    );
    assert_eq!(value("x-client-cert-fingerprint").len(), 64);
    let record = proxy.wait_for_access("the request", |json| json["status"] == 200);
    assert_eq!(record["tls_client"], subject.as_str());
    for detail in ["no authority of `client_ca`", "no certificate"] {
        proxy.wait_for_log(detail, |line| {
            *field(&line.json, "reason") == "client_certificate" && line.text.contains(detail)
        });
    }
}

#[test]
fn a_route_can_demand_one_where_it_is_optional() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let backend = HttpBackend::start();
    let files = servers.pair(&["open.test", "closed.test", "strict.test"]);
    let own = clients.pair(&["x.client"]);
    let to = backend.address();
    let proxy = Proxy::start(&format!(
        "{}[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\nhost = \"open.test\"\nto = \"{to}\"\n\
         [[route]]\nhost = [\"closed.test\", \"strict.test\"]\nclient_certificate = true\nto = \"{to}\"\n",
        listen(&files, &clients.file(), "client_auth = \"optional\""),
    ));
    let secure = proxy.nth_address(0);
    let with = |name, host| ask(secure, name, client(&servers, Some(&own)), host, "");
    let without = |name, host| ask(secure, name, client(&servers, None), host, "");
    assert_eq!(
        (
            with("open.test", "open.test"),
            without("open.test", "open.test")
        ),
        (200, 200)
    );
    assert_eq!(
        (
            with("closed.test", "closed.test:443"),
            without("closed.test", "closed.test")
        ),
        (200, 403)
    );
    // The rules of the name in the handshake hold for the connection.
    assert_eq!(
        (
            with("open.test", "closed.test"),
            without("open.test", "closed.test")
        ),
        (421, 421)
    );
    assert_eq!(with("closed.test", "open.test"), 421);
    assert_eq!(
        (
            with("closed.test", "strict.test"),
            without("closed.test", "strict.test")
        ),
        (200, 403)
    );
    // Without TLS there is none to show, and none to claim.
    let mut wire = Wire::connect(proxy.nth_address(1));
    wire.send("GET / HTTP/1.1\r\nHost: closed.test\r\nX-Client-Cert-Subject: CN=x\r\n\r\n");
    assert_eq!(wire.read_head().status(), 403);
    let mut wire = Wire::connect(proxy.nth_address(1));
    wire.send("GET /plain HTTP/1.1\r\nHost: open.test\r\nX-Client-Cert-Subject: CN=x\r\n\r\n");
    assert_eq!(wire.read_head().status(), 200);
    let requests = backend.requests();
    assert_eq!(told(requests.last().unwrap()), []);
    let causes = ["client-certificate-missing", "misdirected"];
    for cause in causes {
        proxy.wait_for_access(cause, |json| json["cause"] == cause);
    }
}

#[test]
fn a_resumed_session_is_still_that_client_and_a_ticket_of_another_listener_is_none() {
    if !Tool::require("openssl") {
        return;
    }
    let (servers, clients) = (Authority::new(), Authority::new());
    let backend = HttpBackend::start();
    let files = servers.pair(&["a.test"]);
    let own = clients.pair(&["x.client"]);
    let plain = format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[listen.tls]\n{}",
        files.toml()
    );
    let proxy = Proxy::start(&format!(
        "{}{plain}[[route]]\nto = \"{}\"\n",
        listen(&files, &clients.file(), ""),
        backend.address()
    ));
    let session = servers.path("session");
    let session = session.to_str().unwrap();
    let (cert, key) = (own.cert.to_str().unwrap(), own.key.to_str().unwrap());
    let request = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
    let ask = |n: usize, arguments: &[&str]| {
        let fixed = ["-servername", "a.test", "-ign_eof"];
        text(&servers.s_client(proxy.nth_address(n), &[&fixed, arguments].concat(), request))
    };
    let said = ask(0, &["-cert", cert, "-key", key, "-sess_out", session]);
    assert!(said.contains("200 OK"), "{said}");
    let said = ask(0, &["-sess_in", session]);
    assert!(
        said.contains("Reused, TLS") && said.contains("200 OK"),
        "{said}"
    );
    assert_eq!(told(&backend.requests()[1]).len(), 3);
    // A session that began without a certificate opens no door.
    let said = ask(1, &["-sess_out", session]);
    assert!(said.contains("200 OK"), "{said}");
    let said = ask(0, &["-sess_in", session]);
    assert!(
        !said.contains("200 OK") && !said.contains("Reused, TLS"),
        "{said}"
    );
}

#[test]
fn sessions_go_on_in_the_process_that_takes_over() {
    if !Tool::require("openssl") {
        return;
    }
    let (servers, backend) = (Authority::new(), HttpBackend::start());
    let files = servers.pair(&["a.test"]);
    let succession = Succession::start(|_| {
        format!(
            "[[listen]]\naddress = \"127.0.0.1:0\"\n[listen.tls]\n{}[[route]]\nto = \"{}\"\n",
            files.toml(),
            backend.address()
        )
    });
    let session = servers.path("session");
    let session = session.to_str().unwrap();
    let request = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
    let ask = |option: &str| {
        let arguments = ["-servername", "a.test", "-ign_eof", option, session];
        text(&servers.s_client(succession.proxy.address(), &arguments, request))
    };
    assert!(ask("-sess_out").contains("200 OK"));
    succession.upgrade();
    let said = ask("-sess_in");
    assert!(
        said.contains("Reused, TLS") && said.contains("200 OK"),
        "{said}"
    );
}
