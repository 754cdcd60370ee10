//! What is asked of the application: of each replica directly, and through its front.

use std::net::IpAddr;

use super::{
    Side,
    prove::{replicas, subject, version_of},
    stage,
};
use crate::{
    application::Application,
    engine_look::{Container, EngineLook},
    name::{RollbackId, Version},
    plan::Plan,
    probe::{Ask, Probe, Question, Subject},
};

/// The questions to ask of a side, directly at each replica and through the front.
#[must_use]
pub fn expected_questions(
    plan: &Plan,
    rollback: RollbackId,
    side: Side,
    look: &EngineLook,
) -> Vec<Question> {
    if side == Side::Stage {
        return on_stage(plan, rollback, look);
    }
    let version = version_of(plan, side);
    let mut questions = Vec::new();
    for replica in replicas(plan, rollback, side) {
        // A container that does not run has no address, and whatever answers in its place is not it.
        let Some(container) = replica.find(look).filter(|container| container.runs()) else {
            continue;
        };
        questions.extend(replica_questions(&plan.application, container, version));
    }
    if side != Side::Beside {
        questions.extend(front_questions(&plan.application));
    }
    questions
}

/// Clients reach none of these, so nothing is asked through the front.
fn on_stage(plan: &Plan, rollback: RollbackId, look: &EngineLook) -> Vec<Question> {
    let ours = |container: &&Container| {
        container
            .mark
            .as_ref()
            .is_some_and(|mark| mark.rollback == rollback)
            && container.runs()
            && stage::is_on(container)
    };
    look.containers
        .iter()
        .filter(ours)
        .flat_map(|container| questions_of(plan, container))
        .collect()
}

/// What is asked of one container of the target.
pub(super) fn questions_of(plan: &Plan, container: &Container) -> Vec<Question> {
    replica_questions(&plan.application, container, Some(&plan.to))
}

/// The questions to ask through an application's front.
#[must_use]
pub fn front_questions(application: &Application) -> Vec<Question> {
    let ask = |front: &crate::probe::FrontProbe| Question {
        subject: Subject::Front,
        ask: Ask::Http {
            url: front.url.clone(),
            status: front.status,
            contains: front.contains.clone(),
        },
    };
    application.probes.iter().map(ask).collect()
}

/// The questions to ask of one container of an application.
#[must_use]
pub fn replica_questions(
    application: &Application,
    container: &Container,
    version: Option<&Version>,
) -> Vec<Question> {
    let Some(component) = application.component(&container.component) else {
        return Vec::new();
    };
    // Without an address of its own it can only be asked at the host, as with host networking.
    let address = container
        .address
        .unwrap_or(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
    let url = |port: u16, path: &str| {
        format!("http://{}{path}", std::net::SocketAddr::new(address, port))
    };
    let mut questions: Vec<Question> = component
        .probes
        .iter()
        .map(|probe| Question {
            subject: subject(container),
            ask: match probe {
                Probe::Http {
                    port,
                    path,
                    status,
                    contains,
                } => Ask::Http {
                    url: url(*port, path),
                    status: *status,
                    contains: contains.clone(),
                },
                Probe::Tcp { port } => Ask::Tcp {
                    address,
                    port: *port,
                },
            },
        })
        .collect();
    let said = version.and_then(Version::said);
    if let (Some(endpoint), Some(said)) = (&component.version_endpoint, said) {
        let (url, field) = (url(endpoint.port, &endpoint.path), endpoint.field.clone());
        let ask = Ask::Version {
            url,
            field,
            expected: said.to_owned(),
        };
        questions.push(Question {
            subject: subject(container),
            ask,
        });
    }
    questions
}
