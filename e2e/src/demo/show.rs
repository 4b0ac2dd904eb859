//! What the demo prints: a title for each step, what happened, how long it took.

use std::time::{Duration, Instant};

/// Prints steps and keeps their times for the summary.
#[derive(Default)]
pub struct Show {
    steps: usize,
    times: Vec<(usize, String, Duration)>,
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
        self.took(what, since.elapsed());
    }

    /// Something happened, and took so long.
    pub fn took(&mut self, what: &str, time: Duration) {
        println!("   ✓ {what}  ({})", human(time));
        self.times.push((self.steps, what.trim_end_matches(':').to_owned(), time));
    }

    /// All times again, at the end.
    pub fn summary(&self) {
        println!("\nTimes");
        for (step, what, time) in &self.times {
            println!("  {:>8}  {step:>2}. {what}", human(*time));
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
