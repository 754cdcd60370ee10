//! A repository: which tags it has, and one of them in our cache.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    time::Duration,
};

use domain::{
    chain::sha256_hex,
    name::{CommitId, TagName},
    source::{Source, Tag, TagsSeen},
};

use super::{
    SourceError, SourceKind, Sources,
    git::{At, Git},
};

/// Most tags that one answer holds: it travels through a row.
const TAGS_MAX: usize = 500;
/// A command on our own disk.
const LOCAL: Duration = Duration::from_secs(30);
/// How often a cache that is being filled is measured.
const MEASURE: Duration = Duration::from_millis(500);

/// The places of one repository in our folder.
pub(super) struct Place {
    /// The bare cache.
    pub(super) cache: PathBuf,
    /// The configuration that git reads instead of the machine's.
    pub(super) config: PathBuf,
}

impl Sources {
    /// The tags of a repository with the commits that they name now; with `only`, that one.
    ///
    /// # Errors
    /// When the repository does not answer.
    pub async fn tags(
        &self,
        source: &Source,
        only: Option<&TagName>,
    ) -> Result<TagsSeen, SourceError> {
        let place = self.place(source).await?;
        let git = self.git(source, &place);
        let pattern = match only {
            Some(tag) => format!("refs/tags/{tag}*"),
            None => "refs/tags/*".to_owned(),
        };
        let args = [
            "ls-remote",
            "--tags",
            "--sort=-version:refname",
            "--",
            &source.repository,
            &pattern,
        ]
        .map(OsStr::new);
        let listed = git
            .run(
                &format!("read the tags of {}", source.repository),
                &args,
                &At::default(),
                self.limits().list,
            )
            .await?;
        let mut seen = tags_of(&String::from_utf8_lossy(&listed));
        if let Some(only) = only {
            seen.tags.retain(|tag| tag.name == *only);
        }
        seen.more = seen.tags.len() > TAGS_MAX;
        seen.tags.truncate(TAGS_MAX);
        Ok(seen)
    }

    /// Has the commit of a tag in the cache, and makes sure that it is the one that is wanted.
    pub(super) async fn fetch(
        &self,
        source: &Source,
        place: &Place,
        tag: &TagName,
        commit: &CommitId,
    ) -> Result<(), SourceError> {
        let git = self.git(source, place);
        if self.folder_bytes(&place.cache).await > self.limits().cache_bytes / 2 {
            self.clear(&place.cache).await?;
        }
        if let Err(error) = self.fetch_once(&git, place, tag).await {
            // A process that was killed may have left a lock in the cache; the cache is only a cache.
            if !error.to_string().contains(".lock'") {
                return Err(error);
            }
            self.clear(&place.cache).await?;
            self.fetch_once(&git, place, tag).await?;
        }
        let found = self.resolve(&git, place, tag).await?;
        if found == *commit {
            return Ok(());
        }
        let said = format!(
            "tag {tag} names commit {} now and named {} when the plan was made",
            found.short(),
            commit.short()
        );
        Err(SourceError::new(SourceKind::TagMoved, said))
    }

    async fn fetch_once(
        &self,
        git: &Git<'_>,
        place: &Place,
        tag: &TagName,
    ) -> Result<(), SourceError> {
        let made = ["init", "--quiet", "--bare", "--"].map(OsStr::new);
        let init = [&made[..], &[place.cache.as_os_str()]].concat();
        git.run("make a cache", &init, &At::default(), LOCAL)
            .await?;
        let refspec = format!("+refs/tags/{tag}:refs/tags/{tag}");
        let args = [
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            "--depth=1",
            "--",
            &git.source.repository,
            &refspec,
        ]
        .map(OsStr::new);
        let at = At {
            git_dir: Some(&place.cache),
            ..At::default()
        };
        let what = format!("fetch tag {tag} of {}", git.source.repository);
        let fetch = git.run(&what, &args, &at, self.limits().fetch);
        let fetched = tokio::select! {
            fetched = fetch => fetched,
            () = self.grown_over(&place.cache) => {
                let said = format!(
                    "{what}: it is larger than {} MiB",
                    self.limits().cache_bytes >> 20
                );
                self.clear(&place.cache).await?;
                return Err(SourceError::new(SourceKind::Unfit, said));
            }
        };
        fetched.map(drop).map_err(|error| {
            if error.to_string().contains("couldn't find remote ref") {
                let said = format!("{} has no tag {tag}", git.source.repository);
                SourceError::new(SourceKind::TagMissing, said)
            } else {
                error
            }
        })
    }

