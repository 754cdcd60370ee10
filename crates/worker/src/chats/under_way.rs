//! In which chats something is being posted: each has a batch of its own, so one that hangs keeps no other waiting.

use std::{collections::BTreeMap, future::Future};

use domain::name::TriggerName;
use tokio::task::{AbortHandle, JoinSet};

/// Most batches under way before no more are begun: each holds as many connections as messages. One look more may begin.
const BATCHES_MAX: usize = 16;

/// Batches of one kind of message.
#[derive(Default)]
pub(super) struct UnderWay {
    tasks: JoinSet<()>,
    busy: Vec<(TriggerName, AbortHandle)>,
}

impl UnderWay {
    /// Forgets those that ended.
    pub(super) fn forget_ended(&mut self) {
        while let Some(ended) = self.tasks.try_join_next() {
            if let Err(error) = ended {
                tracing::error!(%error, "posting in a chat broke off");
            }
        }
        self.busy.retain(|(_, task)| !task.is_finished());
    }

    /// Whether more may begin.
    pub(super) fn has_room(&self) -> bool {
        self.busy.len() < BATCHES_MAX
    }

    /// The chats that have one, or had one since those that ended were forgotten.
    pub(super) fn chats(&self) -> Vec<&TriggerName> {
        self.busy.iter().map(|(chat, _)| chat).collect()
    }

    /// Begins a chat's.
    pub(super) fn begin(
        &mut self,
        chat: TriggerName,
        batch: impl Future<Output = ()> + Send + 'static,
    ) {
        let task = self.tasks.spawn(batch);
        self.busy.push((chat, task));
    }

    /// Waits for all of them.
    pub(super) async fn end(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

/// What is due, chat by chat.
pub(super) fn by_chat<Due>(
    due: Vec<Due>,
    chat: impl Fn(&Due) -> &TriggerName,
) -> BTreeMap<TriggerName, Vec<Due>> {
    let mut each = BTreeMap::<TriggerName, Vec<Due>>::new();
    for one in due {
        each.entry(chat(&one).clone()).or_default().push(one);
    }
    each
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    fn name(number: usize) -> TriggerName {
        format!("chat-{number}").parse().unwrap()
    }

    #[tokio::test]
    async fn a_chat_that_hangs_is_left_out_and_the_others_go_on() {
        let mut under_way = UnderWay::default();
        let (hangs, until) = oneshot::channel::<()>();
        under_way.begin(name(0), async {
            let _ = until.await;
        });
        let (done, told) = oneshot::channel();
        under_way.begin(name(1), async {
            let _ = done.send(());
        });
        told.await.unwrap();
        while under_way.chats().len() > 1 {
            tokio::task::yield_now().await;
            under_way.forget_ended();
        }
        assert_eq!(under_way.chats(), [&name(0)]);
        drop(hangs);
        under_way.end().await;
    }

    #[tokio::test]
    async fn so_many_that_hang_are_enough() {
        let mut under_way = UnderWay::default();
        for number in 0..BATCHES_MAX {
            assert!(under_way.has_room());
            under_way.begin(name(number), std::future::pending());
        }
        under_way.forget_ended();
        assert!(!under_way.has_room());
        assert_eq!(under_way.chats().len(), BATCHES_MAX);
    }
}
