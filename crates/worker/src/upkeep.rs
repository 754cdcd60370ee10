//! Looks after the past of each application: keeps the images of the releases that retention names, lets go of the
//! others, and says of each release whether it could come back. It never acts beside a rollback.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use docker::{Engine, OwnTag};
use domain::{
    application::Application,
    engine_look::EngineLook,
    ledger::Release,
    name::{ApplicationName, ImageId, Version},
    planner::{self, Snapshot},
    readiness::{self, ImageSight, ReadinessCode},
    retention::{self, Why},
    seen::Seen,
    source::TagsSeen,
    supply,
};
use futures_util::{StreamExt, stream};
use store::{NewReadiness, Store, StoredReadiness, Upkeep};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    eyes::Asked,
    world::{Real, StoreAway},
};

/// How often it is asked which applications are due.
const POLL: Duration = Duration::from_secs(2);
/// How often each application is looked after: this long a clean-up of containers may leave an image unprotected when
/// nobody tells us of it.
const EVERY: Duration = Duration::from_secs(30);
/// How often the sources of images are asked as well: each is a call to somebody else's registry.
const READY_EVERY: Duration = Duration::from_secs(300);
/// How soon one that could not be looked after is due again.
const AGAIN: Duration = Duration::from_secs(5);
/// Whoever takes an application has this long; then it is due again.
const LEASE: Duration = Duration::from_secs(120);
/// Applications looked after together.
const AT_ONCE: u32 = 4;
/// After how long an engine that did not let itself be listened to is tried again.
const LISTEN_AGAIN: Duration = Duration::from_secs(10);
/// Events of one clean-up are taken as one.
const SETTLE: Duration = Duration::from_millis(100);

type Kept = BTreeMap<Version, BTreeSet<Why>>;

