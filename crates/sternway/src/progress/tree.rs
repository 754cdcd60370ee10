//! The steps of a rollback with their states and times, folded from its event log.

use domain::{
    effect::Outcome,
    lifecycle::Event,
    time::{Millis, Moment},
    verdict::Verdict,
};

use crate::{
    client::answers::{
        PhaseWord, RollbackAnswer, StepProgress, StepState, StepsAnswer, whole_verdict,
    },
    out::{Paint, one_line},
};

/// Longest note behind a step; the whole sentence is in `history`.
const NOTE_CHARS_MAX: usize = 72;

/// What a step is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its turn has not come.
    Waiting,
    /// It is at work.
    Running,
    /// It is done.
    Done,
    /// It was given up; it is one that may be.
    Skipped,
    /// It could not be done.
    Failed,
    /// It is being undone.
    Undoing,
    /// It is undone.
    Undone,
}

impl State {
    /// A sign and a word; never the one without the other.
    #[must_use]
    pub fn sign_and_word(self) -> (&'static str, &'static str) {
        match self {
            Self::Waiting => ("·", "waiting"),
            Self::Running => ("…", "running"),
            Self::Done => ("✓", "done"),
            Self::Skipped => ("–", "skipped"),
            Self::Failed => ("✗", "failed"),
            Self::Undoing => ("↩", "undoing"),
            Self::Undone => ("↩", "undone"),
        }
    }

    fn paint(self, paint: Paint, text: &str) -> String {
        match self {
            Self::Waiting => paint.faint(text),
            Self::Running | Self::Undoing => paint.busy(text),
            Self::Done => paint.good(text),
            Self::Skipped | Self::Undone => paint.warn(text),
            Self::Failed => paint.bad(text),
        }
    }
}

/// One step.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its title, such as `switch api`.
    pub title: String,
    /// What it is doing.
    pub state: State,
    /// When it began, or began to be undone.
    pub began: Option<Moment>,
    /// When it ended.
    pub ended: Option<Moment>,
    /// What was found, or what it is at.
    pub note: String,
}

/// Where the whole is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// A person's yes is waited for.
    AwaitingApproval,
    /// Step by step to the target.
    Forward(usize),
    /// Step by step back.
    Backward(usize),
    /// The target is proved; its probes must stay green.
    Watching,
    /// It ended.
    Ended(Verdict),
}

/// A rollback as it is shown.
#[derive(Clone, Debug)]
pub struct Tree {
    /// What goes on, in one line.
    pub header: String,
    /// Its steps.
    pub rows: Vec<Row>,
    /// Where it is.
    pub stage: Stage,
    /// When it was requested.
    pub requested_at: Option<Moment>,
    /// What is not about one step, such as an engine that does not answer.
    pub remark: Option<String>,
    /// How far the server's clock is seen to be ahead of ours, at least.
    ahead: Millis,
}

impl Tree {
    /// A rollback of which nothing happened yet.
    #[must_use]
    pub fn new(header: String, titles: impl IntoIterator<Item = String>) -> Self {
        let rows = titles
            .into_iter()
            .map(|title| Row {
                title,
                state: State::Waiting,
                began: None,
                ended: None,
                note: String::new(),
            })
            .collect();
        Self {
            header,
            rows,
            stage: Stage::Forward(0),
            requested_at: None,
            remark: None,
            ahead: Millis(0),
        }
    }

    /// Takes note of what the server's clock said at a moment of ours.
    pub fn heard(&mut self, at: Moment, here: Moment) {
        self.ahead = self.ahead.max(at.since(here));
    }

    /// One more event, and what the server says it means.
    pub fn apply(&mut self, event: &Event, sentence: &str, at: Moment) {
        match event {
            Event::Requested { approval_until, .. } => self.requested(approval_until.is_some(), at),
            Event::Approved { .. } => self.enter(0, at),
            Event::TakenOver { .. }
            | Event::Performed {
                outcome: Outcome::Done,
            } => {}
            Event::Intended { .. } | Event::Performed { .. } => self.note(sentence),
            Event::EngineBack | Event::WatchGreen { .. } => self.remark = None,
            Event::EngineLost { .. } | Event::WatchRed { .. } | Event::CancelRefused { .. } => {
                self.remark = Some(one_line(sentence));
            }
            Event::StepDone { .. } => self.step_ended(State::Done, sentence, at),
            Event::StepSkipped { .. } => self.step_ended(State::Skipped, sentence, at),
            Event::TurnedBack { cause } => self.turned_back(&cause.sentence, sentence, at),
            Event::Ended { verdict } => self.ended(verdict, at),
        }
    }

