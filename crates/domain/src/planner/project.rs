//! Where the version that goes back is written, so that the site's own `up` does not undo the rollback, and what
//! Compose will make of the containers. None of it stands in a rollback's way.

use std::collections::{BTreeMap, BTreeSet};

use super::{Snapshot, Warning, WarningCode};
use crate::{
    compose::{
        ComposeProject, Listing, MARK, Pin, PinBy, PinFile, PinState, PlannedProject, ProjectRead,
        override_file::Images, place,
    },
    engine_look::EngineLook,
    ledger::Release,
    name::{ComponentName, ImageId, PullReference, VariableName, Version},
    plan::{PLAN_FORMAT_OVERRIDE, PLAN_FORMAT_TWO, Plan, Swap},
    seen::Seen,
    steps::{Act, Step},
};

/// Plans the pin that the definition asks for, with what a person should know of it.
pub(super) fn project(
    snapshot: &Snapshot<'_>,
    release: &Release,
    from: Option<&Version>,
    undoes: bool,
    swaps: &[Swap],
    warnings: &mut Vec<Warning>,
) -> Option<PlannedProject> {
    let definition = snapshot.application.compose.as_ref()?;
    let by = definition.pin.as_ref().filter(|_| !swaps.is_empty())?;
    let mut planned = PlannedProject {
        pin: None,
        listing: None,
        understood: Vec::new(),
        drift: Vec::new(),
        unread: false,
    };
    let touched: BTreeSet<&ComponentName> = swaps.iter().map(|swap| &swap.component).collect();
    let look = snapshot.look.project.as_ref();
    let read = match look.map(|look| &look.read) {
        Some(Seen::Known(read)) => Some(read),
        Some(Seen::Unknown(why)) => {
            planned.drift.push(unread(why));
            None
        }
        Some(Seen::Absent) | None => {
            planned.drift.push(unread("it was not looked at"));
            None
        }
    };
    match read {
        Some(read) => {
            understand(read, &touched, &mut planned);
            shares_memory(read, snapshot.look, swaps, &mut planned);
        }
        None => planned.unread = true,
    }
    let differ = |warning: &Warning| warning.code == WarningCode::SettingsDiffer;
    if planned.understood.len() == touched.len() && warnings.iter().any(differ) {
        warnings.push(left_by_up());
    }
    let file = match look.map(|look| &look.file) {
        Some(Seen::Known(file)) => Ok(file),
        Some(Seen::Unknown(why)) => Err(why.clone()),
        Some(Seen::Absent) | None => Err("it was not looked at".to_owned()),
    };
    let wanted = Wanted {
        definition,
        release,
        from,
        undoes,
        touched: &touched,
    };
    let pin = file.and_then(|file| match by {
        PinBy::Env(variable) => wanted.pin(file, variable, read),
        PinBy::Override => wanted.images(file, swaps, snapshot.look, read),
    });
    match pin {
        Ok(pin) => {
            let listing = look.and_then(|look| look.listing.as_ref());
            planned.listing = listing.and_then(|listing| list(listing, &pin));
            planned.pin = Some(pin);
        }
        Err(why) => planned.drift.insert(0, wanted.unpinned(by, &why)),
    }
    warnings.extend(planned.drift.iter().map(|sentence| Warning {
        code: WarningCode::ComposeDrift,
        sentence: sentence.clone(),
        next_action: "look at what the project's own `docker-compose config` says after the rollback, before the next `up`"
            .to_owned(),
    }));
    Some(planned)
}

/// The version is written before the first container is made, since Compose is asked what it makes of it.
pub(super) fn pin(plan: &mut Plan, project: Option<PlannedProject>) {
    let creates = |step: &Step| matches!(step.act(), Some((Act::Create, _)));
    if project.is_some() {
        let at = plan.steps.iter().position(creates);
        plan.steps.insert(at.unwrap_or(0), Step::Pin);
        let compose = plan.application.compose.as_ref();
        let format = match compose.and_then(|compose| compose.pin.as_ref()) {
            Some(PinBy::Override) => PLAN_FORMAT_OVERRIDE,
            Some(PinBy::Env(_)) | None => PLAN_FORMAT_TWO,
        };
        plan.format = plan.format.max(format);
        plan.project = project;
    }
}

fn unread(why: &str) -> String {
    format!(
        "the Compose project can not be read: {why}. The containers keep the mark of the deployment that they are made after; \
         the next `up` may make them anew"
    )
}

