//! Second copies of the images of kept releases, outside the engine: made once a release was proved good, read again
//! from time to time, and removed with the release. One at a time: each may take minutes and much of a disk.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use docker::Engine;
use domain::{
    application::Application,
    ledger::Release,
    name::{ComponentName, ImageId, Version},
    planner::{self, Snapshot},
    retention::{self, CopyPlace},
    supply::ImageSource,
};
use store::{ImageCopy, Store};
use tokio_util::sync::CancellationToken;

use crate::{
    clock,
    eyes::Asked,
    world::{Real, StoreAway},
};

/// How often it is asked whose copies are due.
const POLL: Duration = Duration::from_secs(5);
/// How often an application's copies are looked after.
const EVERY: Duration = Duration::from_secs(60);
/// Whoever takes an application has this long: an image of ten gigabytes, written and read again.
const LEASE: Duration = Duration::from_secs(1800);
/// An archive is read whole this often: a disk that rots is found long before the night.
const VERIFY_MS: u64 = 24 * 3600 * 1000;

/// What one image is called where copies are kept.
struct Wanted<'a> {
    component: &'a ComponentName,
    version: &'a Version,
}

pub(crate) async fn run(store: Store, real: Arc<Real>, shutdown: CancellationToken) {
    while !shutdown.is_cancelled() {
        match store.copies_due(LEASE).await {
            Ok(Some(application)) => {
                let name = application.name.clone();
                tokio::select! {
                    done = Box::pin(look_after(&real, &application)) => {
                        if let Err(away) = done {
                            tracing::warn!(application = %name, error = &away as &dyn std::error::Error, "can not look after second copies");
                        }
                    }
                    // A copy that is broken off is made again.
                    () = shutdown.cancelled() => {}
                }
                if let Err(error) = store.copies_done(&name, EVERY).await {
                    tracing::warn!(application = %name, %error, "could not note that its second copies were looked after");
                }
            }
            Ok(None) => tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                () = shutdown.cancelled() => {}
            },
            Err(error) => {
                tracing::warn!(%error, "can not list whose second copies are due; trying again");
                tokio::time::sleep(POLL).await;
            }
        }
    }
}

async fn look_after(real: &Real, application: &Application) -> Result<(), StoreAway> {
    let name = &application.name;
    let copies = real.store.copy_list(name).await.map_err(StoreAway)?;
    let releases = real.store.releases(name).await.map_err(StoreAway)?;
    let look = match real
        .engine_look(application, Asked::default(), false)
        .await?
    {
        Ok(look) => look,
        Err(_) => return Ok(()),
    };
    let Ok(engine) = real.engines.get(&application.engine) else {
        return Ok(());
    };
    let present = planner::present(&Snapshot {
        application,
        look: &look,
        releases: &releases,
        outages: &[],
        last: None,
    });
    let kept = retention::retained(&application.retain, &releases, present.as_ref());
    let wanted = wanted(&releases, |release| {
        kept.contains_key(&release.version) && release.good_at.is_some()
    });
    let retained = retention::images(&kept, &releases);
    let copies = sort_out(real, application, copies, &retained).await?;
    let Some(place) = &application.retain.copy else {
        return Ok(());
    };
    for (image, wanted) in wanted {
        if copies
            .iter()
            .any(|copy| copy.image == *image && is_at(&copy.source, place))
        {
            continue;
        }
        match make(&engine, application, image, &wanted, place).await {
            Ok(source) => {
                tracing::info!(application = %name, image = image.short(), %source, "made a second copy");
                real.store
                    .copy_put(name, image, &source)
                    .await
                    .map_err(StoreAway)?;
            }
            Err(error) => {
                tracing::warn!(application = %name, image = image.short(), %error, "could not make a second copy; trying again");
            }
        }
    }
    Ok(())
}

fn wanted(
    releases: &[Release],
    which: impl Fn(&Release) -> bool,
) -> BTreeMap<&ImageId, Wanted<'_>> {
    let mut wanted = BTreeMap::new();
    for release in releases.iter().filter(|release| which(release)) {
        for (component, part) in &release.components {
            let version = &release.version;
            wanted
                .entry(&part.image)
                .or_insert(Wanted { component, version });
        }
    }
    wanted
}

