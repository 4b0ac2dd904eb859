//! Text for terminals: what came from Git or a server never moves a cursor or
//! hides itself, and times read as people say them.

use jiff::Timestamp;
pub use rimward_hub::core::yaml::hidden;

/// One line, with everything in it visible.
pub fn clean(text: &str) -> String {
    escape(text, |c| if matches!(c, '\n' | '\r' | '\t') { Some(' ') } else { None })
}

/// Lines, with everything in them visible.
pub fn clean_lines(text: &str) -> String {
    escape(text, |c| if c == '\n' { Some('\n') } else { None })
}

fn escape(text: &str, keep: impl Fn(char) -> Option<char>) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match keep(c) {
            Some(shown) => out.push(shown),
            None if hidden(c) => out.extend(c.escape_unicode()),
            None => out.push(c),
        }
    }
    out
}

/// JSON with nothing hidden raw in it: outside of strings there is nothing of the kind, so the meaning stays.
pub fn clean_json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push(c),
            c if hidden(c) => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// At most `max` characters, the last of them an ellipsis if there were more.
pub fn shorten(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text.to_owned(),
        Some(_) => text.chars().take(max.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// A span of seconds in its largest unit: `2s`, `14m`, `5d`.
pub fn span(seconds: i64) -> String {
    let seconds = seconds.max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// How long ago.
pub fn age(at: Option<&str>, now: Timestamp) -> String {
    time(at).map_or_else(|| "-".to_owned(), |at| span(now.as_second() - at.as_second()))
}

/// How long until; `expired` if it is past.
pub fn until(at: Option<&str>, now: Timestamp) -> String {
    match time(at) {
        None => "-".to_owned(),
        Some(at) if at <= now => "expired".to_owned(),
        Some(at) => span(at.as_second() - now.as_second()),
    }
}

/// A time as the API writes it.
pub fn time(at: Option<&str>) -> Option<Timestamp> {
    at?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_hidden_reaches_a_terminal() {
        let nasty = "a\u{1b}[31mb\r\nc\u{202e}d\u{9b}2J\u{7}";
        let shown = clean(nasty);
        assert!(!shown.chars().any(hidden), "{shown:?}");
        assert!(shown.starts_with("a\\u{1b}[31mb  c"), "{shown}");
        assert_eq!(clean_lines("a\nb\u{8}"), "a\nb\\u{8}");
        assert_eq!(clean("3→5 é"), "3→5 é");
        let value = serde_json::Value::from(nasty);
        let json = clean_json(&format!("{:#}", serde_json::json!({"a": value})));
        assert!(!json.chars().any(|c| hidden(c) && c != '\n'), "{json}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["a"], value);
    }

    #[test]
    fn spans_are_in_their_largest_unit() {
        let cases = [(-3, "0s"), (2, "2s"), (119, "119s"), (840, "14m"), (7_200, "2h"), (432_000, "5d")];
        for (seconds, expected) in cases {
            assert_eq!(span(seconds), expected);
        }
        let now: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
        assert_eq!(until(Some("2026-01-02T00:00:00Z"), now), "expired");
        assert_eq!(age(None, now), "-");
        assert_eq!(shorten("abcdef", 4), "abc…");
        assert_eq!(shorten("abcd", 4), "abcd");
    }
}
