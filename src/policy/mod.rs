//! What is decided about a request before it goes anywhere: [`decide`](decide::decide) at once
//! and without I/O, from the head, the client's connection and the snapshot in force;
//! [`authorize`](authorize::authorize) afterwards, which may wait.

pub mod admitted;
pub mod authorize;
mod client_certificate;
pub mod decide;
pub mod facts;
pub mod grounds;
pub mod head;
pub mod offer;
mod own;
pub mod redirect;
mod rewrite;
mod routing;
mod tunnels;
