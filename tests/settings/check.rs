//! `sluice check` as a program: where it finds the file, what it tries on this machine, what
//! it warns of, and how it ends.

use crate::support;

use std::io::Write;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

use support::Proxy;
use support::proxy::binary;

const RIGHT: &str = "[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\nto = \"app:9000\"\n";

/// Exit code, standard output, standard error.
fn checked(folder: &Path, arguments: &[&str], input: &str) -> (i32, String, String) {
    let mut command = Command::new(binary());
    command.arg("check").args(arguments).current_dir(folder);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().expect("it starts");
    // It may end without reading.
    let _ = child
        .stdin
        .take()
        .expect("piped")
        .write_all(input.as_bytes());
    support::admin::printed(&child.wait_with_output().expect("it ends"))
}

/// The same for a text.
fn of(text: &str) -> (i32, String, String) {
    checked(Path::new("."), &["-"], text)
}

#[test]
fn the_file_is_found_where_run_finds_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (code, _, err) = checked(folder.path(), &[], "");
    assert_eq!(code, 1);
    assert!(
        err.contains("./sluice.toml") && err.contains("sluice check -"),
        "{err}"
    );

    std::fs::write(folder.path().join("sluice.toml"), RIGHT).expect("written");
    std::fs::write(folder.path().join("other.toml"), RIGHT).expect("written");
    for (arguments, name) in [
        (&[][..], "./sluice.toml"),
        (&["-c", "other.toml"], "other.toml"),
        (&["--config", "other.toml"], "other.toml"),
        (&["other.toml"], "other.toml"),
    ] {
        let (code, out, err) = checked(folder.path(), arguments, "");
        assert_eq!((code, err.as_str()), (0, ""), "{arguments:?}");
        assert_eq!(
            out,
            format!("{name}: ok (1 listener, 1 route, 1 upstream)\n")
        );
    }
    assert_eq!(checked(folder.path(), &["-c", "a", "b"], "").0, 2);
}

#[test]
fn standard_input_is_read_with_a_dash() {
    for arguments in [&["-"][..], &["-c", "-"]] {
        let (code, out, err) = checked(Path::new("."), arguments, RIGHT);
        assert_eq!((code, err.as_str()), (0, ""), "{arguments:?}");
        assert!(out.starts_with("standard input: ok"), "{out}");
    }
    let (code, _, err) = of("[[listen]]\nadress = \":1\"\n");
    assert_eq!(code, 1);
    assert!(
        err.contains("standard input:2:1") && err.contains("`address`"),
        "{err}"
    );
}

#[test]
fn what_run_would_be_refused_is_tried() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(folder.path().join("short"), "short\n").expect("written");
    std::fs::write(folder.path().join("token"), "0123456789abcdef\n").expect("written");
    for (table, said) in [
        (
            format!("[log]\naccess = \"{}\"\n", path("absent/access.log")),
            "cannot open the access log",
        ),
        (
            format!("[log]\naccess = \"{}\"\n", folder.path().display()),
            "cannot open the access log",
        ),
        (
            format!("[log]\naccess = \"{}\"\n", path("short/access.log")),
            "cannot open the access log",
        ),
        (
            format!("[admin]\ntoken_file = \"{}\"\n", path("absent")),
            "cannot read the admin token",
        ),
        (
            format!("[admin]\ntoken_file = \"{}\"\n", path("short")),
            "holds no token",
        ),
    ] {
        let (code, out, err) = of(&format!("{RIGHT}{table}"));
        assert_eq!((code, out.as_str()), (1, ""), "{table}{err}");
        assert!(err.contains(said), "{table}{err}");
        // And so it is.
        let file = folder.path().join("run.toml");
        std::fs::write(&file, format!("{RIGHT}{table}")).expect("written");
        let run = support::proxy::run(&["run", "--config", file.to_str().expect("text")]);
        assert_eq!(run.status.code(), Some(1), "{table}");
    }
    let (code, _, err) = of(&format!(
        "pid_file = \"{}\"\n{RIGHT}",
        path("absent/sluice.pid")
    ));
    assert_eq!(code, 1);
    assert!(err.contains("cannot write pid_file"), "{err}");

    let (log, pid, token) = (path("access.log"), path("sluice.pid"), path("token"));
    let (code, _, err) = of(&format!(
        "pid_file = \"{pid}\"\n{RIGHT}[log]\naccess = \"{log}\"\n[admin]\ntoken_file = \"{token}\"\n"
    ));
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(
        !Path::new(&log).exists() && !Path::new(&pid).exists(),
        "nothing is left behind"
    );
}

