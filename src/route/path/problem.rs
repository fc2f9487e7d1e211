//! Why a path is refused.

use std::fmt;

/// Why a path is refused with 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathProblem {
    /// It does not begin with `/` (`OPTIONS *` is for the caller to handle).
    NotAbsolute,
    /// `%` without two hexadecimal digits.
    BadEscape,
    /// `%00`, under any number of encodings.
    Nul,
    /// A control character, space, `?` or `#`.
    ForbiddenByte(u8),
    /// `%C0%AE` and its like, which lax decoders take for ASCII.
    OverlongUtf8,
    /// `..` leads above the root, as it stands.
    AboveRoot,
    /// It is encoded so deeply that its readings are too many to be compared.
    TooManyReadings,
    /// An encoded character, an empty segment or a `;` could select another route.
    AnotherRoute,
    /// With its prefix replaced, it could be read as one that is not below the new prefix.
    AbovePrefix,
}

impl fmt::Display for PathProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PathProblem::NotAbsolute => "the path does not begin with /",
            PathProblem::BadEscape => "the path has a % without two hexadecimal digits",
            PathProblem::Nul => "the path has an encoded NUL",
            PathProblem::ForbiddenByte(byte) => {
                return write!(
                    f,
                    "the path has the byte 0x{byte:02x}, which must be encoded"
                );
            }
            PathProblem::OverlongUtf8 => "the path has an overlong UTF-8 sequence",
            PathProblem::AboveRoot => "the path leads above the root",
            PathProblem::TooManyReadings => "the path can be read in too many ways",
            PathProblem::AnotherRoute => {
                "the path takes another route when its encoded characters, empty segments or \
                 ;parameters are read differently"
            }
            PathProblem::AbovePrefix => {
                "the path leads above its route's new prefix when its encoded characters are read \
                 differently"
            }
        })
    }
}

impl std::error::Error for PathProblem {}
