//! `rimward-spoke check`: configuration, data directory, API server, identity and
//! the way to the hub, one line each. Changes nothing.

use std::sync::Arc;

use rimward_proto::ClusterUid;

use crate::args::Args;
use crate::cluster::Connection;
use crate::cluster::errors::chain;
use crate::config::SpokeConfig;
use crate::identify::{self, Identifying};
use crate::metrics::Metrics;
use crate::run::{INVALID, configuration, dialer};
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
    let good = [data(&config), cluster(&config).await];
    u8::from(good.contains(&false))
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

async fn cluster(config: &SpokeConfig) -> bool {
    let connection = match Connection::new(config.kubeconfig.as_deref()).await {
        Ok(connection) => connection,
        Err(error) => return line(false, "API server", &chain(&error)),
    };
    match identify::facts_once(&connection).await {
        Ok((uid, version)) => {
            line(true, "API server", &format!("Kubernetes {version}, cluster uid {uid}"));
            identity(config, connection, &uid).await
        }
        Err(error) => line(false, "API server", &chain(&error)),
    }
}

async fn identity(config: &SpokeConfig, connection: Connection, uid: &ClusterUid) -> bool {
    let secret = SecretStore::new(connection.clone(), &config.namespace, "");
    let stored = match secret.load().await {
        Ok(stored) => stored,
        Err(error) => return line(false, "identity", &chain(&error)),
    };
    let dialer = match dialer(config) {
        Ok(dialer) => dialer,
        Err(error) => return line(false, "hub", &chain(&error)),
    };
    let Some(identity) = stored.identity else {
        return match identify::read_token(config) {
            Ok(token) => line(true, "identity", &format!("not enrolled yet; token {} is readable", token.id)),
            Err(error) => line(false, "identity", &chain(&error)),
        };
    };
    let who = Identifying {
        connection,
        config: Arc::new(config.clone()),
        dialer,
        metrics: Arc::new(Metrics::new()),
        boot_id: String::new(),
    };
    let verified = identify::verify(&identity, &who, uid);
    match verified
        .map_err(|error| chain(&error))
        .and_then(|()| identity.check().map_err(|error| chain(&error)))
    {
        Ok(validity) => {
            let id = identity.trust_domain.spoke_id(&identity.cluster);
            line(true, "identity", &format!("{id}, certificate until {}", validity.not_after))
        }
        Err(error) => line(false, "identity", &error),
    }
}
