//! Makes configurations at random: whatever the schema takes, and what of a route belongs
//! together.

use std::collections::BTreeSet;

use fastrand::Rng;
use serde_json::Value as Json;
use sluice::config_file;

/// Values of keys whose schema is only "a string", or says less than their reader.
const TEXTS: [(&str, &[&str]); 26] = [
    ("level", &["info", "warn,sluice::tunnel=debug", "off"]),
    ("access", &["stdout", "stderr", "off", "./access \"a\".log"]),
    ("log.headers", &["x-tenant", "User-Agent"]),
    ("pid_file", &["off", "/run/sluice.pid"]),
    ("token_file", &["/run/ü/token"]),
    (
        "trusted_proxies",
        &["10.0.0.0/8", "::1", "::ffff:192.0.2.1"],
    ),
    ("via", &["off", "edge", "a.b~c"]),
    ("request_id", &["off", "X-Id", "x-request-id"]),
    ("nameservers", &["192.0.2.53", "[2001:db8::53]:5353"]),
    (
        "reason",
        &["", "back in {retry_after} s", "a\\\"b\u{7f}\t'\u{85}ü"],
    ),
    (
        "lost_reason",
        &["", "connection lost", "\\", "$$host {{client}}"],
    ),
    ("trace.endpoint", &["off", "http://127.0.0.1:4318/otlp"]),
    ("service_name", &["sluice", "edge \"1\""]),
    ("route.upgrade", &["tcp", "spdy/3.1"]),
    ("remove", &["X-Internal", "server"]),
    (
        "body",
        &["", "$$ {{host}} 5%%", "ok\n", "a\r\n\"\"\"'''\u{0}\u{1b}"],
    ),
    ("route.upstream", &["app", "a.b-c_1"]),
    ("route.listen", &["public"]),
    ("client_ca", &["off", "/tls/clients.pem"]),
    ("over", &["0s", "1s", "15s"]),
    ("deadline", &["25s", "1h", "3650d"]),
    ("min_ttl", &["1ms", "2s"]),
    ("max_ttl", &["3s", "2d3h4m5s6ms"]),
    ("max_target", &["64", "8KiB"]),
    ("cert", &["/tls/ü.pem", "./a\"b.pem"]),
    ("tls.key", &["/tls/a.key"]),
];

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

pub(super) struct Maker {
    rng: Rng,
    schema: Json,
    /// Every key that was given a value, without indices.
    pub(super) used: BTreeSet<String>,
}

impl Maker {
    pub(super) fn new(seed: u64) -> Maker {
        Maker {
            rng: Rng::with_seed(seed),
            schema: config_file::schema(),
            used: BTreeSet::new(),
        }
    }

    fn one_of(&mut self, texts: &[&str]) -> String {
        quoted(self.rng.choice(texts).expect("not empty"))
    }

    /// A whole file.
    pub(super) fn file(&mut self) -> String {
        let root = self.schema.clone();
        let mut text = String::new();
        for (key, schema) in root["properties"].as_object().expect("a table") {
            let value = match key.as_str() {
                "listen" => self.listeners(schema),
                "upstream" => self.upstreams(schema),
                "route" => self.routes(schema),
                "admin" => self.admin(schema),
                _ if self.rng.bool() => continue,
                key => self.value(key, schema),
            };
            self.used.insert(key.clone());
            text.push_str(&format!("{key} = {value}\n"));
        }
        text
    }

