//! The description of the admin interface against a running process: every path and method
//! of it is asked for, and what comes back has to be what it says, no field more or less.

use crate::support;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};
use support::websocket::{handshake, masked_frame, open, tunnel_backend};
use support::{DEADLINE, Proxy, Wire};

/// The subset of JSON Schema that the description uses. An object with `properties` has no
/// others.
struct Schema<'a>(&'a Value);

const KEYWORDS: [&str; 11] = [
    "$ref",
    "additionalProperties",
    "anyOf",
    "description",
    "enum",
    "items",
    "maximum",
    "minimum",
    "properties",
    "required",
    "type",
];

impl Schema<'_> {
    fn check(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        let fail = |what: &str| Err(format!("{at}: {what}: {value}"));
        for keyword in schema.as_object().expect("a schema").keys() {
            assert!(KEYWORDS.contains(&keyword.as_str()), "{at}: {keyword}");
        }
        if let Some(name) = schema["$ref"].as_str() {
            let pointer = name.strip_prefix('#').expect("a reference in the file");
            let target = self.0.pointer(pointer).expect("what is referred to");
            return self.check(target, value, at);
        }
        if let Some(any) = schema["anyOf"].as_array() {
            let fits = any.iter().any(|one| self.check(one, value, at).is_ok());
            return if fits { Ok(()) } else { fail("none fits") };
        }
        let types: Vec<&str> = match &schema["type"] {
            Value::String(one) => vec![one],
            Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
            other => panic!("{at}: {other}"),
        };
        let own = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(n) if n.is_f64() => "number",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let fits = types.contains(&own) || own == "integer" && types.contains(&"number");
        if !fits {
            return fail(&format!("is {own}, not {types:?}"));
        }
        if let Some(all) = schema["enum"].as_array()
            && !all.contains(value)
        {
            return fail("is none of the words");
        }
        let number = value.as_f64().unwrap_or(0.0);
        if schema["minimum"]
            .as_f64()
            .is_some_and(|least| number < least)
            || schema["maximum"].as_f64().is_some_and(|most| number > most)
        {
            return fail("is out of bounds");
        }
        for (index, item) in value.as_array().into_iter().flatten().enumerate() {
            if schema["items"].is_object() {
                self.check(&schema["items"], item, &format!("{at}[{index}]"))?;
            }
        }
        let Some(members) = value.as_object() else {
            return Ok(());
        };
        for name in schema["required"].as_array().into_iter().flatten() {
            if !members.contains_key(name.as_str().unwrap()) {
                return fail(&format!("lacks {name}"));
            }
        }
        for (name, member) in members {
            let at = format!("{at}.{name}");
            match (&schema["properties"][name], &schema["additionalProperties"]) {
                (Value::Null, Value::Null) => return fail(&format!("does not know {name}")),
                (Value::Null, Value::Bool(true)) => {}
                (Value::Null, others) => self.check(others, member, &at)?,
                (own, _) => self.check(own, member, &at)?,
            }
        }
        Ok(())
    }
}

/// Status, media type and body of one exchange.
fn ask(proxy: &Proxy, method: &str, path: &str, body: Option<&Value>) -> (String, String, String) {
    let body = body.map(Value::to_string).unwrap_or_default();
    let kind = match method {
        "GET" => String::new(),
        _ => format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n",
            body.len()
        ),
    };
    // HTTP/1.0: no chunks.
    let answer = proxy.raw_admin(format!(
        "{method} {path} HTTP/1.0\r\nHost: localhost\r\n{kind}\r\n{body}"
    ));
    let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let field = |line: &str| {
        let (name, value) = line.split_once(": ")?;
        let media_type = value.split(';').next()?;
        name.eq_ignore_ascii_case("content-type")
            .then(|| media_type.to_owned())
    };
    let media_type = lines.find_map(field).unwrap_or_default();
    (
        status.expect("a status").to_owned(),
        media_type,
        body.to_owned(),
    )
}

/// A process with something of everything: tunnels, closes, refusals, a drain.
fn busy() -> (support::RawBackend, Proxy, Vec<Wire>) {
    let backend = tunnel_backend(|mut wire| {
        wire.read_until_close();
    });
    let proxy = Proxy::start(&format!(
        "workers = 2\n[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\nname = \"chat\"\npath_prefix = \"/ws\"\nupstream = \"app\"\n\
         request_headers.set = {{ authorization = \"Bearer x\" }}\n\
         websocket.origin = [\"https://app.test\", \"same-origin\"]\n\
         [[route]]\nname = \"hello\"\npath = \"/hello\"\nrespond.status = 204\n\
         [upstream.app]\nendpoints = [\"{}\", \"127.0.0.1:1\"]\nbalance = \"round-robin\"\n",
        backend.address()
    ));
    let tunnels = (0..4).map(|_| open(&proxy, "/ws")).collect();
    let bad = handshake(proxy.address(), "/ws", "Origin: http://evil.test\r\n");
    assert_eq!(proxy.send(bad).read_head().status(), 403);
    drop(open(&proxy, "/ws"));
    let full = |stats: &Value| {
        let some = |name: &str| !stats[name].as_array().unwrap().is_empty();
        some("closes")
            && some("refusals")
            && some("history")
            && stats["routes"][1]["closed"] != json!({})
    };
    eventually!(full(
        &serde_json::from_str(&proxy.get_admin("/v1/stats").1).unwrap()
    ));
    (backend, proxy, tunnels)
}

