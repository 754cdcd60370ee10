//! Shows in chats what persons there can decide on, and sends them their answers. A card is looked at, never remembered:
//! what is shown is what was true when it was last looked at. A chat that is away, or hangs, delays no card or
//! notice of another one; an answer waits for those that were taken with it.

mod notices;
mod under_way;

use std::time::Duration;

use domain::{
    chat::{
        SLACK,
        card::{Facts, Under, card},
        may_answer, slack,
    },
    trigger::{Kind, Mode, Trigger},
};
use futures_util::{StreamExt, future::join_all, stream};
use integrations::{Chats, Unposted};
use metrics::counter;
use serde_json::{Value, json};
use store::{ChatAnswer, DueCard, RollbackView, Shown, Store, Topic, Wake};
use tokio_util::sync::CancellationToken;

use self::under_way::{UnderWay, by_chat};
use crate::{clock, metric};

/// The truth is polled; a wake-up only saves the waiting.
const POLL: Duration = Duration::from_secs(1);
/// Wake-ups of many events at once are one look.
const GATHER: Duration = Duration::from_millis(150);
/// Messages on their way together.
const AT_ONCE: u32 = 8;
/// How long one is ours: a worker that dies leaves it to others this much later. A call takes 8 s at most.
const LEASE: Duration = Duration::from_secs(20);
/// How often one card is changed: Slack takes 50 changes a minute.
const CARD_EVERY: Duration = Duration::from_millis(1200);
/// The longest wait after a chat that is away, and after one that said no.
const AWAY_MAX: Duration = Duration::from_secs(10);
const REFUSED_MAX: Duration = Duration::from_secs(300);
/// For how long it is tried to show a card: nobody is helped by an older one.
const WORTH_S: i64 = 24 * 3600;
/// How often an answer is tried.
const ANSWER_TRIES_MAX: i32 = 8;

/// Sends answers until `shutdown`.
pub(crate) async fn answers(store: Store, chats: Chats, wake: Wake, shutdown: CancellationToken) {
    let mut wakes = wake.subscribe(Topic::Work);
    while !shutdown.is_cancelled() {
        match store.chat_answers_due(AT_ONCE, LEASE).await {
            Ok(due) => {
                let each: Vec<_> = due.iter().map(|due| answer(&store, &chats, due)).collect();
                stream::iter(each)
                    .buffer_unordered(AT_ONCE as usize)
                    .collect::<Vec<()>>()
                    .await;
            }
            Err(error) => tracing::warn!(%error, "can not read what is to be answered in chats"),
        }
        tokio::select! {
            () = wakes.woken() => {}
            () = tokio::time::sleep(POLL) => {}
            () = shutdown.cancelled() => {}
        }
    }
}

async fn answer(store: &Store, chats: &Chats, due: &ChatAnswer) {
    let base = due.trigger.settings.base_url.as_deref();
    let body = match due.trigger.kind == Kind::Slack {
        true => slack::answer(&due.text),
        false => json!({"response_type": "ephemeral", "text": due.text}),
    };
    // Looked at again: where the chat is may have been set anew since.
    let sent = match may_answer(base, &due.url) {
        true => chats.answer(&due.url, &body).await,
        false => Err(Unposted::Refused(
            "its address is not the chat's".to_owned(),
        )),
    };
    let trigger = &due.trigger.name;
    let outcome = sent.as_ref().err().map_or("sent", unposted);
    counter!(metric::CHAT_ANSWERS, "outcome" => outcome).increment(1);
    let noted = match sent {
        Ok(()) => store.chat_answer_done(due.id).await,
        Err(Unposted::Rest(rest)) => store.chat_answer_later(due.id, rest).await,
        Err(Unposted::Away(said)) if due.tries < ANSWER_TRIES_MAX => {
            tracing::warn!(%trigger, said, "an answer is sent again");
            let after = backoff(due.tries, AWAY_MAX);
            store.chat_answer_later(due.id, after).await
        }
        Err(error @ (Unposted::Away(_) | Unposted::Refused(_) | Unposted::Lost)) => {
            tracing::warn!(%trigger, %error, "an answer is not taken");
            store.chat_answer_done(due.id).await
        }
    };
    if let Err(error) = noted {
        tracing::warn!(%trigger, %error, "it was not noted that an answer was sent");
    }
}

