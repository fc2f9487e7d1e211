//! What reloads leave behind, when every upstream changes each time.

use super::*;

const ROUTES: u32 = 40;

/// Of this generation: no endpoint is in another one.
fn routes(generation: u32) -> String {
    let route = |n| {
        let address =
            SocketAddr::from(([127, 99, generation as u8, n as u8], 9 + generation as u16));
        route(&format!("r{n}"), &format!("/{n}"), address, "")
    };
    let all: String = (0..ROUTES).map(route).collect();
    format!("{LISTEN}{all}")
}

#[test]
fn memory_stays_what_it_is_over_reloads_in_which_every_upstream_changes() {
    let proxy = Proxy::start(&routes(0));
    let mut generation = 0;
    let mut reload = |times: u32| {
        for _ in 0..times {
            generation += 1;
            let event = proxy.reload(&routes(generation));
            assert_eq!(field(&event, "level"), "INFO", "{event}");
        }
    };
    // By then as many endpoints that are gone are remembered as ever are, for their counts.
    reload(60);
    let before = proxy.private_memory();
    reload(240);
    let most = before + before / 8;
    eventually!(
        proxy.private_memory() <= most,
        "{before} {}",
        proxy.private_memory()
    );
}
