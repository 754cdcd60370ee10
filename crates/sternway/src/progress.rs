//! A rollback while it runs, on stderr: a live tree of its steps in a terminal, plain lines otherwise.
//! It shows what the server's event log says and decides nothing.

pub mod follow;
pub mod tree;
pub mod words;

use std::time::Duration;

use domain::{lifecycle::Event, time::Moment};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{
    client::answers::{RollbackAnswer, StepsAnswer},
    out::{Out, Paint},
};
use tree::Tree;

/// How often the times in a live tree move.
pub const REDRAW: Duration = Duration::from_millis(100);
/// Rows that are left to whatever else is on the screen.
const ROWS_SPARED: usize = 4;
/// Rows of a screen whose size is not known.
const ROWS_UNKNOWN: usize = 24;

/// How a rollback is shown.
#[derive(Debug)]
pub struct View {
    /// What is shown.
    pub tree: Tree,
    out: Out,
    bar: Option<ProgressBar>,
}

impl View {
    /// A view on a rollback of which nothing happened yet.
    #[must_use]
    pub fn new(out: Out, tree: Tree) -> Self {
        let bar = out.live.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.with_style(
                ProgressStyle::with_template("{msg}")
                    .unwrap_or_else(|_| ProgressStyle::default_spinner()),
            )
        });
        if bar.is_none() {
            out.say(&tree.header);
        }
        Self { tree, out, bar }
    }

    /// One more event of the log, and what the server says it means. One that was shown before is only counted.
    pub fn event(&mut self, event: &Event, sentence: &str, at: Moment, new: bool) {
        let line =
            words::line(&self.tree, event, sentence, at).filter(|_| new && self.bar.is_none());
        self.tree.heard(at, now());
        self.tree.apply(event, sentence, at);
        if let Some(line) = line {
            self.out.say(&line);
        }
    }

    /// What one question said, where there is no stream.
    pub fn polled(&mut self, rollback: &RollbackAnswer, steps: &StepsAnswer) {
        let before = self.tree.at().map(|row| row.title.clone());
        self.tree.polled(rollback, steps);
        let after = self.tree.at().map(|row| row.title.clone());
        if self.bar.is_none() && before != after {
            self.out.say(&format!(
                "{}  {}",
                words::clock(now()),
                after.as_deref().unwrap_or(rollback.phase.word())
            ));
        }
    }

    /// Draws the tree again, with the times of now.
    pub fn redraw(&self) {
        if let Some(bar) = &self.bar {
            let lines = self.tree.lines(now(), rows_max(), self.out.talk);
            bar.set_message(lines.join("\n"));
        }
    }

    /// A remark that stays above what is drawn.
    pub fn remark(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.out.say(text)),
            None => self.out.say(text),
        }
    }

    /// Leaves the tree on the screen as it is now.
    pub fn close(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
            self.out
                .say(&self.tree.lines(now(), usize::MAX, self.out.talk).join("\n"));
        }
    }

    /// The colours of this view.
    #[must_use]
    pub fn paint(&self) -> Paint {
        self.out.talk
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.close();
    }
}

/// What time it is here.
#[must_use]
pub fn now() -> Moment {
    Moment::from(time::OffsetDateTime::now_utc())
}

fn rows_max() -> usize {
    let rows =
        rustix::termios::tcgetwinsize(std::io::stderr()).map_or(0, |size| usize::from(size.ws_row));
    let rows = if rows == 0 { ROWS_UNKNOWN } else { rows };
    rows.saturating_sub(ROWS_SPARED).max(1)
}
