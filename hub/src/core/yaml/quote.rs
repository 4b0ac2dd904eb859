//! Strings as every reader of YAML takes them for strings, with nothing in them
//! that a terminal would not show.

/// Control characters, and those that reorder or hide the text around them; none is beyond U+FFFF.
pub fn hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Plain if it can only be read as a string, else quoted, with everything escaped that cannot be seen.
pub fn quoted(text: &str) -> String {
    let ok = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ' ');
    let word = text.to_ascii_lowercase();
    let special = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"].contains(&word.as_str());
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic());
    if starts && !special && !text.ends_with(' ') && text.chars().all(ok) {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            c if hidden(c) || c > '\u{ffff}' || c == '\u{a0}' => {
                quoted.push_str(&format!("\\U{:08X}", u32::from(c)))
            }
            c => quoted.push(c),
        }
    }
    quoted + "\""
}
