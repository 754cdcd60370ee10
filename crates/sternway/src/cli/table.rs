//! Rows in columns. Widths are counted before colours are put on.

use crate::out::{Paint, one_line};

/// How a cell looks; it always says the same in words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// As text.
    #[default]
    Plain,
    /// As it should be.
    Good,
    /// Something to know.
    Warn,
    /// Failed.
    Bad,
    /// Going on.
    Busy,
}

/// One cell.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A cell with a tone.
    #[must_use]
    pub fn toned(text: impl AsRef<str>, tone: Tone) -> Self {
        Self {
            text: one_line(text.as_ref()),
            tone,
        }
    }

    /// A cell, or a dash when there is nothing to say.
    #[must_use]
    pub fn or_dash(text: Option<impl AsRef<str>>) -> Self {
        text.map_or_else(|| Self::from("–"), |text| Self::toned(text, Tone::Plain))
    }

    fn paint(&self, padded: &str, paint: Paint) -> String {
        match self.tone {
            Tone::Plain => padded.to_owned(),
            Tone::Good => paint.good(padded),
            Tone::Warn => paint.warn(padded),
            Tone::Bad => paint.bad(padded),
            Tone::Busy => paint.busy(padded),
        }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(text, Tone::Plain)
    }
}

/// Heads and rows as lines; the last column is as wide as it wants to be.
#[must_use]
pub fn render<const COLUMNS: usize>(
    heads: [&str; COLUMNS],
    rows: &[[Cell; COLUMNS]],
    paint: Paint,
) -> String {
    let mut widths = heads.map(|head| head.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.text.chars().count());
        }
    }
    let line = |cells: Vec<(String, &Cell)>| {
        cells
            .iter()
            .map(|(text, cell)| cell.paint(text, paint))
            .collect::<Vec<_>>()
            .join("  ")
    };
    let pad = |text: &str, column: usize| {
        let width = if column + 1 == COLUMNS {
            0
        } else {
            widths[column]
        };
        format!("{text:<width$}")
    };
    let head: Vec<String> = heads
        .iter()
        .enumerate()
        .map(|(column, head)| pad(head, column))
        .collect();
    let mut lines = vec![paint.strong(&head.join("  "))];
    for row in rows {
        lines.push(line(
            row.iter()
                .enumerate()
                .map(|(column, cell)| (pad(&cell.text, column), cell))
                .collect(),
        ));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other() {
        let rows = [
            ["a".into(), "long\u{1b}[31m text".into()],
            ["bbbb".into(), Cell::or_dash(None::<&str>)],
        ];
        assert_eq!(
            render(["K", "V"], &rows, Paint::default()),
            "K     V\na     long text\nbbbb  –"
        );
    }
}
