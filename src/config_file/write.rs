//! A configuration as a file writes it: the text of a file that reads back to the same, and what
//! `/v1/config` shows. What the declarations of `config` do not know of is written here: what
//! several keys are one field of.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde_json::Value;

use crate::config::admin::AdminTable;
use crate::config::file::FileTable;
use crate::config::form::answer::RedirectTarget;
use crate::config::form::field::written_value;
use crate::config::form::file::FileMode;
use crate::config::form::request::RouteName;
use crate::config::form::variable::{escaped, escaped_prose};
use crate::config::listen::ListenTable;
use crate::config::route::RouteTable;
use crate::config::tls::TlsTable;
use crate::config::upstream::UpstreamTable;
use crate::config::websocket::WebSocketTable;
use crate::config::{
    Action, AdminConfig, AdminListen, CertificateFiles, Config, EndpointAddress, HostPolicy,
    ListenAddress, Listener, PathPattern, PathRewrite, RouteConfig, RouteMatch, TlsConfig,
    UpstreamConfig, WebSocketConfig,
};
use crate::setting::list::OneOrMany;
use crate::setting::read::FromText;
use crate::setting::typed::Setting;
use crate::setting::written::{Table, Written};

use super::listen::DEFAULT_MODE;

impl Config {
    /// The text of a file that reads back to this configuration; what has its default is left out.
    pub fn to_toml(&self) -> String {
        written(self).to_toml()
    }

    /// In the words of a file, with the defaults and without secrets.
    pub fn to_json(&self) -> Value {
        written(self).to_json()
    }
}

fn written(config: &Config) -> Table {
    let mut file = FileTable::written(config);
    let admin_is_default = config.admin == AdminConfig::default();
    file.put_unless(admin_is_default, "admin", admin(&config.admin));
    let listeners = config.listeners.iter();
    let listeners: Vec<Written> = listeners.map(|one| listener(one).into()).collect();
    file.put("listen", listeners);
    let mut upstreams = Table::default();
    for (name, one) in &config.upstreams {
        if !config
            .routes
            .iter()
            .any(|route| is_inline(route, one, config))
        {
            upstreams.put(name, upstream(one));
        }
    }
    file.put_unless(upstreams.is_empty(), "upstream", upstreams);
    let routes = config.routes.iter();
    let routes: Vec<Written> = routes.map(|one| route(one, config).into()).collect();
    file.put("route", routes);
    file
}

fn admin(admin: &AdminConfig) -> Table {
    let mut table = Table::default();
    let listen = match &admin.listen {
        AdminListen::Auto => "auto".to_owned(),
        AdminListen::Off => "off".to_owned(),
        AdminListen::At(address) => address.to_string(),
    };
    table.put_unless(admin.listen == AdminListen::Auto, "listen", listen);
    let mut settings = AdminTable::written(admin);
    if matches!(&admin.listen, AdminListen::At(address) if mode_of(address).is_none()) {
        settings.remove("mode");
    }
    table.extend(settings);
    table
}

fn listener(listener: &Listener) -> Table {
    let mut table = Table::default();
    table.put("address", listener.address.to_string());
    if let Some(name) = &listener.name {
        table.put("name", &**name);
    }
    if let Some(mode) = mode_of(&listener.address) {
        table.put_unless(mode == DEFAULT_MODE, "mode", FileMode::write(&mode));
    }
    let mut settings = ListenTable::written(listener);
    if let Some(config) = &listener.tls {
        settings.put("tls", tls(config));
    }
    table.extend(settings);
    table
}

fn tls(config: &TlsConfig) -> Table {
    let mut table = Table::default();
    let files = |files: &CertificateFiles| {
        let mut table = Table::default();
        for (key, file) in [("cert", &files.cert), ("key", &files.key)] {
            table.put(key, file.display().to_string());
        }
        table
    };
    let mut all = config.certificates.iter();
    if let Some(first) = all.next() {
        table.extend(files(first));
    }
    let others: Vec<Written> = all.map(|one| files(one).into()).collect();
    table.put_unless(others.is_empty(), "certificate", others);
    table.extend(TlsTable::written(config));
    table
}

/// The permission bits of a socket that has a file.
fn mode_of(address: &ListenAddress) -> Option<u32> {
    match address {
        ListenAddress::Unix { path, mode } if !is_abstract(path) => Some(*mode),
        _ => None,
    }
}

fn is_abstract(path: &Path) -> bool {
    path.as_os_str().as_bytes().starts_with(b"@")
}

fn upstream(upstream: &UpstreamConfig) -> Table {
    UpstreamTable::written(upstream)
}

