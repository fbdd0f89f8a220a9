//! The MAC algorithms.

/// The MAC that a key is used with. Fixed by configuration, never chosen by a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Auth tokens, and SharedKeys configured with it.
    HmacSha1,
    /// SharedKeys only.
    HmacSha256,
}

impl Algorithm {
    /// The length of one MAC in bytes.
    #[must_use]
    pub const fn mac_len(self) -> usize {
        match self {
            Self::HmacSha1 => 20,
            Self::HmacSha256 => 32,
        }
    }
}
