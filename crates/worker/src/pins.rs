//! The version where the site keeps it: looked at, written and put back. What was in the file is stored, sealed,
//! before it is written.

mod released;

use std::time::Duration;

use docker::{Engine, ProjectFile, override_place};
use domain::{
    application::Application,
    compose::{
        ComposeProject, Listing, Pin, PinBy, PinFile, PinState, ProjectLook, ProjectRead, env_file,
        override_file::{self, Images},
        place::LIST,
    },
    effect::{Failure, Outcome},
    name::{RollbackId, VariableName},
    plan::Plan,
    seen::Seen,
    steps::Scope,
};
use store::{NewPin, Pinned};

pub(crate) use released::run;

use crate::{
    hands::of_store,
    world::{Grant, Real, StoreAway},
};

/// How long a plan waits for Compose; whoever asked for it waits as well. It goes on reading, for the next one.
const PLAN_LIMIT: Duration = Duration::from_secs(8);

impl Real {
    /// The project of an application as a plan needs it; none when its definition pins nothing.
    pub(crate) async fn project_for_plan(&self, application: &Application) -> Option<ProjectLook> {
        let (definition, by) = pin_of(application)?;
        let (file, listing) = match files_for_plan(definition, by) {
            Ok((file, listing)) => (Seen::Known(file), listing),
            Err(why) => (Seen::Unknown(why), None),
        };
        let read = match (self.engines.get(&application.engine), &application.project) {
            (Ok(engine), Some(project)) => {
                let (definition, project) = (definition.clone(), project.clone());
                let reading =
                    tokio::spawn(
                        async move { engine.project_for_plan(&project, &definition).await },
                    );
                match tokio::time::timeout(PLAN_LIMIT, reading).await {
                    Ok(Ok(read)) => seen(read),
                    Ok(Err(_)) => Seen::Unknown("the reading broke off".to_owned()),
                    Err(_) => {
                        Seen::Unknown(format!("Compose did not answer within {PLAN_LIMIT:?}"))
                    }
                }
            }
            (Err(error), _) => Seen::Unknown(error.to_string()),
            (Ok(_), None) => Seen::Absent,
        };
        Some(ProjectLook {
            read,
            file,
            listing,
        })
    }

    /// The same as a step of a rollback needs it.
    pub(crate) async fn project_for_step(
        &self,
        plan: &Plan,
        rollback: RollbackId,
        scope: Scope,
    ) -> Result<Option<ProjectLook>, StoreAway> {
        let (Some(planned), Some((definition, _))) = (&plan.project, pin_of(&plan.application))
        else {
            return Ok(None);
        };
        let Some(pin) = &planned.pin else {
            return Ok(None);
        };
        let mut files = Vec::new();
        for pin in [pin].into_iter().chain(&planned.listing) {
            let kept = match self.store.pinned(rollback, &pin.path).await {
                Ok(kept) => kept,
                // The rollback goes on without the pin, as where the file can not be written.
                Err(lost @ (store::Error::KeyLost(_) | store::Error::Corrupt(_))) => {
                    let why = format!("what it was before can not be read: {lost}");
                    return Ok(Some(unseen(why)));
                }
                Err(error) => return Err(StoreAway(error)),
            };
            match seen_file(definition, pin, kept.as_ref()) {
                Ok(file) => files.push((file, pin)),
                Err(why) => return Ok(Some(unseen(why))),
            }
        }
        // Compose is only asked what it makes of the version that goes back, and where the plan could already ask it.
        let says_so = files.iter().all(|(file, pin)| file.value == pin.to);
        let asks = scope.project && says_so && !planned.unread;
        let read = match (
            self.engines.get(&plan.application.engine),
            &plan.application.project,
        ) {
            (Ok(engine), Some(project)) if asks => {
                seen(engine.project_now(project, definition).await)
            }
            (Ok(_) | Err(_), _) => Seen::Absent,
        };
        let mut files = files.into_iter();
        let file = files
            .next()
            .map_or(Seen::Absent, |(file, _)| Seen::Known(file));
        let listing = files.next().map(|(file, pin)| Listing {
            file,
            with: pin.to.clone(),
            without: pin.from.clone(),
        });
        Ok(Some(ProjectLook {
            read,
            file,
            listing,
        }))
    }

