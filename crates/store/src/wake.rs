//! Wake-ups that save the polling delay. They carry no facts: a lost one costs a poll, never correctness.

use std::sync::Arc;

use tokio::sync::watch;

/// What there is news of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// For workers: a request, an order, an inquiry or a deployment was written.
    Work,
    /// For whoever decides messages of triggers: one was kept. Nobody else is woken by a storm of them.
    Messages,
    /// For readers: a rollback's log grew.
    Events,
    /// For the API: an inquiry was answered.
    Answers,
}

impl Topic {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Work => "work",
            Self::Messages => "messages",
            Self::Events => "events",
            Self::Answers => "answers",
        }
    }

    pub(crate) fn of(word: &str) -> Option<Self> {
        [Self::Work, Self::Messages, Self::Events, Self::Answers]
            .into_iter()
            .find(|topic| topic.word() == word)
    }
}

/// The process's wake-ups; clones share them.
#[derive(Clone, Debug)]
pub struct Wake {
    topics: Arc<[watch::Sender<()>; 4]>,
}

impl Default for Wake {
    fn default() -> Self {
        Self {
            topics: Arc::new([(); 4].map(|()| watch::Sender::new(()))),
        }
    }
}

impl Wake {
    fn topic(&self, topic: Topic) -> &watch::Sender<()> {
        match topic {
            Topic::Work => &self.topics[0],
            Topic::Messages => &self.topics[1],
            Topic::Events => &self.topics[2],
            Topic::Answers => &self.topics[3],
        }
    }

    /// Wakes everyone who waits for the topic in this process.
    pub fn notify(&self, topic: Topic) {
        self.topic(topic).send_replace(());
    }

    /// Wakes everyone, since what was missed is not known.
    pub fn notify_all(&self) {
        for topic in self.topics.iter() {
            topic.send_replace(());
        }
    }

    /// Wake-ups of the topic from now on: subscribe, then look, then wait, and none is missed.
    #[must_use]
    pub fn subscribe(&self, topic: Topic) -> Wakes {
        Wakes {
            news: self.topic(topic).subscribe(),
        }
    }
}

/// One subscriber's wake-ups.
#[derive(Debug)]
pub struct Wakes {
    news: watch::Receiver<()>,
}

impl Wakes {
    /// Returns at the next wake-up, at once if there was one since the last call.
    pub async fn woken(&mut self) {
        if self.news.changed().await.is_err() {
            // Every `Wake` is gone: there will be no news, and nobody to wait for it.
            std::future::pending::<()>().await;
        }
    }
}