    /// Forgets what happened, to be told it again from the beginning.
    pub fn restart(&mut self) {
        let titles: Vec<String> = self.rows.drain(..).map(|row| row.title).collect();
        let ahead = self.ahead;
        *self = Self {
            ahead,
            ..Self::new(std::mem::take(&mut self.header), titles)
        };
    }

    /// The whole as one question found it.
    pub fn polled(&mut self, rollback: &RollbackAnswer, steps: &StepsAnswer) {
        self.requested_at = Some(rollback.requested_at);
        self.rows = steps.items.iter().map(Row::of).collect();
        let at = rollback
            .step
            .as_ref()
            .map_or(0, |step| step.number.saturating_sub(1) as usize);
        self.remark = None;
        self.stage = match rollback.phase {
            PhaseWord::AwaitingApproval => Stage::AwaitingApproval,
            PhaseWord::Forward => Stage::Forward(at),
            PhaseWord::Backward => Stage::Backward(at),
            PhaseWord::Watching => Stage::Watching,
            PhaseWord::Ended => whole_verdict(rollback).map_or(Stage::Watching, Stage::Ended),
        };
    }

    /// Whether it ended.
    #[must_use]
    pub fn verdict(&self) -> Option<&Verdict> {
        match &self.stage {
            Stage::Ended(verdict) => Some(verdict),
            Stage::AwaitingApproval | Stage::Forward(_) | Stage::Backward(_) | Stage::Watching => {
                None
            }
        }
    }

    /// The step it is at.
    #[must_use]
    pub fn at(&self) -> Option<&Row> {
        match self.stage {
            Stage::Forward(at) | Stage::Backward(at) => self.rows.get(at),
            Stage::AwaitingApproval | Stage::Watching | Stage::Ended(_) => None,
        }
    }

    fn requested(&mut self, waits: bool, at: Moment) {
        self.requested_at = Some(at);
        if waits {
            self.stage = Stage::AwaitingApproval;
        } else {
            self.enter(0, at);
        }
    }

    fn enter(&mut self, index: usize, at: Moment) {
        self.stage = if index < self.rows.len() {
            Stage::Forward(index)
        } else {
            Stage::Watching
        };
        if let Some(row) = self.rows.get_mut(index) {
            (row.state, row.began, row.ended) = (State::Running, Some(at), None);
        }
    }

    fn undo(&mut self, index: usize, at: Moment) {
        self.stage = Stage::Backward(index);
        if let Some(row) = self.rows.get_mut(index) {
            (row.state, row.began, row.ended) = (State::Undoing, Some(at), None);
        }
    }

    fn note(&mut self, note: &str) {
        if let Stage::Forward(at) | Stage::Backward(at) = self.stage
            && let Some(row) = self.rows.get_mut(at)
        {
            row.note = one_line(note);
        }
    }

    fn step_ended(&mut self, state: State, note: &str, at: Moment) {
        if matches!(self.stage, Stage::Forward(_)) {
            self.remark = None;
        }
        self.note(note);
        match self.stage {
            Stage::Forward(index) => {
                self.close_row(index, state, at);
                self.enter(index + 1, at);
            }
            Stage::Backward(index) => {
                self.close_row(index, State::Undone, at);
                if let Some(before) = index.checked_sub(1) {
                    self.undo(before, at);
                }
            }
            Stage::AwaitingApproval | Stage::Watching | Stage::Ended(_) => {}
        }
    }

    /// The step that failed is itself undone first: it may have been done by half.
    fn turned_back(&mut self, why: &str, sentence: &str, at: Moment) {
        if let Stage::Forward(index) = self.stage {
            self.note(why);
            self.close_row(index, State::Failed, at);
            self.undo(index, at);
            self.remark = Some(one_line(sentence));
        }
    }