fn understand(
    read: &ProjectRead,
    touched: &BTreeSet<&ComponentName>,
    planned: &mut PlannedProject,
) {
    let mut odd = Vec::new();
    for component in touched {
        match read.services.get(*component) {
            Some(service) if service.reproduced => planned.understood.push((*component).clone()),
            Some(_) | None => odd.push(component.as_str()),
        }
    }
    if !odd.is_empty() {
        planned.drift.push(format!(
            "{}, run by Sternway, does not give {} the configuration that it was deployed with: a file was edited since, or \
             whoever deployed set variables in their own shell, which win over the environment file, or it takes another's \
             volumes (`volumes_from`); the next `up` may make it anew",
            read.compose,
            odd.join(", ")
        ));
    }
}

/// Compose 1 counts the container whose memory one shares, by its identity, into what it compares (`ipc_mode` in
/// `Service.config_dict` of 1.29): made anew, it makes who shares with it look changed.
fn shares_memory(
    read: &ProjectRead,
    look: &EngineLook,
    swaps: &[Swap],
    planned: &mut PlannedProject,
) {
    if !read.compose.starts_with("docker-compose 1.") {
        return;
    }
    let replaced = |id: &str| swaps.iter().any(|swap| swap.former.as_str() == id);
    let shares = |swap: &&Swap| {
        let mut containers = look.containers.iter();
        let former = containers.find(|container| container.id == swap.former);
        former
            .and_then(|former| former.shape.as_ref()?.privileges.ipc_mode.as_deref())
            .and_then(|mode| mode.strip_prefix("container:"))
            .is_some_and(replaced)
    };
    let names: BTreeSet<&ComponentName> = swaps
        .iter()
        .filter(shares)
        .map(|swap| &swap.component)
        .collect();
    if names.is_empty() {
        return;
    }
    planned.understood.retain(|name| !names.contains(name));
    let names: Vec<&str> = names.into_iter().map(ComponentName::as_str).collect();
    planned.drift.push(format!(
        "{} shares the memory of a container that is made anew (`ipc`), which Compose 1 takes for a change of its own: the next \
         `up` makes it anew",
        names.join(", ")
    ));
}

/// Compose goes by its mark alone, and the mark is that of the files with the version that goes back.
fn left_by_up() -> Warning {
    Warning {
        code: WarningCode::ComposeDrift,
        sentence: "`up` leaves the settings as they come back, though the project's files say others: Compose goes by its mark, \
                   which names the files and the version"
            .to_owned(),
        next_action: "to have the files' settings with the version that comes back, `up -d --force-recreate` after the rollback"
            .to_owned(),
    }
}

/// What becomes of the list of files: it names ours as long as ours is there.
fn list(listing: &Listing, pin: &Pin) -> Option<Pin> {
    let to = match pin.to {
        Some(_) => &listing.with,
        None => &listing.without,
    };
    let pin = Pin {
        path: listing.file.path.clone(),
        variable: place::LIST.parse().ok(),
        from: listing.file.value.clone(),
        to: to.clone(),
    };
    (pin.from != pin.to).then_some(pin)
}

struct Wanted<'a> {
    definition: &'a ComposeProject,
    release: &'a Release,
    from: Option<&'a Version>,
    /// Whether a rollback is undone: then what it wrote goes.
    undoes: bool,
    touched: &'a BTreeSet<&'a ComponentName>,
}

