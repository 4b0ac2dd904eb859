//! A story: scenarios that share one fleet, told one after the other. A
//! scenario that fails does not hide those after it.

use std::time::Instant;

use anyhow::{Result, bail};

/// Scenarios of one test, and what became of them.
#[derive(Debug, Default)]
pub struct Story {
    failed: Vec<String>,
    only: Option<String>,
    told: usize,
}

impl Story {
    /// A story; `RIMWARD_E2E_ONLY=words` tells only the scenarios whose name has these words.
    pub fn begin() -> Self {
        Self { only: std::env::var("RIMWARD_E2E_ONLY").ok(), ..Self::default() }
    }

    /// Tells a scenario.
    pub async fn tell(&mut self, name: &str, scenario: impl Future<Output = Result<()>>) {
        if self.only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            return;
        }
        self.told += 1;
        let start = Instant::now();
        let result = scenario.await;
        let seconds = start.elapsed().as_secs_f64();
        match result {
            Ok(()) => println!("  ok    {name} ({seconds:.1} s)"),
            Err(error) => {
                println!("  FAIL  {name} ({seconds:.1} s): {error:?}");
                self.failed.push(format!("{name}: {error:?}"));
            }
        }
    }

    /// Fails if a scenario did, or if none was told.
    pub fn end(self) -> Result<()> {
        if self.told == 0 {
            bail!("no scenario was told: none has {:?} in its name", self.only.unwrap_or_default());
        }
        if self.failed.is_empty() {
            return Ok(());
        }
        bail!("{} scenarios failed:\n{}", self.failed.len(), self.failed.join("\n\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failure_is_kept_and_does_not_end_the_story() {
        let mut story = Story::default();
        story.tell("first", async { bail!("on purpose") }).await;
        story.tell("second", async { Ok(()) }).await;
        let error = story.end().unwrap_err().to_string();
        assert!(error.contains("1 scenarios") && error.contains("on purpose"), "{error}");
        let mut story = Story::default();
        story.tell("only", async { Ok(()) }).await;
        assert!(story.end().is_ok());
    }

    #[tokio::test]
    async fn a_selection_that_matches_nothing_fails() {
        let mut story = Story { only: Some("frist".to_owned()), ..Story::default() };
        story.tell("first", async { bail!("not told") }).await;
        let error = story.end().unwrap_err().to_string();
        assert!(error.contains("frist"), "{error}");
    }
}