    /// Writes the version into the file, its former content kept before.
    pub(crate) async fn write_pin(
        &self,
        plan: &Plan,
        grant: &Grant,
        wanted: &WantedPin<'_>,
    ) -> Outcome {
        let rollback = grant.held.rollback;
        let (file, place, content) = match opened(plan, wanted.path) {
            Ok(opened) => opened,
            Err(said) => return refused(said),
        };
        let kept = match self.store.pinned(rollback, wanted.path).await {
            Ok(kept) => kept,
            Err(error) => return of_store(&error),
        };
        let pinned = match kept {
            Some(kept) => kept,
            None => {
                let pinned = match wanted.edited(content.clone()) {
                    Ok(pinned) => pinned,
                    Err(said) => return refused(said),
                };
                let new = NewPin {
                    path: wanted.path,
                    folder: place.folder,
                    name: place.name,
                    former: pinned.former.as_deref(),
                    written: pinned.written.as_deref(),
                };
                if let Err(error) = self.store.pin_keep(&grant.held, &new).await {
                    return of_store(&error);
                }
                pinned
            }
        };
        let Pinned { former, written } = pinned;
        self.replace(plan, grant, &file, content, former, written)
            .await
    }

    /// Puts the file's former content back.
    pub(crate) async fn put_back_pin(&self, plan: &Plan, grant: &Grant, path: &str) -> Outcome {
        let (file, _, content) = match opened(plan, path) {
            Ok(opened) => opened,
            Err(said) => return refused(said),
        };
        match self.store.pinned(grant.held.rollback, path).await {
            Ok(Some(Pinned { former, written })) => {
                let replaced = self.replace(plan, grant, &file, content, written, former);
                let outcome = replaced.await;
                if outcome == Outcome::Done {
                    self.pin_is_back(grant.held.rollback, path).await;
                }
                outcome
            }
            Ok(None) => Outcome::Done,
            Err(error) => of_store(&error),
        }
    }

    /// For who asks later; the file itself says it as well.
    async fn pin_is_back(&self, rollback: RollbackId, path: &str) {
        let said = format!("{path} is what it was before the rollback");
        if let Err(error) = self.store.pin_settle(rollback, path, &said).await {
            tracing::warn!(%rollback, path, %error, "it was not noted that a file was put back");
        }
    }

    async fn replace(
        &self,
        plan: &Plan,
        grant: &Grant,
        file: &ProjectFile,
        found: Option<Vec<u8>>,
        expected: Option<Vec<u8>>,
        wanted: Option<Vec<u8>>,
    ) -> Outcome {
        if found == wanted {
            return Outcome::Done;
        }
        if found != expected {
            return refused(format!(
                "{} was edited meanwhile and is left as it is",
                file.shown()
            ));
        }
        let engine: Engine = match self.engines.get(&plan.application.engine) {
            Ok(engine) => engine,
            Err(error) => return error.into_outcome(),
        };
        let context = self.context(plan, grant, None);
        engine.replace_file(file, expected, wanted, &context).await
    }
}

/// What a pin is to write.
pub(crate) struct WantedPin<'a> {
    pub(crate) path: &'a str,
    pub(crate) variable: Option<&'a VariableName>,
    pub(crate) from: Option<&'a str>,
    pub(crate) to: Option<&'a str>,
}

impl WantedPin<'_> {
    /// What is in the file and what will be.
    fn edited(&self, former: Option<Vec<u8>>) -> Result<Pinned, String> {
        let content = former.as_deref();
        let says = says(content, self.variable)
            .map_err(|why| format!("{} is left as it is: {why}", self.path))?;
        if says.as_deref() != self.from {
            return Err(format!(
                "{} was edited meanwhile and is left as it is",
                self.path
            ));
        }
        let written = match (self.variable, self.to) {
            (_, None) => None,
            (Some(variable), Some(to)) => {
                let content = content.unwrap_or_default();
                let edited = env_file::with_value(content, variable, to).ok_or_else(|| {
                    format!(
                        "{} has a quote that is never closed: mend it first",
                        self.path
                    )
                })?;
                Some(edited)
            }
            (None, Some(to)) => {
                let images = Images::parse(to).ok_or("these images can not stand in a file")?;
                Some(images.content())
            }
        };
        Ok(Pinned { former, written })
    }
}

/// A file of a project.
struct Place<'a> {
    folder: &'a str,
    name: &'a str,
}

fn opened<'a>(
    plan: &'a Plan,
    path: &str,
) -> Result<(ProjectFile, Place<'a>, Option<Vec<u8>>), String> {
    let (definition, _) = pin_of(&plan.application).ok_or("the definition pins nothing")?;
    let pins = plan
        .project
        .as_ref()
        .map_or_else(Vec::new, |project| project.pins());
    let pin = pins.into_iter().find(|pin| pin.path == path);
    let pin = pin.ok_or_else(|| format!("{path} is not a file of the plan"))?;
    let (file, name) = file_of(definition, pin)?;
    let content = file.read()?;
    let folder = &definition.folder;
    Ok((file, Place { folder, name }, content))
}

