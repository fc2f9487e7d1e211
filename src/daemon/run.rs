//! The control task's loop: signals, the admin interface and the file watch ask, and one thing
//! is done after the other.

use std::process::ExitCode;

use rustix::process::Signal;
use tokio::sync::mpsc::UnboundedReceiver;

use super::background::Background;
use super::control::Control;
use super::signals::{Signals, Wish, pass_on};
use super::upgrade::Outcome;
use super::{certificates, drains, reload, watch};
use crate::handover::contact::Contact;
use crate::process::order::{Handle, Order, OrderError, Reply, Upgraded};
use crate::process::predecessor::PassedOn;
use crate::process::state::Phase;
use crate::supervise::notify;
use crate::worker;

/// How the loop ends.
enum Ending {
    /// By a signal.
    Stop(&'static str),
    /// The process of this id has taken over, to which there may be a way; perhaps by a signal,
    /// too.
    Replaced(u32, Option<&'static str>, Option<Box<Contact>>),
}

impl Control {
    /// Serves until the end and says how it went. `orders` is where `handle` leads.
    pub async fn run(
        mut self,
        mut signals: Signals,
        handle: Handle,
        mut orders: UnboundedReceiver<Order>,
    ) -> ExitCode {
        self.shared.state.enter(Phase::Ready);
        let _watch = self.source.clone().map(|file| {
            let watch = watch::watch(file, self.read, self.shared.clone(), handle.clone());
            Background::spawn(watch)
        });
        let _limit = Background::spawn(worker::watch_limit(self.shared.clone()));
        let _drains = Background::spawn(drains::watch(self.shared.clone(), handle.clone()));
        let certificates = certificates::watch(self.shared.clone());
        let _certificates = Background::spawn(certificates);
        let ending = loop {
            let order = match self.next_order(&mut signals, &mut orders).await {
                Ok(order) => order,
                Err(ending) => break ending,
            };
            let obeyed = self.obey(order, &mut signals, &mut orders, &handle).await;
            if let Err(ending) = obeyed {
                break ending;
            }
        };
        // An order that is given now is told at once that it comes too late.
        drop(orders);
        match ending {
            Ending::Stop(signal) => self.stop(signal, &mut signals).await,
            Ending::Replaced(pid, signal, contact) => {
                self.part(pid, signal, contact, &mut signals).await
            }
        }
    }

    /// Waits for the next order; a signal may give one.
    async fn next_order(
        &self,
        signals: &mut Signals,
        orders: &mut UnboundedReceiver<Order>,
    ) -> Result<Order, Ending> {
        loop {
            let wish = tokio::select! {
                wish = signals.next() => wish,
                Some(order) = orders.recv() => return Ok(order),
            };
            match wish {
                Wish::End(signal) => return Err(Ending::Stop(signal)),
                Wish::Reload => return Ok(Order::Reload(unheard())),
                Wish::Upgrade => return Ok(Order::Upgrade(Default::default(), unheard())),
                Wish::Reopen => tokio::select! {
                    () = self.reopen_logs() => {}
                    signal = signals.last() => return Err(Ending::Stop(signal)),
                },
            }
        }
    }

    async fn obey(
        &mut self,
        order: Order,
        signals: &mut Signals,
        orders: &mut UnboundedReceiver<Order>,
        handle: &Handle,
    ) -> Result<(), Ending> {
        match order {
            Order::Reload(answer) => {
                notify::reloading();
                // A file system that hangs is not to hold up the end.
                let prepared = tokio::select! {
                    prepared = self.prepare() => prepared,
                    signal = signals.last() => return Err(Ending::Stop(signal)),
                };
                let outcome = self.reload(prepared).await;
                notify::ready(&reload::status(&outcome));
                let _ = answer.send(outcome);
            }
            Order::Drain(request, answer) => {
                let drained = self.drain(request.clone()).await;
                if drained.is_ok() {
                    let predecessor = self.shared.state.predecessor();
                    predecessor.tell(PassedOn::Drain(request));
                }
                let _ = answer.send(drained);
            }
            Order::Undrain(target, answer) => {
                let _ = answer.send(self.undrain(target).await);
            }
            Order::SettleDrains(answer) => {
                self.settle_drains().await;
                let _ = answer.send(Ok(()));
            }
            Order::Upgrade(request, answer) => {
                let outcome = self.upgrade(&request, signals, orders).await;
                return self.after_upgrade(outcome, answer, signals, handle).await;
            }
        }
        Ok(())
    }

    /// Answers, and does what was asked for meanwhile.
    async fn after_upgrade(
        &self,
        outcome: Outcome,
        answer: Reply<Result<Upgraded, OrderError>>,
        signals: &mut Signals,
        handle: &Handle,
    ) -> Result<(), Ending> {
        match outcome {
            Outcome::Refused(refused) => {
                let _ = answer.send(Err(refused));
                let missed = signals.take_missed();
                if missed.reopen {
                    self.reopen_logs().await;
                }
                if missed.reload {
                    handle.give(Order::Reload(unheard()));
                }
                Ok(())
            }
            Outcome::Interrupted(signal, refused) => {
                let _ = answer.send(Err(refused));
                Err(Ending::Stop(signal))
            }
            Outcome::Replaced(upgraded, signal, contact) => {
                let missed = signals.take_missed();
                if missed.reopen {
                    pass_on(Signal::USR1, upgraded.pid);
                }
                if missed.reload {
                    pass_on(Signal::HUP, upgraded.pid);
                }
                if signal.is_some() {
                    pass_on(Signal::TERM, upgraded.pid);
                }
                let pid = upgraded.pid;
                let _ = answer.send(Ok(upgraded));
                Err(Ending::Replaced(pid, signal, contact))
            }
        }
    }
}

/// An answer that is not waited for: what happened is in the log.
fn unheard<T>() -> Reply<T> {
    tokio::sync::oneshot::channel().0
}
