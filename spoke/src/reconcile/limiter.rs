//! `apply.qps` and `apply.burst`: a token bucket, for API servers whose owner
//! would rather not rely on priority and fairness.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The bucket; without a rate it lets everything through.
#[derive(Debug)]
pub struct Limiter {
    bucket: Mutex<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    qps: u32,
    burst: u32,
    /// When the bucket is full again.
    full_at: Instant,
}

impl Limiter {
    /// `qps` requests a second, `burst` at once (0 = `qps`); no limit for `qps` 0.
    pub fn new(qps: u32, burst: u32) -> Self {
        Self {
            bucket: Mutex::new(Bucket {
                qps,
                burst: if burst == 0 { qps } else { burst },
                full_at: Instant::now(),
            }),
        }
    }

    /// After a reload.
    pub fn set(&self, qps: u32, burst: u32) {
        let mut bucket = self.lock();
        (bucket.qps, bucket.burst) = (qps, if burst == 0 { qps } else { burst });
    }

    /// Waits until one more request may be made.
    pub async fn wait(&self) {
        let wait = self.lock().take(Instant::now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Bucket> {
        self.bucket.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Bucket {
    fn take(&mut self, now: Instant) -> Duration {
        if self.qps == 0 {
            return Duration::ZERO;
        }
        let each = Duration::from_secs(1) / self.qps;
        self.full_at = self.full_at.max(now) + each;
        let depth = each * self.burst.max(1);
        self.full_at.duration_since(now).saturating_sub(depth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_the_rate() {
        let now = Instant::now();
        let mut bucket = Bucket { qps: 10, burst: 2, full_at: now };
        let waits: Vec<_> = (0..4).map(|_| bucket.take(now).as_millis()).collect();
        assert_eq!(waits, [0, 0, 100, 200]);
        assert_eq!(bucket.take(now + Duration::from_secs(5)), Duration::ZERO);
        let mut free = Bucket { qps: 0, burst: 0, full_at: now };
        assert_eq!(free.take(now), Duration::ZERO);
    }
}
