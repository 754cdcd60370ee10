//! One look at everything of an application on its engine. It changes nothing.
//!
//! The list is only trusted for what exists and what it is called: with a full disk it goes on saying "running"
//! of a container that its inspection says has exited.

mod container;
pub(crate) mod live;
mod surroundings;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
};

use bollard::{
    models::{ContainerInspectResponse, ContainerSummary, MountPoint},
    query_parameters::{InspectContainerOptions, ListContainersOptions},
};
use domain::{
    application::Application,
    drift::Origin,
    engine_look::{Container, EngineLook, ImageFacts, Lock},
    name::{ApplicationName, ComponentName, ContainerId, ImageId, RollbackId},
    seen::Seen,
    specification::Specification,
    time::Moment,
};
use futures_util::{StreamExt, TryStreamExt, future::try_join4, stream};
use serde_json::Value;

use crate::{
    connect::{Engine, ORDINARY},
    error::{Error, Kind},
    label::{self, Labels, own_name, replica_name},
    specification::{asked_for, joined_to, shared_with, subtract_whole},
};

pub(crate) use container::{address, image_of, restart_of};
pub(crate) use live::published_by;

/// Inspections under way at a time: an engine serves them in parallel, and a shared one has other guests.
const AT_A_TIME: usize = 16;

/// What to look at.
#[derive(Clone, Copy, Debug)]
pub struct LookRequest<'a> {
    /// The application whose containers are inspected.
    pub application: &'a Application,
    /// Images whose presence is asked about.
    pub images: &'a [ImageId],
    /// Whether the free disk is measured and the volumes are listed: what a target needs of its engine.
    pub disk: bool,
    /// Paths of the engine's host whose presence is asked about.
    pub paths: &'a [String],
    /// Whether each container's specification is worked out: it costs an inspection per new image.
    pub specifications: bool,
}

/// What was seen.
#[derive(Clone, Debug)]
pub struct Looked {
    /// The look. Digests and fingerprints of specifications are the caller's to fill in: they need its key.
    pub look: EngineLook,
    /// What each container would be created from again, where that can be told.
    pub specifications: BTreeMap<ContainerId, Specification>,
    /// What those were worked out from, to be kept. It holds secrets.
    pub wholes: BTreeMap<ContainerId, Whole>,
    /// Images of containers that the engine no longer has and nobody told us of: see [`Engine::remember_image`].
    pub images_gone: BTreeSet<ImageId>,
    /// What each container says of where it comes from.
    pub origins: BTreeMap<ContainerId, Origin>,
}

/// What an engine says of a container and of the image that it was created from, not a field left out.
#[derive(Clone, PartialEq)]
pub struct Whole {
    /// The container's inspection.
    pub inspection: Value,
    /// The configuration of its image.
    pub image: Value,
}

impl std::fmt::Debug for Whole {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Whole(hidden)")
    }
}

/// A container of the application in a list.
struct Found {
    id: String,
    component: ComponentName,
    replica: u32,
}

/// Such a container, its inspection, and that as the engine said it.
type Inspected = (Found, ContainerInspectResponse, Option<Value>);

/// What the operator meant by each container, and what that was read from.
#[derive(Default)]
struct Meant {
    specifications: BTreeMap<ContainerId, Specification>,
    wholes: BTreeMap<ContainerId, Whole>,
    images_gone: BTreeSet<ImageId>,
}

impl Meant {
    /// Without the image nothing can be told apart: then only that it is gone is noted.
    async fn read(
        &mut self,
        engine: &Engine,
        container: &mut Container,
        inspect: &ContainerInspectResponse,
        raw: &Value,
    ) -> Result<(), Error> {
        let Some(image) = engine.image_settings(&container.image).await? else {
            self.images_gone.insert(container.image.clone());
            return Ok(());
        };
        let specification = subtract_whole(raw, inspect, &image)?;
        container.shape = specification.shape();
        self.specifications
            .insert(container.id.clone(), specification);
        let whole = Whole {
            inspection: raw.clone(),
            image: image.raw.clone(),
        };
        self.wholes.insert(container.id.clone(), whole);
        Ok(())
    }
}