    fn ended(&mut self, verdict: &Verdict, at: Moment) {
        match self.stage {
            Stage::Backward(index) => self.close_row(index, State::Undone, at),
            Stage::Forward(index) if matches!(verdict, Verdict::Cancelled { .. }) => {
                self.close_row(index, State::Undone, at);
            }
            Stage::Forward(index) => self.close_row(index, State::Failed, at),
            Stage::AwaitingApproval | Stage::Watching | Stage::Ended(_) => {}
        }
        self.remark = None;
        self.stage = Stage::Ended(verdict.clone());
    }

    fn close_row(&mut self, index: usize, state: State, at: Moment) {
        if let Some(row) = self.rows.get_mut(index) {
            (row.state, row.ended) = (state, Some(at));
        }
    }

    /// The tree as lines, the newest `rows_max` steps of it when it is longer.
    #[must_use]
    pub fn lines(&self, here: Moment, rows_max: usize, paint: Paint) -> Vec<String> {
        let now = here.after(self.ahead);
        let elapsed = self
            .requested_at
            .map_or(String::new(), |at| format!("  {}", now.since(at)));
        let elapsed = if self.verdict().is_some() {
            String::new()
        } else {
            elapsed
        };
        let mut lines = vec![format!(
            "{}{}",
            paint.strong(&self.header),
            paint.faint(&elapsed)
        )];
        let width = self
            .rows
            .iter()
            .map(|row| row.title.chars().count())
            .max()
            .unwrap_or(0);
        let (from, to) = self.window(rows_max);
        if from > 0 {
            lines.push(paint.faint(&format!("  ({from} earlier steps)")));
        }
        lines.extend(
            self.rows[from..to]
                .iter()
                .map(|row| row.line(width, now, paint)),
        );
        if to < self.rows.len() {
            lines.push(paint.faint(&format!("  ({} more steps)", self.rows.len() - to)));
        }
        lines.extend(self.tail(paint));
        lines
    }

    fn window(&self, rows_max: usize) -> (usize, usize) {
        let count = self.rows.len();
        if count <= rows_max {
            return (0, count);
        }
        let at = match self.stage {
            Stage::Forward(at) | Stage::Backward(at) => at,
            Stage::AwaitingApproval => 0,
            Stage::Watching | Stage::Ended(_) => count - 1,
        };
        let from = at.saturating_sub(rows_max / 2).min(count - rows_max);
        (from, from + rows_max)
    }

    fn tail(&self, paint: Paint) -> Option<String> {
        if let Some(remark) = &self.remark {
            return Some(format!("  {}", paint.warn(remark)));
        }
        match &self.stage {
            Stage::AwaitingApproval => Some(format!("  {}", paint.busy("… waits for approval"))),
            Stage::Watching => Some(format!(
                "  {}",
                paint.busy("… proved; its probes must stay green through the watch window")
            )),
            Stage::Forward(_) | Stage::Backward(_) | Stage::Ended(_) => None,
        }
    }
}

impl Row {
    fn of(step: &StepProgress) -> Self {
        let state = match step.state {
            StepState::Pending => State::Waiting,
            StepState::Running => State::Running,
            StepState::Done => State::Done,
            StepState::Skipped => State::Skipped,
            StepState::Undoing => State::Undoing,
            StepState::Undone => State::Undone,
            StepState::Failed => State::Failed,
        };
        let ended = step
            .started_at
            .zip(step.duration_ms)
            .map(|(began, ms)| began.after(Millis(ms)));
        let note = one_line(step.note.as_deref().unwrap_or_default());
        Self {
            title: step.title.clone(),
            state,
            began: step.started_at,
            ended,
            note,
        }
    }

    fn line(&self, width: usize, now: Moment, paint: Paint) -> String {
        let (sign, word) = self.state.sign_and_word();
        let state = self.state.paint(paint, &format!("{sign} {word:<8}"));
        let took = match (self.began, self.ended) {
            (Some(began), Some(ended)) => ended.since(began).to_string(),
            (Some(began), None) => now.since(began).to_string(),
            (None, _) => String::new(),
        };
        let note: String = self.note.chars().take(NOTE_CHARS_MAX).collect();
        let more = if self.note.chars().count() > NOTE_CHARS_MAX {
            "…"
        } else {
            ""
        };
        format!(
            "  {state} {:<width$}  {took:>9}  {}",
            self.title,
            paint.faint(&format!("{note}{more}"))
        )
        .trim_end()
        .to_owned()
    }
}

#[cfg(test)]
mod tests;
