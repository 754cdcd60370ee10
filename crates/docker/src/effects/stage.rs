//! The stage: an internal network of a rollback's own, on which the target is proved. Nothing that serves loses
//! anything by it: others are connected to it on top of what they have, and taken off again.

use std::collections::HashMap;

use bollard::{
    models::{
        ContainerStateStatusEnum as Status, EndpointSettings, Network, NetworkConnectRequest,
        NetworkCreateRequest, NetworkDisconnectRequest,
    },
    query_parameters::{ListNetworksOptions, StartContainerOptions},
};
use domain::{name::ContainerId, plan::Companion};

use super::{PerformContext, create::networks_of};
use crate::{
    connect::{Engine, ORDINARY, SLOW},
    error::{Error, Kind},
    label,
};

impl Engine {
    pub(super) async fn set_stage(
        &self,
        name: &str,
        company: &[Companion],
        ctx: &PerformContext<'_>,
    ) -> Result<(), Error> {
        self.fence_check(None, ctx).await?;
        let network = match self.stage_of(ctx).await? {
            Some(network) => network,
            None => self.create_stage(name, ctx).await?,
        };
        for companion in company {
            let Some(inspect) = self.inspect(companion.container.as_str()).await? else {
                continue;
            };
            if networks_of(&inspect).contains(name) {
                continue;
            }
            ctx.must_hold()?;
            let endpoint = EndpointSettings {
                aliases: Some(companion.aliases.clone()),
                ..EndpointSettings::default()
            };
            self.connect_to(&network, companion.container.as_str(), endpoint)
                .await?;
        }
        Ok(())
    }

    /// Only a container that never ran is taken off its networks; where it stands is settled before it starts.
    pub(super) async fn enter_stage(
        &self,
        container: &ContainerId,
        stage: &str,
        aliases: &[String],
        ctx: &PerformContext<'_>,
    ) -> Result<(), Error> {
        self.fence_check(Some(container), ctx).await?;
        let inspect = self.inspect_there(container).await?;
        let status = inspect.state.as_ref().and_then(|state| state.status);
        if status != Some(Status::CREATED) {
            return Ok(());
        }
        let Some(network) = self.stage_of(ctx).await? else {
            return Err(Error::new(
                Kind::Missing,
                format!("network {stage} is not there"),
            ));
        };
        let there = networks_of(&inspect);
        for other in there.iter().filter(|other| *other != stage) {
            ctx.must_hold()?;
            self.disconnect(other, container).await?;
        }
        if !there.contains(stage) {
            ctx.must_hold()?;
            let endpoint = EndpointSettings {
                aliases: Some(aliases.to_vec()),
                ..EndpointSettings::default()
            };
            self.connect_to(&network, container.as_str(), endpoint)
                .await?;
        }
        ctx.must_hold()?;
        let (what, id) = (
            format!("start container {} on the stage", container.short()),
            container.to_string(),
        );
        self.call(&what, SLOW, |docker| async move {
            docker
                .start_container(&id, None::<StartContainerOptions>)
                .await
        })
        .await
    }

    /// Everybody leaves, those that are stopped included: one that still names a network that is gone never starts
    /// again.
    pub(super) async fn clear_stage(
        &self,
        network: &str,
        ctx: &PerformContext<'_>,
    ) -> Result<(), Error> {
        self.fence_check(None, ctx).await?;
        let stages = self.stages(&ctx.application.name).await?;
        let Some(stage) = stages
            .iter()
            .find(|stage| stage.id.as_deref() == Some(network))
        else {
            return Ok(());
        };
        // A container that never ran knows its network by name only.
        let known_as = [stage.id.clone(), stage.name.clone()].into_iter().flatten();
        let filter = HashMap::from([("network".to_owned(), known_as.collect())]);
        for summary in self.list(filter).await? {
            let id: ContainerId = match summary.id.as_deref().map(str::parse) {
                Some(Ok(id)) => id,
                Some(Err(_)) | None => continue,
            };
            ctx.must_hold()?;
            self.disconnect(network, &id).await?;
        }
        ctx.must_hold()?;
        let name = network.to_owned();
        let remove = self.call("remove the stage", SLOW, |docker| async move {
            docker.remove_network(&name).await
        });
        match remove.await {
            Err(error) if error.kind() == Kind::Missing => Ok(()),
            result => result,
        }
    }

