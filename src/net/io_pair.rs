//! Vectored writes of two slices.

use std::{
    io::{self, IoSlice},
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::AsyncWrite;

/// Two slices that are written in one call: a head, and the body after it.
#[derive(Debug)]
pub struct IoPair<'p>(pub [&'p [u8]; 2]);

impl IoPair<'_> {
    /// Returns whether everything is written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|slice| slice.is_empty())
    }

    /// Writes as much as `to` takes at once and returns the number of bytes.
    ///
    /// # Errors
    /// The error of `to`.
    pub fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        to: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let [first, second] = &mut self.0;
        let written = match (&first[..], &second[..]) {
            (only, []) | ([], only) => Pin::new(to).poll_write(cx, only),
            (first, second) => {
                let slices = [IoSlice::new(first), IoSlice::new(second)];
                Pin::new(to).poll_write_vectored(cx, &slices)
            }
        };
        if let Poll::Ready(Ok(count)) = &written {
            let of_first = first.len().min(*count);
            let of_second = count.saturating_sub(of_first);
            *first = mem::take(first).get(of_first..).unwrap_or_default();
            *second = mem::take(second).get(of_second..).unwrap_or_default();
        }
        written
    }
}
