//! The acts, in both directions. Each looks and acts only where something differs.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use docker::ProjectLock;
use domain::front::{adopted::Adopted, adoption};
use integrations::Balancers;

use super::{
    files,
    site::{Site, facts_of, has_port},
    up_deploys_nothing,
};
use crate::out::Out;

/// An engine gives a container its address when it starts; one that needs longer restarts again and again.
const ADDRESS_WAIT: Duration = Duration::from_secs(15);
/// How often it is asked.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The component behind the balancer, up to where clients are sent to it.
pub(super) async fn put_in_place(
    site: &Site,
    adopted: &Adopted,
    lock: &ProjectLock,
    out: &Out,
) -> Result<(), String> {
    if site.has_port(adopted) {
        up_deploys_nothing(site, adopted)?;
    }
    files::prepare(adopted)?;
    files::write_override(site, adopted)?;
    files::take_port(adopted)?;
    out.say("The files are written.");
    as_meant(site, adopted).await?;
    let (compose, engine) = (site.compose_with(adopted), &site.engine);
    let (request, service) = (site.request(&compose), adopted.service());
    let balancers = || engine.service_containers(&site.project, &service);
    if balancers()
        .await
        .map_err(|error| error.to_string())?
        .is_empty()
    {
        // A first configuration, for a container that nobody has started yet.
        files::configure(
            adopted,
            SocketAddr::from(([127, 0, 0, 1], adopted.port.port)),
        )?;
        site.nothing_acts().await?;
        engine.compose_create(&request, &service, lock).await?;
    }
    let look = site.look_again().await?;
    let runs = adoption::running(&adopted.component, &look)
        .next()
        .is_some();
    // One that was killed in the middle of it left none that runs.
    if has_port(&look, adopted) || !runs {
        out.say(&format!(
            "{} is made anew without its port ...",
            adopted.component
        ));
        site.nothing_acts().await?;
        engine
            .compose_up(&request, adopted.component.as_str(), lock)
            .await?;
    }
    let to = address(site, adopted).await?;
    site.nothing_acts().await?;
    for balancer in balancers().await.map_err(|error| error.to_string())? {
        if balancer.runs {
            point(site, adopted, to).await?;
        } else {
            files::configure(adopted, to)?;
            let started = engine.service_start(&balancer).await;
            started.map_err(|error| error.to_string())?;
        }
    }
    out.say(&format!(
        "HAProxy has {}, and sends clients to {to}.",
        adopted.port
    ));
    Ok(())
}

/// That Compose makes of the files what was meant by them: it is asked before any container is touched.
async fn as_meant(site: &Site, adopted: &Adopted) -> Result<(), String> {
    let compose = site.compose_with(adopted);
    let facts = facts_of(&site.engine, &site.request(&compose)).await?;
    let of = |service: &str| facts.ports.get(service).cloned().unwrap_or_default();
    let own = of(adopted.component.as_str());
    let same = |port: &domain::specification::Published| {
        port.host_port == adopted.port.host_port && port.port == adopted.port.port
    };
    if own.iter().any(same) {
        return Err(format!(
            "Compose still reads that {} publishes {}",
            adopted.component, adopted.port
        ));
    }
    if !of(&adopted.service()).iter().any(same) {
        return Err(format!(
            "Compose does not read our file {}, or not as it was meant",
            adopted.name
        ));
    }
    Ok(())
}

async fn address(site: &Site, adopted: &Adopted) -> Result<SocketAddr, String> {
    let until = Instant::now() + ADDRESS_WAIT;
    loop {
        let look = site.look_again().await?;
        let address = adoption::running(&adopted.component, &look)
            .filter(|container| container.runs())
            .find_map(|container| container.address);
        if let Some(address) = address {
            return Ok(SocketAddr::new(address, adopted.port.port));
        }
        if Instant::now() >= until {
            return Err(format!(
                "{} has no address: it does not run",
                adopted.component
            ));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn point(site: &Site, adopted: &Adopted, to: SocketAddr) -> Result<(), String> {
    let balancers = Balancers::new().map_err(|error| error.to_string())?;
    let front = adopted.front(false);
    let until = Instant::now() + ADDRESS_WAIT;
    loop {
        let pointed = balancers
            .point(&front, &adopted.server(), to, &|| true)
            .await;
        match pointed {
            Ok(()) => return Ok(()),
            Err(_) if Instant::now() < until => tokio::time::sleep(LOOK_AGAIN).await,
            Err(trouble) => return Err(format!("{}: {trouble}", site.application.name)),
        }
    }
}

/// Everything as it was: the port first, since clients wait from the moment at which the balancer has gone.
pub(super) async fn take_away(
    site: &Site,
    adopted: &Adopted,
    lock: &ProjectLock,
    out: &Out,
) -> Result<(), String> {
    let engine = &site.engine;
    // Before the files too: a line that came back beside a balancer that stays is a port that two of them want.
    site.nothing_acts().await?;
    files::put_port_back(adopted)?;
    let compose = site.compose_with(adopted);
    let request = site.request(&compose);
    let facts = facts_of(engine, &request).await?;
    let found = engine
        .service_containers(&site.project, &adopted.service())
        .await;
    for balancer in found.map_err(|error| error.to_string())? {
        site.nothing_acts().await?;
        let removed = engine.service_remove(&balancer).await;
        removed.map_err(|error| error.to_string())?;
    }
    let look = site.look_again().await?;
    if !has_port(&look, adopted) {
        if let Some(container) = adoption::running(&adopted.component, &look).next() {
            let fits = adoption::runs_the_files_image(&facts.read, &adopted.component, container);
            fits.map_err(|refusal| refusal.to_string())?;
        }
        out.say(&format!(
            "{} is made anew with its port ...",
            adopted.component
        ));
        site.nothing_acts().await?;
        engine
            .compose_up(&request, adopted.component.as_str(), lock)
            .await?;
    }
    files::remove_ours(site, adopted)
}
