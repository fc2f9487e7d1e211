//! Headless Chromium, driven through the DevTools protocol: pages that are opened, asked and
//! listened to. <https://chromedevtools.github.io/devtools-protocol/>

use std::cell::{Cell, RefCell};
use std::net::TcpStream;
use std::process::Command;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use super::process::Process;
use super::{DEADLINE, Tool};

/// Remembers what the policy of a page forbade, before any script of the page runs.
const WATCH_POLICY: &str = "globalThis.forbidden = []; addEventListener(\
     'securitypolicyviolation', (event) => forbidden.push(`${event.effectiveDirective} ` + \
     `${event.blockedURI} ${event.sample}`));";

/// A browser; it ends with the value, its profile with it.
pub struct Browser {
    socket: RefCell<WebSocket<TcpStream>>,
    calls: Cell<u64>,
    /// What pages have told, with the session of each.
    told: RefCell<Vec<Value>>,
    _process: Process,
    _profile: tempfile::TempDir,
}

/// A page of it.
pub struct Page<'a> {
    browser: &'a Browser,
    session: String,
}

impl Browser {
    /// Starts Chromium; `None`, said loudly, where it is not installed.
    pub fn start() -> Option<Browser> {
        if !Tool::require("chromium") {
            return None;
        }
        let profile = tempfile::tempdir().expect("a temporary folder");
        let mut command = Command::new("chromium");
        command
            .args(["--headless=new", "--no-sandbox", "--disable-gpu"])
            .args(["--disable-dev-shm-usage", "--no-first-run", "--mute-audio"])
            .args(["--disable-background-networking"])
            .args(["--disable-component-update", "--remote-debugging-port=0"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank");
        let process = Process::spawn("chromium", &mut command);
        let said = "DevTools listening on ";
        // A browser that is started for the first time on a busy machine takes long.
        let line = process.line_behind(0, 4 * DEADLINE, |line| line.text.starts_with(said));
        let line = line.unwrap_or_else(|| panic!("chromium never said: {said}"));
        let url = &line.text[said.len()..];
        let address = url.split('/').nth(2).expect("a ws: URL");
        let stream = TcpStream::connect(address).expect("the browser listens");
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let (socket, _) = tungstenite::client(url, stream).expect("a DevTools connection");
        Some(Browser {
            socket: RefCell::new(socket),
            calls: Cell::new(0),
            told: RefCell::default(),
            _process: process,
            _profile: profile,
        })
    }

    /// Opens a page and waits until it has loaded.
    pub fn open(&self, url: &str) -> Page<'_> {
        let text = |value: &Value| value.as_str().expect("a string").to_owned();
        // In a window of its own: a page behind another one is hidden and may rest.
        let blank = json!({
            "url": "about:blank", "newWindow": true, "width": 1280, "height": 900,
        });
        let target = text(&self.call("", "Target.createTarget", blank)["targetId"]);
        let attach = json!({ "targetId": target, "flatten": true });
        let session = text(&self.call("", "Target.attachToTarget", attach)["sessionId"]);
        let page = Page {
            browser: self,
            session,
        };
        for domain in ["Page", "Runtime", "Network", "Log"] {
            page.call(&format!("{domain}.enable"), json!({}));
        }
        let watch = json!({ "source": WATCH_POLICY });
        page.call("Page.addScriptToEvaluateOnNewDocument", watch);
        let answer = page.call("Page.navigate", json!({ "url": url }));
        assert_eq!(answer["errorText"], Value::Null, "{url}");
        crate::eventually!(page.eval("document.readyState") == "complete");
        page
    }

    fn call(&self, session: &str, method: &str, params: Value) -> Value {
        let id = self.calls.get() + 1;
        self.calls.set(id);
        let mut call = json!({ "id": id, "method": method, "params": params });
        if !session.is_empty() {
            call["sessionId"] = session.into();
        }
        let mut socket = self.socket.borrow_mut();
        socket.send(Message::text(call.to_string())).expect(method);
        loop {
            let message = socket
                .read()
                .unwrap_or_else(|why| panic!("{method}: {why}"));
            let Message::Text(text) = message else {
                continue;
            };
            let mut value: Value = serde_json::from_str(&text).expect("DevTools speaks JSON");
            if value["id"] == id {
                assert_eq!(value["error"], Value::Null, "{method}");
                return value["result"].take();
            }
            self.told.borrow_mut().push(value);
        }
    }
}

impl Page<'_> {
    /// What an expression comes to, as JSON; a promise is waited for.
    pub fn eval(&self, expression: &str) -> Value {
        let question = json!({
            "expression": expression, "returnByValue": true, "awaitPromise": true,
            "userGesture": true,
        });
        let mut answer = self.call("Runtime.evaluate", question);
        let exception = &answer["exceptionDetails"];
        assert_eq!(*exception, Value::Null, "{expression}");
        answer["result"]["value"].take()
    }

