//! What is wrong with a configuration, and where: every problem with its place, the
//! offending text underlined and what would be right. Does not judge configurations
//! (`file` does) and does not decide where the text is printed.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use crate::vocabulary::visible;

/// The most problems of a configuration that are told: someone who mends that many looks again.
pub const MOST: usize = 100;

/// The longest text that is shown, in bytes: rendering takes many times as much.
const LONGEST_SHOWN: usize = 1 << 20;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problem {
    /// 1-based line; 0 when the file as a whole could not be read.
    pub line: usize,
    /// 1-based column in characters; 0 when the file as a whole could not be read.
    pub column: usize,
    /// The offending text, in bytes of the source.
    pub span: Range<usize>,
    /// The key concerned, as `route[2].websocket.origin`; empty for a syntax error.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub hint: Option<String>,
    /// Other places that belong to it, each with a label.
    pub related: Vec<(Range<usize>, String)>,
}

impl Problem {
    /// Adds what would be right.
    pub fn hint(&mut self, text: impl Into<String>) -> &mut Self {
        self.hint = Some(text.into());
        self
    }

    /// Points at another place that belongs to it.
    pub fn related(&mut self, span: Range<usize>, label: impl Into<String>) -> &mut Self {
        self.related.push((span, label.into()));
        self
    }
}

/// All that is wrong with one configuration; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    name: String,
    source: String,
    list: Vec<Problem>,
    /// None of it keeps the configuration from being put in force.
    warnings: bool,
}

impl Problems {
    /// Puts the problems in the order of the source and fills in lines and columns.
    pub(crate) fn new(name: &str, source: &str, mut list: Vec<Problem>) -> Self {
        for problem in &mut list {
            problem.span = within(source, &problem.span);
            (problem.line, problem.column) = position(source, problem.span.start);
            for (span, _) in &mut problem.related {
                *span = within(source, span);
            }
        }
        list.sort_by_key(|problem| (problem.span.start, problem.span.end));
        list.dedup();
        Problems {
            name: name.to_owned(),
            source: source.to_owned(),
            list,
            warnings: false,
        }
    }

    /// A configuration that could not be read at all.
    pub(crate) fn unreadable(name: &str, message: String, hint: Option<String>) -> Self {
        Problems {
            name: name.to_owned(),
            source: String::new(),
            list: vec![Problem {
                message,
                hint,
                ..Problem::default()
            }],
            warnings: false,
        }
    }

    /// The same as warnings.
    pub(crate) fn into_warnings(self) -> Self {
        Problems {
            warnings: true,
            ..self
        }
    }

    /// The problems in the order of the source.
    pub fn list(&self) -> &[Problem] {
        &self.list
    }

    /// File, line and column of one of them.
    pub fn place(&self, problem: &Problem) -> String {
        format!("{}:{}:{}", self.name, problem.line, problem.column)
    }

    /// One line: the first problem, and how many there are.
    pub fn summary(&self) -> String {
        let name = &self.name;
        match self.list.as_slice() {
            [] => format!("{name} has errors"),
            [only] if only.line == 0 => only.message.clone(),
            [only] => format!("{}: {}", self.place(only), only.message),
            [first, rest @ ..] => format!(
                "{}: {} (and {} more)",
                self.place(first),
                first.message,
                rest.len()
            ),
        }
    }

