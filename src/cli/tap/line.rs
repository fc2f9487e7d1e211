//! A frame as a line for a person. Nothing in it can move a terminal's cursor.

use std::fmt::Write;
use std::time::{Duration, UNIX_EPOCH};

use super::messages::Said;
use crate::cli::output::clean;
use crate::tap::{FrameView, LostView, OfView, Origin, UnframedView};
use crate::vocabulary::Side;
use crate::vocabulary::stamp::rfc3339;
use crate::vocabulary::visible;

/// Bytes of a binary payload that are shown.
const HEX: usize = 32;

/// Time, tunnel, direction, opcode, size, and what it says.
pub(super) fn frame(frame: &FrameView, said: &Said) -> String {
    let from = match frame.from {
        Origin::Client => "client",
        Origin::Upstream => "upstream",
        Origin::Sluice => "sluice",
    };
    let opcode = match frame.fin {
        true => clean(&frame.opcode),
        // More of the message follows.
        false => format!("{}+", clean(&frame.opcode)),
    };
    let mut line = format!(
        "{} {} {from:>8} -> {:<8}  {opcode:<13} {:>6}",
        time(frame.time_us),
        number(&frame.of),
        side(frame.to),
        frame.length
    );
    for (is_so, said) in [
        (frame.compressed == Some(true), "deflate"),
        (frame.partial, "begun before the tap"),
        (!frame.passed, "not passed on"),
    ] {
        if is_so {
            let _ = write!(line, "  ({said})");
        }
    }
    if frame.spliced > 0 {
        let _ = write!(line, "  ({} bytes unseen)", frame.spliced);
    }
    content(&mut line, frame, said);
    line
}

/// What exceeded the rate.
pub(super) fn lost(lost: &LostView) -> String {
    let what = match (lost.frames, lost.payloads) {
        (frames, 0) => format!("{frames} frames"),
        (0, payloads) => format!("payloads of {payloads} frames"),
        (frames, payloads) => format!("{frames} frames, and payloads of {payloads} more"),
    };
    let time = time(lost.time_us);
    format!("{time} not shown: {what}, which is more than a tap may see in a second")
}

/// A direction that cannot be shown.
pub(super) fn unframed(unframed: &UnframedView) -> String {
    let (time, number) = (time(unframed.time_us), number(&unframed.of));
    let (from, why) = (side(unframed.from), clean(&unframed.why));
    format!("{time} {number} {from:>8}: frames are not shown any more: {why}")
}

fn content(line: &mut String, frame: &FrameView, said: &Said) {
    if let Some(close) = &frame.close {
        let _ = write!(line, "  {} {}", close.code, visible::quoted(&close.reason));
        return;
    }
    let is_binary = frame.message.as_deref() == Some("binary");
    match std::str::from_utf8(&said.payload) {
        _ if said.payload.is_empty() => {}
        Ok(text) if !is_binary => {
            let _ = write!(line, "  {}", visible::quoted(text));
        }
        _ => {
            let shown = &said.payload[..said.payload.len().min(HEX)];
            line.push_str("  ");
            for byte in shown {
                let _ = write!(line, "{byte:02x}");
            }
            if shown.len() < said.payload.len() {
                line.push('…');
            }
        }
    }
    let captured = frame.captured < frame.length && frame.captured > 0;
    match said.trouble {
        Some(trouble) => {
            let _ = write!(line, "  ({trouble})");
        }
        None if captured => {
            let _ = write!(line, "  (the first {} bytes)", frame.captured);
        }
        None => {}
    }
}

fn number(of: &OfView) -> String {
    format!("#{}", of.tunnel)
}

fn side(side: Side) -> &'static str {
    match side {
        Side::Client => "client",
        Side::Upstream => "upstream",
    }
}

/// The time of day in UTC, to the millisecond.
fn time(micros: u64) -> String {
    let at = UNIX_EPOCH.checked_add(Duration::from_micros(micros));
    let whole = rfc3339(at.unwrap_or(UNIX_EPOCH));
    let of_day = whole.split_once('T').map_or("", |(_, time)| time);
    of_day.trim_end_matches('Z').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tap::CloseView;

    fn view(opcode: &str, message: Option<&str>, length: u64) -> FrameView {
        FrameView {
            time_us: 1_000_000 * 3661 + 5000,
            of: OfView {
                tunnel: 7,
                route: "chat".into(),
                upstream: "app".into(),
                endpoint: "127.0.0.1:9000".into(),
                client: "127.0.0.1:50000".to_owned(),
            },
            from: Origin::Client,
            to: Side::Upstream,
            number: Some(1),
            opcode: opcode.to_owned(),
            fin: true,
            rsv1: false,
            rsv2: false,
            rsv3: false,
            length,
            partial: false,
            message: message.map(str::to_owned),
            compressed: Some(false),
            takeover: None,
            passed: true,
            spliced: 0,
            close: None,
            captured: length,
            text: None,
            base64: None,
        }
    }

    fn said(payload: &[u8]) -> Said {
        Said {
            payload: payload.to_vec(),
            trouble: None,
        }
    }

    #[test]
    fn a_text_is_quoted_and_moves_no_cursor() {
        let text = "hé \u{1b}[2J\u{9b}\u{202e}\r\n";
        let line = frame(&view("text", Some("text"), 20), &said(text.as_bytes()));
        let expected = "01:01:01.005 #7   client -> upstream  text              20  ";
        let quoted = r#""hé \u{1b}[2J\u{9b}\u{202e}\r\n""#;
        assert_eq!(line, format!("{expected}{quoted}"));
    }

    #[test]
    fn what_is_no_text_is_shown_in_hex() {
        let line = frame(&view("binary", Some("binary"), 3), &said(b"abc"));
        assert!(line.ends_with("binary             3  616263"), "{line}");
        let line = frame(&view("text", Some("text"), 40), &said(&[0xFF; 40]));
        assert!(line.ends_with(&format!("  {}…", "ff".repeat(32))), "{line}");
    }

    #[test]
    fn what_is_not_all_of_it_is_said() {
        let part = FrameView {
            fin: false,
            partial: true,
            passed: false,
            spliced: 5,
            captured: 2,
            from: Origin::Sluice,
            ..view("text", Some("text"), 9)
        };
        let line = frame(&part, &said(b"ab"));
        for said in [
            "  sluice -> upstream  text+",
            "(begun before the tap)",
            "(not passed on)",
            "(5 bytes unseen)",
            "\"ab\"  (the first 2 bytes)",
        ] {
            assert!(line.contains(said), "{said}: {line}");
        }
    }

    #[test]
    fn a_close_is_read() {
        let close = FrameView {
            close: Some(CloseView {
                code: 1001,
                reason: "going\u{7}".to_owned(),
            }),
            ..view("close", None, 8)
        };
        let line = frame(&close, &said(b"\x03\xe9going\x07"));
        let end = r#"close              8  1001 "going\u{7}""#;
        assert!(line.ends_with(end), "{line}");
    }
}
