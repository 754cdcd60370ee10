//! The target's container, created beside the one that it will replace. Nothing that serves is touched.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bollard::{
    models::{ContainerInspectResponse, EndpointSettings},
    query_parameters::{ListNetworksOptions, RemoveContainerOptions},
};
use domain::name::{ComponentName, ContainerId, ImageId, SpecificationDigest};

use super::{PerformContext, keep::label_of};
use crate::{
    connect::{Engine, ORDINARY, SLOW},
    error::{Error, Kind},
    label::{self, Marks},
    specification::{Creation, Replica, create_body, no_rise, shared_with, volumes_of},
};

/// No configuration's hash: Compose makes such a container anew whatever its files say.
const UNKNOWN_HASH: &str = "unknown";

/// What the effect asks for.
pub(super) struct Wanted<'a> {
    pub(super) component: &'a ComponentName,
    pub(super) name: &'a str,
    pub(super) image: &'a ImageId,
    pub(super) digest: &'a SpecificationDigest,
    pub(super) replaces: &'a ContainerId,
    /// What Compose would write on it, where that is known.
    pub(super) config_hash: Option<&'a str>,
}

impl Engine {
    pub(super) async fn create(
        &self,
        wanted: &Wanted<'_>,
        ctx: &PerformContext<'_>,
    ) -> Result<(), Error> {
        self.fence_check(None, ctx).await?;
        let creation = Box::pin(self.creation(wanted, ctx)).await?;
        self.networks_exist(&creation).await?;
        self.parents_exist(&creation).await?;
        self.volumes_exist(&creation).await?;
        ctx.must_hold()?;
        let secrets = creation.body.env.clone().unwrap_or_default();
        let result = self.create_or_adopt(wanted, ctx, creation).await;
        result.map_err(|error| error.without(&secrets))
    }

    async fn creation(
        &self,
        wanted: &Wanted<'_>,
        ctx: &PerformContext<'_>,
    ) -> Result<Creation, Error> {
        let specification = ctx.specification.ok_or_else(|| {
            let said = format!(
                "the specification {} of {} can not be read",
                wanted.digest, wanted.component
            );
            Error::new(Kind::NoSpecification, said)
        })?;
        let Some(replaced) = self.with_its_own_mounts(wanted.replaces).await? else {
            let said = format!(
                "container {}, which {} is to replace, is not there",
                wanted.replaces.short(),
                wanted.name
            );
            return Err(Error::new(Kind::Missing, said));
        };
        let Some(config) = self.image_settings(wanted.image).await? else {
            return Err(Error::new(
                Kind::Missing,
                format!("image {} is not on the engine", wanted.image),
            ));
        };
        let marks = Marks {
            application: &ctx.application.name,
            component: wanted.component,
            rollback: ctx.rollback,
            fence: ctx.fence,
            step: ctx.step,
            replaces: wanted.replaces,
            specification: wanted.digest,
        };
        let replica = self.replica(&replaced, wanted, ctx).await?;
        let all_networks = self.takes_all_networks().await?;
        let mut creation = create_body(
            specification,
            &replica,
            wanted.image,
            &config.known,
            &marks,
            all_networks,
        )?;
        truthful(&mut creation, &replaced, wanted);
        no_rise(specification, &creation)?;
        Ok(creation)
    }

    async fn with_its_own_mounts(
        &self,
        container: &ContainerId,
    ) -> Result<Option<ContainerInspectResponse>, Error> {
        match self.inspect(container.as_str()).await? {
            Some(mut inspect) => {
                self.leave_volumes_to_their_owners(&mut inspect).await?;
                Ok(Some(inspect))
            }
            None => Ok(None),
        }
    }

