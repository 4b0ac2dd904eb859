//! The cases that a naive implementation of apply, prune and drift fails, each
//! on a real API server, by its number in the list of rules and cases.
//!
//! They share two fleets: one that is left alone, and one whose spoke goes through
//! a proxy that makes faults.

#[path = "apply_cases/drift.rs"]
mod drift;
#[path = "apply_cases/ownership.rs"]
mod ownership;
#[path = "apply_cases/prune.rs"]
mod prune;
#[path = "apply_cases/scope.rs"]
mod scope;
#[path = "apply_cases/secrets.rs"]
mod secrets;
#[path = "apply_cases/support.rs"]
mod support;

use anyhow::Result;
use rimward_e2e::rig::{Rig, Stage};
use support::CLUSTER;

/// A fleet that is left alone.
static CALM: Stage = Stage::new(11, || Box::pin(Rig::start(&[CLUSTER])));

/// A fleet whose spoke is killed, forgets, and goes through a proxy that makes faults.
static ROUGH: Stage = Stage::new(2, || Box::pin(Rig::start_behind_proxies(&[CLUSTER])));

/// A cluster-scoped custom resource with a tenant namespace: ScopeMismatch, and not one request for it.
#[test]
fn case_01_cluster_scoped_resource_with_a_tenant_namespace() -> Result<()> {
    CALM.play(scope::cluster_scoped_with_a_namespace)
}

/// Replicas 5, ignored; scaled to 9; a new image from Git: 9. Again without scaling: 5, never 1.
#[test]
fn case_02_ignored_replicas_survive_a_new_image() -> Result<()> {
    CALM.play(drift::replicas_ignored)
}

/// A ConfigMap moves from App A to B while a policy denies B: same UID, Denied. Allowed, and a key dropped: the key is
/// gone, the UID the same.
#[test]
fn case_03_moved_to_an_app_that_is_denied() -> Result<()> {
    CALM.play(ownership::moved_while_denied)
}

/// Plans {A,B}, {A}, {A}; B has a finalizer; killed in the middle of the prune: Terminating, one deletion, then gone.
#[test]
fn case_04_killed_while_an_object_with_a_finalizer_goes() -> Result<()> {
    ROUGH.play(prune::finalizer_and_a_kill)
}

/// Report mode: changed by PUT, restored by PUT: one report, then clear.
#[test]
fn case_05_report_mode_says_it_once_and_then_clears() -> Result<()> {
    CALM.play(drift::report_mode)
}

/// A webhook changes a field of ours during another client's annotate: the audit finds it.
#[test]
fn case_06_changed_by_a_webhook_during_anothers_annotate() -> Result<()> {
    CALM.play(drift::changed_by_a_webhook)
}

/// initContainers reordered; an object re-created with old values and identical managedFields: the audit finds both.
#[test]
fn case_07_reordered_and_restored_from_a_backup() -> Result<()> {
    CALM.play(drift::reordered_and_restored)
}

/// Our label removed: no re-create, no refusal, the label restored.
#[test]
fn case_08_our_label_removed() -> Result<()> {
    CALM.play(drift::label_removed)
}

/// A foreign object created between our look and our apply, `refuse`: untouched, unlabelled.
#[test]
fn case_09_made_by_others_between_look_and_apply() -> Result<()> {
    ROUGH.play(ownership::made_in_between)
}

/// A Deployment made by client-side `kubectl apply` taken over; an env var removed in Git: gone, no old owner left.
#[test]
fn case_10_taken_over_from_client_side_apply() -> Result<()> {
    CALM.play(ownership::taken_from_kubectl)
}

/// A Secret written with stringData: `data` edited, then the key renamed in Git: repaired, the old key gone, its value
/// said nowhere.
#[test]
fn case_11_a_secret_written_with_string_data() -> Result<()> {
    CALM.play(secrets::string_data_edited_and_renamed)
}

/// managedFields cleared: ownership rebuilt, and the next removal in Git works.
#[test]
fn case_12_managed_fields_cleared() -> Result<()> {
    CALM.play(ownership::owners_cleared)
}

/// A CRD and its resource in one plan; then the CRD gains a version with a default: converges.
#[test]
fn case_13_a_kind_and_its_object_in_one_plan() -> Result<()> {
    CALM.play(scope::kind_and_object_in_one_plan)
}