    /// The text of the element that a selector finds, as a user sees it; empty without one.
    pub fn text(&self, selector: &str) -> String {
        let text = self.eval(&format!(
            "document.querySelector({})?.innerText ?? ''",
            json!(selector)
        ));
        text.as_str().unwrap_or_default().to_owned()
    }

    /// How many elements a selector finds.
    pub fn count(&self, selector: &str) -> u64 {
        let count = format!("document.querySelectorAll({}).length", json!(selector));
        self.eval(&count).as_u64().expect("a number")
    }

    /// Focuses an element by a script and presses a key on it.
    pub fn press(&self, selector: &str, key: &str) {
        let focused = self.eval(&format!(
            "{{ const node = document.querySelector({}); node?.focus(); \
             node !== null && document.activeElement === node }}",
            json!(selector)
        ));
        assert_eq!(focused, true, "{selector} takes the focus");
        let text = if key == "Enter" { "\r" } else { "" };
        let code = if key == "Enter" { 13 } else { 0 };
        let down = json!({
            "type": "keyDown", "key": key, "text": text, "windowsVirtualKeyCode": code,
        });
        self.call("Input.dispatchKeyEvent", down);
        let up = json!({ "type": "keyUp", "key": key, "windowsVirtualKeyCode": code });
        self.call("Input.dispatchKeyEvent", up);
    }

    /// Types into an element.
    pub fn write(&self, selector: &str, text: &str) {
        self.eval(&format!(
            "document.querySelector({}).select()",
            json!(selector)
        ));
        self.call("Input.insertText", json!({ "text": text }));
    }

    /// Shows the page as a window of this width and, where `scheme` is `dark`, in the dark.
    pub fn look(&self, width: u32, scheme: &str) {
        let size =
            json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size);
        let scheme = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": scheme }));
    }

    /// The whole page as PNG.
    pub fn screenshot(&self) -> Vec<u8> {
        let whole = json!({ "format": "png", "captureBeyondViewport": true });
        let answer = self.call("Page.captureScreenshot", whole);
        let text = answer["data"].as_str().expect("base64");
        data_encoding::BASE64
            .decode(text.as_bytes())
            .expect("base64")
    }

    /// The URLs of all its requests so far.
    pub fn requests(&self) -> Vec<String> {
        let requests = self.told("Network.requestWillBeSent").into_iter();
        let url = |told: Value| told["request"]["url"].as_str().map(str::to_owned);
        requests.filter_map(url).collect()
    }

    /// What its policy forbade and what its scripts threw.
    pub fn complaints(&self) -> Vec<String> {
        let forbidden = self.eval("forbidden");
        let forbidden = forbidden.as_array().expect("a list").clone();
        let thrown = self.told("Runtime.exceptionThrown");
        let security = self.told("Log.entryAdded").into_iter();
        let security = security.filter(|told| told["entry"]["source"] == "security");
        let all = forbidden.into_iter().chain(thrown).chain(security);
        all.map(|value| value.to_string()).collect()
    }

    fn told(&self, method: &str) -> Vec<Value> {
        let told = self.browser.told.borrow();
        let ours = told
            .iter()
            .filter(|told| told["sessionId"] == *self.session && told["method"] == method);
        ours.map(|told| told["params"].clone()).collect()
    }

    fn call(&self, method: &str, params: Value) -> Value {
        self.browser.call(&self.session, method, params)
    }
}
