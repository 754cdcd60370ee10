//! Changes of containers that exist: stop, start, rename, remove. By identity, since a name may have moved on.

use std::time::Duration;

use bollard::{
    models::{
        ContainerInspectResponse, ContainerUpdateBody, RestartPolicy as PolicyOfBollard,
        RestartPolicyNameEnum,
    },
    query_parameters::{
        RemoveContainerOptions, RenameContainerOptions, StartContainerOptions, StopContainerOptions,
    },
};
use domain::{
    engine_look::{RestartPolicy, STAGE_PREFIX},
    name::ContainerId,
};

use super::{PerformContext, create::networks_of};
use crate::{
    connect::{Engine, ORDINARY, SLOW},
    error::{Error, Kind},
    look::restart_of,
};

/// What a stop may take beyond its grace: the kill, and taking the network down on a busy engine.
const STOP_MARGIN: Duration = Duration::from_secs(20);

impl Engine {
    /// The restart policy goes first: an engine's restart must not bring back what was stopped on purpose.
    pub(super) async fn stop(
        &self,
        container: &ContainerId,
        grace_s: u32,
        ctx: &PerformContext<'_>,
    ) -> Result<(), Error> {
        self.fence_check(Some(container), ctx).await?;
        let inspect = self.inspect_there(container).await?;
        ctx.must_hold()?;
        self.restart_policy(
            container,
            &inspect,
            &RestartPolicy {
                name: "no".to_owned(),
                retries_max: 0,
            },
        )
        .await?;
        ctx.must_hold()?;
        let options = StopContainerOptions {
            t: Some(i32::try_from(grace_s).unwrap_or(i32::MAX)),
            signal: None,
        };
        let limit = Duration::from_secs(u64::from(grace_s)) + STOP_MARGIN;
        let (what, id) = (
            format!("stop container {}", container.short()),
            container.to_string(),
        );
        self.call(&what, limit, |docker| async move {
            docker.stop_container(&id, Some(options)).await
        })
        .await
    }

    pub(super) async fn start(
        &self,
        container: &ContainerId,
        restart: Option<&RestartPolicy>,
        ctx: &PerformContext<'_>,
    ) -> Result<(), Error> {
        self.fence_check(Some(container), ctx).await?;
        let inspect = self.inspect_there(container).await?;
        if !networks_of(&inspect)
            .iter()
            .any(|on| on.starts_with(STAGE_PREFIX))
        {
            self.complete_networks(&inspect, ctx).await?;
        }
        if let Some(policy) = restart {
            ctx.must_hold()?;
            self.restart_policy(container, &inspect, policy).await?;
        }
        ctx.must_hold()?;
        let (what, id) = (
            format!("start container {}", container.short()),
            container.to_string(),
        );
        let start = self.call(&what, SLOW, |docker| async move {
            docker
                .start_container(&id, None::<StartContainerOptions>)
                .await
        });
        start.await
    }

    pub(super) async fn rename(
        &self,
        container: &ContainerId,
        name: &str,
        ctx: &PerformContext<'_>,
    ) -> Result<(), Error> {
        self.fence_check(Some(container), ctx).await?;
        let (what, id) = (
            format!("rename container {} to {name}", container.short()),
            container.to_string(),
        );
        let options = RenameContainerOptions {
            name: name.to_owned(),
        };
        let renamed = self.call(&what, ORDINARY, |docker| async move {
            docker.rename_container(&id, options).await
        });
        match renamed.await {
            Err(error) if matches!(error.kind(), Kind::NameTaken | Kind::Refused) => {
                let has_it = self
                    .inspect(container.as_str())
                    .await?
                    .is_some_and(|inspect| {
                        inspect
                            .name
                            .is_some_and(|own| own.trim_start_matches('/') == name)
                    });
                if has_it { Ok(()) } else { Err(error) }
            }
            result => result,
        }
    }

    /// Never by force, never with its volumes.
    pub(super) async fn remove(
        &self,
        container: &ContainerId,
        ctx: &PerformContext<'_>,
    ) -> Result<(), Error> {
        self.fence_check(Some(container), ctx).await?;
        let (what, id) = (
            format!("remove container {}", container.short()),
            container.to_string(),
        );
        let options = RemoveContainerOptions {
            v: false,
            force: false,
            link: false,
        };
        match self
            .call(&what, SLOW, |docker| async move {
                docker.remove_container(&id, Some(options)).await
            })
            .await
        {
            Err(error) if error.kind() == Kind::Missing => Ok(()),
            Err(error) if error.to_string().contains("already in progress") => Ok(()),
            result => result,
        }
    }

    pub(super) async fn inspect_there(
        &self,
        container: &ContainerId,
    ) -> Result<ContainerInspectResponse, Error> {
        let gone = || {
            Error::new(
                Kind::Missing,
                format!("container {} is not there", container.short()),
            )
        };
        self.inspect(container.as_str()).await?.ok_or_else(gone)
    }

    /// Sets the restart policy if it is another one: an update writes to the disk, which may be full.
    pub(super) async fn restart_policy(
        &self,
        container: &ContainerId,
        inspect: &ContainerInspectResponse,
        policy: &RestartPolicy,
    ) -> Result<(), Error> {
        if inspect.host_config.as_ref().map(restart_of).as_ref() == Some(policy) {
            return Ok(());
        }
        let body = ContainerUpdateBody {
            restart_policy: Some(policy_of_bollard(policy)?),
            ..ContainerUpdateBody::default()
        };
        let (what, id) = (
            format!("set the restart policy of container {}", container.short()),
            container.to_string(),
        );
        self.call(&what, ORDINARY, |docker| async move {
            docker.update_container(&id, body).await
        })
        .await
    }
}

fn policy_of_bollard(policy: &RestartPolicy) -> Result<PolicyOfBollard, Error> {
    let name = match policy.name.as_str() {
        "no" => RestartPolicyNameEnum::NO,
        "always" => RestartPolicyNameEnum::ALWAYS,
        "unless-stopped" => RestartPolicyNameEnum::UNLESS_STOPPED,
        "on-failure" => RestartPolicyNameEnum::ON_FAILURE,
        other => {
            return Err(Error::new(
                Kind::Refused,
                format!("`{other}` is no restart policy"),
            ));
        }
    };
    // The engine refuses a count beside any policy but `on-failure`.
    let count = (name == RestartPolicyNameEnum::ON_FAILURE).then_some(policy.retries_max);
    Ok(PolicyOfBollard {
        name: Some(name),
        maximum_retry_count: count,
    })
}
