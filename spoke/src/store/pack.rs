//! JSON, compressed, and unpacked within a bound.

use std::io::{self, Read};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// zstd level: names repeat, so more effort pays little.
const LEVEL: i32 = 3;

/// The compressed JSON of `value`.
pub fn pack<T: Serialize + ?Sized>(value: &T) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(value).map_err(io::Error::other)?;
    zstd::bulk::compress(&json, LEVEL)
}

/// The value in `packed`, if it is one and unpacks to at most `limit` bytes.
pub fn unpack<T: DeserializeOwned>(packed: &[u8], limit: u64) -> Option<T> {
    let mut json = Vec::new();
    let decoder = zstd::stream::read::Decoder::new(packed).ok()?;
    decoder.take(limit + 1).read_to_end(&mut json).ok()?;
    (json.len() as u64 <= limit).then(|| serde_json::from_slice(&json).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_within_the_limit() {
        let value = vec!["a".repeat(1000); 100];
        let packed = pack(&value).unwrap();
        assert_eq!(unpack(&packed, 1 << 20), Some(value));
        assert_eq!(unpack::<Vec<String>>(&packed, 1000), None);
        assert_eq!(unpack::<Vec<String>>(&packed[..packed.len() / 2], 1 << 20), None);
    }
}
