//! Pages of lists: every list is asked for from a position, never from an offset, and has an end.

/// Most rows of one page: a hundred rows of a few KiB stay below half a MiB of answer.
pub const PAGE_MAX: u32 = 100;

/// Which part of a list is asked for.
#[derive(Clone, Debug)]
pub struct Page<K> {
    /// The position after which it starts; the beginning when none.
    pub after: Option<K>,
    /// How many rows; at most [`PAGE_MAX`], which 0 stands for as well.
    pub limit: u32,
}

/// One page.
#[derive(Clone, Debug)]
pub struct Listed<T, K> {
    /// The rows.
    pub items: Vec<T>,
    /// The position to ask for the next page from; none when this is the last.
    pub next: Option<K>,
}

impl<K> Default for Page<K> {
    fn default() -> Self {
        Self {
            after: None,
            limit: PAGE_MAX,
        }
    }
}

impl<K> Page<K> {
    fn rows(&self) -> u32 {
        if self.limit == 0 {
            PAGE_MAX
        } else {
            self.limit.min(PAGE_MAX)
        }
    }

    /// How many rows to ask Postgres for: one more than shown tells whether there is a next page.
    pub(crate) fn fetch(&self) -> i64 {
        i64::from(self.rows()) + 1
    }

    /// The page from what was fetched.
    pub(crate) fn listed<T>(&self, mut items: Vec<T>, position: impl Fn(&T) -> K) -> Listed<T, K> {
        let rows = usize::try_from(self.rows()).unwrap_or(usize::MAX);
        let more = items.len() > rows;
        items.truncate(rows);
        let next = if more {
            items.last().map(position)
        } else {
            None
        };
        Listed { items, next }
    }
}