    async fn replica(
        &self,
        replaced: &ContainerInspectResponse,
        wanted: &Wanted<'_>,
        ctx: &PerformContext<'_>,
    ) -> Result<Replica, Error> {
        let mut replica = Replica::of(replaced);
        if ctx
            .application
            .component(wanted.component)
            .is_some_and(|component| component.containers.len() > 1)
        {
            replica = replica.with_place(replaced);
        }
        // What is shared may be another's that this very rollback replaces: follow its successor.
        for parent in replica.shared.parents() {
            let named = parent.container().to_owned();
            let known = self.inspect(&named).await?.and_then(|inspect| inspect.id);
            if let Some(successor) = self.successor(&known.unwrap_or(named), ctx).await? {
                parent.become_of(&successor);
            }
        }
        Ok(replica)
    }

    async fn successor(
        &self,
        replaced: &str,
        ctx: &PerformContext<'_>,
    ) -> Result<Option<String>, Error> {
        let labels = vec![
            format!("{}={}", label::ROLLBACK, ctx.rollback),
            format!("{}={replaced}", label::REPLACES),
        ];
        let found = self
            .list(HashMap::from([("label".to_owned(), labels)]))
            .await?;
        Ok(found.into_iter().find_map(|summary| summary.id))
    }

    /// An engine creates a container on a network that is gone, and only its start fails: by then the present
    /// one would be stopped.
    async fn networks_exist(&self, creation: &Creation) -> Result<(), Error> {
        let given = creation
            .body
            .networking_config
            .as_ref()
            .and_then(|config| config.endpoints_config.as_ref());
        let needed: BTreeSet<&String> = given
            .into_iter()
            .flat_map(HashMap::keys)
            .chain(creation.connect.keys())
            .collect();
        if needed.is_empty() {
            return Ok(());
        }
        let list = self.call("list the networks", ORDINARY, |docker| async move {
            docker.list_networks(None::<ListNetworksOptions>).await
        });
        let networks = list.await?;
        let there = |name: &str| {
            networks.iter().any(|network| {
                [&network.name, &network.id]
                    .into_iter()
                    .flatten()
                    .any(|known| known == name)
            })
        };
        match needed.into_iter().find(|name| !there(name)) {
            Some(gone) => Err(Error::new(
                Kind::Missing,
                format!("network {gone} is not on the engine; create it, then ask again"),
            )),
            None => Ok(()),
        }
    }

    /// Nor does an engine ask for the container whose network is to be shared before the start.
    async fn parents_exist(&self, creation: &Creation) -> Result<(), Error> {
        let mut shared = creation
            .body
            .host_config
            .as_ref()
            .map(shared_with)
            .unwrap_or_default();
        for parent in shared.parents() {
            let parent = parent.container();
            if self.inspect(parent).await?.is_none() {
                let said = format!(
                    "container {}, whose network, processes or volumes it is to share or that it is linked to, is gone",
                    parent.get(..12).unwrap_or(parent)
                );
                return Err(Error::new(Kind::Missing, said));
            }
        }
        Ok(())
    }

    /// An engine makes a named volume that is gone anew without a word: the application would come back to no data.
    async fn volumes_exist(&self, creation: &Creation) -> Result<(), Error> {
        let host = creation.body.host_config.as_ref();
        for volume in host.map(volumes_of).unwrap_or_default() {
            let name = volume.clone();
            let there = self.call("inspect a volume", ORDINARY, |docker| async move {
                docker.inspect_volume(&name).await
            });
            match there.await {
                Err(error) if error.kind() == Kind::Missing => {
                    let said = format!(
                        "volume {volume} is not on the engine, which would make it anew and empty; bring it back or \
                         create it, then ask again"
                    );
                    return Err(Error::new(Kind::Missing, said));
                }
                there => there?,
            };
        }
        Ok(())
    }

