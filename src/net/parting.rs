//! A stream that says its end in bytes of its own when it is dropped, as the kernel does for a socket,
//! unless it is taken out before: then it goes on elsewhere.

/// What can say its end at once.
pub trait Parting {
    /// Says it, as far as the kernel takes it now: there is no later.
    fn part(&mut self);
}

/// The only owner of such a stream. Boxed, so that streams without it are no larger.
#[derive(Debug)]
pub struct Parted<S: Parting>(Option<Box<S>>);

impl<S: Parting> Parted<S> {
    pub(super) fn new(stream: S) -> Parted<S> {
        Parted(Some(Box::new(stream)))
    }

    /// The stream; there is one until [`Parted::take`].
    pub(super) fn get(&self) -> Option<&S> {
        self.0.as_deref()
    }

    /// The same, to be read and written.
    pub(super) fn get_mut(&mut self) -> Option<&mut S> {
        self.0.as_deref_mut()
    }

    /// The stream, which says nothing yet.
    pub(super) fn take(mut self) -> Option<S> {
        self.0.take().map(|stream| *stream)
    }
}

impl<S: Parting> Drop for Parted<S> {
    fn drop(&mut self) {
        if let Some(stream) = &mut self.0 {
            stream.part();
        }
    }
}