/// Why a card is broken, on the card.
const BROKEN: &str = "taking it up broke off each time, which is told in the server's log";

/// Cards whose takers do not come back are shown as such.
async fn tell_broken(store: &Store) {
    match store.chat_cards_broken(BROKEN).await {
        Ok(0) => {}
        Ok(cards) => {
            counter!(metric::CHAT_BROKEN).increment(cards);
            tracing::error!(cards, "plans in chats were taken up and never asked for");
        }
        Err(error) => tracing::warn!(%error, "can not read which cards are taken for nothing"),
    }
}

/// Shows cards, and posts notices, until `shutdown`.
pub(crate) async fn cards(store: Store, chats: Chats, wake: Wake, shutdown: CancellationToken) {
    let (mut work, mut events) = (wake.subscribe(Topic::Work), wake.subscribe(Topic::Events));
    let (mut showing, mut telling) = (UnderWay::default(), UnderWay::default());
    while !shutdown.is_cancelled() {
        tell_broken(&store).await;
        turn(&store, &chats, &mut showing).await;
        notices::turn(&store, &chats, &mut telling).await;
        tokio::time::sleep(GATHER).await;
        tokio::select! {
            () = work.woken() => {}
            () = events.woken() => {}
            () = tokio::time::sleep(POLL) => {}
            () = shutdown.cancelled() => {}
        }
    }
    showing.end().await;
    telling.end().await;
}

/// Begins to show what is due, in each chat that nothing is being shown in.
async fn turn(store: &Store, chats: &Chats, showing: &mut UnderWay) {
    showing.forget_ended();
    // One look takes so many at most, which may all be of one chat: the next one is for the others.
    while showing.has_room() {
        match store.chat_cards_due(AT_ONCE, LEASE, &showing.chats()).await {
            Ok(due) if due.is_empty() => return,
            Ok(due) => {
                for (chat, due) in by_chat(due, |due: &DueCard| &due.card.trigger) {
                    showing.begin(chat, show_all(store.clone(), chats.clone(), due));
                }
            }
            Err(error) => {
                return tracing::warn!(%error, "can not read what is to be shown in chats");
            }
        }
    }
}

async fn show_all(store: Store, chats: Chats, due: Vec<DueCard>) {
    let each = due.iter().map(|due| show(&store, &chats, due));
    join_all(each).await;
}

