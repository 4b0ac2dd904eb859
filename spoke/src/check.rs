//! `rimward-spoke check`: configuration, data directory, API server, identity and
//! the way to the hub, one line each. Changes nothing.

use std::sync::Arc;

use rimward_proto::{ClusterUid, Digest};

use crate::args::Args;
use crate::cluster::Connection;
use crate::cluster::errors::chain;
use crate::config::SpokeConfig;
use crate::identify;
use crate::reconcile::effects::ca_bundle;
use crate::run::{INVALID, configuration, dialer};
use crate::session::tls;
use crate::store::dir::{DataDir, DirError};
use crate::store::secret::SecretStore;

/// Runs the checks; returns the exit code: 0 all good, 78 a configuration that cannot be used, 1 anything else.
pub async fn check(args: &Args) -> u8 {
    let config = match configuration(args) {
        Ok(config) => config,
        Err(error) => {
            line(false, "configuration", &chain(&error));
            return INVALID;
        }
    };
    line(true, "configuration", &args.config.display().to_string());
    let data = data(&config);
    let (cluster, trust) = cluster(&config).await;
    let good = [data, cluster, hub(&config, trust).await];
    u8::from(good.contains(&false))
}

/// By what the hub is known.
enum Trust {
    /// The CA bundle of the root that is stored with the identity.
    Bundle(String),
    /// The CA that a token names, before enrolment.
    Pin(Digest),
    /// There is neither.
    Unknown,
}

impl Trust {
    fn of_token(config: &SpokeConfig) -> Self {
        identify::read_token(config).map_or(Self::Unknown, |token| Self::Pin(token.ca))
    }
}

fn line(good: bool, what: &str, text: &str) -> bool {
    println!("{} {what:<14} {text}", if good { "ok  " } else { "FAIL" });
    good
}

fn data(config: &SpokeConfig) -> bool {
    let path = config.data_dir.display().to_string();
    match DataDir::open(&config.data_dir) {
        Ok(_) => line(true, "data directory", &path),
        Err(DirError::Locked { .. }) => {
            line(true, "data directory", &format!("{path} (in use by a running spoke)"))
        }
        Err(error) => line(false, "data directory", &chain(&error)),
    }
}

async fn cluster(config: &SpokeConfig) -> (bool, Trust) {
    let bad = |text: &str| (line(false, "API server", text), Trust::of_token(config));
    let connection = match Connection::new(config.kubeconfig.as_deref()).await {
        Ok(connection) => connection,
        Err(error) => return bad(&chain(&error)),
    };
    match identify::facts_once(&connection).await {
        Ok((uid, version)) => {
            line(true, "API server", &format!("Kubernetes {version}, cluster uid {uid}"));
            identity(config, connection, &uid).await
        }
        Err(error) => bad(&chain(&error)),
    }
}

async fn identity(config: &SpokeConfig, connection: Connection, uid: &ClusterUid) -> (bool, Trust) {
    let secret = SecretStore::new(connection.clone(), &config.namespace, "");
    let stored = match secret.load().await {
        Ok(stored) => stored,
        Err(error) => return (line(false, "identity", &chain(&error)), Trust::of_token(config)),
    };
    let Some(identity) = stored.identity else {
        return match identify::read_token(config) {
            Ok(token) => {
                let text = format!("not enrolled yet; token {} is readable", token.id);
                (line(true, "identity", &text), Trust::Pin(token.ca))
            }
            Err(error) => (line(false, "identity", &chain(&error)), Trust::Unknown),
        };
    };
    let trust = stored.trust.and_then(|trust| ca_bundle(&trust.root)).map_or(Trust::Unknown, Trust::Bundle);
    let verified = identify::verify(&identity, &config.cluster, uid).map_err(|error| chain(&error));
    let good = match verified.and_then(|()| identity.check().map_err(|error| chain(&error))) {
        Ok(validity) => {
            let id = identity.trust_domain.spoke_id(&identity.cluster);
            line(true, "identity", &format!("{id}, certificate until {}", validity.not_after))
        }
        Err(error) => line(false, "identity", &error),
    };
    (good, trust)
}

/// Whether the hub's address answers, and as a hub of this fleet.
async fn hub(config: &SpokeConfig, trust: Trust) -> bool {
    let dialer = match dialer(config) {
        Ok(dialer) => dialer,
        Err(error) => return line(false, "hub", &chain(&error)),
    };
    let (tls, known) = match trust {
        Trust::Bundle(bundle) => (tls::trusting(&bundle, None), "by the CA of the fleet's root"),
        Trust::Pin(ca) => (Ok(tls::pinned(ca)), "by the CA that the token names"),
        Trust::Unknown => {
            let said = "accepts connections, but without identity and token nobody is trusted";
            return match dialer.accepts().await {
                Ok(()) => line(false, "hub", &format!("{} {said}", config.hub)),
                Err(error) => line(false, "hub", &format!("{}: {error}", config.hub)),
            };
        }
    };
    let tls = match tls {
        Ok(tls) => tls,
        Err(error) => return line(false, "hub", &chain(&error)),
    };
    match dialer.connect(Arc::new(tls)).await {
        Ok(_) => line(true, "hub", &format!("{} answers, known {known}", config.hub)),
        Err(error) => line(false, "hub", &format!("{}: {}", config.hub, chain(&error))),
    }
}