/// The file of a pin, and its name below the folder.
fn file_of<'a>(
    definition: &ComposeProject,
    pin: &'a Pin,
) -> Result<(ProjectFile, &'a str), String> {
    let name = pin.path.strip_prefix(&definition.folder);
    let name = name
        .and_then(|name| name.strip_prefix('/'))
        .ok_or_else(|| format!("{} is not a file of the definition", pin.path))?;
    Ok((ProjectFile::find(&definition.folder, name)?, name))
}

fn pin_of(application: &Application) -> Option<(&ComposeProject, &PinBy)> {
    let definition = application.compose.as_ref()?;
    Some((definition, definition.pin.as_ref()?))
}

fn files_for_plan(
    definition: &ComposeProject,
    by: &PinBy,
) -> Result<(PinFile, Option<Listing>), String> {
    let look = |name: &str, variable: Option<&VariableName>| {
        let file = ProjectFile::find(&definition.folder, name)?;
        let content = file.read()?;
        file.writable()?;
        Ok::<_, String>(pin_file(&file, variable, content.as_deref(), None))
    };
    let place = match by {
        PinBy::Env(variable) => return Ok((look(definition.env_file(), Some(variable))?, None)),
        PinBy::Override => override_place(definition)?,
    };
    let file = look(&place.name, None)?;
    let Some(with) = place.list else {
        return Ok((file, None));
    };
    let list: VariableName = LIST.parse().map_err(|bad| format!("{LIST}: {bad}"))?;
    let listing = look(definition.env_file(), Some(&list))?;
    let without = listing.value.is_some().then_some(place.own);
    let listing = Listing {
        file: listing,
        with: Some(with),
        without,
    };
    Ok((file, Some(listing)))
}

fn seen_file(
    definition: &ComposeProject,
    pin: &Pin,
    kept: Option<&Pinned>,
) -> Result<PinFile, String> {
    let (file, _) = file_of(definition, pin)?;
    let content = file.read()?;
    Ok(pin_file(
        &file,
        pin.variable.as_ref(),
        content.as_deref(),
        kept,
    ))
}

fn unseen(why: String) -> ProjectLook {
    ProjectLook {
        read: Seen::Absent,
        file: Seen::Unknown(why),
        listing: None,
    }
}

fn pin_file(
    file: &ProjectFile,
    variable: Option<&VariableName>,
    content: Option<&[u8]>,
    kept: Option<&Pinned>,
) -> PinFile {
    let (value, odd) = match says(content, variable) {
        Ok(value) => (value, None),
        Err(why) => (None, Some(why)),
    };
    let state = match (kept, odd) {
        (None, None) => PinState::Free,
        (None, Some(why)) => PinState::Edited {
            difference: format!("{} is left as it is: {why}", file.shown()),
        },
        (Some(kept), _) if content == kept.written.as_deref() => PinState::Ours,
        (Some(kept), _) if content == kept.former.as_deref() => PinState::Former,
        (Some(kept), _) => PinState::Edited {
            difference: difference(kept, content),
        },
    };
    PinFile {
        path: file.shown().to_owned(),
        value,
        state,
    }
}

/// What a file says: its variable, or the images of an override file of ours.
fn says(content: Option<&[u8]>, variable: Option<&VariableName>) -> Result<Option<String>, String> {
    match (variable, content) {
        (Some(variable), content) => {
            let value = env_file::value(content.unwrap_or_default(), variable);
            Ok(value.map(|value| String::from_utf8_lossy(&value).into_owned()))
        }
        (None, Some(content)) => Ok(Some(override_file::value(content)?.to_string())),
        (None, None) => Ok(None),
    }
}

/// What differs from what a rollback wrote.
fn difference(kept: &Pinned, found: Option<&[u8]>) -> String {
    let mut both = kept.former.iter().chain(&kept.written);
    let ours = both.any(|content| override_file::is_ours(content));
    match (&kept.written, found) {
        (Some(_), None) => "it was removed".to_owned(),
        (None, _) => "it was written anew".to_owned(),
        (Some(written), Some(found)) if ours => override_file::difference(written, found),
        (Some(written), Some(found)) => env_file::difference(written, found),
    }
}

fn seen(read: Result<ProjectRead, String>) -> Seen<ProjectRead> {
    match read {
        Ok(read) => Seen::Known(read),
        Err(why) => Seen::Unknown(why),
    }
}

fn refused(said: String) -> Outcome {
    Outcome::Failed {
        failure: Failure::Refused,
        said,
    }
}
