//! Trust on the wire: what anyone can verify without trusting the hub, and whom
//! the hub does not let in.

#[path = "trust_wire/enrolment.rs"]
mod enrolment;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use rimward_e2e::pki::Identity;
use rimward_e2e::rig::wire::{Caller, root};
use rimward_e2e::rig::{Rig, Story, eventually, files, item};
use rimward_proto::envelope::Envelope;
use rimward_proto::head::{Assignment, Head};
use rimward_proto::merkle::{InclusionProof, leaf_hash};
use rimward_proto::plan::Plan;
use rimward_proto::root::Root;
use rimward_proto::{Digest, head};
use serde_json::Value;
use tonic::Code;

const UIDS: [(&str, &str); 2] =
    [("eu-1", "11111111-1111-4111-8111-111111111111"), ("us-1", "22222222-2222-4222-8222-222222222222")];

#[tokio::test]
async fn anyone_can_verify_and_only_the_enrolled_are_let_in() -> Result<()> {
    let rig = Rig::hub_only().await?;
    rig.fleet.commit(&[("clusters.yaml", Some(&files::clusters(&["eu-1", "us-1"])))], "clusters")?;
    rig.reconcile().await?;
    let eu = rig.enrol_on_the_wire(UIDS[0].0, UIDS[0].1).await?;
    let us = rig.enrol_on_the_wire(UIDS[1].0, UIDS[1].1).await?;
    begin(&rig).await?;

    let mut story = Story::begin();
    story.tell("root, head, proof and plan verify from the pin on", verifies(&rig)).await;
    story.tell("another cluster's proof does not", does_not_verify(&rig)).await;
    story.tell("content: one's own is sent, another's is refused", content(&rig, &eu, &us)).await;
    story.tell("a certificate of another CA is refused", another_authority(&rig)).await;
    story.tell("no certificate, no session", no_certificate(&rig)).await;
    enrolment::tell(&mut story, &rig, &eu).await;
    story.end()
}

/// Two Apps, one for each cluster.
async fn begin(rig: &Rig) -> Result<()> {
    let repo = rig.tenant("payments", &["payments"])?;
    let mut changes = Vec::new();
    for (cluster, _) in UIDS {
        let app = files::app(cluster, "payments");
        let app = app.replace("clusters: {}", &format!("clusters: {{names: [{cluster}]}}"));
        changes.push((format!("{cluster}/rimward.yaml"), app));
        changes.push((format!("{cluster}/config.yaml"), files::config_map(cluster, "of", cluster)));
    }
    let changes: Vec<_> = changes.iter().map(|(path, text)| (path.as_str(), Some(text.as_str()))).collect();
    repo.commit(&changes, "one App each")?;
    rig.reconcile().await
}

/// What the admin API gives for a cluster, once its App is in it.
async fn offer(rig: &Rig, cluster: &str) -> Result<Value> {
    eventually("the plan to be published", || async {
        let (status, offer) = rig.hub.get(&format!("/v1/clusters/{cluster}/plan")).await?;
        let there = status == 200 && !Plan::parse(&bytes(&offer, "plan")?)?.bundles.is_empty();
        Ok(there.then_some(offer))
    })
    .await
}

fn bytes(offer: &Value, field: &str) -> Result<Vec<u8>> {
    Ok(STANDARD.decode(offer[field].as_str().with_context(|| format!("no {field} in {offer:#}"))?)?)
}

/// The chain of an offer, checked link by link from the pin of a token; the assignment and the plan at its end.
fn verify(offer: &Value, pin: Digest, proof: &InclusionProof) -> Result<(Assignment, Plan)> {
    let envelopes = offer["roots"].as_array().context("no roots")?;
    let parse = |value: &Value| Ok::<_, anyhow::Error>(Envelope::parse(&serde_json::to_vec(value)?)?);
    let mut root = Root::first(&parse(&envelopes[0])?, pin)?;
    for next in &envelopes[1..] {
        root = root.next(&parse(next)?)?;
    }
    let head = parse(&offer["head"])?.verify(head::MEDIA_TYPE, &root.head_keys)?;
    let head = Head::parse(&head)?;
    ensure!(head.trust_domain == root.trust_domain && head.epoch == root.epoch, "{head:?}");
    let assignment = bytes(offer, "assignment")?;
    ensure!(
        proof.size == head.tree.size,
        "the proof is for {} leaves, the tree has {}",
        proof.size,
        head.tree.size
    );
    proof.verify(leaf_hash(&assignment), head.tree.hash)?;
    let assignment = Assignment::parse(&assignment).context("the assignment")?;
    let plan = bytes(offer, "plan")?;
    ensure!(Digest::of(&plan) == assignment.plan, "another plan than the assignment's");
    Ok((assignment, Plan::parse(&plan)?))
}

