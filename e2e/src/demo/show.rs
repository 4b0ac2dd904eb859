//! What the demo prints: a title for each step, what happened, how long it took.

use std::time::{Duration, Instant};

/// Prints steps and keeps their times for the summary.
#[derive(Default)]
pub struct Show {
    steps: usize,
    times: Vec<(String, Duration)>,
}

impl Show {
    /// A new step; `title` says what is about to happen.
    pub fn step(&mut self, title: &str) {
        self.steps += 1;
        println!("\n{}. {title}", self.steps);
    }

    /// A line about the step.
    pub fn say(&self, text: &str) {
        for line in text.trim_end().lines() {
            println!("     {line}");
        }
    }

    /// Something that was waited for happened, `since` then.
    pub fn done(&mut self, what: &str, since: Instant) {
        let time = since.elapsed();
        println!("   ✓ {what}  ({})", human(time));
        self.times.push((what.to_owned(), time));
    }

    /// Something was checked and holds; no time worth telling.
    pub fn holds(&self, what: &str) {
        println!("   ✓ {what}");
    }

    /// All times again, at the end.
    pub fn summary(&self) {
        println!("\nTimes");
        for (what, time) in &self.times {
            println!("  {:>8}  {what}", human(*time));
        }
    }
}

fn human(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{} ms", time.as_millis())
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}
