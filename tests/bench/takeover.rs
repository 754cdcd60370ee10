#![allow(unused)]
use crate::{Outcome, Settings, report::Report};
pub(crate) fn run(_settings: &Settings) -> Outcome<Report> { Err("not yet".into()) }