    async fn create_stage(&self, name: &str, ctx: &PerformContext<'_>) -> Result<String, Error> {
        let application = ctx.application.name.to_string();
        let labels = [
            (label::APPLICATION, application.clone()),
            (label::STAGE, application),
            (label::ROLLBACK, ctx.rollback.to_string()),
            (label::FENCE, ctx.fence.0.to_string()),
        ];
        let request = NetworkCreateRequest {
            name: name.to_owned(),
            internal: Some(true),
            labels: Some(
                labels
                    .map(|(name, value)| (name.to_owned(), value))
                    .into_iter()
                    .collect(),
            ),
            ..NetworkCreateRequest::default()
        };
        ctx.must_hold()?;
        let create = self.call("create the stage", SLOW, |docker| async move {
            docker.create_network(request).await
        });
        Ok(create.await?.id)
    }

    /// The identity of this rollback's stage. An engine takes the same name twice when two creations meet: the
    /// first by identity is the one, whoever looks.
    async fn stage_of(&self, ctx: &PerformContext<'_>) -> Result<Option<String>, Error> {
        let stages = self.stages(&ctx.application.name).await?;
        let ours = |network: &Network| {
            network
                .labels
                .as_ref()
                .is_some_and(|labels| label::rollback(labels) == Some(ctx.rollback))
        };
        Ok(stages
            .into_iter()
            .filter(ours)
            .filter_map(|network| network.id)
            .min())
    }

    /// Every stage of an application.
    async fn stages(
        &self,
        application: &domain::name::ApplicationName,
    ) -> Result<Vec<Network>, Error> {
        let filter = format!("{}={application}", label::STAGE);
        let options = ListNetworksOptions {
            filters: Some(HashMap::from([("label".to_owned(), vec![filter])])),
        };
        self.call("list the stages", ORDINARY, |docker| async move {
            docker.list_networks(Some(options)).await
        })
        .await
    }

    pub(super) async fn connect_to(
        &self,
        network: &str,
        container: &str,
        endpoint: EndpointSettings,
    ) -> Result<(), Error> {
        let request = NetworkConnectRequest {
            container: container.to_owned(),
            endpoint_config: Some(endpoint),
        };
        let (what, name) = (format!("connect network {network}"), network.to_owned());
        self.call(&what, SLOW, |docker| async move {
            docker.connect_network(&name, request).await
        })
        .await
    }

    /// Takes a container off a network; one that is not on it is off it.
    pub(super) async fn disconnect(
        &self,
        network: &str,
        container: &ContainerId,
    ) -> Result<(), Error> {
        let request = NetworkDisconnectRequest {
            container: container.to_string(),
            force: Some(false),
        };
        let (what, name) = (format!("disconnect network {network}"), network.to_owned());
        let left = self.call(&what, SLOW, |docker| async move {
            docker.disconnect_network(&name, request).await
        });
        match left.await {
            Err(error) if error.unreachable() => Err(error),
            Err(error) => {
                let still = self
                    .inspect(container.as_str())
                    .await?
                    .is_some_and(|inspect| {
                        let endpoints = inspect.network_settings.and_then(|all| all.networks);
                        endpoints
                            .unwrap_or_default()
                            .iter()
                            .any(|(name, endpoint)| {
                                name == network || endpoint.network_id.as_deref() == Some(network)
                            })
                    });
                if still { Err(error) } else { Ok(()) }
            }
            Ok(()) => Ok(()),
        }
    }
}
