//! How the names of an answer's fields are spelled, for protocols that have capitals.

use bytes::Bytes;

use crate::message::spelling::Speller;
use crate::policy::admitted::Admitted;

/// How the names of an answer are spelled.
#[derive(Debug, Default)]
pub struct Spelling {
    /// Configured for the route, in lines.
    pub configured: Bytes,
    /// As they came from the upstream, in lines.
    pub came: Bytes,
}

impl Spelling {
    /// For an upstream's answer, whose fields came in these lines.
    pub fn of_answer(admitted: &Admitted, came: Bytes) -> Spelling {
        Spelling {
            configured: admitted.route.config.response_headers.spelling.clone(),
            came,
        }
    }

    /// A speller for these; `more` are lines of the configuration that hold for all routes.
    pub fn speller<'a>(&'a self, more: &'a [u8]) -> Speller<'a> {
        Speller::new(&self.came).after([&self.configured, more])
    }
}
