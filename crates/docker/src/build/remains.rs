//! What a build that was called off, or whose image nobody needs, leaves on an engine: removed without force, so that
//! whatever is used by something stays.

use std::time::Duration;

use bollard::{
    models::{ContainerInspectResponse, RestartPolicyNameEnum},
    query_parameters::{
        InspectContainerOptions, RemoveContainerOptions, RemoveImageOptions, StopContainerOptions,
    },
};
use domain::name::ImageId;

use super::BuildOrder;
use crate::{
    connect::{Engine, ORDINARY, SLOW},
    effects::Claim,
    error::{Error, Kind},
    label,
};

/// How often layers that are in use are looked at again before they are left to whoever uses them.
const IDLE_PASSES_MAX: u32 = 8;
/// Between two such looks.
const IDLE_PASS: Duration = Duration::from_millis(250);

/// What one build made, as its log said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remains {
    /// The final image.
    pub image: Option<ImageId>,
    /// The images below it, in the order in which they were made.
    pub layers: Vec<String>,
    /// The containers that its instructions ran in.
    pub containers: Vec<String>,
}

impl Engine {
    /// Removes them. What is gone is gone, what is used stays.
    ///
    /// # Errors
    /// When the claim is over or the engine does not answer.
    pub async fn drop_build(
        &self,
        order: &BuildOrder,
        remains: &Remains,
        claim: &dyn Claim,
    ) -> Result<(), Error> {
        for container in &remains.containers {
            must_hold(claim)?;
            spare(self.remove_builder(container).await)?;
        }
        if let Some(image) = &remains.image {
            let tag = order.reference();
            if self.image_id(&tag).await?.as_ref() == Some(image) {
                must_hold(claim)?;
                spare(self.remove_image(&tag).await)?;
            }
        }
        let ours = remains.image.iter().map(|image| image.as_str().to_owned());
        self.remove_layers(
            ours.chain(remains.layers.iter().rev().cloned()).collect(),
            claim,
        )
        .await
    }

    /// A layer goes when nothing stands on it: each pass takes off the top ones. An engine that is called off removes
    /// its own container a little later than it says so; what stays after that is in use.
    async fn remove_layers(&self, layers: Vec<String>, claim: &dyn Claim) -> Result<(), Error> {
        let mut left = layers;
        let mut patience = IDLE_PASSES_MAX;
        loop {
            let before = left.len();
            let mut kept = Vec::new();
            for image in left {
                must_hold(claim)?;
                if self.has_no_name(&image).await? {
                    spare(self.remove_image(&image).await)?;
                    if self.image_inspect(&image).await?.is_some() {
                        kept.push(image);
                    }
                }
            }
            if kept.is_empty() {
                return Ok(());
            }
            if kept.len() == before {
                if patience == 0 {
                    return Ok(());
                }
                patience -= 1;
                tokio::time::sleep(IDLE_PASS).await;
            }
            left = kept;
        }
    }

