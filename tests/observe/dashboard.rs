//! The dashboard in headless Chromium: what it shows of a page's own WebSocket through the
//! proxy, what its buttons do, and that it stays within its policy and at home.

use crate::support;

use serde_json::json;
use support::websocket::{self, open, tunnel_backend};
use support::{Browser, EchoBackend, Page, Proxy, RawBackend};

/// A page that opens a tunnel to where it came from and remembers how it ended.
const VISITOR: &str = "<!doctype html><title>visitor</title><script>\
     globalThis.ended = null;\
     globalThis.socket = new WebSocket(location.origin.replace('http', 'ws') + '/ws/room');\
     socket.onclose = ({ code, reason }) => { ended = `${code} ${reason}`; };\
     </script>";

fn html(page: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{page}",
        page.len()
    )
}

/// A proxy with a page on `/`, a WebSocket server on `/ws` and the dashboard on a TCP port.
fn proxy(page: &RawBackend, sockets: std::net::SocketAddr, admin: &str) -> Proxy {
    Proxy::start(&format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\nname = \"site\"\nto = \"{}\"\n\
         [[route]]\nname = \"chat\"\npath_prefix = \"/ws\"\nto = \"{sockets}\"\n\
         [admin]\nlisten = \"{admin}\"\n",
        page.address()
    ))
}

fn dashboard<'a>(browser: &'a Browser, proxy: &Proxy) -> Page<'a> {
    let page = browser.open(&format!("http://{}/", proxy.admin()));
    eventually!(page.text("#phase") == "ready");
    page
}

/// It has complained of nothing, and asked nobody but the sluice it came from.
fn at_home(page: &Page<'_>, proxy: &Proxy) {
    assert_eq!(page.complaints(), Vec::<String>::new());
    let home = format!("http://{}/", proxy.admin());
    let requests = page.requests();
    assert!(requests.iter().any(|url| url.contains("/v1/tunnels")));
    for url in requests {
        assert!(url.starts_with(&home) || url.starts_with("data:"), "{url}");
    }
}

#[test]
fn a_tunnel_of_a_page_is_shown_until_its_end_and_then_the_cause() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let (page, sockets) = (RawBackend::answering(html(VISITOR)), EchoBackend::start());
    let proxy = proxy(&page, sockets.address(), "127.0.0.1:0");
    let board = dashboard(&browser, &proxy);
    eventually!(board.text("#no-tunnels") == "No tunnel is open.");
    let visitor = browser.open(&format!("{}/", proxy.origin()));
    eventually!(visitor.eval("socket.readyState") == 1);

    let row = "#tunnels tbody tr";
    eventually!(board.count(row) == 1);
    let shown = board.text(row);
    assert!(shown.contains("/ws/room"), "{shown}");
    assert!(shown.contains(&sockets.address().to_string()), "{shown}");
    eventually!(board.text("#open") == "1 tunnel");
    eventually!(board.text("#routes tbody tr").contains("chat"));
    eventually!(board.text("#endpoints").contains("up"));
    visitor.eval("socket.send('a message')");
    eventually!(board.text(row).contains("1 / 1"));

    visitor.eval("socket.close(4001, 'had enough')");
    eventually!(board.count(row) == 0);
    eventually!(board.count("#closed li") == 1);
    let end = board.text("#closed li");
    for said in ["client", "4001", "had enough", "chat"] {
        assert!(end.contains(said), "{said}: {end}");
    }
    eventually!(board.text("#closed-causes").contains("1 client"));
    at_home(&board, &proxy);
}

#[test]
fn the_close_button_works_by_keyboard_and_asks_first() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let (page, sockets) = (RawBackend::answering(html(VISITOR)), EchoBackend::start());
    let proxy = proxy(&page, sockets.address(), "127.0.0.1:0");
    let visitor = browser.open(&format!("{}/", proxy.origin()));
    eventually!(visitor.eval("socket.readyState") == 1);
    let board = dashboard(&browser, &proxy);
    let button = "#tunnels tbody tr .act button";
    eventually!(board.count(button) == 1);

    // Keeping it keeps it.
    board.press(button, "Enter");
    eventually!(board.eval("document.querySelector('#one').open") == true);
    assert!(board.text("#one dl").contains("/ws/room"));
    assert!(board.text("#one dl").contains(&proxy.origin()));
    board.press("#one button:not(.danger)", "Enter");
    eventually!(board.eval("document.querySelector('#one').open") == false);
    assert_eq!(visitor.eval("socket.readyState"), 1);

    board.press(button, "Enter");
    eventually!(board.eval("document.querySelector('#one').open") == true);
    board.write("#one [name=code]", "4321");
    board.write("#one [name=reason]", "seen enough");
    board.press("#one .danger", "Enter");
    eventually!(visitor.eval("ended") == "4321 seen enough");
    eventually!(board.text("#closed li").contains("command"));
    eventually!(board.count(button) == 0);
    at_home(&board, &proxy);
}

