//! Files and their permission bits.

use std::path::PathBuf;

use crate::setting::read::{FromText, Wrong};
use crate::setting::typed::Setting;
use crate::setting::written::Written;

/// The path of a file: absolute, or with a `/` in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FilePath(PathBuf);

impl FromText for FilePath {
    const EXPECTED: &'static str = "the path of a file";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        if text.contains('/') && !text.ends_with('/') && !text.contains('\0') {
            return Ok(FilePath(text.into()));
        }
        let wrong = Wrong::new(format!("`{text}` is not the path of a file"));
        Err(wrong.hint("write it with a `/` in it: `\"/run/sluice/sluice.pid\"`"))
    }
}

impl Setting<PathBuf> for FilePath {
    fn value(&self) -> PathBuf {
        self.0.clone()
    }

    fn write(value: &PathBuf) -> Written {
        value.display().to_string().into()
    }
}

/// `mode` of a unix socket: octal permission bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileMode(pub(crate) u32);

impl FromText for FileMode {
    const EXPECTED: &'static str = "permission bits in octal, as a string: `\"0660\"`";
    const PATTERN: &'static str = "^0?[0-7]{3}$";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        let octal =
            (3..=4).contains(&text.len()) && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
        match u32::from_str_radix(text, 8) {
            Ok(mode) if octal && mode <= 0o777 => Ok(FileMode(mode)),
            _ => Err(Wrong::new(format!("`{text}` is not a file mode"))
                .hint("write permission bits in octal: `\"0660\"`")),
        }
    }
}

impl Setting<u32> for FileMode {
    fn value(&self) -> u32 {
        self.0
    }

    fn write(value: &u32) -> Written {
        format!("{value:04o}").into()
    }
}
