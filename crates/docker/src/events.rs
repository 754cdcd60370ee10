//! What an engine says that it did, as hints of where to look. The look is the truth: a hint that is lost costs
//! time, never correctness. It decides nothing and remembers no event.
//!
//! An engine keeps its last 256 events in memory, none over a restart, and skips a reader that is slow for a tenth of a
//! second. So the reading never waits for whoever takes the hints, and each new connection means "look at everything".

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bollard::{models::EventMessage, query_parameters::EventsOptions};
use futures_util::StreamExt;
use tokio::sync::Notify;

use crate::{
    connect::{Engine, ORDINARY},
    error::{Error, Kind},
    label::{self, replica_name},
};

/// Changes that are remembered until somebody takes them: more than that is "everything", which is cheaper by then.
const CHANGES_MAX: usize = 512;
/// Seconds of the past that a new connection asks for: what happened while it was being made is not lost.
const OVERLAP_S: i64 = 10;
/// How often the engine is asked whether it is still there: a half-open connection is silent for ever.
const KNOCK: Duration = Duration::from_secs(20);
/// The first pause before connecting again; a proxy that was restarted is back in no time.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest one: an engine that comes back shall be heard within five seconds.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// What is asked for. Health checks are left out on purpose: they come three times a second and are asked for by
/// whoever wants them; so are the events of networks and volumes.
const CONTAINER_ACTIONS: [&str; 5] = ["create", "start", "die", "rename", "destroy"];
const IMAGE_ACTIONS: [&str; 3] = ["tag", "untag", "delete"];

/// Something that changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// A container came, went, started, died or was renamed.
    Container {
        /// The name of the replica that it is: without what a rollback appends.
        name: String,
        /// The Compose project that it belongs to.
        project: Option<String>,
        /// The application whose rollback, keeper or lock it is.
        application: Option<String>,
    },
    /// An image was tagged, untagged or deleted.
    Image,
}

/// What was heard since the last time that somebody listened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// The connection is new, or more changed than is worth telling apart: look at everything.
    pub everything: bool,
    /// What changed.
    pub changes: BTreeSet<Change>,
    /// Whether the engine is being listened to now.
    pub connected: bool,
    /// Why it is not, as a sentence.
    pub said: Option<String>,
}

/// The hints of one engine: one side is written by [`Engine::follow`], the other is read by one listener.
#[derive(Clone, Debug, Default)]
pub struct News {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    heard: Mutex<Heard>,
    rung: Notify,
}

impl News {
    /// Waits until something was heard, or the engine was found or lost, since the last call.
    pub async fn next(&self) -> Heard {
        self.shared.rung.notified().await;
        let mut heard = self.heard();
        let taken = heard.clone();
        heard.everything = false;
        heard.changes.clear();
        taken
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.shared
            .heard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, write: impl FnOnce(&mut Heard)) {
        write(&mut self.heard());
        self.shared.rung.notify_one();
    }

    fn add(&self, changes: Vec<Change>) {
        if changes.is_empty() {
            return;
        }
        self.tell(|heard| {
            heard.changes.extend(changes);
            if heard.changes.len() > CHANGES_MAX {
                heard.changes.clear();
                heard.everything = true;
            }
        });
    }

    /// The engine answers: what happened before that is not known.
    fn found(&self) -> bool {
        let news = !self.heard().connected;
        if news {
            self.tell(|heard| {
                heard.connected = true;
                heard.everything = true;
                heard.said = None;
            });
        }
        news
    }

    fn lost(&self, error: &Error) {
        let said = error.to_string();
        let known = {
            let heard = self.heard();
            !heard.connected && heard.said.as_ref() == Some(&said)
        };
        if !known {
            self.tell(|heard| {
                heard.connected = false;
                heard.said = Some(said);
            });
        }
    }
}