/// What sluice would overwrite, append to, or remove at its end.
#[test]
fn files_that_are_written_are_files_of_their_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (config, text, link) = (path("run.toml"), path("text"), path("link"));
    let (fifo, socket, gone) = (path("fifo"), path("socket"), path("gone"));
    std::fs::write(&text, "not a process id\n").expect("written");
    std::fs::write(path("token"), "0123456789abcdef\n").expect("written");
    std::fs::hard_link(path("token"), path("token2")).expect("a link");
    std::os::unix::fs::symlink(&text, &link).expect("a link");
    std::os::unix::fs::symlink(path("no/where"), &gone).expect("a link");
    let made = Command::new("mkfifo").arg(&fifo).status();
    assert!(made.expect("mkfifo").success());
    let _held = UnixListener::bind(&socket).expect("a socket");
    let token = format!("[admin]\ntoken_file = \"{}\"\n", path("token"));
    let pid = |path: &str| format!("pid_file = \"{path}\"\n{RIGHT}");
    let log = |path: &str| format!("{RIGHT}[log]\naccess = \"{path}\"\n");
    for (toml, said) in [
        (pid(&config), "`pid_file` names the configuration file"),
        (pid(&text), "it holds something else"),
        (pid(&link), "it is a symbolic link"),
        (pid(&fifo), "it is a special file"),
        (pid(&socket), "it is a special file"),
        (
            pid(&path("token")) + &token,
            "`pid_file` names `admin.token_file`",
        ),
        (log(&config), "`log.access` names the configuration file"),
        (
            log(&path("token2")) + &token,
            "`log.access` names `admin.token_file`",
        ),
        (
            format!("pid_file = \"{}\"\n{}", path("./same"), log(&path("same"))),
            "`log.access` names `pid_file`",
        ),
        (log(&socket), "it is a socket"),
        (log(&gone), "the directory"),
        (log("/proc/sluice.log"), "the directory /proc"),
    ] {
        std::fs::write(&config, &toml).expect("written");
        let (code, _, err) = checked(folder.path(), &[&config], "");
        assert_eq!(code, 1, "{toml}{err}");
        assert!(err.contains(said), "{toml}{err}");
        let run = support::proxy::run(&["run", "--config", &config]);
        assert_eq!(run.status.code(), Some(1), "{toml}");
        let left = std::fs::read_to_string(&config).expect("it is still there");
        assert_eq!(left, toml);
        assert!(Path::new(&fifo).exists() && Path::new(&socket).exists());
        assert_eq!(
            std::fs::read_to_string(&link).unwrap(),
            "not a process id\n"
        );
    }
}

#[test]
fn an_address_that_another_program_has_is_warned_of() {
    let folder = tempfile::tempdir().expect("a folder");
    let held = TcpListener::bind("127.0.0.1:0").expect("a port");
    let socket = folder.path().join("held.sock");
    let _held = UnixListener::bind(&socket).expect("a socket");
    for address in [
        held.local_addr().expect("an address").to_string(),
        format!("unix:{}", socket.display()),
    ] {
        let text = RIGHT.replace("127.0.0.1:0", &address);
        let (code, out, err) = of(&text);
        assert_eq!(code, 0, "{err}");
        assert!(out.contains("ok (1 listener"), "{out}");
        let said = format!("warning: cannot listen on {address}: address already in use");
        assert!(err.contains(&said), "{err}");
    }
    for address in ["192.0.2.1:8080", "unix:/no/such/folder/a.sock"] {
        let (code, _, err) = of(&RIGHT.replace("127.0.0.1:0", address));
        assert_eq!(code, 0, "{err}");
        let said = format!("warning: cannot listen on {address}");
        assert!(err.contains(&said), "{err}");
    }
}

#[test]
fn the_sluice_that_runs_with_this_file_is_no_conflict() {
    let proxy =
        Proxy::start("[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\nrespond.status = 204\n");
    let text = RIGHT.replace("127.0.0.1:0", &proxy.address().to_string());
    let (code, _, err) = of(&text);
    assert_eq!((code, err.as_str()), (0, ""));
}

/// Two configurations of one machine that name the same address.
#[test]
fn what_a_sluice_of_another_file_holds_is_warned_of() {
    let toml = "[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\nrespond.status = 204\n";
    let first = Proxy::start(toml);
    let folder = tempfile::tempdir().expect("a folder");
    let address = first.address().to_string();
    let own = std::fs::read_to_string(first.config()).expect("its file");
    let own = own.replace("127.0.0.1:0", &address);

    let other = folder.path().join("other.toml");
    let socket = format!("unix:{}", folder.path().join("admin.sock").display());
    std::fs::write(
        &other,
        RIGHT.replace("127.0.0.1:0", &address) + &format!("[admin]\nlisten = \"{socket}\"\n"),
    )
    .expect("written");
    let (code, _, err) = checked(folder.path(), &["other.toml"], "");
    assert_eq!(code, 0, "{err}");
    let said = format!("warning: cannot listen on {address}: address already in use");
    assert!(err.contains(&said), "{err}");
    assert!(err.contains("is not known to run this file"), "{err}");
    // The admin interface of the other one answers, and says that it runs another file.
    std::fs::write(&other, &own).expect("written");
    let (code, _, err) = checked(folder.path(), &["other.toml"], "");
    assert_eq!(code, 0, "{err}");
    for held in [&address, first.admin()] {
        let said = format!("cannot listen on {held}: address already in use");
        assert!(err.contains(&said), "{said}: {err}");
    }
}

