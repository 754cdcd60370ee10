//! Containers that are never started: keepers, which no image clean-up gets past, and the application's lock,
//! whose name only one can have.

use std::collections::HashMap;

use bollard::{
    models::{ContainerCreateBody, ContainerInspectResponse, HostConfig},
    query_parameters::CreateContainerOptions,
};
use domain::name::{ApplicationName, ImageId};

use super::{PerformContext, overtaken};
use crate::{
    connect::{Engine, SLOW},
    error::{Error, Kind},
    label,
    look::image_of,
};

/// The name of an application's lock.
pub(crate) fn lock_name(application: &ApplicationName) -> String {
    format!("sternway-lock-{application}")
}

impl Engine {
    pub(super) async fn take_lock(
        &self,
        image: &ImageId,
        ctx: &PerformContext<'_>,
    ) -> Result<(), Error> {
        let name = lock_name(&ctx.application.name);
        let rollback = ctx.rollback.to_string();
        // The same on the lock and on what a later claim writes beside it.
        let labels = [
            (label::LOCK, ctx.application.name.to_string()),
            (label::APPLICATION, ctx.application.name.to_string()),
            (label::ROLLBACK, rollback.clone()),
            (label::FENCE, ctx.fence.0.to_string()),
            (label::OWNER, ctx.owner.to_owned()),
        ];
        ctx.must_hold()?;
        match self.create_sleeper(&name, image, &labels).await {
            Err(taken) if taken.kind() == Kind::NameTaken => {
                let holder = self.inspect(&name).await?;
                let ours = holder
                    .as_ref()
                    .and_then(|holder| label_of(holder, label::ROLLBACK))
                    == Some(&rollback);
                if !ours {
                    return Err(taken);
                }
                self.write_fence(image, &labels, ctx).await
            }
            result => result,
        }
    }

    /// Labels are written once, so a later claim writes its fence on a container of its own. Whoever had an earlier
    /// claim finds it in its own look, whatever its clock says.
    async fn write_fence(
        &self,
        image: &ImageId,
        labels: &[(&str, String)],
        ctx: &PerformContext<'_>,
    ) -> Result<(), Error> {
        let newest = self.newest_fence(ctx).await?;
        if newest > Some(ctx.fence) {
            return Err(overtaken(ctx, "a newer claim"));
        }
        if newest == Some(ctx.fence) {
            return Ok(());
        }
        ctx.must_hold()?;
        let name = format!("sternway-fence-{}-{}", ctx.application.name, ctx.fence.0);
        match self.create_sleeper(&name, image, labels).await {
            Err(taken) if taken.kind() == Kind::NameTaken => Ok(()),
            result => result,
        }
    }

    pub(super) async fn keep_image(
        &self,
        image: &ImageId,
        ctx: &PerformContext<'_>,
    ) -> Result<(), Error> {
        ctx.must_hold()?;
        self.keep(&ctx.application.name, image).await
    }

    /// Protects an image with a keeper of this application. One that is there is enough.
    ///
    /// # Errors
    /// When the image is not there, its keeper's name is somebody else's, or the engine does not answer.
    pub async fn keep(&self, application: &ApplicationName, image: &ImageId) -> Result<(), Error> {
        let name = format!("sternway-keep-{application}-{}", image.short());
        match self
            .create_sleeper(&name, image, &[(label::KEEP, application.to_string())])
            .await
        {
            Err(taken) if taken.kind() == Kind::NameTaken => {
                let Some(holder) = self.inspect(&name).await? else {
                    return Err(taken);
                };
                let ours = label_of(&holder, label::KEEP) == Some(application.as_str())
                    && image_of(&holder)? == *image;
                if ours { Ok(()) } else { Err(taken) }
            }
            result => result,
        }
    }

    async fn create_sleeper(
        &self,
        name: &str,
        image: &ImageId,
        labels: &[(&str, String)],
    ) -> Result<(), Error> {
        let labels: HashMap<String, String> = labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        let body = ContainerCreateBody {
            image: Some(image.to_string()),
            labels: Some(labels),
            // Never run; an image without a command of its own can not be created without one.
            cmd: Some(vec!["sternway-never-started".to_owned()]),
            host_config: Some(HostConfig {
                network_mode: Some("none".to_owned()),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptions {
            name: Some(name.to_owned()),
            ..CreateContainerOptions::default()
        };
        let what = format!("create container {name}");
        self.call(&what, SLOW, |docker| async move {
            docker.create_container(Some(options), body).await
        })
        .await
        .map(drop)
    }
}

pub(super) fn label_of<'a>(inspect: &'a ContainerInspectResponse, name: &str) -> Option<&'a str> {
    inspect
        .config
        .as_ref()?
        .labels
        .as_ref()?
        .get(name)
        .map(String::as_str)
}
