//! The control task: everything that changes the running process passes through here, one
//! thing after the other. `run` hears what is asked for; `reload`, `drains`, `upgrade` and `stop`
//! do it with what `control` owns.

mod background;
mod build;
mod certificates;
mod changes;
mod control;
mod drains;
mod introduce;
mod listeners;
mod parting;
mod predecessor;
mod reload;
mod run;
pub mod signals;
pub mod start;
pub mod start_error;
mod stop;
mod take_over;
mod transition;
mod upgrade;
pub mod warnings;
mod watch;

pub use self::stop::EXIT_CUT;
