//! The container of a balancer that `front adopt` makes: found by the service that it is, started, and removed.

use std::{collections::HashMap, time::Duration};

use bollard::query_parameters::{
    CreateImageOptions, RemoveContainerOptions, StartContainerOptions, StopContainerOptions,
};
use domain::name::ComponentName;
use futures_util::TryStreamExt as _;

use crate::{
    connect::{Engine, SLOW},
    error::Error,
    label,
};

/// A few megabytes over a slow line; a registry that is silent for so long hangs.
const PULL: Duration = Duration::from_secs(300);
/// What the balancer gets to finish what is under way.
const GRACE_S: i32 = 5;

/// A container of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceContainer {
    /// Its identity.
    pub id: String,
    /// Whether it runs.
    pub runs: bool,
}

impl Engine {
    /// The containers of a service that is no component.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn service_containers(
        &self,
        project: &ComponentName,
        service: &str,
    ) -> Result<Vec<ServiceContainer>, Error> {
        let labels = vec![
            format!("{}={project}", label::COMPOSE_PROJECT),
            format!("{}={service}", label::COMPOSE_SERVICE),
        ];
        let list = self
            .list(HashMap::from([("label".to_owned(), labels)]))
            .await?;
        let mut found = Vec::new();
        for id in list.into_iter().filter_map(|summary| summary.id) {
            let state = self.inspect(&id).await?.and_then(|inspect| inspect.state);
            let runs = state.and_then(|state| state.running).unwrap_or(false);
            found.push(ServiceContainer { id, runs });
        }
        Ok(found)
    }

    /// Starts it; one that runs goes on.
    ///
    /// # Errors
    /// When the engine does not answer or refuses.
    pub async fn service_start(&self, container: &ServiceContainer) -> Result<(), Error> {
        let id = container.id.clone();
        self.call("start the balancer", SLOW, |docker| async move {
            docker
                .start_container(&id, None::<StartContainerOptions>)
                .await
        })
        .await
    }

    /// Stops and removes it. It has no volume of its own.
    ///
    /// # Errors
    /// When the engine does not answer or refuses.
    pub async fn service_remove(&self, container: &ServiceContainer) -> Result<(), Error> {
        let (id, again) = (container.id.clone(), container.id.clone());
        let stop = StopContainerOptions {
            t: Some(GRACE_S),
            signal: None,
        };
        self.call("stop the balancer", SLOW, |docker| async move {
            docker.stop_container(&id, Some(stop)).await
        })
        .await?;
        let remove = RemoveContainerOptions {
            v: false,
            force: false,
            link: false,
        };
        self.call("remove the balancer", SLOW, |docker| async move {
            docker.remove_container(&again, Some(remove)).await
        })
        .await
    }

    /// Pulls an image by its tag.
    ///
    /// # Errors
    /// When the registry does not have it or does not answer.
    pub async fn pull_tag(&self, reference: &str) -> Result<(), Error> {
        let what = format!("pull {reference}");
        let options = CreateImageOptions {
            from_image: Some(tagged(reference)),
            ..CreateImageOptions::default()
        };
        self.call(&what, PULL, |docker| async move {
            let progress = docker.create_image(Some(options), None, None);
            progress.try_for_each(|_| async { Ok(()) }).await
        })
        .await
    }
}

/// Without a tag an engine would pull all of them.
fn tagged(reference: &str) -> String {
    let name = reference.rsplit('/').next().unwrap_or(reference);
    if name.contains([':', '@']) {
        reference.to_owned()
    } else {
        format!("{reference}:latest")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_tag_is_pulled() {
        assert_eq!(tagged("haproxy"), "haproxy:latest");
        assert_eq!(
            tagged("127.0.0.1:5000/haproxy"),
            "127.0.0.1:5000/haproxy:latest"
        );
        for whole in ["haproxy:lts", "haproxy@sha256:00", "r:5000/haproxy:2.6"] {
            assert_eq!(tagged(whole), whole);
        }
    }
}