    /// A value that the schema takes.
    fn value(&mut self, at: &str, schema: &Json) -> String {
        let schema = self.resolved(schema);
        let is_meant = |key: &str| at == key || at.ends_with(&format!(".{key}"));
        let texts = TEXTS.iter().find(|(key, _)| is_meant(key));
        if let (Some((_, texts)), false) = (texts, schema["type"] == "array") {
            return self.one_of(texts);
        }
        if let Some(any) = schema["anyOf"].as_array() {
            let schema = self.rng.choice(any).expect("not empty").clone();
            return self.value(at, &schema);
        }
        if let Some(words) = schema["enum"].as_array() {
            return self.rng.choice(words).expect("not empty").to_string();
        }
        let (min, max) = (schema["minimum"].as_u64(), schema["maximum"].as_u64());
        match schema["type"].as_str().unwrap_or_default() {
            "boolean" => self.rng.bool().to_string(),
            "integer" => {
                let min = min.unwrap_or(0);
                let max = max.unwrap_or(min + 1_000_000);
                self.rng.u64(min..=max).to_string()
            }
            "number" => format!("{:?}", self.rng.f64()),
            "array" => {
                let count = self
                    .rng
                    .usize(usize::from(!schema["minItems"].is_null())..3);
                let mut items: Vec<String> = (0..count)
                    .map(|_| self.value(at, &schema["items"]))
                    .collect();
                items.dedup_by_key(|item| item.to_lowercase());
                format!("[{}]", items.join(", "))
            }
            "object" if schema["properties"].is_object() => self.table(at, &schema, &[]),
            "object" => self.fields(at),
            "string" => {
                let pattern = schema["pattern"].as_str().unwrap_or_default();
                match pattern {
                    p if p.contains("([0-9]+ms)") => {
                        format!("\"{}ms\"", self.rng.u64(1000..1 << 33))
                    }
                    p if p.contains("[kKmM") => format!("\"{}KiB\"", self.rng.u64(8..16_000)),
                    p if p.contains("[0-7]{3}") => self.one_of(&["0600", "0660", "777"]),
                    _ if is_meant("origin") => self.one_of(&[
                        "https://app.example.com",
                        "https://*.Example.com:8443",
                        "http://localhost:*",
                        "moz-extension://*",
                        "file://",
                        "null",
                        "same-origin",
                    ]),
                    _ => panic!("`{at}` is a text: give it values in TEXTS"),
                }
            }
            other => panic!("`{at}` is {other}: {schema}"),
        }
    }

    fn resolved(&self, schema: &Json) -> Json {
        match schema["$ref"].as_str() {
            Some(reference) => {
                let at = reference.trim_start_matches('#');
                self.schema.pointer(at).expect("a definition").clone()
            }
            None => schema.clone(),
        }
    }

    /// Some keys of a table, but for those that are given.
    fn table(&mut self, at: &str, schema: &Json, given: &[(&str, String)]) -> String {
        let schema = self.resolved(schema);
        let mut entries: Vec<String> = given
            .iter()
            .map(|(key, value)| format!("{key} = {value}"))
            .collect();
        for (key, schema) in schema["properties"].as_object().expect("a table") {
            let is_given = given.iter().any(|(given, _)| given == key);
            if !is_given && (at.is_empty() || self.rng.u8(..3) == 0) {
                let path = format!("{at}.{key}");
                let value = self.value(&path, schema);
                self.used.insert(path);
                entries.push(format!("{key} = {value}"));
            } else if is_given {
                self.used.insert(format!("{at}.{key}"));
            }
        }
        format!("{{ {} }}", entries.join(", "))
    }

    /// Names of header fields with values, of which some differ only in their case.
    fn fields(&mut self, at: &str) -> String {
        let names: &[&str] = match at.rsplit('.').next() {
            Some("add") => &["vary", "\"X'y\"", "Vary", "set-cookie", "VARY", "x-key"],
            _ => &["vary", "X-Auth-Token", "\"x!y\""],
        };
        let mut entries = Vec::new();
        for name in names {
            if self.rng.bool() {
                continue;
            }
            let value = self.one_of(&[
                "a",
                "b c",
                "\\d\"q\"",
                "",
                "$$host {{host}} %%[src]",
                "$5 {a}",
            ]);
            entries.push(match at.ends_with(".add") && self.rng.bool() {
                true => format!("{name} = [{value}, \"second\", {value}]"),
                false if at.ends_with("route.headers") && self.rng.bool() => {
                    format!("{name} = true")
                }
                false => format!("{name} = {value}"),
            });
        }
        format!("{{ {} }}", entries.join(", "))
    }