impl Engine {
    /// Looks once. A container that vanishes meanwhile is left out.
    ///
    /// # Errors
    /// When the engine does not answer or says something that is not understood.
    pub async fn look(&self, request: &LookRequest<'_>) -> Result<Looked, Error> {
        let at = Moment::from(time::OffsetDateTime::now_utc());
        let (engine, list, images, networks) = try_join4(
            self.facts(request.disk),
            self.list(HashMap::new()),
            self.images(request.images),
            self.networks(),
        )
        .await?;
        let kinds = surroundings::kinds(&networks);
        let found = list
            .iter()
            .filter_map(|summary| found(summary, request.application));
        let mut inspected = self
            .inspect_all(found.collect(), request.specifications)
            .await?;
        let mut names = names(&list);
        let (mut containers, mut origins) = (Vec::new(), BTreeMap::new());
        let mut meant = Meant::default();
        if request.specifications {
            for (_, inspect, _) in &mut inspected {
                self.leave_volumes_to_their_owners(inspect).await?;
            }
        }
        for (found, inspect, raw) in &inspected {
            let parent = self.address_of_parent(inspect, &inspected).await?;
            let mut container = container::read(found, inspect, &request.application.name, parent)?;
            container.live = live::read(inspect, &kinds);
            container.live.lodgers = surroundings::lodgers(&list, &found.id);
            // A rename between the list and the inspection: the later one is right.
            names.retain(|name, id| *id != container.id || *name == container.name);
            names.insert(container.name.clone(), container.id.clone());
            origins.insert(container.id.clone(), container::origin(inspect));
            if let Some(raw) = raw {
                meant.read(self, &mut container, inspect, raw).await?;
            }
            containers.push(container);
        }
        for (container, (_, inspect, _)) in containers.iter_mut().zip(&inspected) {
            container::add_linked(container, inspect, &names);
        }
        let neighbours = self.neighbours(&list, &containers, request, &kinds).await?;
        containers.sort_by(|a, b| a.name.cmp(&b.name));
        let name = &request.application.name;
        let look = EngineLook {
            fronts: BTreeMap::new(),
            at,
            engine,
            containers,
            images,
            sources: BTreeMap::new(),
            names,
            kept: kept(&list, name),
            lock: lock(&list, name),
            guests: guests(&list, request.application),
            taken: live::taken(&list, request.application),
            paths: self.paths(request.paths).await?,
            has: self.holdings(&networks, request).await?,
            project: None,
            stages: surroundings::stages(&networks, &list, name),
            internal: kinds.internal,
            neighbours,
        };
        Ok(Looked {
            look,
            specifications: meant.specifications,
            wholes: meant.wholes,
            images_gone: meant.images_gone,
            origins,
        })
    }
    /// Every container with these filters, those that do not run included.
    pub(crate) async fn list(
        &self,
        filters: HashMap<String, Vec<String>>,
    ) -> Result<Vec<ContainerSummary>, Error> {
        let filters = (!filters.is_empty()).then_some(filters);
        let options = ListContainersOptions {
            all: true,
            filters,
            ..ListContainersOptions::default()
        };
        self.call("list the containers", ORDINARY, |docker| async move {
            docker.list_containers(Some(options)).await
        })
        .await
    }

