//! What a configuration may look like before it is parsed. The parser keeps more than 100 bytes for
//! each token and builds a tree for each part of a dotted key, so that a few megabytes of dots or
//! brackets would cost hundreds; this pass keeps nothing.

use std::ops::Range;

use toml_parser::Source;
use toml_parser::lexer::{Token, TokenKind};

/// The deepest nesting of arrays and inline tables, and the most parts of a dotted key.
const DEEPEST: usize = 64;
/// The longest part of a key, in bytes: it stands in the path of everything below it.
const LONGEST: usize = 1024;
/// The most tokens: words, numbers, strings, signs and the spaces and line ends between them. A
/// configuration of 10,000 routes has some 600,000.
const MOST: usize = 1 << 20;

/// What is wrong, and where.
pub(super) type Misshapen = (Range<usize>, String);

/// Looks at every token once.
///
/// # Errors
/// The first one that is too much.
pub(super) fn check(source: &str) -> Result<(), Misshapen> {
    let mut shape = Shape::default();
    for (before, token) in Source::new(source).lex().enumerate() {
        let span = token.span().start()..token.span().end();
        if before >= MOST {
            let message = format!("the file has more than {MOST} words and signs");
            return Err((span, message));
        }
        shape.follow(token);
        if shape.long_key {
            let message = format!("a key or bare word is longer than {LONGEST} bytes");
            return Err((span, message));
        }
        if shape.parts > DEEPEST {
            let message = format!("a dotted key has more than {DEEPEST} parts");
            return Err((span, message));
        }
        if shape.depth > DEEPEST {
            let message = format!("arrays and inline tables are nested more than {DEEPEST} deep");
            return Err((span, message));
        }
    }
    Ok(())
}

#[derive(Debug, Default)]
struct Shape {
    /// Arrays and inline tables that are open.
    depth: usize,
    /// Parts of the key or number under way.
    parts: usize,
    /// Something other than spaces stands on the line.
    begun: bool,
    /// The line is that of a table's header, whose brackets close with it.
    header: bool,
    /// The last token but spaces was a string longer than a key may be.
    long_string: bool,
    /// A key was too long.
    long_key: bool,
}

impl Shape {
    fn follow(&mut self, token: Token) {
        let kind = token.kind();
        match kind {
            TokenKind::LeftSquareBracket | TokenKind::LeftCurlyBracket => {
                let is_first = !self.begun && self.depth == 0;
                self.header |= is_first && kind == TokenKind::LeftSquareBracket;
                self.depth += 1;
            }
            TokenKind::RightSquareBracket | TokenKind::RightCurlyBracket => {
                self.depth = self.depth.saturating_sub(1);
            }
            // A header without its last bracket is a fault of its own.
            TokenKind::Newline if self.header => self.depth = 0,
            _ => {}
        }
        match kind {
            TokenKind::Dot => self.parts = self.parts.max(1) + 1,
            TokenKind::Whitespace
            | TokenKind::Atom
            | TokenKind::BasicString
            | TokenKind::LiteralString => {}
            _ => self.parts = 0,
        }
        let is_long = token.span().len() > LONGEST;
        match kind {
            TokenKind::Whitespace => {}
            TokenKind::Atom => self.long_key = is_long,
            TokenKind::BasicString | TokenKind::LiteralString => {
                self.long_string = is_long;
                self.long_key = is_long && self.header;
            }
            TokenKind::Equals | TokenKind::Dot => self.long_key = self.long_string,
            _ => self.long_string = false,
        }
        match kind {
            TokenKind::Newline => (self.begun, self.header) = (false, false),
            TokenKind::Whitespace => {}
            _ => self.begun = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(source: &str) -> Option<usize> {
        check(source).err().map(|(span, _)| span.start)
    }

    #[test]
    fn nesting_is_bounded_and_so_are_dotted_keys() {
        for (open, close) in [("[", "]"), ("{a = ", "}"), ("[{b = ", "}]"), ("[\n", "\n]")] {
            let levels = DEEPEST / open.matches(['[', '{']).count();
            let nested = |n: usize| format!("x = {}1{}", open.repeat(n), close.repeat(n));
            assert_eq!(place(&nested(levels)), None, "{open}");
            let one_more = 4 + levels * open.len();
            assert_eq!(place(&nested(levels + 1)), Some(one_more), "{open}");
        }
        let dotted = |n: usize, before: &str| format!("{before}{}a", "a.".repeat(n - 1));
        for before in ["", "[", "[[", "x = {", "y = 1\n", "x = [{ b = 1 }, {"] {
            assert_eq!(place(&dotted(DEEPEST, before)), None);
            let last_dot = before.len() + 2 * DEEPEST - 1;
            assert_eq!(place(&dotted(DEEPEST + 1, before)), Some(last_dot));
        }
        assert!(place(&". ".repeat(100)).is_some());
        assert!(place(&"\"a\" . 'b'.".repeat(100)).is_some());
    }

    #[test]
    fn what_is_long_but_flat_passes() {
        let array = format!("x = [{}]\n", "1.5, [2], {a.b = 1},\n".repeat(1000));
        let text = format!("x = \"{}\" # {}\n", "[".repeat(1000), "a.".repeat(1000));
        let headers = "[a\n".repeat(1000) + &"[[a.b]]\nc = []\n".repeat(1000);
        for source in [array, text, headers, "]".repeat(1000)] {
            assert_eq!(place(&source), None);
        }
    }

    #[test]
    fn keys_are_bounded_and_strings_are_not() {
        let long = "k".repeat(LONGEST + 1);
        for key in [
            format!("{long} = 1"),
            format!("[{long}]"),
            format!("a = {{ {long} = 1 }}"),
            format!("\"{long}\" = 1"),
            format!("a.'{long}'.b = 1"),
            format!("[[upstream.\"{long}\"]]"),
        ] {
            assert!(place(&key).is_some(), "{}", &key[..20]);
        }
        let values = format!("a = '{long}'\nb = [\"{long}\", '{long}']\nc = {{ d = '{long}' }}\n");
        assert_eq!(place(&values), None);
    }

    #[test]
    fn tokens_are_counted() {
        assert_eq!(place(&"\n".repeat(MOST - 1)), None);
        assert_eq!(place(&"=".repeat(MOST + 10)), Some(MOST));
    }
}
