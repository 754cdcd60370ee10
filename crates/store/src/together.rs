//! Many small writes or reads made one: whoever comes while the database is busy with the last ones goes with the next. It
//! knows no SQL.
//!
//! Nobody waits for company: one that comes alone goes alone. An answer is as fresh as if each had asked alone, because
//! what answers it began after it was asked.

use std::{
    collections::VecDeque,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::{
    connect::timed,
    error::{Error, Result, corrupt},
};

/// Most that go in one statement: as many as are let in at a time.
const TOGETHER_MAX: usize = 64;
/// Statements of a kind that are under way at a time: while one waits for the disk, the next is made ready. What several
/// of them change is locked in one order.
const AT_A_TIME: usize = 2;
/// Most bytes that go in one statement, besides those of its first.
const BYTES_MAX: usize = 4 << 20;

struct Waiting<Item, Answer> {
    item: Item,
    bytes: usize,
    tell: oneshot::Sender<Result<Answer>>,
}

type Queue<Item, Answer> = Mutex<VecDeque<Waiting<Item, Answer>>>;

/// Where askers of one kind meet.
pub(crate) struct Together<Item, Answer> {
    queue: Queue<Item, Answer>,
    turns: Arc<Semaphore>,
}

impl<Item, Answer> Default for Together<Item, Answer> {
    fn default() -> Self {
        Self {
            queue: Mutex::default(),
            turns: Arc::new(Semaphore::new(AT_A_TIME)),
        }
    }
}

impl<Item, Answer> Together<Item, Answer>
where
    Item: Send + 'static,
    Answer: Send + 'static,
{
    /// Asks with whoever else waits. `perform` answers each of the items that it is given, in their order, and is finished
    /// also when the one who happened to start it has gone away: others wait for it.
    pub(crate) async fn ask<Performing>(
        &self,
        item: Item,
        bytes: usize,
        perform: impl FnOnce(Vec<Item>) -> Performing + Clone + Send + 'static,
    ) -> Result<Answer>
    where
        Performing: Future<Output = Vec<Result<Answer>>> + Send,
    {
        let (tell, told) = oneshot::channel();
        self.queue().push_back(Waiting { item, bytes, tell });
        let mut place = Place { all: self, told };
        loop {
            tokio::select! {
                biased;
                answer = &mut place.told => return answer.unwrap_or_else(|_| Err(broken_off())),
                Ok(turn) = Arc::clone(&self.turns).acquire_owned() => {
                    if !self.start(turn, perform.clone()) {
                        // Nobody waits: it is on its way with others.
                        break;
                    }
                }
            }
        }
        let answer = (&mut place.told).await;
        answer.unwrap_or_else(|_| Err(broken_off()))
    }

    /// Has those who waited longest answered, by a task of its own; whether there was anybody.
    fn start<Performing>(
        &self,
        turn: OwnedSemaphorePermit,
        perform: impl FnOnce(Vec<Item>) -> Performing + Send + 'static,
    ) -> bool
    where
        Performing: Future<Output = Vec<Result<Answer>>> + Send,
    {
        let (items, tells) = self.next();
        if items.is_empty() {
            return false;
        }
        tokio::spawn(async move {
            let answers = perform(items).await;
            drop(turn);
            for (tell, answer) in tells.into_iter().zip(answers) {
                // Whoever went away meanwhile needs no answer.
                let _ = tell.send(answer);
            }
        });
        true
    }

    fn next(&self) -> (Vec<Item>, Vec<oneshot::Sender<Result<Answer>>>) {
        let (mut queue, mut bytes) = (self.queue(), 0);
        let mut next = (Vec::new(), Vec::new());
        while let Some(waiting) = queue.pop_front() {
            bytes += waiting.bytes;
            if next.0.len() == TOGETHER_MAX || (bytes > BYTES_MAX && !next.0.is_empty()) {
                queue.push_front(waiting);
                break;
            }
            next.0.push(waiting.item);
            next.1.push(waiting.tell);
        }
        next
    }
}

impl<Item, Answer> Together<Item, Answer> {
    fn queue(&self) -> MutexGuard<'_, VecDeque<Waiting<Item, Answer>>> {
        // Nothing in here can be left half done.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn broken_off() -> Error {
    Error::Unavailable("the statement that it went with broke off".into())
}

/// Has all of them written in one statement; where one of them can not be written, each alone, so that it does not take the
/// others along. A database that is away is told to each.
pub(crate) async fn all_or_each<Item, Answer>(
    items: Vec<Item>,
    write: impl AsyncFn(&[Item]) -> Result<Vec<Answer>>,
) -> Vec<Result<Answer>> {
    match timed(write(&items)).await {
        Ok(answers) => answers.into_iter().map(Ok).collect(),
        Err(error) if items.len() == 1 => vec![Err(error)],
        Err(error) if error.passes() => items.iter().map(|_| Err(with_all(&error))).collect(),
        Err(_) => {
            let mut each = Vec::with_capacity(items.len());
            for item in items.chunks(1) {
                let answers = timed(write(item)).await;
                each.push(answers.and_then(|answers| {
                    let only = answers.into_iter().next();
                    only.ok_or_else(|| corrupt("statement", "it said nothing of its only row"))
                }));
            }
            each
        }
    }
}

/// What failed for all of them, told to one.
pub(crate) fn with_all(error: &Error) -> Error {
    Error::Unavailable(error.to_string().into())
}

/// Somebody's place. Whoever goes away takes along what was asked.
struct Place<'a, Item, Answer> {
    all: &'a Together<Item, Answer>,
    told: oneshot::Receiver<Result<Answer>>,
}

