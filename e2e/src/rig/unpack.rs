//! Everything that bytes say, packed or not: for those who look for what must
//! be nowhere.

use std::io::Read;

use serde_json::Value;

/// How a zstd frame begins.
const FRAME: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// What one frame may unpack to: more than anything a spoke keeps in a test.
const UNPACKED_BYTES: u64 = 64 << 20;

/// The bytes as text, however broken; then what is packed in them, and what that holds as lists of bytes.
pub fn text_of(bytes: &[u8]) -> String {
    let mut all = String::from_utf8_lossy(bytes).into_owned();
    for at in bytes.windows(FRAME.len()).enumerate().filter(|(_, window)| *window == FRAME).map(|(at, _)| at)
    {
        let unpacked = unpack(&bytes[at..]);
        if let Ok(value) = serde_json::from_slice::<Value>(&unpacked) {
            byte_lists(&value, &mut all);
        }
        all += &String::from_utf8_lossy(&unpacked);
    }
    all
}

/// As much of the first frame as is good; none of it if it only looks like one.
fn unpack(bytes: &[u8]) -> Vec<u8> {
    let mut unpacked = Vec::new();
    if let Ok(decoder) = zstd::stream::read::Decoder::new(bytes) {
        // What was read before an error is what there is to look at.
        let _ = decoder.single_frame().take(UNPACKED_BYTES).read_to_end(&mut unpacked);
    }
    unpacked
}

fn byte_lists(value: &Value, all: &mut String) {
    match value {
        Value::Array(items) => {
            let bytes: Option<Vec<u8>> = items.iter().map(|item| u8::try_from(item.as_u64()?).ok()).collect();
            match bytes {
                Some(bytes) => *all += &String::from_utf8_lossy(&bytes),
                None => items.iter().for_each(|item| byte_lists(item, all)),
            }
        }
        Value::Object(map) => map.values().for_each(|value| byte_lists(value, all)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_packed_is_seen() {
        let inner = json!({"plan": b"canary one".to_vec(), "note": "canary two"});
        let packed = zstd::bulk::compress(inner.to_string().as_bytes(), 3).unwrap();
        let file = [&[7; 32][..], &packed, b"canary three"].concat();
        let text = text_of(&file);
        for canary in ["canary one", "canary two", "canary three"] {
            assert!(text.contains(canary), "{canary}");
        }
        // Half a frame, and what only looks like one, end nothing.
        assert!(text_of(&[&FRAME[..], b"x canary four"].concat()).contains("canary four"));
    }
}
