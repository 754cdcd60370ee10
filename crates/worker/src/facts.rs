//! What metrics and probes say to the runbook's questions, for somebody who decides. They are asked, and nothing is done.

use std::time::Duration;

use domain::{
    application::Application,
    engine_look::EngineLook,
    metric::{Metric, Reading},
    name::ApplicationName,
    triage::{Evidence, facts},
};
use tokio::time::{Instant, timeout_at};

use crate::{
    clock,
    eyes::{Asked, PROBE_LIMIT},
    world::Real,
};

/// How long a metric may take: Prometheus answers in milliseconds, and somebody waits.
const METRIC_LIMIT: Duration = Duration::from_secs(2);
/// How long the engine may take to say what runs; then only the front is asked.
const ENGINE_LIMIT: Duration = Duration::from_secs(2);

/// How long metrics, and the engine with the probes, may take in all: many replicas are asked one after the other. Whoever
/// asked waits for 5 s, and an inquiry is answered within 4.
const SOURCE_LIMIT: Duration = Duration::from_millis(3500);

/// All that can be asked, at once.
pub(crate) async fn find(real: &Real, name: &ApplicationName) -> Result<Vec<Evidence>, String> {
    let until = Instant::now() + SOURCE_LIMIT;
    let (application, _) = real
        .store
        .application_get(name)
        .await
        .map_err(|error| error.to_string())?;
    // Boxed: each is large, and all that is asked of a worker would be as large as both.
    let readings = Box::pin(
        real.prober
            .measure(&application.metrics, METRIC_LIMIT, clock::now()),
    );
    let down = Box::pin(down(real, &application));
    Ok(gather(&application.metrics, until, readings, down).await)
}

/// What each source says. One that is late or can not be asked says so, and loses nothing that the other found.
async fn gather(
    metrics: &[Metric],
    until: Instant,
    readings: impl Future<Output = Vec<Reading>>,
    down: impl Future<Output = Result<Option<Evidence>, String>>,
) -> Vec<Evidence> {
    let (readings, down) = tokio::join!(timeout_at(until, readings), timeout_at(until, down));
    let at = clock::now();
    let late = format!("there was no answer of all of them within {SOURCE_LIMIT:?}");
    let silent = |metric: &Metric| metric.silent(&late);
    let readings = readings.unwrap_or_else(|_| metrics.iter().map(silent).collect());
    let measured = metrics.iter().zip(&readings);
    let mut found: Vec<Evidence> = measured
        .map(|(metric, reading)| facts::by_metric(metric, reading, at))
        .collect();
    match down.unwrap_or_else(|_| Err(late.clone())) {
        Ok(said) => found.extend(said),
        Err(why) => found.push(facts::by_no_probe(&why, at)),
    }
    found
}

/// Whether it is completely down, where it has probes.
async fn down(real: &Real, application: &Application) -> Result<Option<Evidence>, String> {
    if !facts::has_probes(application) {
        return Ok(None);
    }
    let looking = real.engine_look(application, Asked::default(), false);
    let look: Result<EngineLook, String> = match tokio::time::timeout(ENGINE_LIMIT, looking).await {
        Ok(looked) => looked.map_err(|away| away.to_string())?,
        Err(_) => Err(format!("the engine did not answer within {ENGINE_LIMIT:?}")),
    };
    let questions = facts::questions(application, look.as_ref().ok());
    let answers = real.prober.ask(&questions, PROBE_LIMIT).await;
    let look = look.as_ref().map_err(String::as_str);
    Ok(Some(facts::by_probes(
        application,
        look,
        &answers,
        clock::now(),
    )))
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use domain::{
        time::Moment,
        triage::{Question, Said},
    };
    use serde_json::json;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_one_source_found_is_told_though_the_other_is_late_or_broken() {
        let metric = json!({"name": "m", "url": "http://p", "query": "x", "question": "many_users", "above": 0});
        let metrics: [Metric; 1] = [serde_json::from_value(metric).unwrap()];
        let yes = || Reading {
            said: Said::Yes,
            note: "m: 1, above 0".to_owned(),
        };
        let up = || facts::by_no_probe("x", Moment::from_unix_ms(0));
        let until = || Instant::now() + SOURCE_LIMIT;
        let said = |found: &[Evidence]| -> Vec<(Question, Said, String)> {
            let said = |one: &Evidence| (one.question, one.said, one.note.clone().unwrap());
            found.iter().map(said).collect()
        };
        let many = |said: Said, note: &str| (Question::ManyUsers, said, note.to_owned());
        let down = |note: &str| (Question::Down, Said::Unknown, note.to_owned());
        let began = Instant::now();
        let found = gather(&metrics, until(), ready(vec![yes()]), pending()).await;
        let late = "there was no answer of all of them within 3.5s";
        assert_eq!(
            said(&found),
            [
                many(Said::Yes, "m: 1, above 0"),
                down(&format!("checks: {late}"))
            ]
        );
        assert_eq!(began.elapsed().as_secs(), SOURCE_LIMIT.as_secs());
        let found = gather(&metrics, until(), pending(), ready(Ok(Some(up())))).await;
        assert_eq!(
            said(&found),
            [
                many(Said::Unknown, &format!("m: {late}")),
                down("checks: x")
            ]
        );
        let broken = ready(Err("the store is away".to_owned()));
        let found = gather(&metrics, until(), ready(vec![yes()]), broken).await;
        assert_eq!(said(&found)[0].1, Said::Yes);
        assert_eq!(said(&found)[1], down("checks: the store is away"));
        let found = gather(&[], until(), ready(Vec::new()), ready(Ok(None))).await;
        assert_eq!(found, [], "without probes nothing is said of them");
    }
}
