//! The demo.
pub mod compose;
pub mod traffic;