/// The copies that are still there and right; the others are forgotten, and what nobody keeps is removed.
async fn sort_out(
    real: &Real,
    application: &Application,
    copies: Vec<ImageCopy>,
    retained: &BTreeSet<&ImageId>,
) -> Result<Vec<ImageCopy>, StoreAway> {
    let name = &application.name;
    let mut good = Vec::new();
    for copy in copies {
        let fine = if !retained.contains(&copy.image) {
            // A rollback that was accepted meanwhile may count on it.
            real.store.acted_on(name).await.map_err(StoreAway)? || remove(&copy.source).await
        } else {
            verified(real, application, &copy).await?
        };
        if fine {
            good.push(copy);
        } else {
            real.store
                .copy_remove(name, &copy)
                .await
                .map_err(StoreAway)?;
        }
    }
    Ok(good)
}

/// Whether it has to stay in the list because it could not be removed. What lies in a registry is its owner's to clear.
async fn remove(source: &ImageSource) -> bool {
    match source {
        ImageSource::Registry { .. } => false,
        ImageSource::Archive(archive) => match tokio::fs::remove_file(&archive.path).await {
            Ok(()) => false,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
            Err(error) => {
                tracing::warn!(path = archive.path, %error, "a second copy that nobody needs can not be removed");
                true
            }
        },
    }
}

async fn verified(
    real: &Real,
    application: &Application,
    copy: &ImageCopy,
) -> Result<bool, StoreAway> {
    let ImageSource::Archive(archive) = &copy.source else {
        return Ok(true);
    };
    let whole = tokio::fs::metadata(&archive.path)
        .await
        .is_ok_and(|file| file.len() == archive.bytes);
    if whole && clock::now().since(copy.verified_at).0 < VERIFY_MS {
        return Ok(true);
    }
    match docker::verify_archive(archive).await {
        Ok(()) => {
            real.store
                .copy_put(&application.name, &copy.image, &copy.source)
                .await
                .map_err(StoreAway)?;
            Ok(true)
        }
        Err(error) => {
            tracing::error!(application = %application.name, image = copy.image.short(), %error, "a second copy is lost");
            Ok(false)
        }
    }
}

fn is_at(source: &ImageSource, place: &CopyPlace) -> bool {
    match (source, place) {
        (ImageSource::Archive(archive), CopyPlace::Archive(folder)) => {
            Path::new(&archive.path).starts_with(folder)
        }
        (ImageSource::Registry { reference }, CopyPlace::Registry(prefix)) => {
            let rest = reference.as_str().strip_prefix(prefix.as_str());
            rest.is_some_and(|rest| rest.starts_with('/'))
        }
        (ImageSource::Archive(_), CopyPlace::Registry(_))
        | (ImageSource::Registry { .. }, CopyPlace::Archive(_)) => false,
    }
}

/// Most of a version in a tag, which has at most 128 characters with the image's identity behind it.
const TAGGED_MAX: usize = 110;

async fn make(
    engine: &Engine,
    application: &Application,
    image: &ImageId,
    wanted: &Wanted<'_>,
    place: &CopyPlace,
) -> Result<ImageSource, docker::Error> {
    match place {
        CopyPlace::Archive(folder) => {
            let mut path = PathBuf::from(folder);
            path.push(application.name.as_str());
            path.push(format!("{}.tar", &image.as_str()["sha256:".len()..]));
            engine.archive(image, &path).await.map(ImageSource::Archive)
        }
        CopyPlace::Registry(prefix) => {
            let repository = format!("{prefix}/{}/{}", application.name, wanted.component);
            // Its identity besides: a version may be built twice.
            let version = wanted.version.as_str().replace('+', "_");
            let version: String = version.chars().take(TAGGED_MAX).collect();
            let tag = format!("{version}-{}", image.short());
            let reference = engine.push(image, &repository, &tag).await?;
            Ok(ImageSource::Registry { reference })
        }
    }
}
