//! `sluice tap`: the frames of tunnels as they pass, a line a frame, or as JSON for other
//! programs. What is compressed is inflated here (`inflate`), so that it costs the proxy
//! nothing; `messages` keeps directions apart, and `line` writes for people.

mod inflate;
mod line;
mod messages;

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use data_encoding::BASE64;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use self::messages::{Messages, Said};
use super::filter::{FilterArguments, with_query};
use super::options::AdminArguments;
use super::output::{clean, counted, refused};
use crate::admin::{LARGEST_PAYLOAD, TapBegun, TapEnded};
use crate::client::sse::{self, SseEvent};
use crate::tap::FrameView;
use crate::vocabulary::visible;

/// What is watched of whom.
#[derive(Debug, Args)]
pub struct TapArguments {
    /// Which tunnels
    #[command(flatten)]
    pub filter: FilterArguments,
    /// Only the tunnel with this number
    #[arg(long, value_name = "ID")]
    pub tunnel: Option<u64>,
    /// Show payloads too; the configuration must allow it: admin.tap = "payload"
    #[arg(long)]
    pub payload: bool,
    /// How many bytes of each payload, up to 65536 [default: 4096]
    #[arg(long, value_name = "NUMBER", requires = "payload",
        value_parser = clap::value_parser!(u32).range(1..=LARGEST_PAYLOAD as i64))]
    pub bytes: Option<u32>,
    /// Print each frame as a line of JSON
    #[arg(long, conflicts_with = "write")]
    pub json: bool,
    /// Write each frame as a line of JSON into this file, which only its user can read
    #[arg(long, value_name = "FILE")]
    pub write: Option<PathBuf>,
    /// Stop after this many frames
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// Of which sluice
    #[command(flatten)]
    pub admin: AdminArguments,
}

/// Where frames go.
enum Form<'a> {
    Lines(&'a mut dyn Write),
    Json(&'a mut dyn Write),
}

/// Watches until there were enough frames, or sluice ends it.
///
/// # Errors
/// When no sluice answers, or the output is not read any more.
pub fn run(
    arguments: &TapArguments,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<ExitCode> {
    let client = arguments.admin.client()?;
    let stream = match client.follow(&arguments.path(), None)? {
        Ok(stream) => stream,
        Err(why) => return refused(&why, err),
    };
    let mut file = arguments.file()?;
    let form = match &mut file {
        Some(file) => Form::Json(file),
        None if arguments.json => Form::Json(out),
        None => Form::Lines(out),
    };
    watch(stream, form, arguments, err)
}

impl TapArguments {
    /// What is watched: one tunnel, or those that the filter takes, now and later.
    fn begun(&self, tunnels: u64) -> String {
        if let Some(id) = self.tunnel {
            return format!("tunnel {id} is tapped");
        }
        let verb = if tunnels == 1 { "is" } else { "are" };
        let tunnels = counted(tunnels, "tunnel");
        format!("{tunnels} {verb} tapped, and those that open later")
    }

    fn path(&self) -> String {
        let tunnel = self.tunnel.map(|id| id.to_string());
        let bytes = self.bytes.map(|bytes| bytes.to_string());
        let payload = self.payload.then_some("true");
        let mut parameters = self.filter.parameters();
        for (name, value) in [
            ("tunnel", tunnel.as_deref()),
            ("payload", payload),
            ("bytes", bytes.as_deref()),
        ] {
            parameters.extend(value.map(|value| (name, value)));
        }
        with_query("/v1/tap", &parameters)
    }

    fn file(&self) -> io::Result<Option<File>> {
        let Some(path) = &self.write else {
            return Ok(None);
        };
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(path);
        file.map(Some).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("cannot write {}: {error} (--write)", path.display()),
            )
        })
    }
}

fn watch(
    stream: impl BufRead,
    mut form: Form<'_>,
    arguments: &TapArguments,
    err: &mut impl Write,
) -> io::Result<ExitCode> {
    let mut messages = Messages::default();
    let mut seen = 0;
    for SseEvent { kind, data, .. } in sse::events(stream) {
        match kind.as_str() {
            "begun" => {
                if let Some(TapBegun { tunnels }) = typed(&data) {
                    writeln!(err, "{}", arguments.begun(tunnels))?;
                }
            }
            "ended" => {
                let why = typed(&data).map_or(data, |TapEnded { why }| why);
                writeln!(err, "sluice: the tap has ended: {}", clean(&why))?;
                return Ok(ExitCode::FAILURE);
            }
            kind => form.tell(kind, &data, &mut messages)?,
        }
        seen += u64::from(kind == "frame");
        if arguments.count.is_some_and(|count| seen >= count) {
            return Ok(ExitCode::SUCCESS);
        }
    }
    writeln!(err, "sluice: the tap has ended with the process")?;
    Ok(ExitCode::FAILURE)
}