    fn listeners(&mut self, schema: &Json) -> String {
        let tls = self.tls(schema);
        self.used.extend(
            [
                "listen.address",
                "listen.mode",
                "listen.scheme",
                "listen.name",
                "listen.redirect_to_https",
            ]
            .map(str::to_owned),
        );
        let redirect = self.rng.choice([
            "",
            ", redirect_to_https = true",
            ", redirect_to_https = 8443",
        ]);
        let redirect = redirect.unwrap_or_default();
        let scheme = self
            .rng
            .choice(["", ", scheme = 'https'", ", scheme = 'http'"]);
        let scheme = scheme.unwrap_or_default();
        let mode = self.rng.choice(["", ", mode = '0600'", ", mode = '660'"]);
        let mode = mode.unwrap_or_default();
        format!(
            "[{{ address = ':8080'{scheme} }}, {{ address = '[::ffff:127.0.0.1]:81', name = 'public'{redirect} }}, \
             {{ address = ':443', tls = {tls} }}, \
             {{ address = 'unix:/run/ü.sock'{mode} }}, {{ address = 'unix:@name'{scheme} }}]"
        )
    }

    fn tls(&mut self, schema: &Json) -> String {
        let listener = self.resolved(schema)["items"].clone();
        let schema = self.resolved(&listener)["properties"]["tls"].clone();
        let keys = [
            "listen.tls",
            "listen.tls.certificate.cert",
            "listen.tls.certificate.key",
        ];
        self.used.extend(keys.map(str::to_owned));
        let more = self.rng.choice(["[]", "[{ cert = '/b', key = '/c' }]"]);
        let given = [
            ("cert", "'/tls/a.pem'".to_owned()),
            ("key", "'/tls/a.key'".to_owned()),
            ("certificate", more.unwrap_or_default().to_owned()),
        ];
        self.table("listen.tls", &schema, &given)
    }

    fn admin(&mut self, schema: &Json) -> String {
        // A mode goes with a file only.
        let listen = ["auto", "off", "unix:/run/a.sock", "127.0.0.1:9", "unix:@a"];
        let listen = self.rng.choice(listen).expect("not empty");
        let mut given = vec![("listen", quoted(listen))];
        if listen.contains('@') || listen.contains(':') && !listen.contains('/') {
            let mut schema = self.resolved(schema);
            let keys = schema["properties"].as_object_mut().expect("a table");
            keys.remove("mode");
            return self.table("admin", &schema, &given);
        }
        if self.rng.bool() {
            given.push(("mode", self.one_of(&["0600", "0666", "700"])));
        }
        self.table("admin", schema, &given)
    }

    fn upstreams(&mut self, schema: &Json) -> String {
        let schema = self.resolved(schema)["additionalProperties"].clone();
        let endpoints = [
            "'app:80'",
            "['[0:0::1]:80', 'unix:/a.sock', 'unix:@a']",
            "['Name.svc.:1', '[fe80::1%eth0]:80', '127.0.0.1:9']",
        ];
        let mut entries = Vec::new();
        for name in ["app", "\"a.b-c_1\"", "own", "unused"] {
            let endpoints = self.rng.choice(endpoints).expect("not empty").to_owned();
            let table = match self.rng.bool() {
                true => format!("{{ endpoints = {endpoints} }}"),
                false => self.table("upstream.*", &schema, &[("endpoints", endpoints)]),
            };
            entries.push(format!("{name} = {table}"));
        }
        format!("{{ {} }}", entries.join(", "))
    }

    fn routes(&mut self, schema: &Json) -> String {
        let schema = self.resolved(schema)["items"].clone();
        let schema = self.resolved(&schema);
        let routes: Vec<String> = (0..5).map(|index| self.route(index, &schema)).collect();
        format!("[{}]", routes.join(", "))
    }

