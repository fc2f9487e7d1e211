//! The proxies under measurement: how each is configured (one worker, keep-alive towards the
//! upstream, the same logging for all) and started. sluice is left at its defaults; the peers get
//! besides what their documentation recommends for the work ([`RECOMMENDED`]).

use crate::child::Process;
use crate::observers::Observers;
use crate::options::Options;
use crate::rows::{Row, Setting, Setup};
use rustix::process::Signal;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Which program stands between the load and the backend.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// This harness's own relay.
    Floor,
    /// A sluice binary in its default configuration.
    Sluice(PathBuf),
    /// A sluice binary with everything on and in use.
    Observed(PathBuf),
    /// A sluice binary without its admin interface, under a tool that counts.
    Counted(Tool, PathBuf),
    /// An nginx binary.
    Nginx(PathBuf),
    /// An HAProxy binary.
    Haproxy(PathBuf),
    /// A Caddy binary.
    Caddy(PathBuf),
}

/// What counts what a program does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tool {
    /// valgrind's: instructions.
    Callgrind,
    /// System calls.
    Strace,
}

impl Tool {
    /// The file that it leaves in the proxy's directory.
    pub fn file(self) -> &'static str {
        match self {
            Tool::Callgrind => "callgrind.out",
            Tool::Strace => "strace.out",
        }
    }

    fn command(self, program: &Path) -> Command {
        let (name, arguments): (_, &[&str]) = match self {
            Tool::Callgrind => (
                "valgrind",
                &["--tool=callgrind", "--callgrind-out-file=callgrind.out"],
            ),
            Tool::Strace => ("strace", &["-f", "-c", "-o", "strace.out"]),
        };
        let mut command = Command::new(name);
        command.args(arguments).arg(program);
        command
    }
}

/// What the peers get beyond keep-alive and long timeouts, as it is told beside the table.
pub const RECOMMENDED: &str = "nginx has proxy_buffer_size 16k where 4 KiB or more move at a \
     time; HAProxy has option splice-auto, tune.pipesize 524288, maxpipes 500; sluice is in its \
     default configuration";

/// A proxy that can be started.
#[derive(Clone)]
pub struct Candidate {
    /// Its column's heading.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Its version, as it tells it.
    pub version: String,
}

/// A running proxy.
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    /// The same, with what is recommended where much is moved.
    large: SocketAddr,
    /// Its processes.
    pub process: Process,
    directory: PathBuf,
    observers: Option<Observers>,
}

/// Where a proxy's files and ports are.
struct Site<'a> {
    directory: &'a Path,
    listen: SocketAddr,
    large: SocketAddr,
    setup: Setup,
    upstream: SocketAddr,
    access_log: bool,
    files: u64,
    observers: Option<&'a Observers>,
}

impl Candidate {
    /// Looks whether the program is there; its version, or why not.
    pub fn find(name: &str, kind: Kind) -> Result<Self, String> {
        let version = match &kind {
            Kind::Floor => "this harness's relay".to_owned(),
            Kind::Sluice(path) | Kind::Observed(path) | Kind::Counted(_, path) => {
                first_line(path, "--version", "")?
            }
            Kind::Nginx(path) => first_line(path, "-v", "nginx version: ")?,
            Kind::Haproxy(path) => first_line(path, "-v", "")?,
            Kind::Caddy(path) => first_line(path, "version", "")?,
        };
        Ok(Self {
            name: name.to_owned(),
            kind,
            version,
        })
    }

    /// Whether sluice is to be better than this one.
    pub fn is_peer(&self) -> bool {
        matches!(
            self.kind,
            Kind::Nginx(_) | Kind::Haproxy(_) | Kind::Caddy(_)
        )
    }

    /// Whether it is measured where proxies are set up like this.
    pub fn takes(&self, setting: Setting) -> bool {
        match setting {
            Setting::Usual => true,
            Setting::Workers(_) => self.kind != Kind::Floor,
            Setting::Routes(_) | Setting::Reloads(_) => self.is_sluice(),
        }
    }

    /// Whether it is sluice itself, in whichever version.
    pub fn is_sluice(&self) -> bool {
        matches!(
            self.kind,
            Kind::Sluice(_) | Kind::Observed(_) | Kind::Counted(..)
        )
    }

