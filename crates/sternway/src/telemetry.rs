//! Logs on stderr and, where a collector is named, traces over OTLP. It knows nothing of what is logged.
//!
//! The trap that it answers: the exporter's HTTP client brings a runtime of its own, which panics when it is
//! made or dropped on a thread of ours that runs async code. So both happen on threads made for it.

use std::{io::IsTerminal as _, time::Duration};

use opentelemetry::{KeyValue, trace::TracerProvider as _};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::Targets,
    fmt::{self, MakeWriter},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

#[cfg(test)]
mod tests;

/// A collector that hangs may hold up our end no longer than this.
const FLUSH_MAX: Duration = Duration::from_secs(3);

/// What sends the spans must not make spans: each batch would bring the next.
const EXPORTER_TARGETS: [&str; 5] = ["opentelemetry", "reqwest", "hyper", "h2", "tower"];

/// Why nothing can be logged as asked, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `STERNWAY_LOG` is not a filter.
    #[error(
        "STERNWAY_LOG=`{filter}` is not a log filter: {why}; write for example `info` or `info,sternway=debug`"
    )]
    Filter {
        /// What was set.
        filter: String,
        /// What is wrong with it.
        why: String,
    },
    /// The exporter cannot be made.
    #[error(
        "traces cannot be sent to `{endpoint}`: {why}; correct OTEL_EXPORTER_OTLP_ENDPOINT (for example `http://collector:4318`) or unset it"
    )]
    Exporter {
        /// Where to.
        endpoint: String,
        /// What is wrong.
        why: String,
    },
    /// Something in this process logs already.
    #[error("the logs of this process were set up twice")]
    Twice,
}

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line, for machines.
    Json,
    /// For a person at a terminal.
    Human,
}

/// What is logged, how, and where the traces go.
#[derive(Clone, Debug)]
pub struct Settings {
    /// As `info,sternway=debug`.
    pub filter: String,
    /// How lines look.
    pub format: Format,
    /// Full URL that spans are posted to; `None`: no traces.
    pub traces: Option<String>,
    /// Our name in the traces.
    pub service: String,
}

impl Settings {
    /// As the environment says; `filter` is for when it says nothing.
    #[must_use]
    pub fn of_process(filter: &str) -> Self {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let base = set("OTEL_EXPORTER_OTLP_ENDPOINT").map(|base| traces_of(&base));
        Self {
            filter: set("STERNWAY_LOG").unwrap_or_else(|| filter.to_owned()),
            format: if std::io::stderr().is_terminal() {
                Format::Human
            } else {
                Format::Json
            },
            // OpenTelemetry's own rules: the variable for traces alone is used as it stands.
            traces: set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").or(base),
            service: set("OTEL_SERVICE_NAME").unwrap_or_else(|| "sternway".into()),
        }
    }
}

/// Where a collector takes traces.
#[must_use]
pub fn traces_of(collector: &str) -> String {
    format!("{}/v1/traces", collector.trim_end_matches('/'))
}

/// Held until the end of `main`; its end sends the spans that still wait.
#[derive(Debug)]
#[must_use = "dropping it stops the traces"]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

impl Drop for Telemetry {
    /// Sends what waits, for at most three seconds.
    fn drop(&mut self) {
        let Some(provider) = self.provider.take() else {
            return;
        };
        let flushed = std::thread::spawn(move || provider.shutdown_with_timeout(FLUSH_MAX)).join();
        if let Ok(Err(error)) = flushed {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}

/// Sets up this process's logs and traces.
///
/// # Errors
/// See [`TelemetryError`].
pub fn start(settings: &Settings) -> Result<Telemetry, TelemetryError> {
    let (subscriber, telemetry) = build(settings, std::io::stderr)?;
    subscriber.try_init().map_err(|_| TelemetryError::Twice)?;
    Ok(telemetry)
}

fn build<W>(
    settings: &Settings,
    writer: W,
) -> Result<(impl Subscriber + Send + Sync + use<W>, Telemetry), TelemetryError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder()
        .parse(&settings.filter)
        .map_err(|error| TelemetryError::Filter {
            filter: settings.filter.clone(),
            why: error.to_string(),
        })?;
    let lines = match settings.format {
        // Flat, with the span's fields beside: a rollback's id is on every line of its run.
        Format::Json => fmt::layer()
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .with_writer(writer)
            .boxed(),
        Format::Human => fmt::layer()
            .with_target(false)
            .with_ansi(true)
            .with_writer(writer)
            .boxed(),
    };
    let provider = settings
        .traces
        .as_deref()
        .map(|endpoint| tracer_provider(endpoint, &settings.service))
        .transpose()?;
    let spans = provider.as_ref().map(|provider| {
        let quiet = EXPORTER_TARGETS.map(|target| (target, LevelFilter::OFF));
        let wanted = Targets::new()
            .with_default(LevelFilter::INFO)
            .with_targets(quiet);
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("sternway"))
            .with_filter(wanted)
    });
    let subscriber = Registry::default()
        .with(lines.with_filter(filter))
        .with(spans);
    Ok((subscriber, Telemetry { provider }))
}

fn tracer_provider(endpoint: &str, service: &str) -> Result<SdkTracerProvider, TelemetryError> {
    // The client wants a crypto provider even for plain HTTP. Somebody else's choice stands.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let failed = |why: String| TelemetryError::Exporter {
        endpoint: endpoint.to_owned(),
        why,
    };
    let goal = endpoint.to_owned();
    let built = std::thread::spawn(move || {
        SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(goal)
            .build()
    });
    let exporter = built
        .join()
        .map_err(|_| failed("its client panicked".into()))?
        .map_err(|error| failed(error.to_string()))?;
    let resource = Resource::builder()
        .with_service_name(service.to_owned())
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    Ok(SdkTracerProvider::builder()
        .with_resource(resource)
        .with_batch_exporter(exporter)
        .build())
}