#[test]
fn a_refused_handshake_comes_with_what_would_mend_it() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let page = RawBackend::answering(html(VISITOR));
    let sockets = RawBackend::answering("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    let proxy = proxy(&page, sockets.address(), "127.0.0.1:0");
    let board = dashboard(&browser, &proxy);
    let visitor = browser.open(&format!("{}/", proxy.origin()));
    eventually!(visitor.eval("ended") == "1006 ");
    let record = proxy.wait_for_access("the refusal", |json| json["fix"].is_string());
    eventually!(board.count("#refused li") == 1);
    let said = board.text("#refused li");
    let [cause, fix] = ["cause", "fix"].map(|name| record[name].as_str().unwrap());
    assert!(said.contains(cause), "{cause}: {said}");
    let lower = said.to_lowercase();
    assert!(lower.contains(&fix.to_lowercase()), "{fix}: {said}");
    at_home(&board, &proxy);
}

#[test]
fn texts_of_peers_are_never_taken_for_html() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let (page, sockets) = (RawBackend::answering(html(VISITOR)), EchoBackend::start());
    let proxy = proxy(&page, sockets.address(), "127.0.0.1:0");
    let board = dashboard(&browser, &proxy);
    let image = "<img src=x onerror=alert(1)>";
    let visitor = browser.open(&format!("{}/", proxy.origin()));
    eventually!(visitor.eval("socket.readyState") == 1);
    visitor.eval(&format!("socket.close(4000, {})", json!(image)));
    eventually!(board.text("#closed li").contains(image));
    assert_eq!(board.count("img"), 0);
    at_home(&board, &proxy);
}

#[test]
fn many_tunnels_are_paged_searched_and_updated_in_place() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let page = RawBackend::answering(html("x"));
    let sockets = tunnel_backend(|mut wire| {
        wire.read_until_close();
    });
    let proxy = proxy(&page, sockets.address(), "127.0.0.1:0");
    let mut wires: Vec<_> = (0..120)
        .map(|n| open(&proxy, &format!("/ws/{n}")))
        .collect();
    let board = dashboard(&browser, &proxy);
    let rows = "#tunnels tbody tr";
    eventually!(board.count(rows) == 50);
    eventually!(board.text("#range") == "1 to 50 of 120 open");
    board.press("#next", "Enter");
    eventually!(board.text("#range") == "51 to 100 of 120 open");
    board.press("#next", "Enter");
    eventually!(board.count(rows) == 20);
    assert_eq!(board.eval("document.querySelector('#next').disabled"), true);
    board.press("#back", "Enter");
    eventually!(board.text("#range") == "51 to 100 of 120 open");
    board.press("#back", "Enter");
    eventually!(board.text("#range") == "1 to 50 of 120 open");

    // What is focused stays so while rows above it go and others come.
    let second = "document.querySelector('#tunnels tbody tr:nth-child(2) .act button')";
    board.eval(&format!("(globalThis.second = {second}).focus()"));
    drop(wires.remove(0));
    eventually!(board.text("#range") == "1 to 50 of 119 open");
    assert_eq!(board.eval("document.activeElement === second"), true);
    let first = "document.querySelector('#tunnels tbody .act button') === second";
    assert_eq!(board.eval(first), true);

    board.write("#q", "/ws/77");
    eventually!(board.count(rows) == 1);
    assert!(board.text(rows).contains("/ws/77"), "{}", board.text(rows));
    assert_eq!(board.text("#range"), "1 to 1 of 1 matching, of 119 open");

    // The row is the same node while its figures change.
    board.eval("document.querySelector('#tunnels tbody tr').mark = true");
    let mut wire = wires.into_iter().nth(76).unwrap();
    wire.send(websocket::masked_frame(1, b"hello"));
    eventually!(board.text(rows).contains("1 / 0"));
    let marked = board.eval("document.querySelector('#tunnels tbody tr').mark");
    assert_eq!(marked, true);

    // Nothing is wider than the narrowest screen.
    board.look(360, "dark");
    eventually!(board.eval("innerWidth") == 360);
    let fits = "document.documentElement.scrollWidth <= innerWidth";
    assert_eq!(board.eval(fits), true);
    at_home(&board, &proxy);
}

