//! Whether paths of the engine's host are there. No call of an engine asks that. But one that is told to create a
//! container looks for the sources of its bind mounts before it looks for its image: from an image that does not exist
//! it is refused for the one or for the other, and nothing is made.

use std::collections::BTreeMap;

use domain::seen::Seen;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};

use crate::{
    connect::Engine,
    error::{Error, Kind},
};

/// Paths asked about in one look, the first ones: they are those of the newest releases.
const PATHS_MAX: usize = 64;
/// Questions under way at a time, when one path is missing and each is asked about alone.
const AT_A_TIME: usize = 8;
/// How engines from 17.06 on say it.
const MISSING: &str = "bind source path does not exist";

impl Engine {
    /// Whether each path is there; unknown where the engine answers something else.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub(crate) async fn paths(
        &self,
        paths: &[String],
    ) -> Result<BTreeMap<String, Seen<()>>, Error> {
        let paths = &paths[..paths.len().min(PATHS_MAX)];
        if paths.is_empty() {
            return Ok(BTreeMap::new());
        }
        let together = self.path_seen(paths).await?;
        if !matches!(together, Seen::Absent) {
            let seen = paths.iter().map(|path| (path.clone(), together.clone()));
            return Ok(seen.collect());
        }
        let alone = |path: &String| {
            let path = path.clone();
            async move {
                let seen = self.path_seen(std::slice::from_ref(&path)).await?;
                Ok((path, seen))
            }
        };
        stream::iter(paths.iter().map(alone).collect::<Vec<_>>())
            .buffer_unordered(AT_A_TIME)
            .try_collect()
            .await
    }

    /// Absent when one of them is missing.
    async fn path_seen(&self, paths: &[String]) -> Result<Seen<()>, Error> {
        match self
            .create_raw("sternway-asks-for-paths", &question(paths))
            .await
        {
            Err(error) if error.unreachable() => Err(error),
            Err(error) if error.kind() == Kind::Missing => Ok(Seen::Known(())),
            Err(error) if error.to_string().contains(MISSING) => Ok(Seen::Absent),
            Err(error) => Ok(Seen::Unknown(error.to_string())),
            Ok(_) => Ok(Seen::Unknown(
                "the engine has an image that does not exist".to_owned(),
            )),
        }
    }
}

fn question(paths: &[String]) -> Value {
    let mounts: Vec<Value> = paths
        .iter()
        .enumerate()
        .map(|(at, path)| {
            json!({"Type": "bind", "Source": path, "Target": format!("/{at}"), "ReadOnly": true})
        })
        .collect();
    let no_image = format!("sha256:{}", "0".repeat(64));
    json!({"Image": no_image, "HostConfig": {"Mounts": mounts}})
}
