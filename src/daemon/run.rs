//! The control task's loop: signals, the admin interface and the file watch ask, and one thing
//! is done after the other.

use std::process::ExitCode;

use rustix::process::{Pid, Signal};
use tokio::sync::mpsc;

use super::background::Background;
use super::control::Control;
use super::signals::{Signals, Wish};
use super::upgrade::Outcome;
use super::{reload, watch};
use crate::process::order::{Handle, Order};
use crate::process::predecessor::PassedOn;
use crate::process::state::Phase;
use crate::supervise::notify;

impl Control {
    /// Serves until the end and says how it went. `orders` is where `handle` leads.
    pub async fn run(
        mut self,
        mut signals: Signals,
        handle: Handle,
        mut orders: mpsc::UnboundedReceiver<Order>,
    ) -> ExitCode {
        self.shared.state.enter(Phase::Ready);
        let _watch = self.source.clone().map(|file| {
            let watch = watch::watch(file, self.read, self.shared.clone(), handle.clone());
            Background::spawn(watch)
        });
        loop {
            let order = tokio::select! {
                wish = signals.next() => match wish {
                    Wish::End(signal) => {
                        // Who gives an order now learns at once that it comes too late.
                        drop(orders);
                        return self.stop(signal, &mut signals).await;
                    }
                    Wish::Reload => Order::Reload(nobody()),
                    Wish::Reopen => tokio::select! {
                        () = self.reopen_logs() => continue,
                        signal = signals.last() => {
                            drop(orders);
                            return self.stop(signal, &mut signals).await;
                        }
                    },
                    Wish::Upgrade => Order::Upgrade(Default::default(), nobody()),
                },
                Some(order) = orders.recv() => order,
            };
            match order {
                Order::Reload(answer) => {
                    notify::reloading();
                    // A file system that hangs is not to hold up the end.
                    let prepared = tokio::select! {
                        prepared = self.prepare() => prepared,
                        signal = signals.last() => {
                            drop(orders);
                            return self.stop(signal, &mut signals).await;
                        }
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
                Order::Upgrade(request, answer) => {
                    let outcome = self.upgrade(&request, &mut signals, &mut orders).await;
                    match outcome {
                        Outcome::Refused(refused) => {
                            let _ = answer.send(Err(refused));
                            let missed = signals.take_missed();
                            if missed.reopen {
                                self.reopen_logs().await;
                            }
                            if missed.reload {
                                handle.give(Order::Reload(nobody()));
                            }
                        }
                        Outcome::Interrupted(signal, refused) => {
                            let _ = answer.send(Err(refused));
                            return self.stop(signal, &mut signals).await;
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
                            let _ = answer.send(Ok(upgraded));
                            drop(orders);
                            return self.part(signal, contact, &mut signals).await;
                        }
                    }
                }
            }
        }
    }
}

/// A signal that came during the hand-over is for the new process too: for a reload, it may
/// have read the file before that was changed; and the end was to be that of the service.
fn pass_on(signal: Signal, pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid
        && let Err(error) = rustix::process::kill_process(pid, signal)
    {
        let signal = signal.as_raw();
        tracing::warn!(pid = pid.as_raw_pid(), signal, %error, "the new process could not be told");
    }
}

/// An answer that nobody waits for: what happened is in the log.
fn nobody<T>() -> crate::process::order::Answer<T> {
    tokio::sync::oneshot::channel().0
}
