//! Keeping the images of retained releases outside of any rollback: keeper containers, which no image clean-up gets
//! past, and tags of our own for what lost its name, by which a person finds what is kept and why.

use std::collections::{BTreeSet, HashMap};

use bollard::query_parameters::{
    EventsOptions, ListImagesOptions, RemoveContainerOptions, RemoveImageOptions, TagImageOptions,
};
use domain::name::{ApplicationName, ComponentName, ContainerId, ImageId, Version};
use futures_util::{Stream, StreamExt};

use crate::{
    connect::{Engine, ORDINARY, SLOW},
    error::{Error, Kind},
    label,
};

/// One of our own tags.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OwnTag {
    repository: String,
    tag: String,
}

impl OwnTag {
    /// The tag of what a component of a release runs: `sternway/shop/api:1.4.2`.
    #[must_use]
    pub fn of(application: &ApplicationName, component: &ComponentName, version: &Version) -> Self {
        Self {
            repository: format!("sternway/{application}/{component}"),
            // A version may hold one character that a tag may not.
            tag: version.as_str().replace('+', "_"),
        }
    }

    /// Whether a reference is one of ours.
    #[must_use]
    pub fn is_own(reference: &str) -> bool {
        reference.starts_with("sternway/")
    }

    fn text(&self) -> String {
        format!("{}:{}", self.repository, self.tag)
    }
}

impl Engine {
    /// Removes a keeper. Only one of this application that was never started: anything else is somebody's.
    ///
    /// # Errors
    /// When it is not one, or the engine says no.
    pub async fn release_keeper(
        &self,
        application: &ApplicationName,
        keeper: &ContainerId,
    ) -> Result<(), Error> {
        let Some(inspect) = self.inspect(keeper.as_str()).await? else {
            return Ok(());
        };
        let labels = inspect.config.and_then(|config| config.labels);
        let ours = labels.is_some_and(|labels| {
            labels.get(label::KEEP).map(String::as_str) == Some(application.as_str())
        });
        if !ours {
            let said = format!("container {} is no keeper of {application}", keeper.short());
            return Err(Error::new(Kind::Refused, said));
        }
        let options = RemoveContainerOptions {
            v: false,
            force: false,
            link: false,
        };
        let (what, id) = (
            format!("remove keeper {}", keeper.short()),
            keeper.to_string(),
        );
        let removed = self.call(&what, SLOW, |docker| async move {
            docker.remove_container(&id, Some(options)).await
        });
        match removed.await {
            Err(error) if error.kind() == Kind::Missing => Ok(()),
            result => result,
        }
    }

    /// Our tags of an application that are on the engine.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn own_tags(&self, application: &ApplicationName) -> Result<BTreeSet<OwnTag>, Error> {
        let options = ListImagesOptions {
            filters: Some(HashMap::from([(
                "reference".to_owned(),
                vec![format!("sternway/{application}/*")],
            )])),
            ..ListImagesOptions::default()
        };
        let list = self.call("list our tags", ORDINARY, |docker| async move {
            docker.list_images(Some(options)).await
        });
        let prefix = format!("sternway/{application}/");
        let tags = list.await?.into_iter().flat_map(|image| image.repo_tags);
        let own = tags.filter(|tag| tag.starts_with(&prefix));
        Ok(own
            .filter_map(|text| {
                let (repository, tag) = text.rsplit_once(':')?;
                Some(OwnTag {
                    repository: repository.to_owned(),
                    tag: tag.to_owned(),
                })
            })
            .collect())
    }

    /// Gives an image a tag of ours.
    ///
    /// # Errors
    /// When the name can not be one of a repository, or the engine says no.
    pub async fn put_own_tag(&self, image: &ImageId, tag: &OwnTag) -> Result<(), Error> {
        let (what, id) = (format!("tag {}", tag.text()), image.to_string());
        let options = TagImageOptions {
            repo: Some(tag.repository.clone()),
            tag: Some(tag.tag.clone()),
        };
        self.call(&what, ORDINARY, |docker| async move {
            docker.tag_image(&id, Some(options)).await
        })
        .await
    }

    /// Takes a tag of ours away. An image that has no other name and no container goes with it: nobody keeps it.
    ///
    /// # Errors
    /// When the engine says no.
    pub async fn take_own_tag(&self, tag: &OwnTag) -> Result<(), Error> {
        self.untag(&tag.text()).await
    }

    /// Takes a name of an image away; one that is not there is gone already.
    pub(crate) async fn untag(&self, name: &str) -> Result<(), Error> {
        let (what, name) = (format!("untag {name}"), name.to_owned());
        let removed = self.call(&what, SLOW, |docker| async move {
            docker
                .remove_image(&name, None::<RemoveImageOptions>, None)
                .await
        });
        match removed.await {
            Err(error) if error.kind() == Kind::Missing => Ok(()),
            result => result.map(drop),
        }
    }

    /// Says each time that a keeper was taken away, until the connection ends.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn keepers_lost(&self) -> Result<impl Stream<Item = ()> + use<>, Error> {
        let filters = HashMap::from([
            ("type".to_owned(), vec!["container".to_owned()]),
            ("event".to_owned(), vec!["destroy".to_owned()]),
            ("label".to_owned(), vec![label::KEEP.to_owned()]),
        ]);
        let options = EventsOptions {
            filters: Some(filters),
            ..EventsOptions::default()
        };
        let events = self
            .call("listen for lost keepers", ORDINARY, |docker| async move {
                Ok(docker.events(Some(options)).boxed())
            })
            .await?;
        Ok(events
            .take_while(|event| std::future::ready(event.is_ok()))
            .map(drop))
    }
}
