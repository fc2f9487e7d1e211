//! A new process that misbehaves: this test program, started by the proxy under test instead
//! of sluice, speaking the real protocol up to a point.

use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use rustix::process::{Signal, getpid, kill_process};
use sluice::handover::ENVIRONMENT;
use sluice::handover::channel::Channel;
use sluice::handover::protocol::{About, LISTENERS_ONLY, Message, Ready, Refusal, receive, send};

/// How it misbehaves.
const MANNER: &str = "SLUICE_TEST_IMPOSTOR";

/// The shell script that starts it.
pub fn script(manner: &str) -> String {
    let program = std::env::current_exe().expect("this program");
    format!(
        "{MANNER}=\"{manner}\" exec \"{}\" --exact upgrade::impostor::act --ignored --nocapture",
        program.display()
    )
}

#[test]
#[ignore = "is started by the proxy under test"]
fn act() {
    let (Ok(manner), Ok(_)) = (std::env::var(MANNER), std::env::var(ENVIRONMENT)) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(play(&manner));
    // Without the harness's own output, and with a code of its own.
    std::process::exit(9);
}

/// Ends this process as `kill -9` does, where the manner says so.
fn die(manner: &str, phase: &str) {
    if manner == phase {
        let _ = kill_process(getpid(), Signal::KILL);
    }
}

async fn play(manner: &str) {
    die(manner, "killed at once");
    let stdin = std::io::stdin();
    let socket = stdin.as_fd().try_clone_to_owned().expect("a descriptor");
    let mut raw = UnixStream::from(socket.try_clone().expect("a descriptor"));
    let mut channel = Channel::new(socket).expect("a socket");
    let mut listeners = Vec::new();
    loop {
        match receive(&mut channel).await.expect("a message") {
            Some((Message::EndOfListeners, _)) => break,
            Some((_, descriptors)) => listeners.extend(descriptors),
            None => return,
        }
    }
    assert!(!listeners.is_empty(), "listeners come with descriptors");
    die(manner, "killed with the listeners");
    if manner == "talks HTTP" {
        raw.write_all(b"HTTP/1.1 200 OK\r\n\r\n").expect("it reads");
        return wait(&mut channel).await;
    }
    let ready = Message::Ready(Ready {
        pid: std::process::id(),
        version: "0".to_owned(),
        format: match manner {
            "speaks format 99" => 99,
            "has no format in common" => LISTENERS_ONLY,
            _ => 1,
        },
        acknowledges: manner == "refuses late, too",
        takes_late: manner == "refuses late, too",
        makes_room: false,
        takes_tls: true,
    });
    send(&channel, ready, &[]).await.expect("it reads");
    die(manner, "killed when it is ready");
    if manner == "is ready and talks HTTP" {
        raw.write_all(b"HTTP/1.1 200 OK\r\n\r\n").expect("it reads");
        return wait(&mut channel).await;
    }
    let mut held = Vec::new();
    let mut gone = 0;
    while let Some((message, descriptors)) = receive(&mut channel).await.expect("a message") {
        let id = match message {
            Message::Tunnel(item, _) => item.id,
            Message::Connection(item) => item.id,
            Message::Go(_) => {
                gone += 1;
                if gone == 3 {
                    die(manner, "killed behind the third");
                }
                continue;
            }
            Message::End => {
                die(manner, "killed behind the last");
                send(&channel, Message::Done, &[]).await.expect("it reads");
                if manner == "refuses late, too" {
                    continue;
                }
                return;
            }
            Message::Echo => {
                send(&channel, Message::Echo, &[]).await.expect("it reads");
                continue;
            }
            Message::Left(_) => continue,
            _ => return,
        };
        held.extend(descriptors);
        die(manner, "killed with the first");
        let answer = match manner {
            "killed behind the third" if id > 3 => continue,
            "killed behind the third" | "killed behind the last" => Message::Taken(About { id }),
            "refuses" | "refuses late, too" => {
                let why = "no room".to_owned();
                Message::Refused(Refusal { id, why })
            }
            _ => return,
        };
        send(&channel, answer, &[]).await.expect("it reads");
    }
}

/// Until the proxy has had enough.
async fn wait(channel: &mut Channel) {
    while let Ok(Some(_)) = receive(channel).await {}
}
