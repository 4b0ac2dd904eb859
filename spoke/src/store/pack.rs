//! JSON, compressed, and unpacked within a bound. Both in one go, so that the
//! JSON of a large ledger is never in memory as a whole.

use std::io::{self, BufReader, BufWriter, Read};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// zstd level: names repeat, so more effort pays little.
const LEVEL: i32 = 3;

/// The compressed JSON of `value`.
pub fn pack<T: Serialize + ?Sized>(value: &T) -> io::Result<Vec<u8>> {
    let mut out = BufWriter::new(zstd::stream::write::Encoder::new(Vec::new(), LEVEL)?);
    serde_json::to_writer(&mut out, value).map_err(io::Error::other)?;
    out.into_inner()?.finish()
}

/// The value in `packed`, if it is one and unpacks to at most `limit` bytes.
pub fn unpack<T: DeserializeOwned>(packed: &[u8], limit: u64) -> Option<T> {
    // What is longer ends before its end, and is not JSON.
    let json = zstd::stream::read::Decoder::new(packed).ok()?.take(limit);
    serde_json::from_reader(BufReader::new(json)).ok()
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
