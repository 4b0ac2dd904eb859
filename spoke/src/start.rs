//! Putting the parts together, in the order of what depends on what: listener,
//! API server, identity, stored state, and then the loop and the session.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::args::Args;
use crate::cluster::client::Connection;
use crate::cluster::watch::Watches;
use crate::config::SpokeConfig;
use crate::core::event::Following;
use crate::core::{Effect, Started, State};
use crate::identify::{self, Begun};
use crate::metrics::{self, Metrics};
use crate::outbox::Outbox;
use crate::reconcile::effects::{Executor, ca_bundle};
use crate::reconcile::limiter::Limiter;
use crate::reconcile::{Facts, INPUTS, Input, Reconciler};
use crate::reload::Reload;
use crate::run::{RunError, dialer};
use crate::session::dial::Dialer;
use crate::session::fetch::Fetcher;
use crate::session::link::Link;
use crate::store::held::HeldStore;
use crate::store::ledger::LedgerStore;

/// What exists before the API server was reached.
pub struct Parts {
    config: Arc<ArcSwap<SpokeConfig>>,
    dialer: Dialer,
    connection: Connection,
    content: Arc<rimward_content::Store>,
    held: HeldStore,
    metrics: Arc<Metrics>,
    reload: Reload,
    boot_id: String,
    following: Following,
    stop: CancellationToken,
}

impl Parts {
    /// Opens everything that does not need the API server.
    pub async fn new(
        args: &Args,
        config: SpokeConfig,
        data: &Path,
        stop: CancellationToken,
    ) -> Result<Self, RunError> {
        let connection = Connection::new(config.kubeconfig.as_deref()).await?;
        let metrics = Arc::new(Metrics::new());
        metrics.tick();
        if !config.metrics.is_empty() {
            let listen = |source| RunError::Listen { address: config.metrics.clone(), source };
            let listener = tokio::net::TcpListener::bind(&config.metrics).await.map_err(listen)?;
            tokio::spawn(metrics::serve(listener, metrics.clone(), connection.clone(), stop.clone()));
        }
        let dialer = dialer(&config)?;
        let config = Arc::new(ArcSwap::from_pointee(config));
        Ok(Self {
            dialer,
            content: Arc::new(rimward_content::Store::open(data.join("content"))?),
            held: HeldStore::new(data),
            reload: Reload::new(args, config.clone(), metrics.clone()),
            boot_id: uuid::Uuid::now_v7().to_string(),
            following: args.following(),
            config,
            connection,
            metrics,
            stop,
        })
    }

    /// Runs until stopped.
    pub async fn serve(self) -> Result<(), RunError> {
        let begin = async {
            let begun = identify::begin(&self.identifying()).await?;
            let ledger = LedgerStore::new(self.connection.clone(), &self.config.load().namespace);
            let entries = identify::until_reachable(&self.metrics, || ledger.load()).await?;
            Ok::<_, RunError>((begun, ledger, entries))
        };
        let Some(begun) = self.stop.run_until_cancelled(begin).await else { return Ok(()) };
        let (begun, ledger, entries) = begun?;
        let started = Started {
            boot_id: self.boot_id.clone(),
            cluster: begun.identity.cluster.clone(),
            cluster_uid: begun.facts.cluster_uid.clone(),
            trust_domain: begun.identity.trust_domain.clone(),
            trust: begun.trust.clone(),
            ledger: entries,
            plan: self.held.plan(),
            baselines: self.held.baselines(),
            discovery: None,
            settings: self.config.load().settings(),
            following: self.following,
        };
        let (state, first) = State::start(started, jiff::Timestamp::now()).map_err(RunError::Root)?;
        self.connect(begun, ledger).run(state, first).await
    }

    fn identifying(&self) -> identify::Identifying {
        identify::Identifying {
            connection: self.connection.clone(),
            config: self.config.load_full(),
            dialer: self.dialer.clone(),
            metrics: self.metrics.clone(),
            boot_id: self.boot_id.clone(),
        }
    }

    /// Ties loop, session and stores together.
    fn connect(self, begun: Begun, ledger: LedgerStore) -> Running {
        let Begun { facts, identity, trust, secret } = begun;
        let (inputs, receiver) = mpsc::channel(INPUTS);
        let (bundle, bundle_seen) = watch::channel(ca_bundle(&trust.root).unwrap_or_default());
        let channel = Arc::new(watch::channel(None).0);
        let outbox = Arc::new(Outbox::default());
        let apply = self.config.load().apply;
        let executor = Arc::new(Executor {
            connection: self.connection.clone(),
            plurals: Arc::default(),
            content: self.content.clone(),
            held: self.held,
            secret: secret.clone(),
            ledger,
            fetcher: Fetcher::new(channel.subscribe(), self.content),
            limiter: Arc::new(Limiter::new(apply.qps, apply.burst)),
            metrics: self.metrics.clone(),
            inputs: inputs.clone(),
            ca_bundle: bundle,
            other_writer: CancellationToken::new(),
        });
        let link = Link {
            dialer: self.dialer,
            config: self.config,
            identity,
            secret,
            ca_bundle: bundle_seen,
            inputs: inputs.clone(),
            outbox: outbox.clone(),
            channel,
            metrics: self.metrics.clone(),
        };
        let watches = Watches::new(self.connection, executor.plurals.clone(), inputs.clone());
        Running {
            facts,
            inputs,
            receiver,
            executor,
            link,
            watches,
            outbox,
            reload: self.reload,
            stop: self.stop,
        }
    }
}

/// Everything that runs, before it does.
struct Running {
    facts: Facts,
    inputs: mpsc::Sender<Input>,
    receiver: mpsc::Receiver<Input>,
    executor: Arc<Executor>,
    link: Link,
    watches: Watches,
    outbox: Arc<Outbox>,
    reload: Reload,
    stop: CancellationToken,
}

impl Running {
    async fn run(self, state: State, first: Vec<Effect>) -> Result<(), RunError> {
        let Self { facts, inputs, receiver, executor, link, watches, outbox, reload, stop } = self;
        let (metrics, other_writer) = (executor.metrics.clone(), executor.other_writer.clone());
        let reload = tokio::spawn(reload.run(inputs, executor.limiter.clone()));
        let link = tokio::spawn(link.run());
        let reconciler =
            Reconciler { state, facts, inputs: receiver, executor, watches, outbox, metrics, stop };
        let result = tokio::select! {
            () = reconciler.run(first) => Ok(()),
            () = other_writer.cancelled() => Err(RunError::OtherWriter),
        };
        reload.abort();
        link.abort();
        result
    }
}
