//! Texts about health are parts of reports, which are bounded: each is cut here.

/// Longest text about one object's health, in bytes: a condition's message and the line of an event fit. Fifty such
/// objects, each with what Kubernetes says about it, stay below a fifth of a report.
pub const HEALTH_BYTES: usize = 300;

/// Cuts texts.
pub trait Clip {
    /// At most `bytes` of it, ending in `…` if something is left out, on one line.
    fn clip(self, bytes: usize) -> String;
}

impl Clip for String {
    fn clip(self, bytes: usize) -> String {
        let mut text = if self.contains(char::is_control) {
            self.split(char::is_control).filter(|part| !part.trim().is_empty()).collect::<Vec<_>>().join(" ")
        } else {
            self
        };
        const MORE: &str = "…";
        if text.len() > bytes {
            let mut end = bytes.saturating_sub(MORE.len());
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
            text.push_str(MORE);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_at_a_character_and_said_so() {
        assert_eq!("short".to_owned().clip(5), "short");
        assert_eq!("ä".repeat(10).clip(8), "ää…");
        assert_eq!("one\r\n\ntwo\n".to_owned().clip(100), "one two");
        assert_eq!("longer".to_owned().clip(0), "…");
    }
}