/// A newer sluice may tell more than this binary knows of.
fn typed<T: DeserializeOwned>(data: &str) -> Option<T> {
    serde_json::from_str(data).ok()
}

impl Form<'_> {
    fn tell(&mut self, kind: &str, data: &str, messages: &mut Messages) -> io::Result<()> {
        let frame = match kind {
            "frame" => typed::<FrameView>(data),
            _ => None,
        };
        let frame = frame.map(|frame| (messages.read(&frame), frame));
        let out = match self {
            Form::Lines(out) => {
                writeln!(out, "{}", sentence(kind, data, frame.as_ref()))?;
                out
            }
            Form::Json(out) => {
                let record = record(kind, data, frame.as_ref()).to_string();
                writeln!(out, "{}", visible::json(record))?;
                out
            }
        };
        out.flush()
    }
}

fn sentence(kind: &str, data: &str, frame: Option<&(Said, FrameView)>) -> String {
    let known = match (kind, frame) {
        (_, Some((said, frame))) => Some(line::frame(frame, said)),
        ("lost", _) => typed(data).map(|lost| line::lost(&lost)),
        ("unframed", _) => typed(data).map(|unframed| line::unframed(&unframed)),
        _ => None,
    };
    known.unwrap_or_else(|| clean(&format!("{kind} {data}")))
}

/// A message of the tap as it came, and what a compressed payload is.
fn record(kind: &str, data: &str, frame: Option<&(Said, FrameView)>) -> Value {
    let mut record: Map<String, Value> = typed(data).unwrap_or_default();
    record.insert("event".into(), kind.into());
    if let Some((said, frame)) = frame {
        let is_text = frame.message.as_deref() == Some("text");
        let inflated = frame.compressed != Some(false) && !said.payload.is_empty();
        match std::str::from_utf8(&said.payload) {
            _ if !inflated => None,
            Ok(text) if is_text => record.insert("inflated_text".into(), text.into()),
            _ => {
                let base64 = BASE64.encode(&said.payload);
                record.insert("inflated_base64".into(), base64.into())
            }
        };
        if let Some(trouble) = said.trouble {
            record.insert("not_inflated".into(), trouble.to_string().into());
        }
    }
    record.into()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    const TELLS: &str = "event: begun\ndata: {\"tunnels\":2}\n\nevent: later\ndata: [1]\n\n\
        event: lost\ndata: {\"time_us\":0,\"frames\":3,\"payloads\":0}\n\n\
        event: ended\ndata: {\"why\":\"no\\u001bmore\"}\n\n";

    #[derive(Parser)]
    struct Tap {
        #[command(flatten)]
        arguments: TapArguments,
    }

    fn tap(arguments: &[&str]) -> TapArguments {
        Tap::parse_from([&["tap"], arguments].concat()).arguments
    }

    #[test]
    fn what_is_tapped_is_said_in_one_number_and_in_many() {
        for (arguments, tunnels, said) in [
            (
                &[][..],
                0,
                "0 tunnels are tapped, and those that open later",
            ),
            (&[], 1, "1 tunnel is tapped, and those that open later"),
            (
                &["--route", "a"],
                2,
                "2 tunnels are tapped, and those that open later",
            ),
            (&["--tunnel", "7"], 1, "tunnel 7 is tapped"),
        ] {
            assert_eq!(tap(arguments).begun(tunnels), said);
        }
    }

    fn watched(json: bool) -> (ExitCode, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let form = match json {
            true => Form::Json(&mut out),
            false => Form::Lines(&mut out),
        };
        let code = watch(TELLS.as_bytes(), form, &tap(&[]), &mut err).unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (code, text(out), text(err))
    }

    #[test]
    fn whatever_is_told_is_a_line() {
        let (code, out, err) = watched(false);
        assert_eq!(code, ExitCode::FAILURE);
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines[0], "later [1]");
        assert!(lines[1].contains("not shown: 3 frames"), "{out}");
        assert_eq!(lines.len(), 2);
        assert!(err.contains("2 tunnels"), "{err}");
        assert!(err.contains("no\\u{1b}more"), "{err}");

        let (_, out, _) = watched(true);
        let parsed = |line| serde_json::from_str(line).unwrap();
        let lines: Vec<Value> = out.lines().map(parsed).collect();
        assert_eq!(lines[0], serde_json::json!({ "event": "later" }));
        assert_eq!(lines[1]["frames"], 3);
    }
}