fn proof(offer: &Value) -> Result<InclusionProof> {
    let hashes = offer["proof"]["hashes"].as_array().context("no hashes")?;
    let hashes: Result<_> = hashes.iter().map(|hash| Ok(serde_json::from_value(hash.clone())?)).collect();
    let number = |field: &str| offer["proof"][field].as_u64().with_context(|| format!("no {field}"));
    Ok(InclusionProof { index: number("index")?, size: number("size")?, hashes: hashes? })
}

async fn pin(rig: &Rig) -> Result<Digest> {
    Ok(rig.token("verifier").await?.root)
}

async fn verifies(rig: &Rig) -> Result<()> {
    let pin = pin(rig).await?;
    for (cluster, uid) in UIDS {
        let offer = offer(rig, cluster).await?;
        let (assignment, plan) = verify(&offer, pin, &proof(&offer)?)?;
        ensure!(assignment.cluster.as_str() == cluster && assignment.cluster_uid.to_string() == uid);
        let apps: Vec<_> = plan.bundles.iter().map(|bundle| bundle.app.to_string()).collect();
        ensure!(apps == [cluster], "{apps:?}");
        ensure!(plan.removed.is_empty() && assignment.deletes.is_empty());
    }
    Ok(())
}

async fn does_not_verify(rig: &Rig) -> Result<()> {
    let pin = pin(rig).await?;
    let (eu, us) = (offer(rig, "eu-1").await?, offer(rig, "us-1").await?);
    ensure!(verify(&eu, pin, &proof(&us)?).is_err(), "eu-1's assignment by us-1's proof");
    let mut mixed = eu.clone();
    mixed["plan"] = us["plan"].clone();
    ensure!(verify(&mixed, pin, &proof(&eu)?).is_err(), "us-1's plan for eu-1");
    ensure!(verify(&eu, Digest::of(b"another fleet"), &proof(&eu)?).is_err(), "another pin");
    let mut forged = eu.clone();
    forged["head"]["signatures"] = eu["roots"][0]["signatures"].clone();
    ensure!(verify(&forged, pin, &proof(&eu)?).is_err(), "a head with the root's signature");
    let (status, none) = rig.hub.get("/v1/clusters/nowhere/plan").await?;
    ensure!(status == 404, "{none:#}");
    Ok(())
}

async fn content(rig: &Rig, eu: &Caller, us: &Caller) -> Result<()> {
    let offer = offer(rig, "eu-1").await?;
    let plan = Plan::parse(&bytes(&offer, "plan")?)?;
    let wanted = vec![plan.bundles[0].digest.as_bytes().to_vec()];
    ensure!(eu.fetch(&wanted).await? == wanted, "its own bundle was not sent");
    let refused = us.fetch(&wanted).await.err().context("another cluster's bundle was sent")?;
    ensure!(refused.code() == Code::PermissionDenied, "{refused:?}");
    let nobodys = vec![Digest::of(b"nobody's").as_bytes().to_vec()];
    let unknown = eu.fetch(&nobodys).await.err().context("unknown content was sent")?;
    // Refused alike: an answer must not tell what exists for others.
    ensure!((unknown.code(), unknown.message()) == (refused.code(), refused.message()), "{unknown:?}");
    let events = rig.hub.json(&["get", "events", "-c", "us-1"]).await?;
    let said =
        events["items"].as_array().is_some_and(|all| all.iter().any(|e| e["type"] == "ForeignContent"));
    ensure!(said, "{events:#}");
    Ok(())
}

/// A certificate that says exactly what eu-1's says, by another authority.
fn forged(rig: &Rig) -> Result<Identity> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate()?;
    let issuer = Issuer::new(params, key);
    let mut params = CertificateParams::default();
    let id = root(&rig.hub)?.trust_domain.spoke_id(&"eu-1".parse()?);
    params.subject_alt_names = vec![SanType::URI(rcgen::string::Ia5String::try_from(id)?)];
    let key = KeyPair::generate()?;
    let cert = params.signed_by(&key, &issuer)?.pem();
    Ok(Identity { cert, key: key.serialize_pem() })
}

async fn another_authority(rig: &Rig) -> Result<()> {
    let caller = Caller::anonymous(&rig.hub)?.with(forged(rig)?);
    let refused = caller.open(Vec::new()).await.err().context("it was let in")?;
    ensure!(refused.code() != Code::Ok, "{refused:?}");
    let offline = rig.hub.json(&["get", "clusters"]).await?;
    ensure!(item(&offline, "eu-1").is_some_and(|eu| eu["state"] == "Offline"), "{offline:#}");
    Ok(())
}

async fn no_certificate(rig: &Rig) -> Result<()> {
    let caller = Caller::anonymous(&rig.hub)?;
    let refused = caller.open(Vec::new()).await.err().context("a session without a certificate")?;
    ensure!(refused.code() == Code::Unauthenticated, "{refused:?}");
    let refused = caller.fetch(&[vec![0; 32]]).await.err().context("content without a certificate")?;
    ensure!(refused.code() == Code::Unauthenticated, "{refused:?}");
    Ok(())
}