    async fn resolve(
        &self,
        git: &Git<'_>,
        place: &Place,
        tag: &TagName,
    ) -> Result<CommitId, SourceError> {
        let revision = format!("refs/tags/{tag}^{{commit}}");
        let args = [
            "rev-parse",
            "--verify",
            "--quiet",
            "--end-of-options",
            &revision,
        ]
        .map(OsStr::new);
        let at = At {
            git_dir: Some(&place.cache),
            ..At::default()
        };
        let said = git
            .run(&format!("read tag {tag}"), &args, &at, LOCAL)
            .await
            .map_err(|_| {
                SourceError::new(SourceKind::Unfit, format!("tag {tag} names no commit"))
            })?;
        // git repeats an option that it takes for a revision.
        let said = String::from_utf8_lossy(&said);
        said.lines()
            .next_back()
            .unwrap_or_default()
            .parse()
            .map_err(|bad| SourceError::new(SourceKind::Unfit, format!("tag {tag}: {bad}")))
    }

    /// The places of a repository, and the configuration written there: git refuses a folder of another owner
    /// unless it is named, and passes nothing else on to the half that reads it.
    pub(super) async fn place(&self, source: &Source) -> Result<Place, SourceError> {
        let name = &sha256_hex(&[source.repository.as_bytes()])[..32];
        let folder = self.inner.folder.join("cache");
        let place = Place {
            cache: folder.join(format!("{name}.git")),
            config: folder.join(format!("{name}.config")),
        };
        let mut config = String::new();
        if source.is_local() {
            let path = source.repository.trim_end_matches('/');
            // The rules of a definition let no quote, backslash or control into a path.
            for path in [path.to_owned(), format!("{path}/.git")] {
                config.push_str(&format!(
                    "[safe]\n\tdirectory = \"{}\"\n",
                    path.replace('"', "")
                ));
            }
        }
        tokio::fs::write(&place.config, config)
            .await
            .map_err(|error| SourceError::io("write git's configuration", &error))?;
        Ok(place)
    }

    pub(super) fn git<'a>(&'a self, source: &'a Source, place: &'a Place) -> Git<'a> {
        Git {
            source,
            config: &place.config,
            home: self.inner.home.as_ref(),
        }
    }

    /// Returns when the folder is larger than a cache may be.
    async fn grown_over(&self, folder: &Path) {
        loop {
            tokio::time::sleep(MEASURE).await;
            if self.folder_bytes(folder).await > self.limits().cache_bytes {
                return;
            }
        }
    }

    async fn folder_bytes(&self, folder: &Path) -> u64 {
        let folder = folder.to_owned();
        tokio::task::spawn_blocking(move || bytes_of(&folder))
            .await
            .unwrap_or(0)
    }

    async fn clear(&self, cache: &Path) -> Result<(), SourceError> {
        match tokio::fs::remove_dir_all(cache).await {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(SourceError::io("clear the cache of a repository", &error)),
        }
    }
}

/// Bytes of the files below a folder, as far as they can be seen: files come and go while git works.
fn bytes_of(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => bytes_of(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

/// The lines of `git ls-remote`: an annotated tag comes twice, the second time as `name^{}` with its commit.
fn tags_of(listed: &str) -> TagsSeen {
    let mut tags: Vec<Tag> = Vec::new();
    let mut peeled: Vec<Tag> = Vec::new();
    for line in listed.lines() {
        let Some((commit, name)) = line.split_once('\t') else {
            continue;
        };
        let Some(name) = name.strip_prefix("refs/tags/") else {
            continue;
        };
        let (name, to) = match name.strip_suffix("^{}") {
            Some(name) => (name, &mut peeled),
            None => (name, &mut tags),
        };
        // Names that we would not use as an argument are not ours to roll back to.
        if let (Ok(name), Ok(commit)) = (name.parse(), commit.parse()) {
            to.push(Tag { name, commit });
        }
    }
    for tag in peeled {
        if let Some(found) = tags.iter_mut().find(|found| found.name == tag.name) {
            found.commit = tag.commit;
        }
    }
    TagsSeen { tags, more: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_annotated_tag_is_its_commit() {
        let (a, b, c) = ("a".repeat(40), "b".repeat(40), "c".repeat(40));
        let listed = format!(
            "{a}\trefs/tags/v2\n{b}\trefs/tags/v2^{{}}\n{c}\trefs/tags/v1\n{c}\trefs/heads/main\nnonsense\n{c}\trefs/tags/-x"
        );
        let seen = tags_of(&listed);
        let found: Vec<(&str, &str)> = seen
            .tags
            .iter()
            .map(|tag| (tag.name.as_str(), tag.commit.as_str()))
            .collect();
        assert_eq!(found, [("v2", b.as_str()), ("v1", c.as_str())]);
    }
}