    fn route(&mut self, index: usize, schema: &Json) -> String {
        // What belongs together is chosen by hand; the rest is what the schema takes.
        let mut schema = schema.clone();
        let keys = schema["properties"].as_object_mut().expect("a table");
        let by_hand = [
            "name",
            "host",
            "path",
            "path_prefix",
            "method",
            "headers",
            "websocket",
            "upstream",
            "to",
            "respond",
            "redirect",
            "strip_prefix",
            "replace_prefix",
            "set_host",
        ];
        let taken = by_hand.map(|key| keys.remove(key).expect("a key of a route"));
        self.used.extend(by_hand.map(|key| format!("route.{key}")));
        let (websocket, respond) = (&taken[6], &taken[9]);

        let mut given: Vec<(&str, String)> = Vec::new();
        let long = format!("'/{index}/{}'", "x".repeat(150));
        match self.rng.u8(..5) {
            0 => given.push(("path", format!("'/{index}'"))),
            1 => given.push(("path", long)),
            2 => {
                given.push(("path_prefix", format!("'/p/{index}/'")));
                given.push(("strip_prefix", "true".into()));
            }
            3 => {
                given.push(("path_prefix", format!("'/p/{index}'")));
                given.push(("replace_prefix", self.one_of(&["/", "/v2/", "/a%20b"])));
            }
            // The same path as others, so that made names need a number.
            _ => {
                given.push(("path", "'/same'".into()));
                given.push(("host", "['Example.com', '*.x.org', '[::1]']".into()));
                given.push((
                    "headers",
                    format!("{{ X-Key = \"{index}\", x-flag = true }}"),
                ));
            }
        }
        if self.rng.u8(..3) == 0 {
            given.push(("method", "['GET', 'PURGE']".into()));
        }
        if self.rng.u8(..3) == 0 {
            given.push(("name", format!("'r{index}'")));
        }
        let forwards = self.rng.u8(..4) > 0;
        match (forwards, self.rng.u8(..3)) {
            (true, 0) => given.push(("upstream", self.one_of(&["app", "a.b-c_1"]))),
            (true, 1) => given.push(("to", "['Host:1', '[::1]:80']".into())),
            // A route with the name of its upstream.
            (true, _) if index == 0 => {
                given.retain(|(key, _)| *key != "name");
                given.push(("name", "'own'".into()));
                given.push(("upstream", "'own'".into()));
            }
            (true, _) => given.push(("to", "'unix:/run/app.sock'".into())),
            (false, 0) => {
                let status = self.rng.u16(200..204).to_string();
                given.push((
                    "respond",
                    self.table("route.respond", respond, &[("status", status)]),
                ));
            }
            (false, 1) => {
                self.used
                    .extend(["route.redirect.to", "route.redirect.status"].map(str::to_owned));
                given.push((
                    "redirect",
                    "{ to = '/new$$host{query}', status = 302 }".into(),
                ));
            }
            (false, _) => given.push(("redirect", "'https://{hostname}{path}'".into())),
        }
        if !forwards {
            // They have no settings of what is forwarded.
            given.retain(|(key, _)| !key.ends_with("_prefix") || *key == "path_prefix");
            if self.rng.bool() {
                given.push(("websocket", "{ match = false }".into()));
            }
            let body = schema["properties"]["max_body"].clone();
            let body = self.value("route.max_body", &body);
            given.push(("max_body", body));
            schema["properties"] = serde_json::json!({});
        } else {
            if self.rng.u8(..3) == 0 {
                given.push(("set_host", self.one_of(&["app", "[::1]:80", "A.b:1"])));
            }
            let settings = websocket["anyOf"]
                .as_array()
                .expect("a condition or a table");
            let settings = settings
                .iter()
                .find(|one| one["type"] != "boolean")
                .expect("a table");
            // A handshake is a GET, which the methods above have.
            match self.rng.u8(..4) {
                0 => {}
                1 => given.push(("websocket", self.rng.bool().to_string())),
                _ => given.push(("websocket", self.table("route.websocket", settings, &[]))),
            }
        }
        self.table("route", &schema, &given)
    }
}