impl<Item, Answer> Drop for Place<'_, Item, Answer> {
    fn drop(&mut self) {
        self.told.close();
        self.all.queue().retain(|waiting| !waiting.tell.is_closed());
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use super::*;

    /// Doubles numbers, as soon as it may, and counts how often.
    #[derive(Clone)]
    struct Desk {
        may: Arc<Semaphore>,
        statements: Arc<AtomicUsize>,
        largest: Arc<AtomicUsize>,
    }

    impl Desk {
        fn new() -> Self {
            Self {
                may: Arc::new(Semaphore::new(0)),
                statements: Arc::default(),
                largest: Arc::default(),
            }
        }

        async fn double(self, items: Vec<usize>) -> Vec<Result<usize>> {
            self.statements.fetch_add(1, Ordering::SeqCst);
            self.largest.fetch_max(items.len(), Ordering::SeqCst);
            let _leave = self.may.acquire().await.unwrap();
            items.into_iter().map(|number| Ok(number * 2)).collect()
        }
    }

    fn asked(
        all: &Arc<Together<usize, usize>>,
        desk: &Desk,
        number: usize,
        bytes: usize,
    ) -> tokio::task::JoinHandle<Result<usize>> {
        let (all, desk) = (Arc::clone(all), desk.clone());
        tokio::spawn(async move {
            all.ask(number, bytes, move |items| desk.double(items))
                .await
        })
    }

    #[tokio::test]
    async fn who_comes_meanwhile_goes_with_the_next_and_each_has_its_own_answer() {
        let (all, desk) = (Arc::new(Together::default()), Desk::new());
        let mut askers: Vec<_> = (0..200)
            .map(|number| asked(&all, &desk, number, 1))
            .collect();
        tokio::task::yield_now().await;
        desk.may.add_permits(100);
        for (number, asker) in askers.drain(..).enumerate() {
            assert_eq!(asker.await.unwrap().unwrap(), number * 2);
        }
        let statements = desk.statements.load(Ordering::SeqCst);
        assert!((4..=10).contains(&statements), "{statements}");
        assert!(desk.largest.load(Ordering::SeqCst) <= TOGETHER_MAX);
        assert!(all.queue().is_empty());
    }

    #[tokio::test]
    async fn who_goes_away_spoils_nothing_for_others_and_leaves_nothing_behind() {
        let (all, desk) = (Arc::new(Together::default()), Desk::new());
        let first = asked(&all, &desk, 1, 1);
        tokio::task::yield_now().await;
        let beside = asked(&all, &desk, 9, 1);
        tokio::task::yield_now().await;
        let others: Vec<_> = (2..5).map(|number| asked(&all, &desk, number, 1)).collect();
        tokio::task::yield_now().await;
        // The first began a statement that is under way; the other waits for the next.
        first.abort();
        others[0].abort();
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(all.queue().len(), 2, "only those who still wait");
        desk.may.add_permits(10);
        assert_eq!(beside.await.unwrap().unwrap(), 18);
        for (number, asker) in (2..5).zip(others).skip(1) {
            assert_eq!(asker.await.unwrap().unwrap(), number * 2);
        }
    }

    #[tokio::test]
    async fn large_ones_go_in_several() {
        let (all, desk) = (Arc::new(Together::default()), Desk::new());
        let askers: Vec<_> = (0..9)
            .map(|number| asked(&all, &desk, number, BYTES_MAX / 2))
            .collect();
        tokio::task::yield_now().await;
        desk.may.add_permits(10);
        for asker in askers {
            asker.await.unwrap().unwrap();
        }
        assert!(desk.largest.load(Ordering::SeqCst) <= 2);
    }

    #[tokio::test]
    async fn a_statement_that_breaks_off_is_told_and_the_next_goes_on() {
        let all: Arc<Together<usize, usize>> = Arc::new(Together::default());
        let broken = all
            .ask(1, 1, |items| async move { panic!("{items:?}") })
            .await;
        assert!(matches!(broken, Err(Error::Unavailable(_))));
        let desk = Desk::new();
        desk.may.add_permits(1);
        assert_eq!(asked(&all, &desk, 3, 1).await.unwrap().unwrap(), 6);
    }
}
