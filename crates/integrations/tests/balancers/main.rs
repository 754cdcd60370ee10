//! The balancer drivers against the real HAProxy and the real Caddy, each started by its test on private ports.
#![expect(clippy::unwrap_used, reason = "a test that can not go on panics")]

mod caddy;
mod haproxy;
mod house;
