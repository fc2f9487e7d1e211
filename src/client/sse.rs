//! Server-sent events as the admin interface sends them, read line by line.

use std::io::BufRead;

/// One of them.
#[derive(Debug, Default)]
pub(crate) struct SseEvent {
    /// What it is.
    pub(crate) kind: String,
    /// Its number, where it has one.
    pub(crate) id: Option<String>,
    /// Its JSON.
    pub(crate) data: String,
}

/// Each as it comes, until the stream ends.
pub(crate) fn events(stream: impl BufRead) -> impl Iterator<Item = SseEvent> {
    let mut under_way = SseEvent::default();
    stream
        .lines()
        .map_while(Result::ok)
        .filter_map(move |line| {
            if let Some(kind) = line.strip_prefix("event: ") {
                kind.clone_into(&mut under_way.kind);
            } else if let Some(id) = line.strip_prefix("id: ") {
                under_way.id = Some(id.to_owned());
            } else if let Some(data) = line.strip_prefix("data: ") {
                data.clone_into(&mut under_way.data);
                return Some(std::mem::take(&mut under_way));
            }
            None
        })
}
