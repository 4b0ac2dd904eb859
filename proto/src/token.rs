//! The enrolment token: everything a new spoke needs to know whom to trust,
//! `rw1.<id>.<secret>.<CA sha256>.<sha256 of root 1's payload>`.

use std::fmt;

use crate::ids::{Digest, unhex};

/// A parsed token. Its `Debug` hides the secret; [`Token::reveal`] is the one way to print it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// Which token: public, 16 hex digits.
    pub id: String,
    /// 256 random bits; the hub stores only their digest.
    pub secret: [u8; 32],
    /// SHA-256 of the DER of the CA certificate that vouches for the hub.
    pub ca: Digest,
    /// SHA-256 of root 1's payload.
    pub root: Digest,
}

/// The text is not an enrolment token. Says nothing of the text, which may be a real token with a typo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an enrolment token (rw1.<id>.<secret>.<ca>.<root>)")]
pub struct TokenError;

impl Token {
    /// Reads a token; white space around it is ignored, because it usually comes from a file.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let [prefix, id, secret, ca, root]: [&str; 5] =
            text.trim().split('.').collect::<Vec<_>>().try_into().map_err(|_| TokenError)?;
        let hash = |text: &str| unhex(text).and_then(|b| <[u8; 32]>::try_from(b).ok()).ok_or(TokenError);
        if prefix != "rw1" || unhex(id).is_none_or(|id| id.len() != 8) {
            return Err(TokenError);
        }
        Ok(Self {
            id: id.to_owned(),
            secret: hash(secret)?,
            ca: Digest::from_bytes(hash(ca)?),
            root: Digest::from_bytes(hash(root)?),
        })
    }

    /// The token as text, secret included: shown once, to the person who asked for it.
    pub fn reveal(&self) -> String {
        let secret = crate::ids::hex(&self.secret);
        format!("rw1.{}.{secret}.{}.{}", self.id, self.ca.hex(), self.root.hex())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_no_secret_in_debug() {
        let (ca, root) = (Digest::of(b"ca"), Digest::of(b"root"));
        let token = Token { id: "0123456789abcdef".into(), secret: [7; 32], ca, root };
        assert_eq!(Token::parse(&format!(" {}\n", token.reveal())), Ok(token.clone()));
        assert!(!format!("{token:?}").contains("0707"));
        for bad in ["", "rw1.a.b.c.d", "rw2", &token.reveal()[..80]] {
            assert_eq!(Token::parse(bad), Err(TokenError), "{bad}");
        }
    }
}
