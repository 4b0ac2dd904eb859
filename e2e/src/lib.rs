//! Real control planes and Git servers, for Rimward's end-to-end tests,
//! benches and demo.
//!
//! A test starts what it needs and lets it go; everything it started ends with
//! it, also when it panics or is killed:
//!
//! ```no_run
//! # async fn test() -> anyhow::Result<()> {
//! use rimward_e2e::{control_plane::{ControlPlane, Options}, git::{Access, GitServer}};
//!
//! let cluster = ControlPlane::start(Options::default()).await?;
//! let git = GitServer::start()?;
//! let apps = git.create("payments/apps", Access::basic("rimward", "s3cret"))?;
//! let commit = apps.commit(&[("rimward.yaml", Some("kind: App\n"))], "first App")?;
//! # drop((cluster, commit)); Ok(()) }
//! ```

pub mod admission;
pub mod assets;
pub mod bench;
pub mod collector;
pub mod control_plane;
pub mod daemon;
pub mod demo;
pub mod git;
mod https;
pub mod pki;
pub mod port;
pub mod process;
mod progress;
pub mod proxy;
pub mod rig;
pub mod scratch;
