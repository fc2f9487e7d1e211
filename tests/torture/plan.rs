//! The configurations that follow each other: a route that stays, with an endpoint that
//! comes and goes beside two that stay, one whose endpoint restarts, and short-lived routes.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

/// Reloads that a short-lived route lives through, by its number.
fn life(number: u32) -> u32 {
    2 + number % 4
}

/// The addresses behind the proxy.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// Stay.
    pub staying: [SocketAddr; 2],
    /// Comes and goes.
    pub passing: SocketAddr,
    /// Restarts.
    pub restarting: SocketAddr,
    /// Behind the short-lived routes.
    pub short: [SocketAddr; 2],
}

/// The name of a short-lived route.
pub fn route(number: u32) -> String {
    format!("short-{number}")
}

/// The configuration of this reload. `folder` is the place for sockets and logs.
pub fn config(reload: u32, at: &Addresses, folder: &Path) -> String {
    let folder = folder.display();
    let mut toml = format!(
        "workers = 2\n\
         [log]\naccess = \"{folder}/access.log\"\nformat = \"json\"\n\
         [admin]\nlisten = \"unix:{folder}/admin.sock\"\n\
         [drain]\nover = \"1s\"\ndeadline = \"25s\"\n\
         [[listen]]\naddress = \"127.0.0.1:0\"\n"
    );
    let [a, b] = at.staying;
    let passing = if reload % 6 > 2 {
        format!(", \"{}\"", at.passing)
    } else {
        String::new()
    };
    let _ = write!(
        toml,
        "[upstream.keep]\nendpoints = [\"{a}\", \"{b}\"{passing}]\nidle_timeout = \"1s\"\n\
         [[route]]\nname = \"keep\"\npath_prefix = \"/keep\"\nupstream = \"keep\"\n\
         [[route]]\nname = \"flap\"\npath_prefix = \"/flap\"\nto = \"{}\"\n",
        at.restarting
    );
    let first = reload.saturating_sub(8);
    for number in (first..=reload).filter(|number| number + life(*number) > reload) {
        let (name, to) = (route(number), at.short[number as usize % 2]);
        let how = if number % 3 == 0 { "close" } else { "drain" };
        let _ = write!(
            toml,
            "[[route]]\nname = \"{name}\"\npath_prefix = \"/{name}\"\nto = \"{to}\"\n\
             [route.websocket]\non_removed = \"{how}\"\n"
        );
    }
    toml
}
