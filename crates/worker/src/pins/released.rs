//! Files that go back because the hold of their rollback was released.

use std::time::Duration;

use docker::ProjectFile;
use domain::compose::{
    Pin, env_file,
    place::{LIST, LISTED},
};
use store::{Pinned, ReleasedPin, Store};
use tokio_util::sync::CancellationToken;

use super::difference;

/// How often it is asked whose hold was released.
const POLL: Duration = Duration::from_secs(2);
/// Files put back together.
const AT_ONCE: u32 = 16;

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
    let kept = match store.pinned(pin.rollback, &pin.path).await {
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
    let replaced = listed(store, pin).await?.map_or(Ok(()), Err);
    let replaced = replaced.and_then(|()| settle(pin, &kept));
    let said = match replaced {
        Ok(()) => format!("{} is what it was before the rollback", pin.path),
        Err(why) => why,
    };
    tracing::info!(rollback.id = %pin.rollback, application = %pin.application, said, "the hold was released");
    store.pin_settle(pin.rollback, &pin.path, &said).await
}

fn settle(pin: &ReleasedPin, kept: &Pinned) -> Result<(), String> {
    let file = ProjectFile::find(&pin.folder, &pin.name)?;
    let found = file.read()?;
    if found == kept.former {
        return Ok(());
    }
    if found != kept.written {
        return Err(format!(
            "{} was edited since the rollback wrote it and is left as it is: {}",
            pin.path,
            difference(kept, found.as_deref())
        ));
    }
    let (written, former) = (kept.written.as_deref(), kept.former.as_deref());
    file.replace(written, former, &pin.rollback.short(), || true)
}

/// Why an override file has to stay: the site's list of files still names it, and without it no `up` would go.
async fn listed(store: &Store, pin: &ReleasedPin) -> Result<Option<String>, store::Error> {
    if pin.name != LISTED {
        return Ok(None);
    }
    let pins = store.pins_of(pin.rollback).await?;
    let lists = pins.into_iter().map(|held| held.pin);
    let names_it = |list: &Pin| {
        let name = list.path.strip_prefix(&pin.folder)?.strip_prefix('/')?;
        let file = ProjectFile::find(&pin.folder, name).ok()?;
        let content = file.read().ok().flatten()?;
        let list = env_file::value(&content, list.variable.as_ref()?)?;
        String::from_utf8_lossy(&list)
            .contains(LISTED)
            .then_some(())
    };
    let still = lists
        .filter(|other| other.path != pin.path)
        .find(|list| names_it(list).is_some());
    Ok(still.map(|list| {
        format!(
            "{} is left as it is, since {LIST} in {} still names it: take it out there, then delete it",
            pin.path, list.path
        )
    }))
}
