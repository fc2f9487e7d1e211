//! Listeners in the abstract namespace: `unix:@name`, for clients and for the admin interface.

use crate::support;

use std::io::{Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

use support::{HttpBackend, Succession, proxy};

/// A name that no other test has.
fn name(of: &str) -> String {
    format!("sluice-test-{of}-{}", std::process::id())
}

fn address(name: &str) -> SocketAddr {
    SocketAddr::from_abstract_name(name).expect("a short name")
}

fn ask(name: &str) -> String {
    let mut stream = UnixStream::connect_addr(&address(name)).expect("a listener");
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .expect("write");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn they_serve_have_no_file_are_handed_over_and_shown() {
    let backend = HttpBackend::start();
    let (own, mut folder) = (name("own"), None);
    let mut succession = Succession::start(|path| {
        folder = Some(path.to_owned());
        format!(
            "[[listen]]\naddress = \"127.0.0.1:0\"\n[[listen]]\naddress = \"unix:@{own}\"\n\
             [[route]]\nname = \"a\"\nto = \"{}\"\n",
            backend.address()
        )
    });
    assert!(ask(&own).starts_with("HTTP/1.1 200"));
    succession.upgrade();
    assert!(succession.proxy.wait_exit().success());
    assert!(ask(&own).starts_with("HTTP/1.1 200"), "by the next process");
    let (_, config) = succession.proxy.get_admin("/v1/config");
    assert!(config.contains(&format!("\"unix:@{own}\"")), "{config}");
    for folder in [folder.unwrap(), std::env::current_dir().unwrap()] {
        let names = std::fs::read_dir(folder).unwrap();
        let mut names = names.map(|entry| entry.unwrap().file_name());
        assert!(!names.any(|file| file.to_string_lossy().contains(&own)));
    }
    succession.end();
    assert!(UnixStream::connect_addr(&address(&own)).is_err());
}

#[test]
fn commands_find_an_admin_interface_there_and_check_says_what_is_taken() {
    let (own, clients) = (name("admin"), name("clients"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sluice.toml");
    let write = |more: &str| {
        let text = format!(
            "[[listen]]\naddress = \"unix:@{clients}\"\n[[route]]\nname = \"a\"\n\
             respond = {{ status = 204 }}\n[admin]\nlisten = \"unix:@{own}\"\n{more}"
        );
        std::fs::write(&file, text).unwrap();
    };
    write("");
    let of_file = |command: &str| {
        let output = proxy::run(&[command, "--config", file.to_str().unwrap()]);
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    };
    let (_, said) = of_file("check");
    assert!(!said.contains("cannot listen"), "{said}");
    let taken = UnixListener::bind_addr(&address(&own)).unwrap();
    let (_, said) = of_file("check");
    let expected = format!("cannot listen on unix:@{own}: address already in use");
    assert!(said.contains(&expected), "{said}");
    drop(taken);

    let sluice = support::Proxy::start_file(&file);
    let (ok, said) = of_file("status");
    assert!(ok && said.contains("ready"), "{said}");
    let at = format!("unix:@{own}");
    let output = proxy::run(&["status", "--admin", &at]);
    assert!(output.status.success(), "{output:?}");
    // It is the one that this file is for.
    let (_, said) = of_file("check");
    assert!(!said.contains("cannot listen"), "{said}");
    sluice.terminate();

    write("mode = \"0600\"\n");
    let (ok, said) = of_file("check");
    assert!(
        !ok && said.contains("`mode` belongs to sockets with a file"),
        "{said}"
    );
}
