//! Says what is going on while something takes minutes: a spinner on a
//! terminal, a plain line now and then elsewhere (CI logs).

use std::io::Write;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How often a plain line is written: a log shows life, and stays readable.
const EVERY: Duration = Duration::from_secs(15);

/// Visible progress on stderr.
pub struct Progress {
    title: String,
    bar: ProgressBar,
    start: Instant,
    last: Instant,
}

impl Progress {
    /// Begins; `title` says what is being done and how long it may take.
    pub fn start(title: &str) -> Self {
        let bar = ProgressBar::new_spinner();
        let style = ProgressStyle::with_template("{spinner} {prefix} [{elapsed}] {wide_msg}")
            .expect("a constant template that the unit test has rendered");
        bar.set_style(style);
        bar.set_prefix(title.to_owned());
        bar.enable_steady_tick(Duration::from_millis(120));
        let now = Instant::now();
        let progress = Self { title: title.to_owned(), bar, start: now, last: now };
        if progress.plain() {
            say(&progress.title);
        }
        progress
    }

    /// What it is at now. Cheap; call it as often as there is news.
    pub fn at(&mut self, message: &str) {
        self.bar.set_message(message.to_owned());
        if self.plain() && self.last.elapsed() >= EVERY {
            self.last = Instant::now();
            let elapsed = self.start.elapsed().as_secs();
            say(&format!("{} [{elapsed} s] {message}", self.title));
        }
    }

    /// Ends with a last line.
    pub fn done(self, message: &str) {
        self.bar.finish_and_clear();
        let elapsed = self.start.elapsed().as_secs();
        say(&format!("{message} in {elapsed} s"));
    }

    fn plain(&self) -> bool {
        self.bar.is_hidden()
    }
}

/// Writes a line to stderr itself: the test harness captures `eprintln!`, and
/// who waits for a build of minutes should see why.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "rimward-e2e: {line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_valid() {
        let mut progress = Progress::start("unit test of the progress line");
        progress.at("half way");
        progress.done("unit test of the progress line done");
    }
}
