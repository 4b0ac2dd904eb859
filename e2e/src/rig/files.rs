//! The documents a rig is made of, as a platform team and a tenant would write
//! them.

/// Name of the credentials folder of every repository of a rig.
pub const CREDENTIALS: &str = "git";

/// The fleet document.
pub const FLEET: &str = "\
apiVersion: rimward.dev/v1alpha1
kind: Fleet
metadata: {name: acme}
spec:
  defaults: {rollout: immediate}
";

/// A Cluster document for each name, labelled `env: prod` and `site: NAME`.
pub fn clusters(names: &[&str]) -> String {
    names.iter().map(|name| cluster(name)).collect::<Vec<_>>().join("---\n")
}

/// One Cluster document.
pub fn cluster(name: &str) -> String {
    format!(
        "apiVersion: rimward.dev/v1alpha1\nkind: Cluster\n\
         metadata: {{name: {name}, labels: {{env: prod, site: {name}}}}}\n"
    )
}

/// A Tenant with the one source `apps`, on every cluster.
pub fn tenant(name: &str, url: &str, namespaces: &[&str]) -> String {
    format!(
        "\
apiVersion: rimward.dev/v1alpha1
kind: Tenant
metadata: {{name: {name}}}
spec:
  sources:
  - name: apps
    git: {{url: {url}, ref: {{branch: main}}, credentials: {CREDENTIALS}}}
  clusters: {{}}
  namespaces: [{}]
",
        namespaces.join(", ")
    )
}

/// An App on every cluster, whose objects go to `namespace`.
pub fn app(name: &str, namespace: &str) -> String {
    format!(
        "\
apiVersion: rimward.dev/v1alpha1
kind: App
metadata: {{name: {name}}}
spec:
  namespace: {namespace}
  clusters: {{}}
  rollout: immediate
"
    )
}

/// A workload without replicas: there is no kubelet behind these API servers, and health looks at it all the same.
pub const DEPLOYMENT: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 0
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: registry.example/web:1}]}
";

/// A ConfigMap with one key.
pub fn config_map(name: &str, key: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{{key}: \"{value}\"}}\n")
}