    /// Every problem with its source and underline, and a last line that counts them;
    /// with terminal colours or without.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let mut text = String::new();
        for problem in &self.list {
            text.push_str(&self.render_one(problem, &renderer));
            text.push_str("\n\n");
        }
        let count = self.list.len();
        let plural = if count == 1 { "" } else { "s" };
        let least = if count < MOST { "" } else { "at least " };
        let what = if self.warnings { "warning" } else { "error" };
        let name = visible::escaped(&self.name);
        text.push_str(&format!("{name}: {least}{count} {what}{plural}\n"));
        text
    }

    fn render_one(&self, problem: &Problem, renderer: &Renderer) -> String {
        let level = if self.warnings {
            Level::WARNING
        } else {
            Level::ERROR
        };
        let title = level.primary_title(visible::lines(&problem.message));
        let mut group = Group::with_title(title);
        // Only the lines concerned: rendering stays cheap however large the file is.
        let (first, lines) = self.lines_around(problem);
        if problem.line > 0 && lines.len() > LONGEST_SHOWN {
            let place = Origin::path(visible::escaped(&self.name));
            let place = place.line(problem.line).char_column(problem.column);
            group = group.element(place);
        } else if problem.line > 0 {
            let offset = |at: usize| written(&lines[..at - first]).len();
            let place = |span: &Range<usize>| offset(span.start)..offset(span.end);
            let (line, _) = position(&self.source, first);
            let mut snippet = Snippet::source(written(lines))
                .line_start(line)
                .path(visible::escaped(&self.name))
                .annotation(AnnotationKind::Primary.span(place(&problem.span)));
            for (span, label) in &problem.related {
                snippet = snippet.annotation(
                    AnnotationKind::Context
                        .span(place(span))
                        .label(visible::lines(label)),
                );
            }
            group = group.element(snippet);
        }
        if let Some(hint) = &problem.hint {
            group = group.element(Level::HELP.message(visible::lines(hint)));
        }
        renderer.render(&[group])
    }

    /// The whole lines that hold the problem and its related places, with their offset.
    fn lines_around(&self, problem: &Problem) -> (usize, &str) {
        let related = problem.related.iter().map(|(span, _)| span);
        let spans = || related.clone().chain([&problem.span]);
        let start = spans().map(|span| span.start).min().unwrap_or(0);
        let end = spans().map(|span| span.end).max().unwrap_or(0);
        let first = self.source[..start].rfind('\n').map_or(0, |at| at + 1);
        let last = self.source[end..]
            .find('\n')
            .map_or(self.source.len(), |at| end + at);
        (first, &self.source[first..last])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl Error for Problems {}

/// Source as it can be shown: hidden characters are spelled, and only line breaks and tabs,
/// which TOML may have, are left to the renderer.
fn written(source: &str) -> Cow<'_, str> {
    let laid_out = |c: char| matches!(c, '\n' | '\r' | '\t');
    if !source.contains(|c| visible::is_hidden(c) && !laid_out(c)) {
        return Cow::Borrowed(source);
    }
    let pieces = source.split_inclusive(laid_out);
    let pieces = pieces.map(|piece| match piece.chars().next_back() {
        Some(last) if laid_out(last) => {
            let (text, end) = piece.split_at(piece.len() - 1);
            visible::escaped(text).into_owned() + end
        }
        _ => visible::escaped(piece).into_owned(),
    });
    Cow::Owned(pieces.collect())
}

/// The span cut to the source and moved out to character boundaries.
fn within(source: &str, span: &Range<usize>) -> Range<usize> {
    let start = source.floor_char_boundary(span.start);
    let end = source.ceil_char_boundary(span.end).max(start);
    start..end
}

/// 1-based line and column (in characters) of a byte offset on a character boundary.
fn position(source: &str, offset: usize) -> (usize, usize) {
    let before = &source[..offset];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_lines_start_at_one() {
        let source = "a = 1\nü = ö";
        assert_eq!(position(source, 0), (1, 1));
        assert_eq!(position(source, source.find('ö').unwrap()), (2, 5));
    }

    #[test]
    fn spans_are_brought_back_into_the_source() {
        assert_eq!(within("ü", &(1..9)), 0..2);
        assert_eq!(within("", &(5..9)), 0..0);
    }

    #[test]
    fn what_is_not_seen_is_spelled_and_underlined() {
        let source = "a = 1\n\tb = \"\u{9b}2J\u{202e}x\" # \u{2028}\r\n";
        let (start, end) = (source.find('"').unwrap(), source.rfind('"').unwrap() + 1);
        let problem = Problem {
            span: start..end,
            message: "`\u{9b}2J` is wrong".into(),
            hint: Some("not \u{200b}".into()),
            ..Problem::default()
        };
        let text = Problems::new("x\u{1b}.toml", source, vec![problem]).to_string();
        assert!(
            !text.contains(|c| c != '\n' && visible::is_hidden(c)),
            "{text:?}"
        );
        assert!(
            text.contains(r#"b = "\u{9b}2J\u{202e}x" # \u{2028}"#),
            "{text}"
        );
        let underlined = format!("{}\n", "^".repeat(r#""\u{9b}2J\u{202e}x""#.len()));
        assert!(text.contains(&underlined), "{text}");
        assert!(text.contains(r"x\u{1b}.toml:2:6"), "{text}");
    }

    #[test]
    fn an_unreadable_file_has_no_place() {
        let problems = Problems::unreadable("x.toml", "no such file".into(), None);
        assert_eq!(
            problems.to_string(),
            "error: no such file\n\nx.toml: 1 error\n"
        );
    }
}
