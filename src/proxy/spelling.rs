//! How the names of an answer's fields are spelled, for protocols that have capitals.

use bytes::Bytes;

use crate::message::spelling::Speller;
use crate::policy::admitted::Admitted;

/// How the names of an answer are spelled.
#[derive(Debug, Default)]
pub struct Spelling {
    /// In lines of the route.
    pub configured: Bytes,
    /// In the lines that came from the upstream.
    pub came: Bytes,
}

impl Spelling {
    /// Of an upstream's answer, whose fields came in these lines.
    pub fn of_answer(admitted: &Admitted, came: Bytes) -> Spelling {
        Spelling {
            configured: admitted.route.config.response_headers.spelling.clone(),
            came,
        }
    }

    /// For looking names up; `more` are lines of the configuration that hold for all routes.
    pub fn speller<'a>(&'a self, more: &'a [u8]) -> Speller<'a> {
        Speller::new(&self.came).after([&self.configured, more])
    }
}