/// Why a card is not shown.
enum Hindered {
    /// Our store is away: whoever takes it next tries again.
    Store(store::Error),
    /// The chat did not take it.
    Chat(Unposted),
    /// Nothing would ever show it.
    Never(&'static str),
    /// Somebody has to set something first.
    Unset(&'static str),
}

impl From<store::Error> for Hindered {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

impl From<Unposted> for Hindered {
    fn from(unposted: Unposted) -> Self {
        Self::Chat(unposted)
    }
}

async fn show(store: &Store, chats: &Chats, due: &DueCard) {
    let (id, trigger) = (due.card.id, &due.card.trigger);
    let again = |max| (due.age_s < WORTH_S).then(|| backoff(due.tries, max));
    let shown = shown(store, chats, due).await;
    let outcome = outcome(&shown, due.message.is_some());
    counter!(metric::CHAT_POSTS, "outcome" => outcome).increment(1);
    let noted = match shown {
        Ok(()) => return,
        Err(Hindered::Store(error)) => {
            return tracing::warn!(%trigger, %error, "a card is shown later");
        }
        Err(Hindered::Chat(Unposted::Rest(rest))) => store.chat_rest(trigger, rest).await,
        Err(Hindered::Chat(Unposted::Lost)) => store.chat_card_lost(id).await,
        Err(Hindered::Chat(Unposted::Away(said))) => {
            tracing::warn!(%trigger, said, "a card is not shown; trying again");
            store.chat_card_unshown(id, &said, again(AWAY_MAX)).await
        }
        Err(Hindered::Chat(Unposted::Refused(said))) => {
            tracing::error!(%trigger, said, "a chat does not take a card; trying again");
            store.chat_card_unshown(id, &said, again(REFUSED_MAX)).await
        }
        Err(Hindered::Unset(said)) => {
            tracing::warn!(%trigger, said, "a card can not be shown yet");
            store.chat_card_unshown(id, said, again(REFUSED_MAX)).await
        }
        Err(Hindered::Never(said)) => store.chat_card_unshown(id, said, None).await,
    };
    if let Err(error) = noted {
        tracing::warn!(%trigger, %error, "it was not noted why a card is not shown");
    }
}

/// What came of showing something, in the words of the metrics.
fn outcome(shown: &Result<(), Hindered>, before: bool) -> &'static str {
    match shown {
        Ok(()) if before => "changed",
        Ok(()) => "posted",
        Err(Hindered::Chat(why)) => unposted(why),
        Err(Hindered::Store(_)) => "store_away",
        Err(Hindered::Unset(_)) => "unset",
        Err(Hindered::Never(_)) => "never",
    }
}

async fn shown(store: &Store, chats: &Chats, due: &DueCard) -> Result<(), Hindered> {
    let (made, chat) = (&due.card, &due.chat);
    if due.removed || chat.mode == Mode::Off {
        return Err(Hindered::Never("its chat is off"));
    }
    let Some(channel) = &made.channel else {
        return Err(Hindered::Never("it has no channel"));
    };
    let Some(token) = store.chat_bot(&made.trigger).await? else {
        return Err(Hindered::Unset("its chat has no token yet"));
    };
    let plan = match store.plan_get(&made.plan).await {
        Err(store::Error::NotFound(_)) => return Err(Hindered::Never("its plan is cleared away")),
        found => found?,
    };
    let view: Option<RollbackView> = match made.rollback {
        Some(rollback) => Some(store.rollback_get(rollback).await?),
        None => None,
    };
    let now = card(&Facts {
        card: made.id,
        occasion: made.occasion,
        plan: &plan,
        known: &made.known,
        asked_by: &made.asked_by,
        state: made.state,
        said: made.said.as_deref(),
        until: made.until,
        under: view.as_ref().map(|view| Under {
            id: view.id,
            run: &view.run,
            requested_by: &view.requested_by,
        }),
        may_act: chat.mode == Mode::Propose,
        now: clock::now(),
    });
    let message = slack::message(&now);
    let posted = post(
        chats,
        chat,
        &token,
        channel,
        due.message.as_deref(),
        &message,
    )
    .await?;
    store
        .chat_card_shown(&Shown {
            card: made.id,
            message: &posted,
            revision: made.revision,
            seq: view.map_or(0, |view| view.seq),
            last: now.last,
            again: CARD_EVERY,
        })
        .await?;
    Ok(())
}

/// The message that shows it from now on.
async fn post(
    chats: &Chats,
    chat: &Trigger,
    token: &str,
    channel: &str,
    former: Option<&str>,
    message: &Value,
) -> Result<String, Unposted> {
    let base = chat.settings.base_url.as_deref().unwrap_or(SLACK);
    match former {
        Some(ts) => {
            chats.update(base, token, channel, ts, message).await?;
            Ok(ts.to_owned())
        }
        None => chats.post(base, token, channel, message).await,
    }
}

/// Why a chat did not take something, in the words of the metrics.
fn unposted(why: &Unposted) -> &'static str {
    match why {
        Unposted::Rest(_) => "rest",
        Unposted::Away(_) => "away",
        Unposted::Refused(_) => "refused",
        Unposted::Lost => "lost",
    }
}

/// One second, two, four and so on.
fn backoff(tries: i32, max: Duration) -> Duration {
    let doublings = u32::try_from(tries.clamp(1, 16) - 1).unwrap_or(0);
    Duration::from_secs(1 << doublings).min(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_have_an_end() {
        let waits = [0, 1, 2, 3, 6, 40].map(|tries| backoff(tries, AWAY_MAX).as_secs());
        assert_eq!(waits, [1, 1, 2, 4, 10, 10]);
    }
}