pub(crate) async fn run(store: Store, real: Arc<Real>, shutdown: CancellationToken) {
    let listening = tokio::spawn(listen(store.clone(), real.clone()));
    while !shutdown.is_cancelled() {
        match store.upkeep_due(AT_ONCE, LEASE).await {
            Ok(due) => {
                let each: Vec<_> = due.into_iter().map(|due| one(&real, due)).collect();
                stream::iter(each)
                    .buffer_unordered(AT_ONCE as usize)
                    .collect::<Vec<()>>()
                    .await;
            }
            Err(error) => {
                tracing::warn!(%error, "can not list the applications to look after; trying again");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            () = shutdown.cancelled() => {}
        }
    }
    listening.abort();
}

/// Listens to every engine that an application names, the local one first: a clean-up of containers takes keepers first
/// and images next, and being told saves the seconds until the next turn.
async fn listen(store: Store, real: Arc<Real>) {
    let mut tasks = JoinSet::new();
    let mut followed: BTreeMap<String, AbortHandle> = BTreeMap::new();
    loop {
        match store.engines_named().await {
            Ok(mut names) => {
                names.push("local".to_owned());
                followed.retain(|name, task| {
                    let wanted = names.contains(name);
                    if !wanted {
                        task.abort();
                    }
                    wanted
                });
                for name in names {
                    followed.entry(name.clone()).or_insert_with(|| {
                        tasks.spawn(listen_to(store.clone(), real.clone(), name))
                    });
                }
            }
            Err(error) => tracing::debug!(%error, "can not list the engines to listen to"),
        }
        // What was aborted is taken off the list.
        while tasks.try_join_next().is_some() {}
        tokio::time::sleep(LISTEN_AGAIN).await;
    }
}

async fn listen_to(store: Store, real: Arc<Real>, name: String) {
    loop {
        if let Ok(engine) = real.engines.get(&name)
            && let Ok(lost) = engine.keepers_lost().await
        {
            let mut lost = std::pin::pin!(lost);
            while lost.next().await.is_some() {
                tokio::time::sleep(SETTLE).await;
                if let Err(error) = store.upkeep_hasten().await {
                    tracing::warn!(%error, "a keeper was taken away; it is put back at the next turn");
                }
            }
        }
        tokio::time::sleep(LISTEN_AGAIN).await;
    }
}

async fn one(real: &Real, due: Upkeep) {
    let name = due.application.name.clone();
    let done = tokio::time::timeout(LEASE / 2, look_after(real, &due)).await;
    let (again, ready) = match done {
        Ok(Ok(true)) => (EVERY, Some(READY_EVERY)),
        Ok(Ok(false)) => (EVERY, None),
        Ok(Err(away)) => {
            tracing::warn!(application = %name, error = &away as &dyn std::error::Error, "can not look after it; trying again");
            (AGAIN, None)
        }
        Err(_) => {
            tracing::warn!(application = %name, "looking after it took too long; trying again");
            // The others waited for it, and shall have their turns before.
            (LEASE / 2, None)
        }
    };
    if let Err(error) = real.store.upkeep_done(&name, again, ready).await {
        tracing::warn!(application = %name, %error, "could not note that it was looked after");
    }
}

/// Whether readiness was computed.
async fn look_after(real: &Real, due: &Upkeep) -> Result<bool, StoreAway> {
    let application = &due.application;
    let name = &application.name;
    let releases = real.store.releases(name).await.map_err(StoreAway)?;
    let images: BTreeSet<ImageId> = releases
        .iter()
        .flat_map(|release| release.components.values().map(|part| part.image.clone()))
        .chain(due.rolled_back.iter().cloned())
        .collect();
    let images: Vec<ImageId> = images.into_iter().collect();
    let asked = Asked {
        images: &images,
        ..Asked::default()
    };
    let look = match real.engine_look(application, asked, true).await? {
        Ok(look) => look,
        Err(said) => {
            tracing::debug!(application = %name, said, "its engine does not answer; its past is looked after later");
            return Ok(false);
        }
    };
    let present = present(application, &look, &releases);
    let kept = retention::retained(&application.retain, &releases, present.as_ref());
    if let Ok(engine) = real.engines.get(&application.engine) {
        protect(real, &engine, due, &look, &releases, &kept).await?;
    }
    let before = real.store.readiness_list(name).await.map_err(StoreAway)?;
    // What is new, is kept for other reasons than before, went away or is there again does not wait for its turn.
    let changed = releases.iter().any(|release| {
        let retained = kept.get(&release.version).cloned().unwrap_or_default();
        let here = |image| look.images.get(image).is_some_and(Seen::is_known);
        let here = release.components.values().all(|part| here(&part.image));
        before.get(&release.version).is_none_or(|stored| {
            let was_here = stored.readiness.code == ReadinessCode::Ready;
            stored.retained != retained || was_here != here
        })
    });
    if !due.ready_due && !changed {
        return Ok(false);
    }
    ready(real, application, &look, &releases, &kept, &before).await?;
    Ok(true)
}

/// The version that serves now.
fn present(application: &Application, look: &EngineLook, releases: &[Release]) -> Option<Version> {
    planner::present(&Snapshot {
        application,
        look,
        releases,
        outages: &[],
        last: None,
    })
}

/// Keepers and tags for what is kept, nothing for what is not.
async fn protect(
    real: &Real,
    engine: &Engine,
    due: &Upkeep,
    look: &EngineLook,
    releases: &[Release],
    kept: &Kept,
) -> Result<(), StoreAway> {
    let name = &due.application.name;
    let there = |image: &ImageId| look.images.get(image).is_some_and(Seen::is_known);
    let mut wanted: BTreeSet<&ImageId> = retention::images(kept, releases);
    wanted.extend(&due.rolled_back);
    for image in wanted.iter().filter(|image| there(image)) {
        if !look.kept.contains_key(image)
            && let Err(error) = engine.keep(name, image).await
        {
            tracing::warn!(application = %name, %error, "could not protect an image");
        }
    }
    let tags = own_tags(name, look, releases, kept);
    let own = match engine.own_tags(name).await {
        Ok(own) => own,
        Err(error) => {
            tracing::warn!(application = %name, %error, "could not list our tags");
            return Ok(());
        }
    };
    for (tag, image) in tags
        .iter()
        .filter(|(tag, image)| !own.contains(*tag) && there(image))
    {
        if let Err(error) = engine.put_own_tag(image, tag).await {
            tracing::debug!(application = %name, %error, "an image goes without a tag of ours");
        }
    }
    for (image, keeper) in look
        .kept
        .iter()
        .filter(|(image, _)| !wanted.contains(image))
    {
        // A rollback that was accepted meanwhile may count on it.
        if real.store.acted_on(name).await.map_err(StoreAway)? {
            return Ok(());
        }
        match engine.release_keeper(name, keeper).await {
            Ok(()) => {
                tracing::info!(application = %name, image = image.short(), "let go of an image")
            }
            Err(error) => {
                tracing::warn!(application = %name, %error, "could not let go of an image")
            }
        }
    }
    for tag in own.iter().filter(|tag| !tags.contains_key(*tag)) {
        if real.store.acted_on(name).await.map_err(StoreAway)? {
            return Ok(());
        }
        if let Err(error) = engine.take_own_tag(tag).await {
            tracing::debug!(application = %name, %error, "a tag of ours stays for now");
        }
    }
    Ok(())
}

/// Our tags: for what is kept and has no other name left, or clean-ups of nameless images would ask for it. Beside a
/// name of the site's, ours would do harm: `docker image prune -a` (Engine 20.10) takes all names but one from an image
/// that a container keeps, and not ours first.
fn own_tags<'a>(
    name: &ApplicationName,
    look: &EngineLook,
    releases: &'a [Release],
    kept: &Kept,
) -> BTreeMap<OwnTag, &'a ImageId> {
    let nameless = |image: &ImageId| {
        let facts = look.images.get(image).and_then(Seen::known);
        facts.is_some_and(|facts| facts.tags.iter().all(|tag| OwnTag::is_own(tag)))
    };
    let kept = releases
        .iter()
        .filter(|release| kept.contains_key(&release.version));
    let parts = kept.flat_map(|release| {
        let parts = release.components.iter();
        parts.map(|(component, part)| {
            let tag = OwnTag::of(name, component, &release.version);
            (tag, &part.image)
        })
    });
    parts.filter(|(_, image)| nameless(image)).collect()
}

