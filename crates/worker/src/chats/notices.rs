//! Posts notices: what persons are told of without a plan. Like a card, one is posted and then written down as posted, so it
//! is never missing; it stands twice when whoever posted it was killed in between.

use std::time::Duration;

use domain::{chat::slack, trigger::Mode};
use futures_util::future::join_all;
use integrations::{Chats, Unposted};
use metrics::counter;
use store::{DueNotice, Store};

use super::{
    AT_ONCE, AWAY_MAX, CARD_EVERY, Hindered, LEASE, REFUSED_MAX, WORTH_S, backoff, outcome, post,
    under_way::{UnderWay, by_chat},
};
use crate::metric;

/// For how long a notice waits for the token of a chat: whoever sets a chat up is told of the last hour, and not of what
/// somebody took care of long ago.
const UNSET_WORTH_S: i64 = 3600;
/// Why a notice is given up, in its row.
const BEHIND: &str = "too many wait";
const OLD: &str = "nobody is helped by one of yesterday";

/// Begins to post what is due, in each chat that nothing is being posted in.
pub(super) async fn turn(store: &Store, chats: &Chats, telling: &mut UnderWay) {
    match store.chat_notices_behind(BEHIND).await {
        Ok(0) => {}
        Ok(notices) => {
            counter!(metric::CHAT_POSTS, "outcome" => "behind").increment(notices);
            tracing::error!(notices, "a chat is too far behind: notices are given up");
        }
        Err(error) => tracing::warn!(%error, "can not read how far behind chats are"),
    }
    telling.forget_ended();
    while telling.has_room() {
        match store
            .chat_notices_due(AT_ONCE, LEASE, &telling.chats())
            .await
        {
            Ok(due) if due.is_empty() => return,
            Ok(due) => {
                for (chat, due) in by_chat(due, |due: &DueNotice| &due.chat.name) {
                    telling.begin(chat, show_all(store.clone(), chats.clone(), due));
                }
            }
            Err(error) => {
                return tracing::warn!(%error, "can not read what is to be told in chats");
            }
        }
    }
}

async fn show_all(store: Store, chats: Chats, due: Vec<DueNotice>) {
    let each = due.iter().map(|due| show(&store, &chats, due));
    join_all(each).await;
}

async fn show(store: &Store, chats: &Chats, due: &DueNotice) {
    let (id, trigger) = (due.id, &due.chat.name);
    let again =
        |worth, max| -> Option<Duration> { (due.age_s < worth).then(|| backoff(due.tries, max)) };
    let shown = shown(store, chats, due).await;
    let outcome = outcome(&shown, due.message.is_some());
    counter!(metric::CHAT_POSTS, "outcome" => outcome).increment(1);
    let (said, again) = match shown {
        Ok(()) => return,
        Err(Hindered::Store(error)) => {
            return tracing::warn!(%trigger, %error, "a notice is shown later");
        }
        Err(Hindered::Chat(Unposted::Rest(rest))) => {
            if let Err(error) = store.chat_rest(trigger, rest).await {
                tracing::warn!(%trigger, %error, "it was not noted that a chat asked for rest");
            }
            return;
        }
        // Somebody took it out of the channel: it was read.
        Err(Hindered::Chat(Unposted::Lost)) => ("its message was removed".to_owned(), None),
        Err(Hindered::Chat(Unposted::Away(said))) => {
            tracing::warn!(%trigger, said, "a notice is not shown; trying again");
            (said, again(WORTH_S, AWAY_MAX))
        }
        Err(Hindered::Chat(Unposted::Refused(said))) => {
            tracing::error!(%trigger, said, "a chat does not take a notice; trying again");
            (said, again(WORTH_S, REFUSED_MAX))
        }
        Err(Hindered::Unset(said)) => {
            tracing::warn!(%trigger, said, "a notice can not be shown yet");
            (said.to_owned(), again(UNSET_WORTH_S, REFUSED_MAX))
        }
        Err(Hindered::Never(said)) => (said.to_owned(), None),
    };
    if let Err(error) = store.chat_notice_unshown(id, &said, again).await {
        tracing::warn!(%trigger, %error, "it was not noted why a notice is not shown");
    }
}

async fn shown(store: &Store, chats: &Chats, due: &DueNotice) -> Result<(), Hindered> {
    if due.removed || due.chat.mode == Mode::Off {
        return Err(Hindered::Never("its chat is off"));
    }
    if due.age_s >= WORTH_S {
        return Err(Hindered::Never(OLD));
    }
    // What is there was true when it was posted. What was never posted calls nobody for what is over.
    if due.message.is_none()
        && let Some(over) = store.chat_notice_over(due).await?
    {
        return Err(Hindered::Never(over));
    }
    let Some(token) = store.chat_bot(&due.chat.name).await? else {
        return Err(Hindered::Unset("its chat has no token yet"));
    };
    let message = slack::message(&due.notice.card(due.more));
    let former = due.message.as_deref();
    let posted = post(chats, &due.chat, &token, &due.channel, former, &message).await?;
    store
        .chat_notice_shown(due.id, &posted, due.revision, CARD_EVERY)
        .await?;
    Ok(())
}
