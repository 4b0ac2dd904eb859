//! Figures: printed one a line, in one shape that a script can read, and the
//! exit code says whether one missed its limit.

use std::process::ExitCode;
use std::time::Duration;

/// The figures of one bench.
#[derive(Debug, Default)]
pub struct Figures {
    missed: usize,
}

impl Figures {
    /// A figure that has to be at most `limit`.
    pub fn at_most(&mut self, name: &str, value: f64, unit: &str, limit: f64) {
        let verdict = if value <= limit { "" } else { "  MISSED" };
        println!("figure {name} {value:.2} {unit} (limit {limit}){verdict}");
        self.missed += usize::from(value > limit);
    }

    /// A figure without a limit, for context.
    pub fn tell(&mut self, name: &str, value: f64, unit: &str) {
        println!("figure {name} {value:.2} {unit} (limit none)");
    }

    /// p50 and p99 of `samples` in milliseconds, the p99 with a limit.
    pub fn latency(&mut self, name: &str, samples: &[Duration], limit: Duration) {
        let millis = |time: Duration| time.as_secs_f64() * 1000.0;
        self.tell(&format!("{name}_p50"), millis(percentile(samples, 50)), "ms");
        self.at_most(&format!("{name}_p99"), millis(percentile(samples, 99)), "ms", millis(limit));
    }

    /// The bench's exit code.
    pub fn finish(self) -> ExitCode {
        if self.missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// The `p`th percentile by nearest rank; zero of nothing.
pub fn percentile(samples: &[Duration], p: usize) -> Duration {
    let mut sorted = samples.to_vec();
    sorted.sort();
    let rank = (sorted.len() * p).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_rank() {
        let samples: Vec<_> = (1..=50).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile(&samples, 50), Duration::from_millis(25));
        assert_eq!(percentile(&samples, 99), Duration::from_millis(50));
        assert_eq!(percentile(&[], 99), Duration::ZERO);
    }
}
