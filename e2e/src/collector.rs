//! An OpenTelemetry collector: the real gRPC service, which keeps what it is
//! sent, for tests of what the daemons export.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// Where exporters send to if nobody says otherwise (the OpenTelemetry specification).
pub const DEFAULT_PORT: u16 = 4317;

/// One span, as far as tests look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// `service.name` of what made it.
    pub service: String,
    /// Its name.
    pub name: String,
}

/// A running collector; stopped on drop.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    spans: Arc<Mutex<Vec<Span>>>,
    serving: JoinHandle<()>,
}

impl Collector {
    /// Starts one on a loopback port; 0 = any.
    pub async fn start(port: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
        let listener = listener.with_context(|| format!("a collector on port {port}"))?;
        let (address, spans) = (listener.local_addr()?, Arc::default());
        let service = TraceServiceServer::new(Keeper { spans: Arc::clone(&spans) });
        let serving = tokio::spawn(async move {
            let incoming = TcpListenerStream::new(listener);
            // It ends when the runtime or this value does.
            let _ = Server::builder().add_service(service).serve_with_incoming(incoming).await;
        });
        Ok(Self { address, spans, serving })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All spans that have arrived.
    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

struct Keeper {
    spans: Arc<Mutex<Vec<Span>>>,
}

#[tonic::async_trait]
impl TraceService for Keeper {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let arrived = request.into_inner().resource_spans.into_iter().flat_map(of_resource);
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).extend(arrived);
        Ok(Response::new(ExportTraceServiceResponse { partial_success: None }))
    }
}

fn of_resource(resource: ResourceSpans) -> Vec<Span> {
    let attributes = resource.resource.map(|resource| resource.attributes).unwrap_or_default();
    let name = attributes.into_iter().find(|attribute| attribute.key == "service.name");
    let service = match name.and_then(|name| name.value?.value) {
        Some(Value::StringValue(service)) => service,
        _ => String::new(),
    };
    let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
    spans.map(|span| Span { service: service.clone(), name: span.name }).collect()
}
