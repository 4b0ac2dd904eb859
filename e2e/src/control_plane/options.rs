//! What a caller may choose about a control plane.

use std::path::PathBuf;

/// How a control plane is run. The default is right for tests.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where its data goes. `None`: a temporary folder, removed on drop. A
    /// given folder stays, and a later control plane may go on from it.
    pub folder: Option<PathBuf>,
    /// Whether etcd syncs to disk. Tests do without; benches must not.
    pub fsync: bool,
    /// Requests a second and burst of the controller manager; `None` leaves
    /// its defaults, 20 and 30, which is what a bench that waits for
    /// Deployments or namespaces would otherwise measure.
    pub controller_rate: Option<(u32, u32)>,
    /// Further flags of kube-apiserver, for what only one test needs.
    pub apiserver_flags: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { folder: None, fsync: false, controller_rate: Some((1000, 2000)), apiserver_flags: Vec::new() }
    }
}

impl Options {
    /// For benches: as `default`, and etcd syncs to disk as in earnest.
    pub fn bench() -> Self {
        Self { fsync: true, ..Self::default() }
    }
}
