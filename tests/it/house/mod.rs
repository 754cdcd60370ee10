//! The fixtures: real servers, engines, databases, applications and clients, each gone with its owner.

pub(crate) mod application;
pub(crate) mod asks;
pub(crate) mod balancer;
pub(crate) mod child;
pub(crate) mod compose;
pub(crate) mod database;
pub(crate) mod dice;
pub(crate) mod door;
pub(crate) mod engine;
pub(crate) mod load;
pub(crate) mod private;
pub(crate) mod prometheus;
pub(crate) mod registry;
pub(crate) mod server;
pub(crate) mod slack;
pub(crate) mod wait;
pub(crate) mod wire;

pub(crate) use application::Application;
pub(crate) use balancer::Balancer;
pub(crate) use database::Database;
pub(crate) use door::{Luck, When, outside};
pub(crate) use engine::Engine;
pub(crate) use load::Client;
pub(crate) use private::PrivateEngine;
pub(crate) use prometheus::Watchmen;
pub(crate) use registry::Registry;
pub(crate) use server::House;
pub(crate) use slack::Slack;
pub(crate) use wait::{seconds, until};
