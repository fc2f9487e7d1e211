//! What `sluice check` says of certificates, each wrong one as clients would find it.

use crate::support;

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use rcgen::PKCS_ECDSA_P256_SHA256;
use support::proxy::run;
use support::tls::{Authority, Files, text};

/// Exit code, and all that `check` says of these files and routes.
fn checked(authority: &Authority, files: &Files, routes: &str) -> (bool, String) {
    let toml = format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[listen.tls]\n{}{routes}",
        files.toml()
    );
    let file = authority.path("sluice.toml");
    std::fs::write(&file, toml).unwrap();
    let output = run(&["check", file.to_str().unwrap()]);
    (output.status.success(), text(&output))
}

const EVERYTHING: &str = "[[route]]\nto = \"app:9000\"\n";

fn with_chain(authority: &Authority, files: &Files) {
    let own = std::fs::read_to_string(&files.cert).unwrap();
    let root = std::fs::read_to_string(authority.file()).unwrap();
    std::fs::write(&files.cert, own + &root).unwrap();
}

#[test]
fn a_whole_chain_with_a_private_key_is_right() {
    let authority = Authority::new();
    let files = authority.pair(&["a.test"]);
    with_chain(&authority, &files);
    let (right, said) = checked(&authority, &files, EVERYTHING);
    assert!(right && !said.contains("warning"), "{said}");
}

#[test]
fn what_run_would_be_refused_is_an_error() {
    let authority = Authority::new();
    let [one, other] = [(); 2].map(|()| authority.pair(&["a.test"]));
    let missing = authority.path("missing.pem");
    let empty = authority.path("empty.pem");
    std::fs::write(&empty, "").unwrap();
    for (cert, key, why) in [
        (
            &one.cert,
            &other.key,
            "the private key does not belong to the certificate",
        ),
        (&missing, &one.key, "can't be read: No such file"),
        (&empty, &one.key, "holds no certificate"),
        (&one.key, &one.cert, "a private key and no certificate"),
        (&one.cert, &empty, "holds no private key"),
    ] {
        let files = Files {
            cert: cert.clone(),
            key: key.clone(),
        };
        let (right, said) = checked(&authority, &files, EVERYTHING);
        assert!(
            !right && said.contains("error: ") && said.contains(why),
            "{said}"
        );
        assert!(said.contains("`listen.tls`"), "{said}");
    }
}

#[test]
fn what_clients_would_stumble_over_is_a_warning() {
    let authority = Authority::new();
    let day = Duration::from_secs(86_400);
    let now = SystemTime::now();
    let lives = |from: SystemTime, to: SystemTime| {
        let files = authority.sign(&["a.test"], &PKCS_ECDSA_P256_SHA256, |params| {
            (params.not_before, params.not_after) = (from.into(), to.into());
        });
        with_chain(&authority, &files);
        files
    };
    let readable = authority.pair(&["a.test"]);
    with_chain(&authority, &readable);
    let mode = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(&readable.key, mode).unwrap();
    let reversed = authority.pair(&["a.test"]);
    let own = std::fs::read_to_string(&reversed.cert).unwrap();
    let stranger = authority.pair(&["b.test"]);
    let stranger = std::fs::read_to_string(stranger.cert).unwrap();
    let root = std::fs::read_to_string(authority.file()).unwrap();
    let mixed = own + &stranger + &root;
    std::fs::write(&reversed.cert, mixed).unwrap();
    for (files, warning) in [
        (authority.pair(&["a.test"]), "the chain is incomplete"),
        (reversed, "wrong order"),
        (lives(now - 90 * day, now - day), "it has expired at"),
        (lives(now - 80 * day, now + 10 * day), "it expires at"),
        (lives(now + day, now + 90 * day), "does not hold yet"),
        (authority.pair(&[]), "holds for no name"),
        (
            readable,
            "every user of this machine can read the private key (mode 0644)",
        ),
    ] {
        let (right, said) = checked(&authority, &files, EVERYTHING);
        assert!(
            right && said.contains("warning: ") && said.contains(warning),
            "{said}"
        );
    }
}

#[test]
fn names_and_hosts_that_miss_each_other_are_warnings() {
    let authority = Authority::new();
    let files = authority.pair(&["a.test", "*.b.test", "c.test"]);
    with_chain(&authority, &files);
    let routes = "[[route]]\nhost = [\"a.test\", \"x.b.test\", \"d.test\"]\nto = \"app:9000\"\n";
    let (right, said) = checked(&authority, &files, routes);
    assert!(right, "{said}");
    assert!(
        said.contains("it holds for `c.test`, which is the `host` of no route"),
        "{said}"
    );
    assert!(said.contains("no certificate holds for `d.test`"), "{said}");
    assert_eq!(said.matches("warning: ").count(), 2, "{said}");
}
