//! References as people write them: `cluster/eu-1`, `app/payments/web`,
//! `tenant/payments`, `source/payments/apps`, `source/fleet`.

use std::fmt;
use std::str::FromStr;

use rimward_proto::{AppId, ClusterName, TenantName};

/// One thing of the fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// A cluster.
    Cluster(ClusterName),
    /// An App.
    App(AppId),
    /// A tenant.
    Tenant(TenantName),
    /// A tenant's source; named as an App is.
    Source(AppId),
    /// The fleet repo.
    Fleet,
}

impl FromStr for Reference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || {
            format!(
                "`{text}` is none of cluster/C, app/TENANT/APP, tenant/T, source/TENANT/SOURCE, source/fleet"
            )
        };
        if text == "fleet" {
            return Ok(Reference::Fleet);
        }
        let (kind, name) = text.split_once('/').ok_or_else(form)?;
        let parsed = match kind {
            "cluster" | "clusters" => name.parse().map(Reference::Cluster),
            "app" | "apps" => name.parse().map(Reference::App),
            "tenant" | "tenants" => name.parse().map(Reference::Tenant),
            "source" | "sources" if name == "fleet" => Ok(Reference::Fleet),
            "source" | "sources" => name.parse().map(Reference::Source),
            _ => return Err(form()),
        };
        parsed.map_err(|error| error.to_string())
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reference::Cluster(name) => write!(f, "cluster/{name}"),
            Reference::App(id) => write!(f, "app/{id}"),
            Reference::Tenant(name) => write!(f, "tenant/{name}"),
            Reference::Source(id) => write!(f, "source/{id}"),
            Reference::Fleet => f.write_str("source/fleet"),
        }
    }
}

impl Reference {
    /// Where the API has it.
    pub fn path(&self) -> String {
        match self {
            Reference::Cluster(name) => format!("/clusters/{name}"),
            Reference::App(id) => format!("/tenants/{}/apps/{}", id.tenant, id.app),
            Reference::Tenant(name) => format!("/tenants/{name}"),
            Reference::Source(id) => format!("/tenants/{}/sources/{}", id.tenant, id.app),
            Reference::Fleet => "/fleet".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_refusals() {
        for text in
            ["cluster/eu-1", "app/payments/web", "tenant/payments", "source/payments/apps", "source/fleet"]
        {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), text);
        }
        assert_eq!("fleet".parse(), Ok(Reference::Fleet));
        for text in ["eu-1", "cluster/", "app/web", "app/a/b/c", "thing/a", "cluster/../x", "source/a"] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
    }
}
