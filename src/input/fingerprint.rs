//! The hash of texts and files: FNV-1a with 128 bits, which is the same on every machine and in every
//! version. Not std's hasher, which may change with the version of Rust: a journal's runs would then be
//! taken for new ones. Proof against accident, not against malice.
//! <https://datatracker.ietf.org/doc/draft-eastlake-fnv/>

use std::fmt;

/// Of the bytes so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint(u128);

impl Fingerprint {
    /// Of nothing.
    pub(crate) const EMPTY: Self = Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);

    /// Of all parts, one after another; where one ends and the next begins counts too.
    pub(crate) fn of(parts: &[impl AsRef<[u8]>]) -> Self {
        let parts: Vec<_> = parts.iter().map(AsRef::as_ref).collect();
        // No text in UTF-8 holds this byte.
        Self::EMPTY.then(&parts.join(&0xff))
    }

    /// With these bytes after the others.
    pub(crate) fn then(self, bytes: &[u8]) -> Self {
        const PRIME: u128 = (1 << 88) + 0x13b;
        let add = |hash: u128, &byte: &u8| (hash ^ u128::from(byte)).wrapping_mul(PRIME);
        Self(bytes.iter().fold(self.0, add))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_fnv_1a() {
        let known = [
            ("", "6c62272e07bb014262b821756295c58d"),
            ("a", "d228cb696f1a8caf78912b704e4a8964"),
            ("abc", "a68d622cec8b5822836dbc7977af7f3b"),
        ];
        for (text, hash) in known {
            assert_eq!(Fingerprint::of(&[text]).to_string(), hash);
        }
    }

    #[test]
    fn where_a_part_ends_counts() {
        assert_ne!(Fingerprint::of(&["ab", "c"]), Fingerprint::of(&["a", "bc"]));
        assert_ne!(Fingerprint::of(&["a"]), Fingerprint::of(&["a", ""]));
    }
}