#[test]
fn every_answer_is_what_the_description_says() {
    let (_backend, proxy, _tunnels) = busy();
    let (_, _, text) = ask(&proxy, "GET", "/openapi.json", None);
    let described: Value = serde_json::from_str(&text).expect("JSON");
    let schema = Schema(&described);
    let bodies = json!({
        "/v1/tunnels/close": { "filter": { "route": "chat", "min_age": "0s" }, "code": 1001 },
        "/v1/drain": { "target": { "route": "chat" }, "over_ms": 60000 },
        "/v1/undrain": {},
        "/v1/upgrade": { "binary": "/nowhere" },
        "/v1/reload": {},
    });
    let mut granted = Vec::new();
    // What closes and drains comes last, and taking back behind what is taken back.
    let mut asked: Vec<(&String, &String, &Value)> = Vec::new();
    for (path, methods) in described["paths"].as_object().expect("paths") {
        for (method, said) in methods.as_object().expect("methods") {
            asked.push((path, method, said));
        }
    }
    asked
        .sort_by_key(|(path, method, _)| (*method != "get", path.contains("close"), path.as_str()));
    for (path, method, said) in asked {
        if path == "/v1/events" || path == "/v1/tap" {
            continue;
        }
        let body = bodies.get(path);
        if let Some(body) = body {
            let wanted = &said["requestBody"]["content"]["application/json"]["schema"];
            schema.check(wanted, body, path).expect("an order");
        }
        for id in ["2", "999"] {
            let at = path.replace("{id}", id);
            let (status, media_type, body) = ask(&proxy, &method.to_uppercase(), &at, body);
            let at = format!("{method} {at} {status}");
            let responses = &said["responses"];
            let named = responses.get(&status);
            assert!(named.is_some(), "{at} is not described: {body}");
            let content = named.unwrap()["content"].get(&media_type);
            let content = content.unwrap_or_else(|| panic!("{at}: {media_type}"));
            if media_type == "application/json" {
                let value: Value = serde_json::from_str(&body).expect("JSON");
                let checked = schema.check(&content["schema"], &value, &at);
                checked.unwrap_or_else(|wrong| panic!("{wrong}"));
            }
            if status.starts_with('2') {
                granted.push(format!("{method} {path}"));
            }
            if !path.contains("{id}") {
                break;
            }
        }
    }
    granted.sort();
    granted.dedup();
    let all = described["paths"].as_object().unwrap().values();
    let all: usize = all.map(|methods| methods.as_object().unwrap().len()).sum();
    // All but the streams and the upgrade, which has no binary.
    assert_eq!(granted.len(), all - 3, "{granted:?}");
}

#[test]
fn what_a_tap_tells_is_what_the_description_says() {
    let (_backend, proxy, mut tunnels) = busy();
    let (_, _, text) = ask(&proxy, "GET", "/openapi.json", None);
    let described: Value = serde_json::from_str(&text).expect("JSON");
    let mut tap = UnixStream::connect(proxy.admin_socket()).expect("it accepts");
    tap.set_read_timeout(Some(DEADLINE))
        .expect("a socket option");
    tap.write_all(b"GET /v1/tap HTTP/1.0\r\nHost: localhost\r\n\r\n")
        .expect("a request");
    let mut lines = BufReader::new(tap).lines().map_while(Result::ok);
    let mut next = |event: &str| -> Value {
        let at = lines.find(|line| line.starts_with("event: "));
        assert_eq!(at, Some(format!("event: {event}")));
        let data = lines.next().expect("its data");
        serde_json::from_str(data.strip_prefix("data: ").expect("its data")).expect("JSON")
    };
    let check = |name: &str, value: &Value| {
        let schema = &described["components"]["schemas"][name];
        assert!(schema.is_object(), "{name}");
        let checked = Schema(&described).check(schema, value, name);
        checked.unwrap_or_else(|wrong| panic!("{wrong}"));
    };
    check("TapBegun", &next("begun"));
    let wire = &mut tunnels[0];
    wire.send(masked_frame(1, b"hello"));
    check("FrameShown", &next("frame"));
    wire.send(masked_frame(8, b"\x03\xe8bye"));
    let close = next("frame");
    check("FrameShown", &close);
    assert_eq!(close["close"], json!({ "code": 1000, "reason": "bye" }));
    tunnels[1].send(b"\x83\xff");
    check("Unframed", &next("unframed"));
}

#[test]
fn the_check_itself_finds_what_is_wrong() {
    let described = json!({ "n": { "type": "integer", "minimum": 1 } });
    let schema = Schema(&described);
    let object = json!({ "type": "object", "required": ["a"], "properties": {
        "a": { "$ref": "#/n" }, "b": { "type": ["string", "null"], "enum": ["x", null] },
        "c": { "type": "array", "items": { "anyOf": [{ "type": "boolean" }, { "$ref": "#/n" }] } },
        "d": { "type": "object", "additionalProperties": { "type": "integer" } },
    } });
    let fits = |value: Value| schema.check(&object, &value, "x").is_ok();
    assert!(fits(
        json!({ "a": 1, "b": null, "c": [true, 2], "d": { "e": 1 } })
    ));
    for wrong in [
        json!({}),
        json!({ "a": 0 }),
        json!({ "a": 1.5 }),
        json!({ "a": "1" }),
        json!({ "a": 1, "z": 1 }),
        json!({ "a": 1, "b": "y" }),
        json!({ "a": 1, "c": ["x"] }),
        json!({ "a": 1, "d": { "e": "1" } }),
        json!([]),
    ] {
        assert!(!fits(wrong.clone()), "{wrong}");
    }
}
