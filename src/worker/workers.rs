//! All workers: what each of them is told or asked.

use std::io;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::{Command, Worker};
use crate::process::Shared;

/// All workers.
#[derive(Debug, Clone)]
pub struct Workers(Arc<[Worker]>);

impl Workers {
    /// Starts so many.
    ///
    /// # Errors
    /// When a thread or its runtime cannot be made.
    pub fn start(count: usize, shared: &Arc<Shared>) -> io::Result<Workers> {
        (0..count)
            .map(|index| Worker::start(index, shared.clone()))
            .collect::<io::Result<Vec<Worker>>>()
            .map(|workers| Workers(workers.into()))
    }

    /// The worker, where there is only one.
    pub(super) fn only(&self) -> Option<&Worker> {
        match &*self.0 {
            [only] => Some(only),
            _ => None,
        }
    }

    /// Each of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Worker> {
        self.0.iter()
    }

    /// The one with the fewest connections. Not by hashing: long-lived connections would
    /// stay as uneven as they fell.
    pub fn least_loaded(&self) -> Option<&Worker> {
        self.iter().min_by_key(|worker| worker.load())
    }

    /// Has every worker do something on its thread.
    pub fn each<F: FnOnce() + Send + 'static>(&self, what: impl Fn() -> F) {
        for worker in self.iter() {
            worker.tell(Command::Do(Box::new(what())));
        }
    }

    /// Has every worker do something, and waits for the answers. A worker that has stopped
    /// gives none.
    pub async fn ask<R, F>(&self, what: impl Fn() -> F) -> Vec<R>
    where
        R: Send + 'static,
        F: FnOnce() -> R + Send + 'static,
    {
        let (sender, mut answers) = mpsc::unbounded_channel();
        self.each(|| {
            let (sender, what) = (sender.clone(), what());
            move || {
                let _ = sender.send(what());
            }
        });
        drop(sender);
        let mut all = Vec::with_capacity(self.0.len());
        while let Some(answer) = answers.recv().await {
            all.push(answer);
        }
        all
    }

    /// Tells every worker to leave its thread, and waits until it has.
    pub fn stop(&self) {
        self.iter().for_each(|worker| worker.tell(Command::Stop));
        self.iter().for_each(Worker::join);
    }
}
