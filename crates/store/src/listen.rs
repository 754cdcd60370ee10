//! Wake-ups from other processes. Polling is the truth: a lost notification costs a poll.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};

use crate::wake::{Topic, Wake};

/// How often the listener asks for a notification of its own: a half-open connection is silent for ever.
const SELF_TEST: Duration = Duration::from_secs(20);
/// How long its answer may take.
const SELF_TEST_TIME_MAX: Duration = Duration::from_secs(5);
/// How long to wait before connecting again.
const RECONNECT: Duration = Duration::from_secs(1);

/// Passes notifications of other processes on, for ever; connects again whenever the connection is gone.
/// The connection must be a direct one: `LISTEN` does not survive a pooler.
pub async fn listen(options: PgConnectOptions, wake: Wake) {
    loop {
        if let Err(error) = pass_on(&options, &wake).await {
            tracing::debug!(%error, "not listening to other processes; polling goes on");
        }
        // What was announced in the meantime is not known.
        wake.notify_all();
        tokio::time::sleep(RECONNECT).await;
    }
}

async fn pass_on(options: &PgConnectOptions, wake: &Wake) -> Result<(), sqlx::Error> {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(SELF_TEST_TIME_MAX)
        .connect_lazy_with(options.clone());
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.ignore_pool_close_event(true);
    listener.listen("sternway").await?;
    wake.notify_all();
    loop {
        match tokio::time::timeout(SELF_TEST, listener.try_recv()).await {
            Ok(Ok(Some(said))) => {
                if let Some(topic) = Topic::of(said.payload()) {
                    wake.notify(topic);
                }
            }
            Ok(Ok(None)) => wake.notify_all(),
            Ok(Err(error)) => return Err(error),
            Err(_) => {
                let tested = sqlx::query("select 1").execute(&mut listener);
                match tokio::time::timeout(SELF_TEST_TIME_MAX, tested).await {
                    Ok(answered) => answered.map(|_| ())?,
                    Err(_) => return Err(sqlx::Error::PoolTimedOut),
                }
            }
        }
    }
}
