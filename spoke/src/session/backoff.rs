//! Full jitter (Brooker, "Exponential Backoff And Jitter"): 10,000 spokes that
//! lost one hub must not come back in the same second.

use std::time::Duration;

/// Doublings after which the bound no longer grows, whatever `max` is.
const MAX_DOUBLINGS: u32 = 16;

/// A random wait between `min` and a bound that doubles with each failure up to `max`.
#[derive(Debug, Clone)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// No failure yet.
    pub fn new() -> Self {
        Self { failures: 0 }
    }

    /// After a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// The next wait; `fraction` is random in 0..1.
    pub fn next(&mut self, min: Duration, max: Duration, fraction: f64) -> Duration {
        let doublings = self.failures.min(MAX_DOUBLINGS);
        self.failures = self.failures.saturating_add(1);
        let bound = min.saturating_mul(1 << doublings).min(max);
        // Never less than half of `min`, so that a refusing peer is not hammered.
        (bound.mul_f64(fraction.clamp(0.0, 1.0))).max(min / 2)
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

/// A random fraction in 0..1.
pub fn fraction() -> f64 {
    let mut bytes = [0_u8; 4];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX),
        // Without randomness the longest wait is the safe one.
        Err(_) => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_maximum_and_never_hammers() {
        let (min, max) = (Duration::from_secs(1), Duration::from_secs(60));
        let mut backoff = Backoff::new();
        let waits: Vec<_> = (0..8).map(|_| backoff.next(min, max, 1.0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(backoff.next(min, max, 0.0), min / 2);
        backoff.reset();
        assert_eq!(backoff.next(min, max, 1.0), min);
        assert!((0.0..=1.0).contains(&fraction()));
    }
}