/// Computes and stores how ready each release is, and raises the alarm for those that are kept and could not come back.
async fn ready(
    real: &Real,
    application: &Application,
    look: &EngineLook,
    releases: &[Release],
    kept: &Kept,
    before: &BTreeMap<Version, StoredReadiness>,
) -> Result<(), StoreAway> {
    let present = present(application, look, releases);
    let parts = releases
        .iter()
        .flat_map(|release| release.components.values());
    let missing = parts
        .clone()
        .filter(|part| !look.images.get(&part.image).is_some_and(Seen::is_known))
        .map(|part| (part.image.clone(), part.sources.clone()))
        .collect();
    let mut sources = real.sources(application, missing).await;
    let sights: BTreeMap<ImageId, ImageSight> = look
        .images
        .iter()
        .map(|(image, here)| {
            let sight = ImageSight {
                here: here.clone(),
                sources: sources.remove(image).unwrap_or_default(),
            };
            (image.clone(), sight)
        })
        .collect();
    let tags = tags(real, application, &sights).await;
    let found: BTreeMap<Version, NewReadiness> = releases
        .iter()
        .map(|release| {
            let readiness =
                readiness::readiness(release, &sights, look.has.as_ref(), application, &tags);
            let retained = kept.get(&release.version).cloned().unwrap_or_default();
            // What runs is no way back.
            let way_back = !retained.is_empty() && Some(&release.version) != present.as_ref();
            let new = NewReadiness {
                broken: way_back && readiness.code.broken(),
                retained,
                readiness,
            };
            (release.version.clone(), new)
        })
        .collect();
    real.store
        .readiness_put(&application.name, &found)
        .await
        .map_err(StoreAway)?;
    tell(application, before, &found);
    Ok(())
}

/// The tags of the repository, asked for only when an image is nowhere and something can be built.
async fn tags(
    real: &Real,
    application: &Application,
    sights: &BTreeMap<ImageId, ImageSight>,
) -> Seen<TagsSeen> {
    let mut components = application.components.iter();
    let builds = components.any(|component| component.build.is_some());
    let nowhere =
        |sight: &ImageSight| !sight.here.is_known() && supply::usable(&sight.sources).is_empty();
    let Some(source) = application.source.as_ref().filter(|_| builds) else {
        return Seen::Absent;
    };
    if !sights.values().any(nowhere) {
        return Seen::Absent;
    }
    match real.sources.tags(source, None).await {
        Ok(tags) => Seen::Known(tags),
        Err(error) => Seen::Unknown(error.to_string()),
    }
}

/// Once at each change: a line that is repeated for ever is read by nobody. The metric goes on.
fn tell(
    application: &Application,
    before: &BTreeMap<Version, StoredReadiness>,
    now: &BTreeMap<Version, NewReadiness>,
) {
    let name = &application.name;
    for (version, new) in now {
        let was = before.get(version).is_some_and(|before| before.broken);
        let sentence = &new.readiness.sentence;
        match (was, new.broken) {
            (false, true) => {
                tracing::error!(application = %name, %version, sentence, "the way back is broken");
            }
            (true, false) => {
                tracing::info!(application = %name, %version, sentence, "the way back is there again");
            }
            (true, true) | (false, false) => {}
        }
    }
}
