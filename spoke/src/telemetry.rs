//! Logs to stderr, and traces to an OTLP collector when one is configured.

use std::io::IsTerminal;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// The variables of the OpenTelemetry specification that turn the exporter on; without one there is none.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// Why telemetry cannot start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The log level or filter is none.
    #[error("error[RW1007]: log level is not error, warn, info, debug, trace or a filter")]
    Filter(#[source] tracing_subscriber::filter::ParseError),
    /// The trace exporter cannot be built.
    #[error("error[RW1008]: the OTLP exporter cannot be built")]
    Exporter(#[source] opentelemetry_otlp::ExporterBuildError),
    /// A second initialisation.
    #[error("logging is already set up")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

/// Keeps the exporter alive; dropping it flushes what is left.
#[derive(Debug, Default)]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(provider) = self.provider.take()
            && let Err(error) = provider.shutdown()
        {
            // Logging may be part of what fails here.
            eprintln!("traces were lost at shutdown: {error}");
        }
    }
}

/// Sets up logging at `level`: text on a terminal, JSON elsewhere. Call it inside the tokio runtime.
pub fn init(level: &str) -> Result<Telemetry, TelemetryError> {
    let filter = EnvFilter::try_new(level).map_err(TelemetryError::Filter)?;
    let terminal = std::io::stderr().is_terminal();
    let text = terminal.then(|| tracing_subscriber::fmt::layer().with_writer(std::io::stderr));
    let json = (!terminal)
        .then(|| tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(std::io::stderr));
    let provider = tracer()?;
    // The exporter's own client must not be traced, or each export would cause the next.
    let traced = EnvFilter::new("rimward_spoke=debug");
    let traces = provider.as_ref().map(|provider| {
        tracing_opentelemetry::layer().with_tracer(provider.tracer("rimward-spoke")).with_filter(traced)
    });
    tracing_subscriber::registry()
        .with(traces)
        .with(text.with_filter(filter.clone()))
        .with(json.with_filter(filter))
        .try_init()
        .map_err(TelemetryError::Twice)?;
    Ok(Telemetry { provider })
}

fn tracer() -> Result<Option<SdkTracerProvider>, TelemetryError> {
    let configured = |name: &&str| std::env::var(name).is_ok_and(|value| !value.is_empty());
    if !ENDPOINTS.iter().any(configured) {
        return Ok(None);
    }
    let exporter =
        opentelemetry_otlp::SpanExporter::builder().with_tonic().build().map_err(TelemetryError::Exporter)?;
    let resource = Resource::builder().with_service_name("rimward-spoke").build();
    Ok(Some(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build()))
}
