//! The proof through the port: what the component answers at its own address it must answer through the balancer, and
//! what answered by a whole URL before must answer again.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use domain::{
    front::{adopted::Adopted, adoption},
    probe::{Ask, Probe, Question, Subject},
};
use integrations::{ASK_LIMIT, Prober};

use super::site::Site;
use crate::{client::problem::Failure, exit::Exit};

/// One good answer may be luck.
const GREENS: u8 = 3;
/// How often it is asked.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// The whole URLs that answered before anything was touched; none where that was not looked at.
pub(super) struct Before(Vec<Question>);

/// What answers now. A component that answers nothing could not be proved afterwards.
pub(super) async fn before(site: &Site, adopted: &Adopted, begun: bool) -> Result<Before, Failure> {
    if begun {
        return Ok(Before(Vec::new()));
    }
    let prober = prober().map_err(|why| Failure::new(Exit::Internal, why, &[]))?;
    let address = site
        .container(&adopted.component)
        .and_then(|one| one.address);
    if let Some(address) = address {
        let direct = at(site, adopted, SocketAddr::new(address, adopted.port.port));
        let answers = prober.ask(&direct, ASK_LIMIT).await;
        if !answers.iter().any(|answer| answer.green) {
            let said = answers.first().map_or("", |answer| answer.said.as_str());
            return Err(Failure::new(
                Exit::Conflict,
                format!(
                    "{} answers nothing as it should at its own address ({said}): a proof through the balancer would prove nothing",
                    adopted.component
                ),
                &[
                    "bring it to serve first, or correct its probes in the definition, then try again",
                ],
            ));
        }
    }
    let whole: Vec<Question> = site
        .application
        .probes
        .iter()
        .map(|probe| Question {
            subject: Subject::Front,
            ask: Ask::Http {
                url: probe.url.clone(),
                status: probe.status,
                contains: probe.contains.clone(),
            },
        })
        .collect();
    let answers = prober.ask(&whole, ASK_LIMIT).await;
    let green = whole.into_iter().zip(answers);
    let green = green.filter(|(_, answer)| answer.green);
    Ok(Before(green.map(|(question, _)| question).collect()))
}

/// That clients are served through the port.
pub(super) async fn through_the_port(
    site: &Site,
    adopted: &Adopted,
    before: &Before,
) -> Result<(), String> {
    let prober = prober()?;
    let until = Instant::now() + Duration::from_millis(site.application.timeouts.proof().0);
    let mut greens = 0;
    loop {
        let red = red(site, adopted, before, &prober).await?;
        greens = if red.is_none() { greens + 1 } else { 0 };
        if greens >= GREENS {
            return Ok(());
        }
        if let Some(why) = red.filter(|_| Instant::now() >= until) {
            return Err(why);
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

/// The first thing that is not as it should be.
async fn red(
    site: &Site,
    adopted: &Adopted,
    before: &Before,
    prober: &Prober,
) -> Result<Option<String>, String> {
    let look = site.look_again().await?;
    let container = adoption::running(&adopted.component, &look).find(|one| one.runs());
    let Some(address) = container.and_then(|container| container.address) else {
        return Ok(Some(format!("{} does not run", adopted.component)));
    };
    let direct = at(site, adopted, SocketAddr::new(address, adopted.port.port));
    let port = at(site, adopted, outside(adopted));
    let answers = prober.ask(&direct, ASK_LIMIT).await;
    let through = prober.ask(&port, ASK_LIMIT).await;
    if !answers.iter().any(|answer| answer.green) {
        let said = answers.first().map_or("", |answer| answer.said.as_str());
        return Ok(Some(format!(
            "{} does not answer: {said}",
            adopted.component
        )));
    }
    let other = answers
        .iter()
        .zip(&through)
        .find(|(own, port)| own.green && !port.green);
    if let Some((_, port)) = other {
        return Ok(Some(format!("{}: {}", port.asked, port.said)));
    }
    let whole = prober.ask(&before.0, ASK_LIMIT).await;
    let red = whole.iter().find(|answer| !answer.green);
    Ok(red.map(|answer| format!("{}: {}", answer.asked, answer.said)))
}

/// Where clients come in.
fn outside(adopted: &Adopted) -> SocketAddr {
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let ip = adopted.port.host_ip.as_deref();
    let ip = ip
        .and_then(|ip| ip.parse().ok())
        .filter(|ip: &IpAddr| !ip.is_unspecified());
    SocketAddr::new(
        ip.unwrap_or(here),
        adopted.port.host_port.unwrap_or_default(),
    )
}

/// What is asked of the component, at that place; a connection where its definition asks nothing of this port.
fn at(site: &Site, adopted: &Adopted, place: SocketAddr) -> Vec<Question> {
    let question = |ask| Question {
        subject: Subject::Front,
        ask,
    };
    let http = |path: &str, status, contains| {
        let url = format!("http://{place}{path}");
        question(Ask::Http {
            url,
            status,
            contains,
        })
    };
    let component = site.application.component(&adopted.component);
    let inside = adopted.port.port;
    let mut questions = Vec::new();
    if let Some(component) = component {
        let version = component.version_endpoint.as_ref();
        if let Some(endpoint) = version.filter(|endpoint| endpoint.port == inside) {
            questions.push(http(&endpoint.path, None, None));
        }
        for probe in &component.probes {
            if let Probe::Http {
                port,
                path,
                status,
                contains,
            } = probe
                && *port == inside
            {
                questions.push(http(path, *status, contains.clone()));
            }
        }
    }
    if questions.is_empty() {
        questions.push(question(Ask::Tcp {
            address: place.ip(),
            port: place.port(),
        }));
    }
    questions
}

fn prober() -> Result<Prober, String> {
    Prober::new().map_err(|error| error.to_string())
}
