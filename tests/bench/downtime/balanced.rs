//! Swaps behind a balancer, to and fro between two good versions: what fails of what clients ask meanwhile, and how
//! long a swap takes from its request to its proof.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use domain::time::Moment;
use serde_json::{Value, json};

use super::{
    balancer::{Balancer, Kind},
    clients::{Clients, Count, Events},
    compose::Compose,
    stand::definition,
};
use crate::{
    Outcome, Settings,
    engine::{Engine, GOOD},
    http::Api,
    report::{Goal, Report, median},
    say,
    shop::Shop,
};

const SWAPS: usize = 20;
/// No further swap is begun after this.
const TIME_MAX: Duration = Duration::from_secs(300);
/// Clients ask for so long before and after a swap.
const CALM: Duration = Duration::from_millis(300);
/// The other good version.
const EARLIER: &str = "1.4.1";

/// What came of all swaps behind one balancer.
#[derive(Debug, Default)]
struct Figures {
    count: Count,
    proofs: Vec<f64>,
    streams_cut: usize,
}

pub(crate) fn run(
    settings: &Settings,
    engine: &Engine,
    api: &Api,
    report: &mut Report,
) -> Outcome<()> {
    let haproxy = behind(settings, engine, api, Kind::Haproxy)?;
    let zero = Some(Goal::AtMost(0.0));
    report.figure("haproxy_swaps", haproxy.proofs.len() as f64, None);
    report.figure("haproxy_failed", haproxy.count.failed as f64, zero);
    report.figure("haproxy_requests", haproxy.count.requests as f64, None);
    report.figure("haproxy_kept_closed", haproxy.count.closed as f64, zero);
    report.figure("haproxy_streams_cut", haproxy.streams_cut as f64, zero);
    let second = Some(Goal::AtMost(1000.0));
    report.figure("haproxy_proof_ms", median(&haproxy.proofs), second);
    report.spread("  of each swap", &haproxy.proofs);
    let caddy = behind(settings, engine, api, Kind::Caddy)?;
    report.figure("caddy_swaps", caddy.proofs.len() as f64, None);
    report.figure("caddy_failed", caddy.count.failed as f64, zero);
    report.figure("caddy_requests", caddy.count.requests as f64, None);
    report.figure("caddy_kept_closed", caddy.count.closed as f64, None);
    report.figure("caddy_proof_ms", median(&caddy.proofs), None);
    Ok(())
}

fn behind(settings: &Settings, engine: &Engine, api: &Api, kind: Kind) -> Outcome<Figures> {
    let measured = measure(settings, engine, api, kind);
    for label in ["application", "keep"] {
        engine.remove_labelled(&format!("sternway.{label}={}", kind.shape().project()))?;
    }
    measured
}

fn measure(settings: &Settings, engine: &Engine, api: &Api, kind: Kind) -> Outcome<Figures> {
    let project = kind.shape().project();
    let folder = settings.scratch.join(project);
    std::fs::create_dir_all(&folder)?;
    let compose = Compose::find(kind.shape(), &folder)?;
    let shop = Shop {
        api,
        name: project,
        components: vec!["api".to_owned()],
    };
    let _balancer = known(engine, &shop, &compose, kind, &folder)?;
    let (begun, mut figures) = (Instant::now(), Figures::default());
    for swap in 0..settings.rounds(SWAPS) {
        if begun.elapsed() > TIME_MAX {
            say("the time is up; `swaps` says how many there were");
            break;
        }
        let to = [EARLIER, GOOD][swap % 2];
        if swap > 0 {
            shop.release_hold(to)?;
        }
        swap_once(&shop, kind, compose.port, to, &mut figures)?;
        let Count {
            requests, failed, ..
        } = figures.count;
        say(&format!(
            "{kind:?}, swap {swap}: {failed} of {requests} requests failed so far"
        ));
    }
    Ok(figures)
}

/// Both versions in the ledger, the later one in service behind the balancer.
fn known(
    engine: &Engine,
    shop: &Shop<'_>,
    compose: &Compose,
    kind: Kind,
    folder: &Path,
) -> Outcome<Balancer> {
    let mut definition = definition(shop.api, kind.shape(), compose.port)?;
    definition["watch_window_s"] = json!(0);
    shop.define(&definition)?;
    for version in [EARLIER, GOOD] {
        compose.up(version)?;
        shop.record(version)?;
    }
    let seen = engine.inspect(&compose.front())?;
    let networks = seen["NetworkSettings"]["Networks"].as_object();
    let address = networks
        .and_then(|networks| networks.values().next())
        .and_then(|network| network["IPAddress"].as_str())
        .ok_or("the container has no address")?;
    let to = SocketAddr::new(address.parse::<IpAddr>()?, 8080);
    let balancer = Balancer::start(kind, compose.port, to, folder)?;
    definition["components"][0]["front"] = balancer.front.clone();
    let path = format!("/applications/{}", shop.name);
    let header = "if-match: *\r\n";
    shop.api.ask("PUT", &path, header, Some(&definition))?;
    Ok(balancer)
}

fn swap_once(
    shop: &Shop<'_>,
    kind: Kind,
    port: u16,
    to: &str,
    figures: &mut Figures,
) -> Outcome<()> {
    let digest = shop.plan(to)?;
    let clients = Clients::start(port);
    // Caddy ends event streams at each change of its configuration.
    let events = match kind {
        Kind::Haproxy => Some(Events::open(port)?),
        Kind::Caddy => None,
    };
    thread::sleep(CALM);
    let done = shop.roll_back(&digest);
    thread::sleep(CALM);
    figures.count.add(clients.stop()?);
    let (ended, _) = done?;
    let moment = |field: &str| -> Outcome<Moment> {
        let value: Value = ended[field].clone();
        serde_json::from_value(value).map_err(|_| format!("no {field} in {ended:#}").into())
    };
    let proof = moment("proved_at")?.since(moment("requested_at")?);
    figures.proofs.push(proof.0 as f64);
    if let Some(events) = events {
        figures.streams_cut += usize::from(!events.ended_well()?);
    }
    Ok(())
}