    /// Starts it in front of `upstream`, and waits until it answers.
    pub fn start(
        &self,
        upstream: SocketAddr,
        setup: Setup,
        options: &Options,
        parent: &Path,
    ) -> io::Result<Proxy> {
        let listen = free_port()?;
        let large = match self.kind {
            Kind::Nginx(_) => free_port()?,
            _ => listen,
        };
        let directory = parent.join(format!("{}-{}", self.name, listen.port()));
        fs::create_dir_all(&directory)?;
        let observers = match self.kind {
            Kind::Observed(_) => Some(Observers::prepare(&directory)?),
            _ => None,
        };
        let site = Site {
            directory: &directory,
            listen,
            large,
            setup,
            upstream,
            access_log: options.access_log,
            files: options.files,
            observers: observers.as_ref(),
        };
        let command = self.command(&site)?;
        let log = directory.join("output.log");
        let cores = match (options.smoke, setup.workers) {
            (true, _) => vec![],
            (false, 1) => vec![options.proxy_core],
            (false, _) => vec![options.proxy_core, options.load_core],
        };
        let process = Process::start(command, &cores, &log)?;
        let mut proxy = Proxy {
            address: listen,
            large,
            process,
            directory,
            observers,
        };
        proxy.await_answer()?;
        proxy.observers.iter().try_for_each(Observers::begin)?;
        Ok(proxy)
    }

    fn command(&self, site: &Site) -> io::Result<Command> {
        let config = site.directory.join("config");
        let (text, mut command) = match &self.kind {
            Kind::Floor => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["--role", "floor"]);
                command.args(["--role-arg", &site.listen.to_string()]);
                command.args(["--role-arg", &site.upstream.to_string()]);
                return Ok(command);
            }
            Kind::Sluice(path) | Kind::Observed(path) | Kind::Counted(_, path) => {
                let mut command = match self.kind {
                    Kind::Counted(tool, _) => tool.command(path),
                    _ => Command::new(path),
                };
                command.args(["run", "--config"]).arg(&config);
                // Where its admin interface has its socket by default.
                command.env("RUNTIME_DIRECTORY", site.directory);
                let text = sluice(site, 0);
                match self.kind {
                    // The clock of a thread, which the history reads, does not work in valgrind.
                    Kind::Counted(..) => (format!("admin.listen = \"off\"\n{text}"), command),
                    _ => (text, command),
                }
            }
            Kind::Nginx(path) => {
                let mut command = Command::new(path);
                command.arg("-e").arg(site.directory.join("error.log"));
                command.arg("-p").arg(site.directory).arg("-c").arg(&config);
                (nginx(site), command)
            }
            Kind::Haproxy(path) => {
                let mut command = Command::new(path);
                command.args(["-db", "-f"]).arg(&config);
                (haproxy(site), command)
            }
            Kind::Caddy(path) => {
                let mut command = Command::new(path);
                command
                    .args(["run", "--adapter", "caddyfile", "--config"])
                    .arg(&config);
                command.env("GOMAXPROCS", site.setup.workers.to_string());
                for variable in ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
                    command.env(variable, site.directory);
                }
                (caddy(site), command)
            }
        };
        fs::write(&config, text)?;
        command.current_dir(site.directory);
        Ok(command)
    }
}

impl Proxy {
    /// Where a row's load goes.
    pub fn address_for(&self, row: &Row) -> SocketAddr {
        match row.is_large() {
            true => self.large,
            false => self.address,
        }
    }

    /// Has a sluice with these routes read a changed configuration.
    pub fn reload(&self, upstream: SocketAddr, routes: usize, change: usize) -> io::Result<()> {
        let site = Site {
            directory: &self.directory,
            listen: self.address,
            large: self.large,
            setup: Setup {
                routes,
                ..Setup::USUAL
            },
            upstream,
            access_log: false,
            files: 0,
            observers: None,
        };
        // As a whole, or a reload that comes late would read half of it.
        let next = self.directory.join("next");
        fs::write(&next, sluice(&site, change))?;
        fs::rename(next, self.directory.join("config"))?;
        self.process.signal(Signal::HUP);
        Ok(())
    }

    /// Empties the access logs, which would fill the disk otherwise.
    pub fn clear_logs(&self) {
        for name in ["access.log", "output.log"] {
            let path = self.directory.join(name);
            if let Ok(file) = fs::File::options().write(true).open(path) {
                let _ = file.set_len(0);
            }
        }
    }

    /// Bytes in the access logs, in whole blocks: proof that logging was on.
    pub fn logged(&self) -> u64 {
        // Blocks, not length: who does not append leaves a hole at the front.
        let bytes =
            |name| fs::metadata(self.directory.join(name)).map_or(0, |file| 512 * file.blocks());
        bytes("access.log") + bytes("output.log")
    }

    /// Those who watch it, if there are any.
    pub fn observers(&self) -> Option<&Observers> {
        self.observers.as_ref()
    }

