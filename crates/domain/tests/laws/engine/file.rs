//! A file of the site that a version is pinned in, and what becomes of it under other people's hands.

use std::collections::BTreeMap;

use domain::{
    compose::{Listing, PinFile, PinState, ProjectLook, ProjectRead, Service},
    effect::Failure,
    name::{ComponentName, ImageId},
    seen::Seen,
};

use super::refused;

/// A file of the site's with one variable in it, or an override file of ours; what else is in it is a number that an
/// edit changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) value: Option<String>,
    /// What it says before anybody acts, and what it says once the version that goes back is pinned in it.
    pub(crate) first: Option<String>,
    pub(crate) wanted: Option<String>,
    pub(crate) rest: u32,
    pub(crate) read_only: bool,
    /// What each component would run with the version that goes back.
    pub(crate) images: BTreeMap<ComponentName, ImageId>,
    /// What was in it, and what was written, once it is about to be.
    pub(crate) kept: Option<(Content, Content)>,
}

/// What is in a file.
type Content = (Option<String>, u32);

impl File {
    fn content(&self) -> Content {
        (self.value.clone(), self.rest)
    }

    pub(crate) fn seen(&self) -> PinFile {
        let state = match &self.kept {
            None => PinState::Free,
            Some((_, written)) if *written == self.content() => PinState::Ours,
            Some((former, _)) if *former == self.content() => PinState::Former,
            Some(_) => PinState::Edited {
                difference: "somebody was here".to_owned(),
            },
        };
        PinFile {
            path: self.path.clone(),
            value: self.value.clone(),
            state,
        }
    }

    pub(crate) fn look(&self, list: Option<&Self>) -> ProjectLook {
        let listed = list.is_none_or(|list| list.value == list.wanted);
        let goes_back = self.value == self.wanted && listed;
        let service = |image: &ImageId| Service {
            hash: self.value.clone().unwrap_or_default(),
            image: None,
            image_id: goes_back.then(|| image.clone()),
            needs: Vec::new(),
            reproduced: true,
        };
        let services = self.images.iter();
        let services = services.map(|(name, image)| (name.clone(), service(image)));
        ProjectLook {
            read: Seen::Known(ProjectRead {
                compose: "compose".to_owned(),
                services: services.collect(),
            }),
            file: Seen::Known(self.seen()),
            listing: list.map(|list| Listing {
                file: list.seen(),
                with: list.wanted.clone(),
                without: None,
            }),
        }
    }

    /// As the worker does it: what is there is kept first, and only that is replaced.
    pub(super) fn write(
        &mut self,
        from: Option<&String>,
        to: Option<&String>,
    ) -> Result<(), (Failure, String)> {
        if self.kept.is_none() && self.value.as_ref() != from {
            return refused(Failure::Refused, "it was edited");
        }
        self.wanted = to.cloned();
        let fresh = (self.content(), (to.cloned(), self.rest));
        let (former, written) = self.kept.get_or_insert(fresh).clone();
        self.replace(&former, written)
    }

    pub(super) fn put_back(&mut self) -> Result<(), (Failure, String)> {
        match self.kept.clone() {
            Some((former, written)) => self.replace(&written, former),
            None => Ok(()),
        }
    }

    fn replace(&mut self, expected: &Content, wanted: Content) -> Result<(), (Failure, String)> {
        if self.content() == wanted {
            return Ok(());
        }
        if self.content() != *expected || self.read_only {
            return refused(Failure::Refused, "it was edited, or can not be written");
        }
        (self.value, self.rest) = wanted;
        Ok(())
    }
}