#[test]
fn what_the_sluice_of_this_file_holds_is_not_and_nothing_else_is_forgiven() {
    let folder = tempfile::tempdir().expect("a folder");
    let held = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = held.local_addr().expect("an address");
    drop(held);
    let toml = format!(
        "[[listen]]\naddress = \"{port}\"\n[[route]]\nrespond.status = 204\n\
         [admin]\nlisten = \"unix:{}\"\n",
        folder.path().join("admin.sock").display()
    );
    let file = folder.path().join("sluice.toml");
    std::fs::write(&file, &toml).expect("written");
    let _proxy = Proxy::start_file(&file);
    let (code, _, err) = checked(folder.path(), &[], "");
    assert_eq!((code, err.as_str()), (0, ""));

    // One more address, which is another program's.
    let other = TcpListener::bind("127.0.0.1:0").expect("a port");
    let other = other
        .local_addr()
        .map(|address| (other, address))
        .expect("an address");
    std::fs::write(
        &file,
        format!("{toml}[[listen]]\naddress = \"{}\"\n", other.1),
    )
    .expect("written");
    let (code, _, err) = checked(folder.path(), &[], "");
    assert_eq!(code, 0, "{err}");
    assert_eq!(err.matches("warning: ").count(), 1, "{err}");
    assert!(
        err.contains(&format!("cannot listen on {}", other.1)),
        "{err}"
    );
}

#[test]
fn what_is_hardly_meant_is_warned_of() {
    let (code, out, err) = of("[[listen]]\naddress = \":0\"\n\
         [[listen]]\naddress = \"127.0.0.3:47113\"\n\
         [upstream.used]\nendpoints = [\"app:1\", \"[::ffff:127.0.0.3]:47113\"]\n\
         [upstream.forgotten]\nendpoints = \"app:2\"\n\
         [[route]]\nupstream = \"used\"\n\
         [[route]]\npath = \"/old\"\nredirect = \"https://{host}{path}\"\n\
         [[route]]\npath = \"/me\"\nto = \"127.0.0.3:47113\"\n");
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("ok (2 listeners"), "{out}");
    assert!(err.contains("standard input: 4 warnings"), "{err}");
    assert_eq!(err.matches("warning: ").count(), 4, "{err}");
    for said in [
        "no route uses upstream `forgotten`",
        "`{host}` keeps the port of the request",
        "`\"https://{hostname}{path}\"`",
        "127.0.0.3:47113 is an address that sluice listens on",
    ] {
        assert!(err.contains(said), "{said}: {err}");
    }
}

