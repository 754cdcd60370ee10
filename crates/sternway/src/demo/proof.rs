//! The end of the demo's story: what is claimed is asked of the application itself, and watched.

use std::time::Instant;

use serde_json::Value;

use super::{
    story::{GOOD, GOOD_LIMIT, LOOK_AGAIN, WATCH_WINDOW_S, answer, surprise},
    summary::Story,
    traffic::{self, Traffic},
};
use crate::{
    client::{Client, answers::PhaseWord, problem::Failure},
    out::Out,
};

/// Asks the application, not Sternway.
pub(super) async fn prove(base: &str, out: &Out) -> Result<(), Failure> {
    let http = traffic::http()?;
    let unreachable =
        |error: reqwest::Error| surprise(&format!("the application does not answer: {error}"));
    let said: Value = http
        .get(format!("{base}/api/version"))
        .send()
        .await
        .map_err(unreachable)?
        .json()
        .await
        .map_err(unreachable)?;
    let version = said["version"].as_str().unwrap_or("nothing").to_owned();
    let status = http
        .get(format!("{base}/"))
        .send()
        .await
        .map_err(unreachable)?
        .status();
    if version != GOOD || status.as_u16() != 200 {
        return Err(surprise(&format!(
            "the proof failed: /api/version says {version}, GET / answers {status}"
        )));
    }
    out.say(&format!(
        "     {}",
        out.talk.good(&format!(
            "GET {base}/api/version says {version}; GET {base}/ answers {status}"
        ))
    ));
    Ok(())
}

/// Waits for the end of the watch window and counts what the client saw.
pub(super) async fn settle(
    api: &Client,
    story: &mut Story,
    traffic: &Traffic,
    out: &Out,
) -> Result<(), Failure> {
    out.say(&format!(
        "     watching its probes for {WATCH_WINDOW_S} s ..."
    ));
    let id = story.rollback.id;
    let begin = Instant::now();
    while story.rollback.phase != PhaseWord::Ended && begin.elapsed() < GOOD_LIMIT {
        tokio::time::sleep(LOOK_AGAIN).await;
        story.rollback = answer(api, id, "").await?;
    }
    story.rollback = answer(api, id, "?verify=true").await?;
    if story.rollback.good != Some(true) {
        let why = story
            .rollback
            .cause
            .as_ref()
            .map_or(String::new(), |cause| format!(": {}", cause.sentence));
        return Err(surprise(&format!(
            "{GOOD} should have stayed green through its watch window{why}"
        )));
    }
    if story.rollback.log.intact != Some(true) {
        return Err(surprise("the rollback's log is not what was written"));
    }
    story.outage = traffic.outage(story.asked);
    story.first_good = story
        .first_good
        .or_else(|| traffic.first_good(story.asked).map(|at| at - story.asked));
    let proof = story.first_good.map_or(begin, |after| story.asked + after);
    story.after = traffic.counts(proof);
    Ok(())
}