    /// What an instruction prints stands in the same log as what the builder says: a name read there proves nothing.
    async fn remove_builder(&self, container: &str) -> Result<(), Error> {
        let call = self.call(
            "look at a builder's container",
            ORDINARY,
            |docker| async move {
                let options = None::<InspectContainerOptions>;
                docker.inspect_container(container, options).await
            },
        );
        match call.await {
            Ok(found) if is_a_builders(&found) => {}
            Ok(_) => {
                tracing::warn!(
                    container,
                    "a build's log names a container that is not the builder's; it is left alone"
                );
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        let stop = StopContainerOptions {
            t: Some(0),
            signal: None,
        };
        let call = self.call("stop a builder's container", SLOW, |docker| async move {
            docker.stop_container(container, Some(stop)).await
        });
        spare(call.await)?;
        let remove = RemoveContainerOptions {
            v: false,
            force: false,
            link: false,
        };
        let call = self.call("remove a builder's container", SLOW, |docker| async move {
            docker.remove_container(container, Some(remove)).await
        });
        call.await
    }

    /// An image that somebody gave a name since, or pulled by its digest, is theirs.
    async fn has_no_name(&self, image: &str) -> Result<bool, Error> {
        let found = self.image_inspect(image).await?;
        Ok(found.is_some_and(|image| {
            image.repo_tags.unwrap_or_default().is_empty()
                && image.repo_digests.unwrap_or_default().is_empty()
        }))
    }

    async fn remove_image(&self, image: &str) -> Result<(), Error> {
        let options = RemoveImageOptions {
            force: false,
            noprune: true,
            platforms: None,
        };
        let call = self.call("remove what a build left", SLOW, |docker| async move {
            docker.remove_image(image, Some(options), None).await
        });
        call.await.map(drop)
    }
}

/// Whether a classic builder made it: from an image by its identity, for nobody (neither Compose, nor a person's `docker
/// run` with a name of an image, nor us), with no port, no mount of the host and nothing that starts it again.
fn is_a_builders(container: &ContainerInspectResponse) -> bool {
    let Some((config, host)) = container
        .config
        .as_ref()
        .zip(container.host_config.as_ref())
    else {
        return false;
    };
    let from_identity = config
        .image
        .as_deref()
        .is_some_and(|image| image.starts_with("sha256:"));
    let labels = config.labels.as_ref();
    let somebodys = labels.is_some_and(|labels| {
        labels.keys().any(|key| {
            key.starts_with("com.docker.") || key.starts_with(label::PREFIX) && key != super::KEY
        })
    });
    let restarts = host
        .restart_policy
        .as_ref()
        .and_then(|policy| policy.name)
        .is_some_and(|name| {
            !matches!(
                name,
                RestartPolicyNameEnum::EMPTY | RestartPolicyNameEnum::NO
            )
        });
    let open = host
        .port_bindings
        .as_ref()
        .is_some_and(|ports| !ports.is_empty());
    let mounted = host.binds.as_ref().is_some_and(|binds| !binds.is_empty())
        || host
            .mounts
            .as_ref()
            .is_some_and(|mounts| !mounts.is_empty());
    from_identity && !somebodys && !restarts && !open && !mounted
}

fn must_hold(claim: &dyn Claim) -> Result<(), Error> {
    if claim.holds() {
        return Ok(());
    }
    Err(Error::new(
        Kind::Fenced,
        "the claim on this rollback is over",
    ))
}

/// An engine that says no keeps what something needs.
fn spare(result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(error) if matches!(error.kind(), Kind::Missing | Kind::Refused) => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn looks(container: Value) -> bool {
        is_a_builders(&serde_json::from_value(container).expect("an inspect answer"))
    }

    #[test]
    fn only_a_builders_container_is_taken_for_one() {
        let builders = json!({
            "Config": {"Image": "sha256:4f1c", "Labels": {"org.opencontainers.image.version": "1", "sternway.build": "k"}},
            "HostConfig": {"RestartPolicy": {"Name": ""}, "PortBindings": null, "Binds": null}
        });
        assert!(looks(builders.clone()));
        for (pointer, somebodys) in [
            ("/Config/Image", json!("shop-api:1.4.2")),
            (
                "/Config/Labels",
                json!({"com.docker.compose.project": "shop"}),
            ),
            ("/Config/Labels", json!({"sternway.application": "shop"})),
            ("/HostConfig/RestartPolicy", json!({"Name": "always"})),
            (
                "/HostConfig/PortBindings",
                json!({"80/tcp": [{"HostPort": "80"}]}),
            ),
            ("/HostConfig/Binds", json!(["/srv:/srv"])),
        ] {
            let mut container = builders.clone();
            *container.pointer_mut(pointer).expect("it is there") = somebodys;
            assert!(!looks(container), "{pointer}");
        }
        assert!(!looks(json!({})));
    }
}
