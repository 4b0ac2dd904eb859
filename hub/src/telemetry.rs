//! Logs to stderr, and traces to an OTLP collector when one is configured.

use std::io::IsTerminal;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::config::{LogFormat, Otlp};

/// The variables of the OpenTelemetry specification that turn the exporter on; they win over the file.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// Why telemetry cannot start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The log level or filter is none.
    #[error("error[RW1007]: the log level is not error, warn, info, debug, trace or a filter")]
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

/// Sets up logging. Call it inside the tokio runtime.
pub fn init(level: &str, format: LogFormat, otlp: &Otlp) -> Result<Telemetry, TelemetryError> {
    let filter = EnvFilter::try_new(level).map_err(TelemetryError::Filter)?;
    let as_text = match format {
        LogFormat::Auto => std::io::stderr().is_terminal(),
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let text = as_text.then(|| tracing_subscriber::fmt::layer().with_writer(std::io::stderr));
    let json = (!as_text)
        .then(|| tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(std::io::stderr));
    let provider = tracer(otlp)?;
    // The exporter's own client must not be traced, or each export would cause the next.
    let traced = EnvFilter::new("rimward_hub=debug");
    let traces = provider.as_ref().map(|provider| {
        tracing_opentelemetry::layer().with_tracer(provider.tracer("rimward-hub")).with_filter(traced)
    });
    tracing_subscriber::registry()
        .with(traces)
        .with(text.with_filter(filter.clone()))
        .with(json.with_filter(filter))
        .try_init()
        .map_err(TelemetryError::Twice)?;
    Ok(Telemetry { provider })
}

fn tracer(otlp: &Otlp) -> Result<Option<SdkTracerProvider>, TelemetryError> {
    let environment = ENDPOINTS.iter().any(|name| std::env::var(name).is_ok_and(|value| !value.is_empty()));
    if !environment && otlp.endpoint.is_empty() {
        return Ok(None);
    }
    let builder = opentelemetry_otlp::SpanExporter::builder().with_tonic();
    let builder = if environment { builder } else { builder.with_endpoint(&otlp.endpoint) };
    let exporter = builder.build().map_err(TelemetryError::Exporter)?;
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(otlp.sample)));
    let resource = Resource::builder().with_service_name("rimward-hub").build();
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource);
    Ok(Some(provider.with_sampler(sampler).build()))
}
