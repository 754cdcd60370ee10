//! Follows a rollback by its events, takes the stream up again after a cut, and asks from time to time where
//! no stream is to be had. It only reads: the rollback goes on whether anybody follows or not.

use std::{
    future::Future,
    pin::pin,
    time::{Duration, Instant},
};

use domain::name::RollbackId;
use serde_json::Value;

use super::{REDRAW, View, tree::Stage};
use crate::{
    cli::args::Until,
    client::{
        Client,
        answers::{EventAnswer, PhaseWord, RollbackAnswer, StepsAnswer},
        problem::Failure,
        sse::Frame,
    },
    exit::Exit,
    out,
};

/// Between two attempts to open the stream, which is also how often a server without one is asked.
const PAUSE: Duration = Duration::from_secs(1);
/// A server that restarts is back in seconds, a host in minutes; after this a person should look.
const SILENCE_MAX: Duration = Duration::from_secs(300);

/// Why following ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It waits for a person's yes.
    AwaitsApproval,
    /// The target is proved to be serving.
    Proved,
    /// It ended.
    Ended,
}

/// What to follow, and how far.
#[derive(Debug)]
pub struct Follower<'a> {
    /// The server.
    pub client: &'a Client,
    /// The rollback.
    pub id: RollbackId,
    /// Until when.
    pub until: Until,
    /// Whether to wait for an approval as well.
    pub patient: bool,
    last: i32,
    polled: bool,
}

impl<'a> Follower<'a> {
    /// A follower that has seen nothing yet.
    #[must_use]
    pub fn new(client: &'a Client, id: RollbackId, until: Until, patient: bool) -> Self {
        Self {
            client,
            id,
            until,
            patient,
            last: 0,
            polled: false,
        }
    }

    /// Follows.
    ///
    /// # Errors
    /// When the server says no for good, or can not be reached for minutes.
    pub async fn follow(&mut self, view: &mut View) -> Result<Ending, Failure> {
        let mut silent_since: Option<Instant> = None;
        loop {
            if let Some(ending) = self.reached(view).await {
                return Ok(ending);
            }
            let heard = match self.stream(view).await {
                Ok(Some(ending)) => return Ok(ending),
                Ok(None) => Ok(()),
                Err(failure) => self.poll(view).await.map_err(|_| failure),
            };
            match heard {
                Ok(()) => silent_since = None,
                Err(failure) => {
                    self.weigh(failure, silent_since)?;
                    if silent_since
                        .replace(silent_since.unwrap_or_else(Instant::now))
                        .is_none()
                    {
                        view.remark("the server does not answer; the rollback does not need us, trying again ...");
                    }
                }
            }
            drawn(view, tokio::time::sleep(PAUSE)).await;
        }
    }

    /// Reads the stream, from where it was cut, until it ends.
    async fn stream(&mut self, view: &mut View) -> Result<Option<Ending>, Failure> {
        let path = format!("/api/v1/rollbacks/{}/events", self.id);
        let last = (!self.polled && self.last > 0).then(|| self.last.to_string());
        let mut events = drawn(view, self.client.events(&path, last.as_deref())).await?;
        if std::mem::take(&mut self.polled) {
            view.tree.restart();
        }
        while let Some(frames) = drawn(view, events.next()).await {
            for frame in &frames {
                self.take(view, frame);
            }
            view.redraw();
            if let Some(ending) = self.reached(view).await {
                return Ok(Some(ending));
            }
        }
        Ok(None)
    }

    fn take(&mut self, view: &mut View, frame: &Frame) {
        let Ok(mut value) = serde_json::from_str::<Value>(&frame.data) else {
            return;
        };
        out::clean_json(&mut value);
        let new = seq(frame) > self.last;
        self.last = self.last.max(seq(frame));
        match serde_json::from_value::<EventAnswer>(value.clone()) {
            Ok(answer) => view.event(&answer.event, &answer.sentence, answer.at, new),
            // A kind of event that is newer than we are: its sentence is all that we need.
            Err(_) if new => view.remark(
                value["sentence"]
                    .as_str()
                    .unwrap_or("an event that this version does not know"),
            ),
            Err(_) => {}
        }
    }

    /// One question instead of the stream. The next stream is then read from the beginning, silently.
    async fn poll(&mut self, view: &mut View) -> Result<(), Failure> {
        let answer = self.answer(view).await?;
        let steps: StepsAnswer = drawn(
            view,
            self.client
                .get(&format!("/api/v1/rollbacks/{}/steps", self.id)),
        )
        .await?
        .read()?;
        view.polled(&answer, &steps);
        view.redraw();
        self.polled = true;
        Ok(())
    }

    async fn answer(&self, view: &View) -> Result<RollbackAnswer, Failure> {
        drawn(
            view,
            self.client.get(&format!("/api/v1/rollbacks/{}", self.id)),
        )
        .await?
        .read()
    }

    /// Whether it is worth trying again.
    fn weigh(&self, failure: Failure, silent_since: Option<Instant>) -> Result<(), Failure> {
        let passing = matches!(failure.exit, Exit::Unreachable | Exit::Internal);
        if passing && silent_since.is_none_or(|since| since.elapsed() < SILENCE_MAX) {
            return Ok(());
        }
        let mut failure = failure;
        failure.problem.next_actions.insert(
            0,
            format!(
                "the rollback goes on by itself; follow it again with `sternway watch {}`",
                self.id
            ),
        );
        Err(failure)
    }

    async fn reached(&self, view: &View) -> Option<Ending> {
        match &view.tree.stage {
            Stage::Ended(_) => Some(Ending::Ended),
            Stage::Watching if self.until == Until::Proof => Some(Ending::Proved),
            // The log may have been read only in part: the approval may be its next line.
            Stage::AwaitingApproval if !self.patient => {
                let answer = self.answer(view).await.ok()?;
                (answer.phase == PhaseWord::AwaitingApproval).then_some(Ending::AwaitsApproval)
            }
            Stage::AwaitingApproval | Stage::Watching | Stage::Forward(_) | Stage::Backward(_) => {
                None
            }
        }
    }
}

fn seq(frame: &Frame) -> i32 {
    frame
        .id
        .as_deref()
        .and_then(|id| id.parse().ok())
        .unwrap_or(0)
}

/// Something that takes its time, with the tree redrawn meanwhile.
async fn drawn<T>(view: &View, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    let mut redraw = tokio::time::interval(REDRAW);
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = redraw.tick() => view.redraw(),
        }
    }
}

#[cfg(test)]
mod tests;