    /// A container's inspection, by identity or name; none when there is no such container.
    pub(crate) async fn inspect(
        &self,
        container: &str,
    ) -> Result<Option<ContainerInspectResponse>, Error> {
        let (what, name) = (
            format!("inspect container {container}"),
            container.to_owned(),
        );
        let inspect = self.call(&what, ORDINARY, |docker| async move {
            docker
                .inspect_container(&name, None::<InspectContainerOptions>)
                .await
        });
        match inspect.await {
            Ok(inspect) => Ok(Some(inspect)),
            Err(error) if error.kind() == Kind::Missing => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// With the engine's own JSON where `whole` asks for it: twice the work to read.
    async fn inspect_all(&self, found: Vec<Found>, whole: bool) -> Result<Vec<Inspected>, Error> {
        let inspect = |found: Found| async move {
            let inspect = if whole {
                let inspection = self.inspection(&found.id).await?;
                inspection.map(|inspection| (inspection.known, Some(inspection.raw)))
            } else {
                let inspect = self.inspect(&found.id).await?;
                inspect.map(|inspect| (inspect, None))
            };
            Ok(inspect.map(|(inspect, raw)| (found, inspect, raw)))
        };
        let all: Vec<Option<_>> = stream::iter(found.into_iter().map(inspect))
            .buffer_unordered(AT_A_TIME)
            .try_collect()
            .await?;
        Ok(all.into_iter().flatten().collect())
    }

    /// A container with `volumes_from` shows another's volumes among its own mounts. A copy gets those from the same
    /// owner again: by name they would be its own, and writable.
    pub(crate) async fn leave_volumes_to_their_owners(
        &self,
        inspect: &mut ContainerInspectResponse,
    ) -> Result<(), Error> {
        let Some(host) = inspect.host_config.clone() else {
            return Ok(());
        };
        for owner in shared_with(&host).volumes {
            let owned = self.inspect(&owner).await?.and_then(|owner| owner.mounts);
            let of_owner = |mount: &MountPoint| {
                owned.iter().flatten().any(|owned| {
                    (&owned.name, &owned.destination) == (&mount.name, &mount.destination)
                })
            };
            if let Some(mounts) = &mut inspect.mounts {
                mounts.retain(|mount| !of_owner(mount) || asked_for(&host, mount));
            }
        }
        Ok(())
    }

    async fn images(&self, ids: &[ImageId]) -> Result<BTreeMap<ImageId, Seen<ImageFacts>>, Error> {
        let look = |id: ImageId| async move { Ok((id.clone(), self.image_seen(&id).await?)) };
        stream::iter(ids.iter().cloned().map(look))
            .buffer_unordered(AT_A_TIME)
            .try_collect()
            .await
    }

    /// A side-car has no address of its own: it is reached at the container whose network it shares.
    async fn address_of_parent(
        &self,
        inspect: &ContainerInspectResponse,
        inspected: &[Inspected],
    ) -> Result<Option<IpAddr>, Error> {
        let Some(parent) = inspect
            .host_config
            .as_ref()
            .and_then(crate::specification::joined)
        else {
            return Ok(None);
        };
        if let Some((_, parent, _)) = inspected.iter().find(|(found, ..)| found.id == parent) {
            return Ok(address(parent));
        }
        Ok(self.inspect(parent).await?.as_ref().and_then(address))
    }
}

/// The part of the application that a listed container is, if any.
fn found(summary: &ContainerSummary, application: &Application) -> Option<Found> {
    let none = Labels::new();
    let labels = summary.labels.as_ref().unwrap_or(&none);
    if labels.contains_key(label::KEEP) || labels.contains_key(label::LOCK) {
        return None;
    }
    let name = own_name(summary.names.as_deref().unwrap_or_default()).unwrap_or_default();
    let (component, replica) = of_project(labels, application)
        .or_else(|| of_names(name, application))
        .or_else(|| of_marks(labels, application))?;
    Some(Found {
        id: summary.id.clone()?,
        component,
        replica,
    })
}

fn of_project(labels: &Labels, application: &Application) -> Option<(ComponentName, u32)> {
    let project = application.project.as_ref()?;
    let oneoff = labels
        .get(label::COMPOSE_ONEOFF)
        .is_some_and(|oneoff| oneoff.eq_ignore_ascii_case("true"));
    if oneoff || labels.get(label::COMPOSE_PROJECT)? != project.as_str() {
        return None;
    }
    let component: ComponentName = labels.get(label::COMPOSE_SERVICE)?.parse().ok()?;
    application.component(&component)?;
    Some((component, number(labels)))
}

fn of_names(name: &str, application: &Application) -> Option<(ComponentName, u32)> {
    let name = replica_name(name);
    application.components.iter().find_map(|component| {
        let at = component.containers.iter().position(|own| own == name)?;
        Some((
            component.name.clone(),
            u32::try_from(at).unwrap_or(u32::MAX).saturating_add(1),
        ))
    })
}

/// A container of ours whose name or project no longer says whose it is.
fn of_marks(labels: &Labels, application: &Application) -> Option<(ComponentName, u32)> {
    label::mark(labels, &application.name)?;
    let component: ComponentName = labels.get(label::COMPONENT)?.parse().ok()?;
    application.component(&component)?;
    Some((component, number(labels)))
}

fn number(labels: &Labels) -> u32 {
    labels
        .get(label::COMPOSE_NUMBER)
        .and_then(|number| number.parse().ok())
        .unwrap_or(1)
}

fn names(list: &[ContainerSummary]) -> BTreeMap<String, ContainerId> {
    let named = list.iter().filter_map(|summary| {
        let name = own_name(summary.names.as_deref()?)?;
        Some((name.to_owned(), summary.id.as_deref()?.parse().ok()?))
    });
    named.collect()
}

/// Those of the list that are no part of the application and share the network of a container that is.
fn guests(list: &[ContainerSummary], application: &Application) -> BTreeMap<String, ContainerId> {
    let ours: BTreeSet<&str> = list
        .iter()
        .filter(|summary| found(summary, application).is_some())
        .filter_map(|summary| summary.id.as_deref())
        .collect();
    let guest = |summary: &ContainerSummary| {
        let id = summary.id.as_deref()?;
        let mode = summary.host_config.as_ref()?.network_mode.as_deref()?;
        let host = joined_to(mode).filter(|host| ours.contains(host) && !ours.contains(id))?;
        let name = own_name(summary.names.as_deref()?)?;
        Some((name.to_owned(), host.parse().ok()?))
    };
    list.iter().filter_map(guest).collect()
}

fn kept(
    list: &[ContainerSummary],
    application: &ApplicationName,
) -> BTreeMap<ImageId, ContainerId> {
    let keepers = list.iter().filter_map(|summary| {
        let keeps = summary.labels.as_ref()?.get(label::KEEP)? == application.as_str();
        keeps.then_some(())?;
        Some((
            summary.image_id.as_deref()?.parse().ok()?,
            summary.id.as_deref()?.parse().ok()?,
        ))
    });
    keepers.collect()
}

/// The application's lock. When only marks are left of one, the first of them stands for it.
fn lock(list: &[ContainerSummary], application: &ApplicationName) -> Option<Lock> {
    let name = crate::effects::lock_name(application);
    let named = |summary: &&ContainerSummary| {
        own_name(summary.names.as_deref().unwrap_or_default()) == Some(name.as_str())
    };
    let of_ours = |summary: &&ContainerSummary| {
        let labels = summary.labels.as_ref();
        labels
            .and_then(|labels| labels.get(label::LOCK))
            .map(String::as_str)
            == Some(application.as_str())
    };
    let summary = list
        .iter()
        .find(named)
        .or_else(|| list.iter().find(of_ours))?;
    let container: ContainerId = summary.id.as_deref()?.parse().ok()?;
    let labels = summary.labels.clone().unwrap_or_default();
    let known = label::rollback(&labels).zip(labels.get(label::OWNER).cloned());
    let (rollback, owner) = known.unwrap_or_else(|| {
        (
            nobody(),
            "somebody else (its container has none of our labels)".to_owned(),
        )
    });
    let fences = || {
        list.iter().filter(of_ours).filter_map(|summary| {
            let labels = summary.labels.as_ref()?;
            (label::rollback(labels)? == rollback).then_some(())?;
            let id: ContainerId = summary.id.as_deref()?.parse().ok()?;
            Some((id, label::fence(labels)?))
        })
    };
    Some(Lock {
        fence: fences().map(|(_, fence)| fence).max(),
        marks: fences()
            .map(|(id, _)| id)
            .filter(|id| *id != container)
            .collect(),
        container,
        rollback,
        owner,
        stale: false,
    })
}

/// The identity of no rollback.
fn nobody() -> RollbackId {
    let nil = Value::String("00000000-0000-0000-0000-000000000000".to_owned());
    serde_json::from_value(nil).expect("the nil UUID is one")
}

#[cfg(test)]
mod tests;