/// What is missing in the configuration is said there too, and spelled by the same list.
#[test]
fn hints_are_shown_and_characters_spelled_as_everywhere() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let (page, sockets) = (RawBackend::answering(html(VISITOR)), EchoBackend::start());
    let proxy = proxy(&page, sockets.address(), "127.0.0.1:0");
    let board = dashboard(&browser, &proxy);
    assert_eq!(board.eval("document.querySelector('#hints').hidden"), true);
    proxy.ask("GET", "/", "X-Forwarded-Proto: https\r\n");
    eventually!(
        board
            .text("#hints")
            .contains("\"127.0.0.1\" to http.trusted_proxies")
    );
    assert_eq!(board.count("#hints li"), 1);

    let spelled = board.eval(
        "(() => { const all = []; for (let c = 0; c < 0x110000; c++) {\
         if (c === 0xd800) c = 0xe000;\
         if (visible(String.fromCodePoint(c)) !== String.fromCodePoint(c)) all.push(c); }\
         return all; })()",
    );
    let hidden = ('\0'..=char::MAX).filter(|c| sluice::vocabulary::visible::is_hidden(*c));
    let hidden: Vec<u32> = hidden.map(u32::from).collect();
    assert_eq!(spelled, json!(hidden));
    assert_eq!(board.complaints(), Vec::<String>::new());
}

#[test]
fn the_page_survives_a_restart_and_says_since_when_it_has_been_alone() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let (page, sockets) = (RawBackend::answering(html(VISITOR)), EchoBackend::start());
    let first = proxy(&page, sockets.address(), "127.0.0.1:0");
    let board = dashboard(&browser, &first);
    let admin = first.admin().to_owned();
    assert_eq!(board.eval("document.querySelector('#lost').hidden"), true);
    drop(first);
    eventually!(board.text("#lost").starts_with("Connection lost since "));
    assert_eq!(board.text("#phase"), "not reached");

    let second = proxy(&page, sockets.address(), &admin);
    eventually!(board.text("#phase") == "ready");
    assert_eq!(board.eval("document.querySelector('#lost').hidden"), true);
    assert!(board.text("#said").contains(&second.id().to_string()));
    let _wire = open(&second, "/ws/after");
    eventually!(board.text("#tunnels tbody tr").contains("/ws/after"));
    assert_eq!(board.complaints(), Vec::<String>::new());
}

#[test]
fn the_page_asks_for_a_token_where_one_is_demanded() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let token = "a-token-of-a-test-0123456789";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, token).unwrap();
    let page = RawBackend::answering(html("x"));
    let admin = format!("127.0.0.1:0\"\ntoken_file = \"{}", file.display());
    let proxy = proxy(&page, page.address(), &admin);
    let board = browser.open(&format!("http://{}/", proxy.admin()));
    let open = "document.querySelector('#token-dialog').open";
    eventually!(board.eval(open) == true);
    board.write("#token-dialog input", "not the token, but as long");
    board.press("#token-dialog button", "Enter");
    let again = format!("token.startsWith('not') && {open}");
    eventually!(board.eval(&again) == true);
    assert_eq!(board.text("#wrong"), "That was not the token.");
    board.write("#token-dialog input", token);
    board.press("#token-dialog button", "Enter");
    eventually!(board.text("#phase") == "ready");
    assert_eq!(board.eval(open), false);
    at_home(&board, &proxy);
}

/// A `false` in it is an element, named, that is cut or broken where it must not be.
const LAID_OUT: &str = r##"(() => {
    const faults = [];
    const box = (node) => node.getBoundingClientRect();
    if (document.documentElement.scrollWidth > innerWidth) faults.push("the page is wider than its window");
    for (const span of document.querySelectorAll("#tunnels .address span")) {
        if (span.getClientRects().length > 1) faults.push(`broken: ${span.textContent}`);
    }
    for (const cell of document.querySelectorAll("#tunnels td")) {
        if (cell.scrollWidth > cell.clientWidth + 1) faults.push(`cut: ${cell.textContent}`);
    }
    for (const scroll of document.querySelectorAll(".scroll")) {
        const { top, bottom } = box(scroll);
        for (const entry of scroll.querySelectorAll("li, tr")) {
            const { top: from, bottom: to } = box(entry);
            if (from < bottom - 1 && to > bottom + 1) faults.push(`cut in the middle: ${entry.textContent}`);
        }
        if (scroll.scrollWidth > scroll.clientWidth) faults.push(`wider than its box: ${scroll.textContent}`);
    }
    return faults;
})()"##;

