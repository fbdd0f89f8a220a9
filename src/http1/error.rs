//! The errors of heads.

/// The reason why a message cannot be judged; used as a label in logs and metrics.
pub type Malformed = &'static str;

/// The reason why no head could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// The bytes are not HTTP/1.1.
    Malformed,
    /// The request line alone is longer than a head may be.
    TargetTooLong,
    /// The head has too many bytes or too many fields.
    TooLarge,
    /// No memory is left for a head of this size.
    Overloaded,
}
