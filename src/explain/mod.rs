//! Explains a refusal: finds the single mistake, or the likeliest pair, under which a key signed
//! the request. Pure: bytes in, labels and sentences out.
//!
//! **What this module returns proves nothing and admits nothing.** The gate decides first and alone;
//! no module that decides or forwards may use this one (`tests/suite/layers.rs`).
//!
//! | file | holds |
//! | --- | --- |
//! | `label` | the mistakes, their sentences and cures |
//! | `case`, `trust` | the request, and what the configuration expects of it |
//! | `search` | tests texts under keys within a budget of MACs and bytes |
//! | `origins`, `path`, `query`, `parameters`, `texts`, `header` | the hypotheses, by kind |
//! | `difference` | names the differences between the signed and the expected URL |
//! | `body` | what a proven URL says of a body that it covers by hash |
//! | `signed_body` | routes whose sender signs the body and no URL |
//! | `verdict` | labels of what was found |
//! | `hints` | the likeliest mistakes where no MAC matched |
//! | `render` | sentences, without secrets and values |

mod body;
mod case;
mod codec;
mod difference;
mod facts;
mod header;
mod hints;
mod label;
mod origins;
mod parameters;
mod path;
mod plan;
mod query;
mod render;
mod search;
mod signed_body;
mod texts;
mod trust;
mod url;
mod verdict;

pub use case::Case;
use facts::Facts;
pub use label::{Label, Site};
pub use search::{MAX_HASHED, MAX_MACS};

use crate::routes::Access;

/// The result of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The likeliest mistakes; of several at once, in the order in which they are to be cured.
    pub mistakes: Vec<Mistake>,
    /// The number of MACs that the search took.
    pub macs: usize,
    /// The number of bytes that it hashed.
    pub hashed: usize,
    /// The route's number, where one takes the path.
    pub route: Option<usize>,
}

/// A mistake with its cure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Its name.
    pub label: Label,
    /// Whether a MAC under a configured or given key matched the changed request.
    pub proven: bool,
    /// The mistake in a sentence.
    pub says: String,
    /// The change that cures it.
    pub cure: String,
    /// The text that was signed, with `…` in place of each value; `None` for a hint.
    pub signed: Option<String>,
}

/// Explains a refused request. Takes at most [`MAX_MACS`] MACs over [`MAX_HASHED`] bytes.
#[must_use]
pub fn explain(case: Case<'_>) -> Explanation {
    let facts = Facts::new(case);
    if let Some(Access::Body(scheme)) = facts.route.map(|route| &route.access) {
        return signed_body::explain(&facts, scheme);
    }
    let mut search = plan::search(&facts);
    let mistakes = match search.found.take() {
        Some(found) => verdict::mistakes(&facts, &found),
        None => hints::mistakes(&facts, &search),
    };
    let route = facts.route.map(|route| route.number);
    Explanation { mistakes, macs: search.macs, hashed: search.hashed(), route }
}