impl Wanted<'_> {
    fn pin(
        &self,
        file: &PinFile,
        variable: &VariableName,
        read: Option<&ProjectRead>,
    ) -> Result<Pin, String> {
        let to = match read.map(|read| self.solved(read)).transpose()?.flatten() {
            Some(value) => value,
            None => self.replaced(file)?,
        };
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-+/:@".contains(&b);
        if to.is_empty() || !to.bytes().all(plain) {
            return Err(format!(
                "{variable} would have to be a text that needs quotes"
            ));
        }
        Ok(Pin {
            path: file.path.clone(),
            variable: Some(variable.clone()),
            from: file.value.clone(),
            to: Some(to),
        })
    }

    /// The images that go back, by a digest that any engine could pull, or by their identity here. Nothing where the
    /// site's own files name them all: then no file of ours may outlive its hold.
    fn images(
        &self,
        file: &PinFile,
        swaps: &[Swap],
        look: &EngineLook,
        read: Option<&ProjectRead>,
    ) -> Result<Pin, String> {
        if let PinState::Edited { difference } = &file.state {
            return Err(difference.clone());
        }
        let swapped: BTreeMap<&ComponentName, &ImageId> = swaps
            .iter()
            .map(|swap| (&swap.component, &swap.image))
            .collect();
        // What an earlier rollback pinned and this one does not touch runs on, and stays pinned.
        let pinned = file.value.as_deref().and_then(Images::parse);
        let mut images = pinned.map_or_else(BTreeMap::new, |pinned| {
            let pinned = pinned.by_service().clone().into_iter();
            pinned
                .filter(|(name, _)| !swapped.contains_key(name))
                .collect()
        });
        let running = |name: &ComponentName| {
            let mut containers = look.containers.iter();
            containers
                .find(|container| container.component == *name)
                .map(|container| &container.image)
        };
        let named = |name: &ComponentName, image: Option<&ImageId>| {
            let service = read.and_then(|read| read.services.get(name));
            image.is_some() && service.is_some_and(|service| service.image_id.as_ref() == image)
        };
        let by_the_site = swapped.iter().all(|(name, image)| named(name, Some(image)))
            && images.keys().all(|name| named(name, running(name)));
        let undone = self.undoes && read.is_none() && file.value.is_some();
        let to = if undone || by_the_site {
            None
        } else {
            let reference = |(name, image): (&ComponentName, &ImageId)| {
                (name.clone(), self.reference(name, image, look))
            };
            images.extend(swapped.into_iter().map(reference));
            let images = Images::new(images)
                .ok_or("an image that goes back has a name that needs quotes")?;
            Some(images.to_string())
        };
        Ok(Pin {
            path: file.path.clone(),
            variable: None,
            from: file.value.clone(),
            to,
        })
    }

    /// Of several digests the one of the repository that was deployed from.
    fn reference(&self, component: &ComponentName, image: &ImageId, look: &EngineLook) -> String {
        let facts = look.images.get(image).and_then(Seen::known);
        let digests = facts.map_or(&[][..], |facts| &facts.digests);
        let part = self.release.components.get(component);
        let deployed = |digest: &&PullReference| {
            let repository = digest.as_str().split('@').next().unwrap_or_default();
            part.and_then(|part| part.reference.strip_prefix(repository))
                .is_some_and(|rest| rest.starts_with([':', '@']))
        };
        let chosen = digests.iter().find(deployed).or(digests.first());
        chosen.map_or_else(|| image.to_string(), ToString::to_string)
    }

    /// The value with which Compose runs the very references that the ledger has: the same for every component
    /// whose image it is a part of.
    fn solved(&self, read: &ProjectRead) -> Result<Option<String>, String> {
        let mut values: BTreeSet<String> = BTreeSet::new();
        for component in self.touched {
            let image = read
                .services
                .get(*component)
                .and_then(|service| service.image.as_deref());
            let part = self.release.components.get(*component);
            let (Some((head, tail)), Some(part)) =
                (image.and_then(|image| image.split_once(MARK)), part)
            else {
                continue;
            };
            let value = part
                .reference
                .strip_prefix(head)
                .and_then(|rest| rest.strip_suffix(tail));
            match value.filter(|value| !value.is_empty()) {
                Some(value) => values.insert(value.to_owned()),
                None => {
                    return Err(format!(
                        "no value of it gives {component} the image {} that the ledger names",
                        part.reference
                    ));
                }
            };
        }
        if values.len() > 1 {
            let values: Vec<String> = values.into_iter().collect();
            return Err(format!(
                "the components need different values: {}",
                values.join(", ")
            ));
        }
        Ok(values.pop_first())
    }

    /// Without Compose's own word: the version that stands there is exchanged.
    fn replaced(&self, file: &PinFile) -> Result<String, String> {
        match (&file.value, self.from) {
            (Some(value), Some(from)) if value == from.as_str() => {
                Ok(self.release.version.to_string())
            }
            (Some(value), _) if value == self.release.version.as_str() => Ok(value.clone()),
            (Some(_) | None, _) => Err("no image that goes back is named by it".to_owned()),
        }
    }

    fn unpinned(&self, by: &PinBy, why: &str) -> String {
        let (folder, file) = (&self.definition.folder, self.definition.env_file());
        let from = self
            .from
            .map_or_else(|| "what served before".to_owned(), ToString::to_string);
        match by {
            PinBy::Env(what) => format!(
                "{what} can not be pinned in {folder}/{file}: {why}. Set it by hand after the rollback, or the next `up` may bring {from} back"
            ),
            PinBy::Override => format!(
                "the images can not be pinned in an override file in {folder}: {why}. Name them in the Compose file by hand after the \
                 rollback, or the next `up` may bring {from} back"
            ),
        }
    }
}
