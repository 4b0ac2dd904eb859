//! Enrolment: a token is good once, for one key, for one cluster; each refusal
//! is its own, and none helps to guess a token.

use anyhow::{Context, Result, ensure};
use rimward_e2e::rig::wire::{Caller, Key};
use rimward_e2e::rig::{Rig, Story};
use rimward_proto::token::Token;
use rimward_proto::wire::IdentityResponse;
use tonic::{Code, Status};

const UID: &str = "33333333-3333-4333-8333-333333333333";
const OTHER_UID: &str = "44444444-4444-4444-8444-444444444444";

/// Tells the scenarios.
pub async fn tell(story: &mut Story, rig: &Rig, enrolled: &Caller) {
    story.tell("a token is good once, and again for the same key", once(rig)).await;
    story.tell("a token for another cluster", other_cluster(rig)).await;
    story.tell("a mistyped and an unknown token look the same", mistyped(rig)).await;
    story.tell("a token that has expired", expired(rig)).await;
    story.tell("an enrolled cluster needs --replace", replace(rig, enrolled)).await;
    story.tell("a token is nowhere in the hub's files or log", nowhere(rig)).await;
}

fn refused(answer: Result<IdentityResponse, Status>, code: Code, says: &str) -> Result<Status> {
    let status = answer.err().context("it was enrolled")?;
    ensure!(status.code() == code && status.message().contains(says), "{status:?}");
    Ok(status)
}

async fn once(rig: &Rig) -> Result<()> {
    let (token, caller, key) = (rig.token("once").await?, Caller::anonymous(&rig.hub)?, Key::new()?);
    let first = caller.enroll(&token, "once", UID, &key).await?;
    ensure!(first.trust_domain == "acme.example" && first.chain.len() >= 2 && !first.roots.is_empty());
    // A reply that was lost on the way is given again.
    let again = caller.enroll(&token, "once", UID, &key).await?;
    ensure!(again.chain == first.chain, "another certificate for the same question");
    let thief = caller.enroll(&token, "once", UID, &Key::new()?).await;
    refused(thief, Code::AlreadyExists, "used already")?;
    let elsewhere = caller.enroll(&token, "once", OTHER_UID, &key).await;
    refused(elsewhere, Code::AlreadyExists, "used already")?;
    Ok(())
}

async fn other_cluster(rig: &Rig) -> Result<()> {
    let (token, caller) = (rig.token("mine").await?, Caller::anonymous(&rig.hub)?);
    let answer = caller.enroll(&token, "yours", UID, &Key::new()?).await;
    refused(answer, Code::PermissionDenied, "for another cluster")?;
    // A mistake does not use it up.
    caller.enroll(&token, "mine", UID, &Key::new()?).await?;
    Ok(())
}

async fn mistyped(rig: &Rig) -> Result<()> {
    let (token, caller) = (rig.token("typo").await?, Caller::anonymous(&rig.hub)?);
    let wrong = Token { secret: [7; 32], ..token.clone() };
    let wrong = caller.enroll(&wrong, "typo", UID, &Key::new()?).await;
    let wrong = refused(wrong, Code::Unauthenticated, "not known here")?;
    let unknown = Token { id: "0123456789abcdef".to_owned(), ..token };
    let unknown = caller.enroll(&unknown, "typo", UID, &Key::new()?).await;
    let unknown = refused(unknown, Code::Unauthenticated, "not known here")?;
    ensure!(wrong.message() == unknown.message(), "{wrong:?} {unknown:?}");
    Ok(())
}

async fn expired(rig: &Rig) -> Result<()> {
    let text = rig.hub.cli_ok(&["enroll", "late", "--token-only", "--ttl", "1s"]).await?;
    let (token, caller) = (Token::parse(&text)?, Caller::anonymous(&rig.hub)?);
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let answer = caller.enroll(&token, "late", UID, &Key::new()?).await;
    refused(answer, Code::FailedPrecondition, "expired")?;
    Ok(())
}

/// A dead cluster's name is given away only on purpose; its old identity is then worth nothing.
async fn replace(rig: &Rig, enrolled: &Caller) -> Result<()> {
    rig.hub.say(&["enroll", "eu-1", "--token-only"]).await?.exits(6)?.says(&["--replace"])?;
    let text = rig.hub.cli_ok(&["enroll", "eu-1", "--token-only", "--replace"]).await?;
    let (token, caller, key) = (Token::parse(&text)?, Caller::anonymous(&rig.hub)?, Key::new()?);
    let answer = caller.enroll(&token, "eu-1", OTHER_UID, &key).await?;
    let old = enrolled.fetch(&[vec![0; 32]]).await.err().context("the replaced spoke is still let in")?;
    ensure!(old.code() == Code::PermissionDenied && old.message().contains("registered key"), "{old:?}");
    let new =
        caller.with(key.identity(&answer)).fetch(&[vec![0; 32]]).await.err().context("nobody's content")?;
    ensure!(new.message().contains("plans"), "{new:?}");
    Ok(())
}

async fn nowhere(rig: &Rig) -> Result<()> {
    let token = rig.token("canary").await?.reveal();
    let secret = token.split('.').nth(2).context("no secret")?;
    ensure!(!rig.hub.log().contains(secret), "it is in the log");
    let mut folders = vec![rig.hub.data().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else if let Ok(bytes) = std::fs::read(entry.path()) {
                let text = String::from_utf8_lossy(&bytes);
                ensure!(!text.contains(secret), "it is in {}", entry.path().display());
            }
        }
    }
    Ok(())
}