    /// Where its files are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The end of what it printed, for the reader of a failure.
    pub fn last_words(&self) -> String {
        let text = ["error.log", "output.log"].map(|name| {
            let bytes = fs::read(self.directory.join(name)).unwrap_or_default();
            String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(1500)..]).into_owned()
        });
        text.concat()
    }

    fn await_answer(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if self.answers().is_ok() {
                return Ok(());
            }
            if !self.process.alive() || Instant::now() > deadline {
                return Err(io::Error::other(format!(
                    "it did not start: {}",
                    self.last_words()
                )));
            }
            if crate::sys::interrupted() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            sleep(Duration::from_millis(20));
        }
    }

    fn answers(&self) -> io::Result<()> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"GET /128 HTTP/1.1\r\nHost: start\r\n\r\n")?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer)?;
        match &answer {
            b"HTTP/1.1 200" => Ok(()),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

fn first_line(program: &Path, argument: &str, prefix: &str) -> Result<String, String> {
    let output = Command::new(program).arg(argument).output();
    let output = output.map_err(|error| format!("{}: {error}", program.display()))?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().next().unwrap_or_default();
    let line = line.strip_prefix(prefix).unwrap_or(line);
    Ok(line.split(" - ").next().unwrap_or(line).to_owned())
}

fn free_port() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// `change` is in one of the routes that are not used.
fn sluice(site: &Site, change: usize) -> String {
    let access = match site.access_log {
        true => site.directory.join("access.log").display().to_string(),
        false => "off".to_owned(),
    };
    let watched = site.observers.map_or_else(String::new, Observers::settings);
    let routes: String = (0..site.setup.routes)
        .map(|n| {
            let extra = if n == 0 { change } else { 0 };
            format!(
                "[[route]]\nhost = \"h{n}.test\"\npath = \"/api/{n}/{extra}\"\nto = \"{}\"\n",
                site.upstream
            )
        })
        .collect();
    let Site {
        listen, upstream, ..
    } = site;
    let workers = site.setup.workers;
    format!(
        "workers = {workers}\n[log]\naccess = \"{access}\"\n{watched}\
         [[listen]]\naddress = \"{listen}\"\n{routes}[[route]]\nto = \"{upstream}\"\n"
    )
}

fn nginx(site: &Site) -> String {
    let access = match site.access_log {
        true => "access.log",
        false => "off",
    };
    // The temporary directories default to places only a package can write.
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("  {name}_temp_path {name};\n"))
        .concat();
    let user = match rustix::process::geteuid().is_root() {
        true => "user root;\n",
        false => "",
    };
    let Site {
        listen,
        large,
        upstream,
        files,
        setup,
        ..
    } = site;
    let workers = setup.workers;
    let server = |listen: &SocketAddr, buffers: &str| {
        format!(
            "  server {{\n    listen {listen};\n{buffers}    location / {{\n\
             \x20     proxy_pass http://backend;\n      proxy_http_version 1.1;\n\
             \x20     proxy_set_header Host $http_host;\n\
             \x20     proxy_set_header Upgrade $http_upgrade;\n\
             \x20     proxy_set_header Connection $connection_upgrade;\n\
             \x20     proxy_read_timeout 1h;\n      proxy_send_timeout 1h;\n    }}\n  }}\n"
        )
    };
    let buffers = "    proxy_buffer_size 16k;\n    proxy_buffers 8 16k;\n";
    let servers = server(listen, "") + &server(large, buffers);
    format!(
        "{user}daemon off;\nworker_processes {workers};\nworker_rlimit_nofile {files};\n\
         pid nginx.pid;\nerror_log error.log error;\n\
         events {{ worker_connections {files}; }}\n\
         http {{\n  access_log {access};\n{temporary}\
         \x20 keepalive_timeout 1h;\n  keepalive_requests 1000000000;\n\
         \x20 map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}\n\
         \x20 upstream backend {{\n    server {upstream};\n    keepalive 128;\n\
         \x20   keepalive_requests 1000000000;\n  }}\n{servers}}}\n"
    )
}

fn haproxy(site: &Site) -> String {
    let (target, format) = match site.access_log {
        true => (
            "  log stdout format raw local0\n",
            "  log global\n  option httplog\n",
        ),
        false => ("", ""),
    };
    let Site {
        listen,
        upstream,
        files,
        setup,
        ..
    } = site;
    let threads = setup.workers;
    // Two descriptors a connection and a pipe, and a margin that HAProxy insists on.
    let connections = (files - 200) / 2 - 500;
    format!(
        "global\n  nbthread {threads}\n  maxconn {connections}\n  maxpipes 500\n\
         \x20 tune.pipesize 524288\n{target}\
         defaults\n  mode http\n  option splice-auto\n{format}  http-reuse always\n\
         \x20 timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n  timeout tunnel 1h\n\
         frontend front\n  bind {listen}\n  maxconn {connections}\n  default_backend back\n\
         backend back\n  server one {upstream}\n"
    )
}

fn caddy(site: &Site) -> String {
    let log = match site.access_log {
        true => "  log {\n    output file access.log\n  }\n",
        false => "",
    };
    let Site {
        listen, upstream, ..
    } = site;
    format!(
        "{{\n  admin off\n  auto_https off\n}}\n\
         http://:{port} {{\n  bind 127.0.0.1\n{log}\
         \x20 reverse_proxy {upstream} {{\n    transport http {{\n\
         \x20     keepalive 1h\n      keepalive_idle_conns_per_host 128\n    }}\n  }}\n}}\n",
        port = listen.port()
    )
}