#[test]
fn addresses_stay_whole_and_no_line_is_cut_at_any_width() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let page = RawBackend::answering(html("x"));
    let sockets = tunnel_backend(|mut wire| {
        wire.read_until_close();
    });
    let proxy = proxy(&page, sockets.address(), "127.0.0.1:0");
    let _short = open(&proxy, "/ws/a");
    let _long = open(&proxy, &format!("/ws/{}", "a-long-room-name/".repeat(12)));
    // Refusals of several heights, and more ends than fit into their box.
    for (fields, status) in [
        ("Origin: http://evil.test\r\n", 403),
        (
            "Origin: http://evil.test\r\nOrigin: http://other.test\r\n",
            403,
        ),
        ("Origin: null\r\n", 403),
    ] {
        let head = websocket::handshake(proxy.address(), "/ws/x", fields);
        assert_eq!(proxy.send(head).read_head().status(), status);
    }
    let old = websocket::handshake(proxy.address(), "/ws/x", "");
    let old = old.replace("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8");
    assert_eq!(proxy.send(old).read_head().status(), 426);
    for n in 0..8 {
        drop(open(&proxy, &format!("/ws/gone/{n}")));
    }
    let board = dashboard(&browser, &proxy);
    eventually!(board.count("#tunnels tbody tr") == 2);
    eventually!(board.count("#refused li") >= 2);
    eventually!(board.count("#closed li") == 8);
    board.press("#pause", "Enter");
    // Loopback has no address of such a length.
    let longest = "[2001:db8:1234:5678:9abc:def0:1234:5678]:54321";
    for addresses in [
        ["127.0.0.1:54321", "255.255.255.255:65535"],
        [longest, longest],
        [
            "unix",
            "unix:/run/an-application/with/a-long/path/to/its/socket.sock",
        ],
    ] {
        let [client, endpoint] = addresses;
        board.eval(&format!(
            "for (const tr of document.querySelectorAll('#tunnels tbody tr')) {{ \
             putAddress(tr.cells[1], '{client}'); putAddress(tr.cells[3], '{endpoint}'); }}"
        ));
        for width in [1280, 1120, 1440, 1920, 1024, 800, 768, 360] {
            board.look(width, "light");
            eventually!(board.eval("innerWidth") == width);
            board.eval("fitBoxes()");
            assert_eq!(board.eval(LAID_OUT), json!([]), "{width}: {addresses:?}");
            // A short address is on one line even if its row has a long path.
            let lines =
                "document.querySelector('#tunnels tbody td:nth-child(2)').getClientRects().length";
            assert_eq!(board.eval(lines), 1);
            if let Some(folder) = std::env::var_os("SLUICE_SCREENSHOTS") {
                let name = format!("{width}-{}.png", endpoint.len());
                std::fs::write(std::path::Path::new(&folder).join(name), board.screenshot())
                    .unwrap();
            }
        }
    }
    let shown = board.text("#tunnels tbody td:nth-child(4)");
    assert!(shown.contains("socket.sock"), "{shown}");
    at_home(&board, &proxy);
}

#[test]
fn plain_http_is_drawn_by_route_and_over_time() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let page = RawBackend::answering("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
    let refusing = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = refusing.local_addr().unwrap();
    drop(refusing);
    let proxy = proxy(&page, address, "127.0.0.1:0");
    let board = dashboard(&browser, &proxy);
    for path in ["/", "/ws"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        assert!(proxy.send(request).read_response().status() >= 500);
    }
    let row = "[...document.querySelectorAll('#routes tbody tr')].find((tr) => \
               tr.cells[0].textContent === 'site')?.innerText ?? ''";
    let site = || board.eval(row).as_str().unwrap_or_default().to_owned();
    eventually!(site().split('\t').nth(3) == Some("1"));
    assert!(
        site()
            .split('\t')
            .nth(5)
            .is_some_and(|p99| p99.ends_with("ms")),
        "{}",
        site()
    );
    eventually!(board.text("#endpoints").contains("avoided: refused since "));
    let plots = board.text("#plots");
    for said in ["5xx", "First byte", "p50", "p99"] {
        assert!(plots.contains(said), "{said}: {plots}");
    }
    at_home(&board, &proxy);
}
