//! Values that the sample requests share.

/// The account SID of every sample request; no such account exists.
pub(super) const ACCOUNT: &str = "AC00000000000000000000000000000000";
