//! Why a process does not start.

use std::fmt;
use std::io;

use crate::certificate::Unusable;
use crate::net::listen::BindError;
use crate::supervise::pid_file::PidFileError;
use crate::supervise::sockets::ActivationError;

/// Why sluice did not start.
#[derive(Debug)]
pub enum StartError {
    /// A listener could not be bound.
    Bind(BindError),
    /// A socket that the service manager passed cannot be used.
    Activation(ActivationError),
    /// The PID file cannot be written.
    PidFile(PidFileError),
    /// A certificate cannot be used.
    Certificate(Unusable),
    /// A thread, a runtime or the access log could not be made.
    Io(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Bind(error) => error.fmt(f),
            StartError::Activation(error) => error.fmt(f),
            StartError::PidFile(error) => error.fmt(f),
            StartError::Certificate(error) => write!(f, "{error} (`listen.tls`)"),
            StartError::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StartError {}

impl From<BindError> for StartError {
    fn from(error: BindError) -> Self {
        StartError::Bind(error)
    }
}

impl From<ActivationError> for StartError {
    fn from(error: ActivationError) -> Self {
        StartError::Activation(error)
    }
}

impl From<PidFileError> for StartError {
    fn from(error: PidFileError) -> Self {
        StartError::PidFile(error)
    }
}

impl From<Unusable> for StartError {
    fn from(error: Unusable) -> Self {
        StartError::Certificate(error)
    }
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        StartError::Io(error)
    }
}
