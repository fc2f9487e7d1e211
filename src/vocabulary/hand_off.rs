//! How a tunnel or an idle connection goes to another process: it is asked, and its own task
//! exports it, or answers that it stays. What is exported and finds no taker goes on here.

use std::cell::RefCell;

use tokio::sync::mpsc::UnboundedSender;

/// What became of something that was asked to go to another process.
#[derive(Debug)]
pub enum HandOff<T> {
    /// It was taken apart; nothing of it runs here any more.
    Exported(T),
    /// It stays, for this reason. A tunnel has a number.
    Stays(Option<u64>, &'static str),
}

impl<T> HandOff<T> {
    /// The same of something that what was exported is made into.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> HandOff<U> {
        match self {
            HandOff::Exported(item) => HandOff::Exported(make(item)),
            HandOff::Stays(number, why) => HandOff::Stays(number, why),
        }
    }
}

/// Where one thread's exports go while there is a hand-off.
#[derive(Debug)]
pub struct Outlet<T>(RefCell<Option<UnboundedSender<HandOff<T>>>>);

impl<T> Outlet<T> {
    /// They go nowhere.
    pub const fn closed() -> Outlet<T> {
        Outlet(RefCell::new(None))
    }

    /// They go there.
    pub fn open(&self, to: UnboundedSender<HandOff<T>>) {
        self.0.replace(Some(to));
    }

    /// They go nowhere any more.
    pub fn close(&self) {
        self.0.replace(None);
    }

    /// Sends an export off.
    ///
    /// # Errors
    /// Gives it back where nothing takes it; it is to go on where it was.
    pub fn send(&self, item: T) -> Result<(), T> {
        let returned = match &*self.0.borrow() {
            Some(to) => to
                .send(HandOff::Exported(item))
                .map_err(|back| back.0)
                .err(),
            None => Some(HandOff::Exported(item)),
        };
        match returned {
            Some(HandOff::Exported(item)) => Err(item),
            _ => Ok(()),
        }
    }

    /// Answers that what was asked stays.
    pub fn stays(&self, number: Option<u64>, why: &'static str) {
        if let Some(to) = &*self.0.borrow() {
            // It stays too where that is not heard.
            let _ = to.send(HandOff::Stays(number, why));
        }
    }
}
