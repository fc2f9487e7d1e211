//! Tunnels over real sockets.
