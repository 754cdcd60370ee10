//! So many pieces of work side by side: one that takes long, because its engine hangs, keeps only its own place.

use std::future::Future;

use tokio::task::JoinSet;

/// Who is at work.
pub(crate) struct Crew {
    at_work: JoinSet<()>,
    most: u32,
}

impl Crew {
    pub(crate) fn of(most: u32) -> Self {
        Self {
            at_work: JoinSet::new(),
            most,
        }
    }

    /// How many more can begin now.
    pub(crate) fn room(&mut self) -> u32 {
        while let Some(ended) = self.at_work.try_join_next() {
            noted(ended);
        }
        let busy = u32::try_from(self.at_work.len()).unwrap_or(u32::MAX);
        self.most.saturating_sub(busy)
    }

    pub(crate) fn begin(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        self.at_work.spawn(work);
    }

    /// Waits until somebody has a hand free, for ever where everybody has.
    pub(crate) async fn room_again(&mut self) {
        if self.room() > 0 {
            return std::future::pending().await;
        }
        if let Some(ended) = self.at_work.join_next().await {
            noted(ended);
        }
    }
}

fn noted(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a piece of work broke off");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn what_hangs_keeps_its_own_place_only() {
        let mut crew = Crew::of(2);
        assert_eq!(crew.room(), 2);
        crew.begin(std::future::pending());
        assert_eq!(crew.room(), 1);
        assert!(
            timeout(SOON, crew.room_again()).await.is_err(),
            "there is room"
        );
        crew.begin(async { tokio::time::sleep(SOON).await });
        assert_eq!(crew.room(), 0);
        timeout(SOON * 100, crew.room_again()).await.unwrap();
        assert_eq!(crew.room(), 1);
        crew.begin(async { panic!("on purpose") });
        timeout(SOON * 100, crew.room_again()).await.unwrap();
        assert_eq!(crew.room(), 1, "who broke off has a hand free");
    }
}