    async fn create_or_adopt(
        &self,
        wanted: &Wanted<'_>,
        ctx: &PerformContext<'_>,
        creation: Creation,
    ) -> Result<(), Error> {
        match self.create_raw(wanted.name, &creation.whole).await {
            Ok(id) => {
                let connected = self
                    .connect_networks(&id, &BTreeSet::new(), &creation.connect, ctx)
                    .await;
                if connected.as_ref().is_err_and(|error| !error.unreachable()) {
                    // Half made it would pass for created. It never ran, and nobody else knows of it.
                    self.remove_unstarted(&id).await?;
                }
                connected
            }
            Err(taken) if taken.kind() == Kind::NameTaken => {
                let Some(holder) = self.inspect(wanted.name).await? else {
                    return Err(taken);
                };
                let ours = label_of(&holder, label::ROLLBACK)
                    == Some(ctx.rollback.to_string().as_str())
                    && label_of(&holder, label::REPLACES) == Some(wanted.replaces.as_str());
                if !ours {
                    return Err(taken);
                }
                let id = holder.id.clone().unwrap_or_default();
                self.connect_networks(&id, &networks_of(&holder), &creation.connect, ctx)
                    .await
            }
            Err(error) => Err(error),
        }
    }

    /// Connects what is not connected yet.
    async fn connect_networks(
        &self,
        container: &str,
        there: &BTreeSet<String>,
        wanted: &BTreeMap<String, EndpointSettings>,
        ctx: &PerformContext<'_>,
    ) -> Result<(), Error> {
        for (network, endpoint) in wanted
            .iter()
            .filter(|(network, _)| !there.contains(*network))
        {
            ctx.must_hold()?;
            self.connect_to(network, container, endpoint.clone())
                .await?;
        }
        Ok(())
    }

    /// Before a start: a creation that was cut off may have left networks out.
    pub(super) async fn complete_networks(
        &self,
        inspect: &ContainerInspectResponse,
        ctx: &PerformContext<'_>,
    ) -> Result<(), Error> {
        let Some(text) = label_of(inspect, label::NETWORKS) else {
            return Ok(());
        };
        let wanted: BTreeMap<String, EndpointSettings> =
            serde_json::from_str(text).map_err(|_| {
                Error::new(
                    Kind::Refused,
                    format!(
                        "label {} of a container of ours is not what we wrote",
                        label::NETWORKS
                    ),
                )
            })?;
        let id = inspect.id.clone().unwrap_or_default();
        self.connect_networks(&id, &networks_of(inspect), &wanted, ctx)
            .await
    }

    async fn remove_unstarted(&self, container: &str) -> Result<(), Error> {
        let name = container.to_owned();
        let options = RemoveContainerOptions {
            v: false,
            force: false,
            link: false,
        };
        let remove = self.call(
            "remove a container that was half made",
            SLOW,
            |docker| async move { docker.remove_container(&name, Some(options)).await },
        );
        remove.await
    }
}

/// What Compose compares with its files must not claim that one image is another's container. A hash of Compose 1
/// has the image in it, so that the replaced container's own can not be true of another image; Compose 2 keeps the
/// image beside it.
fn truthful(creation: &mut Creation, replaced: &ContainerInspectResponse, wanted: &Wanted<'_>) {
    let Some(labels) = &creation.body.labels else {
        return;
    };
    let same_image = replaced.image.as_deref() == Some(wanted.image.as_str());
    let borrowed = |name: &str| {
        !same_image
            && labels.contains_key(name)
            && labels.get(name).map(String::as_str) == label_of(replaced, name)
    };
    let two = labels.contains_key(label::COMPOSE_IMAGE);
    let image = (two && borrowed(label::COMPOSE_IMAGE)).then_some(wanted.image.as_str());
    let hash = match wanted.config_hash {
        Some(hash) => Some(hash),
        None => (!two && borrowed(label::COMPOSE_CONFIG_HASH)).then_some(UNKNOWN_HASH),
    };
    let marks = [
        (label::COMPOSE_IMAGE, image),
        (label::COMPOSE_CONFIG_HASH, hash),
    ];
    for (name, value) in marks {
        if let Some(value) = value {
            creation.mark(name, value);
        }
    }
}

pub(super) fn networks_of(inspect: &ContainerInspectResponse) -> BTreeSet<String> {
    let networks = inspect
        .network_settings
        .as_ref()
        .and_then(|settings| settings.networks.as_ref());
    networks
        .into_iter()
        .flat_map(HashMap::keys)
        .cloned()
        .collect()
}
