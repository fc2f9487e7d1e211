//! What an answer's fields say about the end of the message and of the connection (RFC 9112
//! sections 6 and 9.3).

use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderName, StatusCode, Version};

use super::outcome::{BodyKind, HeadError};

/// What has been read of these fields.
#[derive(Debug, Default)]
pub(super) struct Notes<'a> {
    length: Option<u64>,
    /// The last Transfer-Encoding.
    coding: Option<&'a [u8]>,
    coding_repeated: bool,
    /// `Connection` has the option `close`.
    close: bool,
    /// `Connection` has the option `keep-alive`.
    keep_alive: bool,
}

/// What becomes of a field.
#[derive(Debug)]
pub(super) enum Entry {
    /// It goes on as it came.
    AsItCame,
    /// It is `Connection: keep-alive` and nothing else, which is for sluice only.
    EndsHere,
    /// It repeats what an earlier line said.
    Copy,
    /// A Content-Length that was a list of one number.
    Length(u64),
}

impl<'a> Notes<'a> {
    /// Notes a field.
    pub(super) fn take(&mut self, name: &HeaderName, value: &'a [u8]) -> Result<Entry, HeadError> {
        if *name == CONTENT_LENGTH {
            return self.take_length(value);
        } else if *name == TRANSFER_ENCODING {
            self.coding_repeated |= self.coding.replace(value).is_some();
        } else if *name == CONNECTION {
            if value.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
                return Ok(Entry::EndsHere);
            }
            for option in value.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
                self.close |= option.eq_ignore_ascii_case(b"close");
                self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            }
        }
        Ok(Entry::AsItCame)
    }

    /// Copies of one number are that number (RFC 9110 section 8.6), in lines and in lists.
    fn take_length(&mut self, value: &[u8]) -> Result<Entry, HeadError> {
        let mut numbers = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
        let first = numbers.next().and_then(decimal);
        let length = first.ok_or(HeadError::Framing("Content-Length"))?;
        let mut entry = Entry::AsItCame;
        for number in numbers {
            if decimal(number) != Some(length) {
                return Err(HeadError::Framing("Content-Length"));
            }
            entry = Entry::Length(length);
        }
        match self.length.replace(length) {
            None => Ok(entry),
            Some(before) if before == length => Ok(Entry::Copy),
            Some(_) => Err(HeadError::Framing("contradictory Content-Length")),
        }
    }

    /// The Content-Length.
    pub(super) fn length(&self) -> Option<u64> {
        self.length
    }

    /// RFC 9112 section 6.3 for the answer to a GET. Every transfer coding but a single
    /// `chunked` is refused.
    pub(super) fn body_kind(
        &self,
        status: StatusCode,
        version: Version,
    ) -> Result<BodyKind, HeadError> {
        let chunked = match self.coding {
            Some(_) if self.length.is_some() => {
                return Err(HeadError::Framing(
                    "Content-Length beside Transfer-Encoding",
                ));
            }
            Some(_) if version == Version::HTTP_10 => {
                return Err(HeadError::Framing("Transfer-Encoding in HTTP/1.0"));
            }
            Some(coding) if !coding.eq_ignore_ascii_case(b"chunked") => {
                return Err(HeadError::Framing("Transfer-Encoding other than chunked"));
            }
            Some(_) => true,
            None => false,
        };
        if self.coding_repeated {
            return Err(HeadError::Framing("repeated Transfer-Encoding"));
        }
        Ok(match (status, self.length) {
            (StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED, _) => BodyKind::None,
            _ if status.is_informational() => BodyKind::None,
            _ if chunked => BodyKind::Chunked,
            (_, Some(length)) => BodyKind::Length(length),
            (_, None) => BodyKind::UntilClose,
        })
    }

    /// Whether the connection persists after the answer. An upstream that announces
    /// content where there can be none may send it all the same: it would be read as the next
    /// answer.
    pub(super) fn persists(&self, status: StatusCode, version: Version, body: BodyKind) -> bool {
        let announced = match status {
            StatusCode::NO_CONTENT => self.length.unwrap_or(0) > 0 || self.coding.is_some(),
            // The length of a 304 is that of the answer which it stands for.
            StatusCode::NOT_MODIFIED => self.coding.is_some(),
            _ => false,
        };
        if body == BodyKind::UntilClose || announced {
            return false;
        }
        match version {
            Version::HTTP_11 => !self.close,
            _ => self.keep_alive && !self.close,
        }
    }
}

/// Digits only: `str::parse` would take a sign.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |sum, digit| match digit {
        b'0'..=b'9' => sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}