/// Whether the upstream is what the route names as `to`: it has the route's name, no settings,
/// and no other route.
fn is_inline(route: &RouteConfig, upstream: &UpstreamConfig, config: &Config) -> bool {
    let leads_there = |route: &RouteConfig| matches!(&route.action, Action::Upstream(name) if *name == upstream.name);
    let mut routes = config.routes.iter();
    route.name == upstream.name
        && leads_there(route)
        && *upstream == UpstreamConfig::new(upstream.name.clone(), upstream.endpoints.clone())
        && !routes.any(|other| other.name != route.name && leads_there(other))
}

fn route(route: &RouteConfig, config: &Config) -> Table {
    let mut table = Table::default();
    // One made from the conditions may be longer than a given one can be; it is made again.
    if RouteName::from_text(&route.name).is_ok() {
        table.put("name", route.name.as_str());
    }
    conditions(&route.matches, &mut table);
    action(route, config, &mut table);
    if let PathRewrite::ReplacePrefix(by) = &route.rewrite {
        let by = if by.is_empty() { "/" } else { by };
        table.put("replace_prefix", by);
    }
    if let HostPolicy::Set(host) = &route.host {
        table.put(
            "set_host",
            escaped(&String::from_utf8_lossy(host.as_bytes())),
        );
    }
    table.extend(RouteTable::written(route));
    let mut tunnels = Table::default();
    if let Some(only) = route.matches.websocket {
        tunnels.put("match", only);
    }
    tunnels.extend(WebSocketTable::written(&route.websocket));
    let is_default =
        route.matches.websocket.is_none() && *route.websocket == WebSocketConfig::default();
    table.put_unless(is_default, "websocket", tunnels);
    table
}

fn conditions(matches: &RouteMatch, table: &mut Table) {
    let RouteMatch {
        hosts,
        path,
        methods,
        headers,
        websocket: _,
        listeners,
    } = matches;
    // No host is every host; an empty list would be none.
    if !hosts.is_empty() {
        let hosts: Vec<Written> = hosts.iter().map(|host| host.to_string().into()).collect();
        table.put("host", hosts);
    }
    let key = match path {
        PathPattern::Exact(_) => "path",
        PathPattern::Prefix(_) => "path_prefix",
    };
    let is_default = *path == PathPattern::default();
    table.put_unless(is_default, key, path.to_string());
    if !methods.is_empty() {
        let methods: Vec<Written> = methods.iter().map(|one| one.as_str().into()).collect();
        table.put("method", methods);
    }
    if !listeners.is_empty() {
        let listeners: Vec<Written> = listeners.iter().map(|one| one.as_str().into()).collect();
        table.put("listen", listeners);
    }
    let mut fields = Table::default();
    for field in headers {
        let value = field.value.as_ref();
        let value = value.map_or(true.into(), |value| written_value(&field.name, value));
        fields.put(field.name.as_str(), value);
    }
    table.put_unless(headers.is_empty(), "headers", fields);
}

fn action(route: &RouteConfig, config: &Config, table: &mut Table) {
    match &route.action {
        Action::Upstream(name) => match config.upstreams.get(name) {
            Some(upstream) if is_inline(route, upstream, config) => {
                table.put(
                    "to",
                    OneOrMany::<EndpointAddress>::write(&upstream.endpoints),
                );
            }
            _ => table.put("upstream", name.as_str()),
        },
        Action::Respond { status, body } => {
            let mut answer = Table::default();
            answer.put("status", u64::from(status.as_u16()));
            answer.put_unless(body.is_empty(), "body", escaped_prose(body));
            table.put("respond", answer);
        }
        Action::Redirect { status, to } => {
            let mut answer = Table::default();
            answer.put("status", u64::from(status.as_u16()));
            answer.put("to", RedirectTarget::write(to));
            table.put("redirect", answer);
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_looks_like_a_credential_is_not_shown() {
        let toml = "listen = [{ address = '127.0.0.1:1' }]\n[[route]]\nto = 'localhost:1'\n\
            headers = { x-api-key = 'hidden-1', x-tenant = 'shown-1' }\n\
            request_headers.set = { authorization = 'Bearer hidden-2', x-app = 'shown-2', \
            X-Auth-Token = 'hidden-3' }\n\
            request_headers.add = { cookie = 'hidden-4' }\n\
            response_headers.set = { set-cookie = 'hidden-5', x-frame-options = 'shown-3' }\n";
        let shown = super::super::parse(toml, "test")
            .unwrap()
            .to_json()
            .to_string();
        assert!(!shown.contains("hidden"), "{shown}");
        for plain in ["shown-1", "shown-2", "shown-3", "authorization", "cookie"] {
            assert!(shown.contains(plain), "{plain}: {shown}");
        }
        assert_eq!(shown.matches("\"redacted\"").count(), 5, "{shown}");
    }
}
