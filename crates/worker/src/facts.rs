//! What metrics and probes say to the runbook's questions, for somebody who decides. They are asked, and nothing is done.

use std::time::Duration;

use domain::{
    application::Application, engine_look::EngineLook, name::ApplicationName, triage::Evidence,
    triage::facts,
};

use crate::{
    clock,
    eyes::{Asked, PROBE_LIMIT},
    world::Real,
};

/// How long a metric may take: Prometheus answers in milliseconds, and somebody waits.
const METRIC_LIMIT: Duration = Duration::from_secs(2);
/// How long the engine may take to say what runs; then only the front is asked.
const ENGINE_LIMIT: Duration = Duration::from_secs(2);

/// All that can be asked, at once.
pub(crate) async fn find(real: &Real, name: &ApplicationName) -> Result<Vec<Evidence>, String> {
    let (application, _) = real
        .store
        .application_get(name)
        .await
        .map_err(|error| error.to_string())?;
    let (readings, down) = tokio::join!(
        real.prober.measure(&application.metrics, METRIC_LIMIT),
        down(real, &application)
    );
    let at = clock::now();
    let measured = application.metrics.iter().zip(&readings);
    let mut found: Vec<Evidence> = measured
        .map(|(metric, reading)| facts::by_metric(metric, reading, at))
        .collect();
    found.extend(down?);
    Ok(found)
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