impl Engine {
    /// Listens for ever, and connects again whenever the engine is gone. Drop it to stop.
    pub async fn follow(&self, news: &News) {
        let mut pause = PAUSE_MIN;
        loop {
            let mut answered = false;
            let error = self.listen(news, &mut answered).await;
            news.lost(&error);
            if answered {
                pause = PAUSE_MIN;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// One connection, until it ends. The subscription comes first, then the word that everything is to be looked at:
    /// a change between the two is in the overlap.
    async fn listen(&self, news: &News, answered: &mut bool) -> Error {
        const WHAT: &str = "listen to the engine";
        let docker = match self
            .call(WHAT, ORDINARY, |docker| async { Ok(docker) })
            .await
        {
            Ok(docker) => docker,
            Err(error) => return error,
        };
        let since = time::OffsetDateTime::now_utc().unix_timestamp() - OVERLAP_S;
        let mut events = Box::pin(docker.events(Some(options(since))));
        let reading = async {
            while let Some(event) = events.next().await {
                match event {
                    Ok(event) => news.add(changes(&event)),
                    Err(error) => return Error::of(WHAT, error),
                }
            }
            Error::new(Kind::Broken, format!("{WHAT}: it ended the connection"))
        };
        let knocking = async {
            loop {
                let ping = self.call(WHAT, ORDINARY, |docker| async move { docker.ping().await });
                if let Err(error) = ping.await {
                    return error;
                }
                *answered = true;
                news.found();
                tokio::time::sleep(KNOCK).await;
            }
        };
        tokio::select! {
            biased;
            error = reading => error,
            error = knocking => error,
        }
    }
}

fn options(since: i64) -> EventsOptions {
    let texts = |words: &[&str]| {
        words
            .iter()
            .map(|&word| word.to_owned())
            .collect::<Vec<_>>()
    };
    let actions = [CONTAINER_ACTIONS.as_slice(), IMAGE_ACTIONS.as_slice()].concat();
    let filters = HashMap::from([
        ("type".to_owned(), texts(&["container", "image"])),
        ("event".to_owned(), texts(&actions)),
    ]);
    EventsOptions {
        since: Some(since.to_string()),
        until: None,
        filters: Some(filters),
    }
}

/// What an event is about: one thing, or two when a container was renamed.
fn changes(event: &EventMessage) -> Vec<Change> {
    use bollard::models::EventMessageTypeEnum as Of;
    match event.typ {
        Some(Of::CONTAINER) => {}
        Some(Of::IMAGE) => return vec![Change::Image],
        Some(
            Of::EMPTY
            | Of::BUILDER
            | Of::CONFIG
            | Of::DAEMON
            | Of::NETWORK
            | Of::NODE
            | Of::PLUGIN
            | Of::SECRET
            | Of::SERVICE
            | Of::VOLUME,
        )
        | None => return Vec::new(),
    }
    let none = HashMap::new();
    let about = event
        .actor
        .as_ref()
        .and_then(|actor| actor.attributes.as_ref())
        .unwrap_or(&none);
    let project = about.get(label::COMPOSE_PROJECT).cloned();
    let application = about
        .get(label::APPLICATION)
        .or_else(|| about.get(label::KEEP))
        .cloned();
    let names = [about.get("name"), about.get("oldName")];
    let change = |name: &String| Change::Container {
        name: replica_name(name.trim_start_matches('/')).to_owned(),
        project: project.clone(),
        application: application.clone(),
    };
    names.into_iter().flatten().map(change).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, attributes: &[(&str, &str)]) -> EventMessage {
        let attributes: HashMap<&str, &str> = attributes.iter().copied().collect();
        serde_json::from_value(serde_json::json!({
            "Type": kind, "Action": "start", "Actor": {"ID": "1", "Attributes": attributes}
        }))
        .unwrap()
    }

    fn container(name: &str) -> Change {
        Change::Container {
            name: name.to_owned(),
            project: None,
            application: None,
        }
    }

    #[test]
    fn an_event_says_whose_container_it_was() {
        let known = event(
            "container",
            &[
                ("name", "shop_api_1.next-0123456789ab"),
                ("com.docker.compose.project", "shop"),
                ("sternway.application", "the-shop"),
            ],
        );
        let expected = Change::Container {
            name: "shop_api_1".to_owned(),
            project: Some("shop".to_owned()),
            application: Some("the-shop".to_owned()),
        };
        assert_eq!(changes(&known), [expected]);
        let renamed = event("container", &[("name", "new"), ("oldName", "/old")]);
        assert_eq!(changes(&renamed), [container("new"), container("old")]);
        assert_eq!(changes(&event("image", &[])), [Change::Image]);
        assert_eq!(changes(&event("network", &[("name", "x")])), []);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_becomes_a_look_at_everything_and_stays_bounded() {
        let news = News::default();
        for count in 0..=CHANGES_MAX {
            news.add(vec![container(&format!("c{count}"))]);
        }
        let heard = news.next().await;
        assert!(heard.everything && heard.changes.is_empty());
        let silence = tokio::time::timeout(Duration::from_secs(60), news.next());
        assert!(silence.await.is_err(), "what was taken is not told again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_connection_means_everything_and_a_lost_one_is_said_once() {
        let news = News::default();
        assert!(news.found() && !news.found());
        let heard = news.next().await;
        assert!(heard.everything && heard.connected);
        let gone = || Error::new(Kind::Unreachable, "nobody answers");
        news.lost(&gone());
        news.lost(&gone());
        let heard = news.next().await;
        assert_eq!(
            (heard.everything, heard.connected, heard.said.as_deref()),
            (false, false, Some("nobody answers"))
        );
        let silence = tokio::time::timeout(Duration::from_secs(60), news.next());
        assert!(silence.await.is_err());
        assert!(news.found(), "found again is news");
    }
}
