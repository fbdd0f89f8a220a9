//! Reading a body, bounded in bytes and in time.

use std::{error::Error, pin::pin, time::Duration};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::time::timeout;

use super::Refusal;

/// Whether the head announces more than `limit` bytes.
pub(super) fn announces_more_than(limit: u64, body: &impl Body) -> bool {
    body.size_hint().lower() > limit
}

/// Reads it whole.
pub(super) async fn read<B>(body: B, limit: u64, deadline: Duration) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes>,
    B::Error: Error + 'static,
{
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    timeout(deadline, collect(body, limit)).await.map_err(|_| Refusal::BodyTimeout)?
}

/// The usual body arrives in one frame and is not copied. Trailers are dropped: nothing signs them.
async fn collect<B>(body: B, limit: u64) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes>,
    B::Error: Error + 'static,
{
    let mut body = pin!(body);
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::BodyIncomplete)?;
        let Ok(data) = frame.into_data() else { continue };
        let held = first.len().saturating_add(rest.len()).saturating_add(data.len());
        if u64::try_from(held).map_or(true, |held| held > limit) {
            return Err(Refusal::BodyTooLarge);
        }
        if first.is_empty() {
            first = data;
            continue;
        }
        rest.extend_from_slice(&data);
    }
    Ok(if rest.is_empty() { first } else { [&first[..], &rest].concat().into() })
}