/// Each setting with the one that takes its effect from it, beside another that it has.
#[test]
fn settings_without_effect_are_warned_of() {
    for (text, without) in [
        (
            "[log]\nformat = \"combined\"\nheaders = [\"x-a\"]\nquery = true\n",
            &["headers"][..],
        ),
        (
            "[log]\naccess = \"off\"\nheaders = [\"x-a\"]\nquery = true\n",
            &["headers", "query"],
        ),
        (
            "[log]\nformat = \"json\"\nheaders = [\"x-a\"]\nquery = true\n",
            &[],
        ),
        (
            "[trace]\nsample = 1.0\nparent = \"ignore\"\nservice_name = \"a\"\n",
            &["sample", "parent", "service_name"],
        ),
        (
            "[trace]\nendpoint = \"http://127.0.0.1:4318\"\nsample = 1.0\n",
            &[],
        ),
        (
            "[admin]\nlisten = \"off\"\nmode = \"0660\"\ntap = \"payload\"\n",
            &["mode", "tap"],
        ),
        ("[admin]\nlisten = \"off\"\ntoken_file = \"off\"\n", &[]),
        (
            "[route.websocket]\nping_timeout = \"5s\"\nmax_age_jitter = 0.5\n",
            &["ping_timeout", "max_age_jitter"],
        ),
        (
            "[route.websocket]\nping_interval = \"9s\"\nping_timeout = \"5s\"\nmax_age = \"1h\"\nmax_age_jitter = 0.5\n",
            &[],
        ),
        (
            "[route.websocket]\nupstream_lost_code = \"off\"\nclient_lost_code = \"off\"\nlost_reason = \"a\"\n",
            &["lost_reason"],
        ),
        (
            "[route.websocket]\nupstream_lost_code = \"off\"\nlost_reason = \"a\"\n",
            &[],
        ),
        (
            "[route.websocket]\nmatch = false\nstrict = true\n",
            &["these settings"],
        ),
        (
            "upgrade = [\"tcp\"]\n[route.websocket]\nmatch = false\nidle_timeout = \"5s\"\n",
            &[],
        ),
        ("max_body = 5\nwebsocket = true\n", &["max_body"]),
        ("max_body = 5\nwebsocket = false\n", &[]),
        (
            "[upstream.a]\nendpoints = \"a:1\"\nmax_idle = 0\nidle_timeout = \"5s\"\n[[route]]\npath = \"/a\"\nupstream = \"a\"\n",
            &["idle_timeout"],
        ),
    ] {
        let (code, _, err) = of(&format!("{RIGHT}{text}"));
        assert_eq!(code, 0, "{text}{err}");
        assert_eq!(
            err.matches("warning: ").count(),
            without.len(),
            "{text}{err}"
        );
        for name in without {
            let said = match name.contains(' ') {
                true => format!("{name} have no effect: "),
                false => format!("`{name}` has no effect: "),
            };
            assert!(err.contains(&said), "{text}{err}");
        }
    }
}

#[test]
fn variables_where_there_are_none_are_warned_of() {
    for (text, count) in [
        ("name = \"at-$hostname\"\n", 1),
        ("path = \"/$uri\"\n", 1),
        ("path_prefix = \"/a\"\nreplace_prefix = \"/$host\"\n", 1),
        ("path_prefix = \"/$metadata/$$host\"\n", 0),
        (
            "[trace]\nendpoint = \"http://127.0.0.1:4318\"\nservice_name = \"sluice {hostname}\"\n",
            1,
        ),
        ("[[listen]]\naddress = \"unix:/run/$USER/sluice.sock\"\n", 2),
        ("[[route]]\npath = \"/o\"\nto = \"unix:/run/%i.sock\"\n", 0),
        (
            "[[route]]\npath = \"/o\"\nto = \"unix:/run/%i/o.sock\"\n",
            1,
        ),
        (
            "[[route]]\npath = \"/o\"\nredirect = \"https://{hostname}/$metadata\"\n",
            0,
        ),
        ("[drain]\nreason = \"back in {retry_after} s, $$5\"\n", 0),
        (
            "[[route]]\npath = \"/o\"\nrespond = { status = 200, body = \"$$host {{client}} {id} 5%\" }\n",
            0,
        ),
    ] {
        let (code, _, err) = of(&format!("{RIGHT}{text}"));
        assert_eq!(code, 0, "{text}{err}");
        assert_eq!(err.matches("warning: ").count(), count, "{text}{err}");
        let found = err.matches("is taken as it stands").count();
        assert_eq!(found, count.min(1), "{text}{err}");
    }
}

#[test]
fn a_start_and_a_reload_log_the_warnings() {
    let toml = "[log]\nquery = false\n[[listen]]\naddress = \"127.0.0.1:0\"\n\
                [[route]]\npath = \"/$uri\"\nrespond = { status = 200, body = \"{{host}}$$\" }\n\
                [route.websocket]\nmatch = false\n";
    let proxy = Proxy::start(toml);
    let warning = |said: &str| {
        let said = said.to_owned();
        let line = proxy.wait_for_log("a warning", move |line| {
            let message = line.json["message"].as_str().unwrap_or_default();
            line.json["level"] == "WARN" && message.contains(&said)
        });
        line.json
    };
    let event = warning("`$uri` is taken as it stands");
    let at = event["at"].as_str().unwrap_or_default();
    let line = std::fs::read_to_string(proxy.config()).expect("its file");
    let line = 1 + line
        .lines()
        .position(|line| line.contains("$uri"))
        .expect("a line");
    assert!(at.ends_with(&format!(":{line}:8")), "{event}");
    assert_eq!(event["fix"], "write the value itself");
    let answer = proxy
        .send("GET /$uri HTTP/1.1\r\nHost: x\r\n\r\n")
        .read_response();
    assert_eq!(answer.text(), "{host}$");

    let text = std::fs::read_to_string(proxy.config()).expect("its file");
    std::fs::write(
        proxy.config(),
        text.replace("query = false", "access = \"off\"\nquery = true"),
    )
    .expect("written");
    assert!(proxy.command(&["reload"]).status.success());
    warning("`query` has no effect");
}
