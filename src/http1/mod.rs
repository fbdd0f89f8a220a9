//! HTTP/1.1 as bytes (RFC 9112): heads and bodies, one codec for both sides. No I/O, and no
//! decision about who may pass.
//!
//! Each head is parsed once, by httparse, and kept as received. What is judged, forwarded and
//! answered is read from the same bytes, so no two readers of a message can differ.
//!
//! | file | holds |
//! | --- | --- |
//! | `head_scanner` | finds the end of a head; looks at each line once |
//! | `fields`, `field_name` | the field lines of a head, in their order and spelling |
//! | `request`, `response` | the heads, and the rules for where their bodies end |
//! | `body_decoder` | takes a body off received bytes |
//! | `body_encoder` | frames a body so that the declared length is the sent length |

mod body_decoder;
mod body_encoder;
mod error;
mod field_name;
mod fields;
mod head_scanner;
mod request;
mod response;

pub use body_decoder::{BodyDecoder, Framing};
pub use body_encoder::{BodyEncoder, LengthMismatch};
pub use error::{HeadError, Malformed};
pub use field_name::FieldName;
pub use fields::{Field, Fields, write as write_field};
pub use head_scanner::{HeadScanner, skip_empty_lines};
pub use request::{FramedHead, RequestHead, Version};
pub use response::{ResponseFraming, ResponseHead};
