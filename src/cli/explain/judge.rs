//! Puts the request through the gate's own pipeline: what it decides is what `run` would decide.

use std::{
    io,
    net::IpAddr,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};

use super::request::Received;
use crate::cli::error::CliError;
use crate::config::Config;
use crate::gate::{Claim, Refusal, ReplayCache, RequestBody};
use crate::http1::{FramedHead, Malformed};
use crate::limits::MemoryBudget;

/// The gate's decision.
pub(super) enum Judgement {
    /// It would pass; the key's name, where one signed it.
    Admitted(Option<String>),
    /// It would be refused, and is forwarded: the route has `enforce = false`.
    Observed(Refusal),
    /// It is refused.
    Refused(Refusal),
    /// It is no request that reaches the gate.
    Malformed(Malformed),
}

/// A body that is here already.
struct Whole(Bytes);

impl RequestBody for Whole {
    fn poll_data(&mut self, whole: &mut BytesMut, _: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let length = self.0.len();
        whole.extend_from_slice(&self.0);
        self.0.clear();
        Poll::Ready(Ok(length))
    }

    fn exact_len(&self) -> Option<u64> {
        u64::try_from(self.0.len()).ok()
    }

    fn is_client_gone(&mut self) -> bool {
        false
    }
}

pub(super) fn judge(
    received: &Received,
    peer: Option<IpAddr>,
    config: &Config,
) -> Result<Judgement, CliError> {
    let framed = match FramedHead::new(Arc::clone(&received.head)) {
        Ok(framed) => framed,
        Err(malformed) => return Ok(Judgement::Malformed(malformed)),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let body = Whole(received.body.clone());
    let decide = async {
        let claim = Claim::new(&framed, body, peer, &config.table)?;
        let claim = claim.read(&config.limits, &Arc::new(MemoryBudget::default())).await?;
        claim.judge(&ReplayCache::default())
    };
    Ok(match runtime.block_on(decide) {
        Ok(admitted) => match admitted.proven().unenforced() {
            Some(reason) => Judgement::Observed(reason),
            None => {
                Judgement::Admitted(admitted.proven().proof().map(|proof| proof.key.to_string()))
            }
        },
        Err(refused) => Judgement::Refused(refused.reason),
    })
}

impl Judgement {
    pub(super) const fn verdict(&self) -> &'static str {
        match self {
            Self::Admitted(_) => "admitted",
            Self::Observed(_) => "observed",
            Self::Refused(_) => "refused",
            Self::Malformed(_) => "malformed",
        }
    }

    pub(super) const fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Admitted(_) => None,
            Self::Observed(refusal) | Self::Refused(refusal) => Some(refusal.label()),
            Self::Malformed(malformed) => Some(malformed),
        }
    }
}
