//! Unit tests that need the private types.
