//! HTTP/1.1 as bytes (RFC 9112): heads, and where a message ends. Bytes in, places in them out: no
//! I/O, and no say in who may pass.
//!
//! Each head is parsed once, by httparse, and kept as it came. What is judged, what is forwarded
//! and what is answered are read from the same bytes, so no two readers of a message can differ.
//!
//! | file | holds |
//! | --- | --- |
//! | `scan` | where a head ends; each line is looked at once |
//! | `fields`, `name` | the field lines of a head, in their order and spelling |
//! | `request`, `response` | the heads, and the rules by which their bodies end |
//! | `rest` | what is still to come of a body |

mod body_decoder;
mod field_name;
mod fields;
mod head_scanner;
mod request;
mod response;

pub use body_decoder::{BodyDecoder, Framing};
pub use field_name::FieldName;
pub use fields::{Field, Fields, write as write_field};
pub use head_scanner::{HeadScanner, skip_empty_lines};
pub use request::{RequestHead, Version};
pub use response::ResponseHead;

/// Why a message is no HTTP/1.1 that can be judged; its name in logs and counters.
pub type Malformed = &'static str;

/// Why there is no head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// It is no HTTP/1.1.
    Malformed,
    /// The request line alone is too long.
    TargetTooLong,
    /// Too many bytes, or too many fields.
    TooLarge,
}
