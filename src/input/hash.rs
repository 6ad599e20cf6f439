//! FNV-1a with 128 bits, which is the same on every machine and in every version. Proof against
//! accident, not against malice. <https://datatracker.ietf.org/doc/draft-eastlake-fnv/>

use std::io;

/// Of the bytes so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hash(pub(crate) u128);

impl Hash {
    /// Of nothing.
    pub(crate) const EMPTY: Self = Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);

    /// With these bytes after the others.
    pub(crate) fn then(self, bytes: &[u8]) -> Self {
        const PRIME: u128 = (1 << 88) + 0x13b;
        let add = |hash: u128, &byte: &u8| (hash ^ u128::from(byte)).wrapping_mul(PRIME);
        Self(bytes.iter().fold(self.0, add))
    }
}

impl io::Write for Hash {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        *self = self.then(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
