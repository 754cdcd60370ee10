//! The version where the site keeps it: looked at, written and put back. What was in the file is stored, sealed,
//! before it is written.

use std::time::Duration;

use docker::{Engine, ProjectFile};
use domain::{
    application::Application,
    compose::{ComposeProject, PinBy, PinFile, PinState, ProjectLook, ProjectRead, env_file},
    effect::{Failure, Outcome},
    name::{RollbackId, VariableName},
    plan::Plan,
    seen::Seen,
    steps::Scope,
};
use store::{NewPin, Pinned, ReleasedPin, Store};
use tokio_util::sync::CancellationToken;

use crate::{
    hands::of_store,
    world::{Grant, Real, StoreAway},
};

/// How often it is asked whose hold was released.
const POLL: Duration = Duration::from_secs(2);
/// Files put back together.
const AT_ONCE: u32 = 16;
/// How long a plan waits for Compose; whoever asked for it waits as well. It goes on reading, for the next one.
const PLAN_LIMIT: Duration = Duration::from_secs(8);

impl Real {
    /// The project of an application as a plan needs it; none when its definition pins nothing.
    pub(crate) async fn project_for_plan(&self, application: &Application) -> Option<ProjectLook> {
        let (definition, variable) = pin_of(application)?;
        let file = match file_of(definition).and_then(|file| Ok((file.read()?, file))) {
            Ok((content, file)) => match file.writable() {
                Ok(()) => Seen::Known(pin_file(&file, variable, content.as_deref(), None)),
                Err(why) => Seen::Unknown(why),
            },
            Err(why) => Seen::Unknown(why),
        };
        let read = match (self.engines.get(&application.engine), &application.project) {
            (Ok(engine), Some(project)) => {
                let (definition, variable) = (definition.clone(), variable.clone());
                let project = project.clone();
                let reading = tokio::spawn(async move {
                    engine
                        .project_for_plan(&project, &definition, &variable)
                        .await
                });
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
        Some(ProjectLook { read, file })
    }

    /// The same as a step of a rollback needs it.
    pub(crate) async fn project_for_step(
        &self,
        plan: &Plan,
        rollback: RollbackId,
        scope: Scope,
    ) -> Result<Option<ProjectLook>, StoreAway> {
        let planned = plan
            .project
            .as_ref()
            .and_then(|project| project.pin.as_ref());
        let (Some(pin), Some((definition, _))) = (planned, pin_of(&plan.application)) else {
            return Ok(None);
        };
        let kept = match self.store.pinned(rollback, &pin.path).await {
            Ok(kept) => kept,
            // The rollback goes on without the pin, as where the file can not be written.
            Err(lost @ (store::Error::KeyLost(_) | store::Error::Corrupt(_))) => {
                return Ok(Some(ProjectLook {
                    read: Seen::Absent,
                    file: Seen::Unknown(format!("what it was before can not be read: {lost}")),
                }));
            }
            Err(error) => return Err(StoreAway(error)),
        };
        let file = match file_of(definition).and_then(|file| Ok((file.read()?, file))) {
            Ok((content, file)) => Seen::Known(pin_file(
                &file,
                &pin.variable,
                content.as_deref(),
                kept.as_ref(),
            )),
            Err(why) => Seen::Unknown(why),
        };
        // Compose is only asked what it makes of the version that goes back.
        let says_so = file
            .known()
            .is_some_and(|file| file.value.as_ref() == Some(&pin.to));
        let read = match (
            self.engines.get(&plan.application.engine),
            &plan.application.project,
        ) {
            (Ok(engine), Some(project)) if scope.project && says_so => {
                seen(engine.project_now(project, definition).await)
            }
            (Ok(_) | Err(_), _) => Seen::Absent,
        };
        Ok(Some(ProjectLook { read, file }))
    }

    /// Writes the version into the file, its former content kept before.
    pub(crate) async fn write_pin(
        &self,
        plan: &Plan,
        grant: &Grant,
        wanted: &WantedPin<'_>,
    ) -> Outcome {
        let rollback = grant.held.rollback;
        let (file, definition, content) = match self.opened(plan, wanted.path) {
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
                let pinned = match edited(wanted, content.clone()) {
                    Ok(pinned) => pinned,
                    Err(said) => return refused(said),
                };
                let new = NewPin {
                    path: wanted.path,
                    folder: &definition.folder,
                    name: definition.env_file(),
                    former: pinned.former.as_deref(),
                    written: &pinned.written,
                };
                if let Err(error) = self.store.pin_keep(&grant.held, &new).await {
                    return of_store(&error);
                }
                pinned
            }
        };
        let Pinned { former, written } = pinned;
        self.replace(plan, grant, &file, content, former, Some(written))
            .await
    }

    /// Puts the file's former content back.
    pub(crate) async fn put_back_pin(&self, plan: &Plan, grant: &Grant, path: &str) -> Outcome {
        let (file, _, content) = match self.opened(plan, path) {
            Ok(opened) => opened,
            Err(said) => return refused(said),
        };
        match self.store.pinned(grant.held.rollback, path).await {
            Ok(Some(Pinned { former, written })) => {
                self.replace(plan, grant, &file, content, Some(written), former)
                    .await
            }
            Ok(None) => Outcome::Done,
            Err(error) => of_store(&error),
        }
    }

    fn opened<'a>(
        &self,
        plan: &'a Plan,
        path: &str,
    ) -> Result<(ProjectFile, &'a ComposeProject, Option<Vec<u8>>), String> {
        let (definition, _) = pin_of(&plan.application).ok_or("the definition pins nothing")?;
        let file = file_of(definition)?;
        if file.shown() != path {
            return Err(format!("{path} is not the file of the definition"));
        }
        let content = file.read()?;
        Ok((file, definition, content))
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
    pub(crate) variable: &'a VariableName,
    pub(crate) from: Option<&'a str>,
    pub(crate) to: &'a str,
}

fn edited(wanted: &WantedPin<'_>, former: Option<Vec<u8>>) -> Result<Pinned, String> {
    let content = former.as_deref().unwrap_or_default();
    let value = env_file::value(content, wanted.variable);
    if value.as_deref() != wanted.from.map(str::as_bytes) {
        return Err(format!(
            "{} was edited meanwhile and is left as it is",
            wanted.path
        ));
    }
    let written = env_file::with_value(content, wanted.variable, wanted.to).ok_or_else(|| {
        format!(
            "{} has a quote that is never closed: mend it first",
            wanted.path
        )
    })?;
    Ok(Pinned { former, written })
}

fn pin_of(application: &Application) -> Option<(&ComposeProject, &VariableName)> {
    let definition = application.compose.as_ref()?;
    let PinBy::Env(variable) = definition.pin.as_ref()?;
    Some((definition, variable))
}

fn file_of(definition: &ComposeProject) -> Result<ProjectFile, String> {
    ProjectFile::find(&definition.folder, definition.env_file())
}

fn pin_file(
    file: &ProjectFile,
    variable: &VariableName,
    content: Option<&[u8]>,
    kept: Option<&Pinned>,
) -> PinFile {
    let state = match kept {
        None => PinState::Free,
        Some(kept) if content == Some(kept.written.as_slice()) => PinState::Ours,
        Some(kept) if content == kept.former.as_deref() => PinState::Former,
        Some(kept) => PinState::Edited {
            difference: env_file::difference(&kept.written, content.unwrap_or_default()),
        },
    };
    let value = env_file::value(content.unwrap_or_default(), variable);
    PinFile {
        path: file.shown().to_owned(),
        value: value.map(|value| String::from_utf8_lossy(&value).into_owned()),
        state,
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

/// Puts back what rollbacks wrote whose hold was released. Two workers that do it at once do the same.
pub(crate) async fn run(store: Store, shutdown: CancellationToken) {
    while !shutdown.is_cancelled() {
        match store.pins_released(AT_ONCE).await {
            Ok(pins) => {
                for pin in pins {
                    if let Err(error) = put_back(&store, &pin).await {
                        tracing::warn!(%error, path = pin.path, "can not put a pin back; trying again");
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "can not list the pins to put back; trying again"),
        }
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            () = shutdown.cancelled() => {}
        }
    }
}

async fn put_back(store: &Store, pin: &ReleasedPin) -> Result<(), store::Error> {
    let Pinned { former, written } = match store.pinned(pin.rollback, &pin.path).await {
        Ok(Some(pinned)) => pinned,
        Ok(None) => return Ok(()),
        // It would be the same at every turn.
        Err(lost @ (store::Error::KeyLost(_) | store::Error::Corrupt(_))) => {
            let said = format!("{} is left as it is: {lost}", pin.path);
            tracing::error!(rollback.id = %pin.rollback, application = %pin.application, said, "the hold was released");
            return store.pin_settle(pin.rollback, &pin.path, &said).await;
        }
        Err(error) => return Err(error),
    };
    let file = ProjectFile::find(&pin.folder, &pin.name);
    let replaced = file.and_then(|file| {
        let found = file.read()?;
        if found == former {
            return Ok(());
        }
        if found.as_deref() != Some(written.as_slice()) {
            let difference = env_file::difference(&written, found.as_deref().unwrap_or_default());
            return Err(format!(
                "{} was edited since the rollback wrote it and is left as it is: {difference}",
                pin.path
            ));
        }
        file.replace(
            Some(&written),
            former.as_deref(),
            &pin.rollback.short(),
            || true,
        )
    });
    let said = match replaced {
        Ok(()) => format!("{} is what it was before the rollback", pin.path),
        Err(why) => why,
    };
    tracing::info!(rollback.id = %pin.rollback, application = %pin.application, said, "the hold was released");
    store.pin_settle(pin.rollback, &pin.path, &said).await
}
