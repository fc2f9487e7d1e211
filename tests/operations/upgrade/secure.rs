//! Live tunnels over TLS go on in another process: their keys, the numbers of their records, and a
//! record that is half read.

use support::tls::Authority;
use support::tls_client::Client;
use support::websocket::{frame, masked_frame};

use super::*;

fn secure(authority: &Authority, to: SocketAddr) -> Succession {
    let tls = format!("[listen.tls]\n{}", authority.pair(&["a.test"]).toml());
    Succession::start(|_| settings(to, "").replace("[[route]]", &format!("{tls}[[route]]")))
}

#[test]
fn tunnels_over_tls_go_on_through_several_processes() {
    let (authority, backend) = (Authority::new(), EchoBackend::start());
    let mut succession = secure(&authority, backend.address());
    let address = succession.proxy.address();
    let open = |suite| {
        let mut client = Client::connect(&authority, address, Some(suite));
        client.switch();
        client.echo(b"hello");
        client
    };
    let mut clients: Vec<Client> = [0x1301, 0x1302, 0x1303].map(open).into();
    for n in 0..4_u8 {
        // One record is half read when its tunnel goes.
        let message = vec![n; 3000];
        let records = clients[0].seal(&masked_frame(2, &message));
        let (first, last) = records.split_at(1 + 700 * usize::from(n));
        clients[0].send(first);
        let event = succession.upgrade();
        assert_eq!(number(&event, "tunnels"), clients.len() as u64, "{event}");
        if n == 0 {
            assert!(succession.proxy.wait_exit().success(), "by itself");
        }
        clients[0].send(last);
        clients[0].expect(&frame(2, &message));
        for client in &mut clients {
            client.echo(&vec![n; 40_000]);
            // Keys that were made in the process before lead to the next.
            client.update_keys();
            client.echo(b"under new keys");
        }
        clients.push(open(0x1301));
    }
}

#[test]
fn no_message_is_lost_while_the_processes_change() {
    let (authority, backend) = (Authority::new(), EchoBackend::start());
    let succession = secure(&authority, backend.address());
    let address = succession.proxy.address();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let talk = |seed: usize| {
            let (authority, done) = (&authority, &done);
            scope.spawn(move || {
                let mut client = Client::connect(authority, address, None);
                client.switch();
                let mut n = seed;
                while !done.load(Relaxed) {
                    n += 1;
                    let message = n.to_be_bytes().repeat(1 + n * 37 % 900);
                    client.echo(&message);
                    if n.is_multiple_of(17) {
                        client.update_keys();
                    }
                }
            })
        };
        let talks: Vec<_> = (0..8).map(talk).collect();
        for _ in 0..5 {
            succession.upgrade();
        }
        done.store(true, Relaxed);
        for talk in talks {
            talk.join().expect("no loss");
        }
    });
}
