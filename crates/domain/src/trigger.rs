//! Triggers: what other systems tell us, and whether it may start a rollback. A trigger is an alert source or a feed of
//! deployments that somebody set up; a message from it is verified, read into our words, and then judged by guards.

pub mod alert;
pub mod trust;
