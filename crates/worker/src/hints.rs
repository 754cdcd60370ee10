//! The engines that are listened to, and what was heard of them in one queue. It looks at nothing.

use std::collections::{BTreeMap, BTreeSet};

use docker::{Engine, Heard, News};
use metrics::gauge;
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
};

use crate::metric;

/// Pieces of news that wait to be read; each engine goes on collecting what does not fit.
const QUEUE: usize = 16;

/// Listens to engines.
pub(crate) struct Hints {
    tasks: JoinSet<()>,
    followed: BTreeMap<String, AbortHandle>,
    connected: BTreeSet<String>,
    send: mpsc::Sender<(String, Heard)>,
    receive: mpsc::Receiver<(String, Heard)>,
}

impl Hints {
    pub(crate) fn new() -> Self {
        let (send, receive) = mpsc::channel(QUEUE);
        Self {
            tasks: JoinSet::new(),
            followed: BTreeMap::new(),
            connected: BTreeSet::new(),
            send,
            receive,
        }
    }

    /// Listens to the engine of that name from now on, if it is not yet.
    pub(crate) fn follow(&mut self, name: &str, engine: Engine) {
        if self.followed.contains_key(name) {
            return;
        }
        let (send, of) = (self.send.clone(), name.to_owned());
        let task = self.tasks.spawn(async move {
            let news = News::default();
            let passing = async {
                loop {
                    let heard = news.next().await;
                    if send.send((of.clone(), heard)).await.is_err() {
                        return;
                    }
                }
            };
            tokio::select! {
                () = engine.follow(&news) => {}
                () = passing => {}
            }
        });
        self.followed.insert(name.to_owned(), task);
    }

    /// Stops listening to every engine but these.
    pub(crate) fn keep(&mut self, names: &BTreeSet<&str>) {
        self.followed.retain(|name, task| {
            let wanted = names.contains(name.as_str());
            if !wanted {
                task.abort();
            }
            wanted
        });
        self.connected.retain(|name| names.contains(name.as_str()));
        // What was aborted is taken off the list.
        while self.tasks.try_join_next().is_some() {}
    }

    /// The next piece of news, with the engine's name.
    pub(crate) async fn next(&mut self) -> (String, Heard) {
        let (name, heard) = self
            .receive
            .recv()
            .await
            .expect("the queue's other side is kept here");
        self.tell(&name, &heard);
        (name, heard)
    }

    fn tell(&mut self, name: &str, heard: &Heard) {
        let changed = if heard.connected {
            self.connected.insert(name.to_owned())
        } else {
            self.connected.remove(name)
        };
        gauge!(metric::ENGINES_HEARD).set(self.connected.len() as f64);
        let said = heard.said.as_deref().unwrap_or_default();
        match (heard.connected, changed) {
            (true, true) => tracing::info!(engine = name, "listening to the engine"),
            (false, true) => {
                tracing::warn!(
                    engine = name,
                    said,
                    "the engine can not be heard; trying again"
                )
            }
            (false, false) => tracing::debug!(engine = name, said, "the engine is still not heard"),
            (true, false) => {}
        }
    }
}
