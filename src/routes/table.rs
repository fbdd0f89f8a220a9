//! All routes, and which one a path belongs to.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    Access, Pattern, Route, Statuses, Trust, Upstream,
    path::{folded, is_unsafe},
};

/// The routes of one configuration. Finding one costs a look-up per path segment, however many
/// routes there are.
#[derive(Debug)]
pub struct Table {
    routes: Vec<Arc<Route>>,
    exact: HashMap<Box<[u8]>, Arc<Route>>,
    subtrees: HashMap<Box<[u8]>, Arc<Route>>,
    /// The same routes by the loosest reading of their paths.
    folded: HashMap<Vec<u8>, Vec<Arc<Route>>>,
    /// What a sender is told where no route is known.
    statuses: Statuses,
    /// Who is believed about the public URL, if anybody.
    trust: Option<Trust>,
}

impl Table {
    /// Indexes the routes. Of two with one path the later would win; the configuration refuses such.
    #[must_use]
    pub fn new(routes: Vec<Route>, statuses: Statuses) -> Self {
        let routes = with_shared_upstreams(routes);
        let mut table = Self {
            routes: Vec::new(),
            exact: HashMap::new(),
            subtrees: HashMap::new(),
            folded: HashMap::new(),
            statuses,
            trust: None,
        };
        for route in &routes {
            let (index, path) = match &route.path {
                Pattern::Exact(path) => (&mut table.exact, path),
                Pattern::Subtree(prefix) => (&mut table.subtrees, prefix),
            };
            index.insert(path.as_bytes().into(), Arc::clone(route));
            table.folded.entry(folded(path.as_bytes())).or_default().push(Arc::clone(route));
        }
        table.routes = routes;
        table
    }

    /// The same, with proxies that are believed about the public URL.
    #[must_use]
    pub fn trusting(self, trust: Option<Trust>) -> Self {
        Self { trust, ..self }
    }

    /// Who is believed about the public URL, if anybody.
    #[must_use]
    pub const fn trust(&self) -> Option<&Trust> {
        self.trust.as_ref()
    }

    /// All routes, as configured.
    #[must_use]
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// What a sender is told where no route is known.
    #[must_use]
    pub const fn statuses(&self) -> Statuses {
        self.statuses
    }

    /// The route whose pattern has this path as it is written: exact first, else the longest
    /// subtree. Whether the path may be trusted to mean it, [`Self::is_ambiguous`] says.
    #[must_use]
    pub fn find(&self, path: &[u8]) -> Option<&Arc<Route>> {
        self.exact.get(path).or_else(|| prefixes(path).find_map(|prefix| self.subtrees.get(prefix)))
    }

    /// Whether some app might take this path, which found this route, for a path of another one.
    ///
    /// An exact route is what its owner wrote, byte for byte. A subtree refuses ambiguous
    /// spellings, and paths that read more loosely belong to a route with other keys; a sole
    /// guarded `/*` has no other route to be mistaken for.
    #[must_use]
    pub fn is_ambiguous(&self, path: &[u8], route: &Route) -> bool {
        let sole = self.routes.len() == 1 && !route.is_public();
        let exact = matches!(route.path, Pattern::Exact(_));
        !exact && !sole && (is_unsafe(path) || self.reads_as_another(path, route))
    }

    fn reads_as_another(&self, path: &[u8], route: &Route) -> bool {
        let folded = folded(path);
        let mut readings = std::iter::once(&folded[..]).chain(ancestors(&folded));
        let nearest = readings.find_map(|reading| self.folded.get(reading));
        nearest.is_some_and(|others| others.iter().any(|other| !same_access(other, route)))
    }
}

/// The routes numbered, and with one value for all upstreams that are equal: routes with one
/// upstream share its connections.
#[expect(clippy::mutable_key_type, reason = "an upstream is hashed by what never changes")]
fn with_shared_upstreams(routes: Vec<Route>) -> Vec<Arc<Route>> {
    let mut known: HashSet<Arc<Upstream>> = HashSet::new();
    let numbered = routes.into_iter().enumerate();
    let shared = numbered.map(|(number, route)| {
        let upstream = known.get(&route.upstream).unwrap_or(&route.upstream);
        let upstream = Arc::clone(upstream);
        known.insert(Arc::clone(&upstream));
        Arc::new(Route { number, upstream, ..route })
    });
    shared.collect()
}

fn same_access(left: &Route, right: &Route) -> bool {
    match (&left.access, &right.access) {
        (Access::Public, Access::Public) => true,
        (Access::Twilio(left), Access::Twilio(right)) => Arc::ptr_eq(left, right),
        _ => false,
    }
}

/// `/a/b/c` → `/a/b/`, `/a/`, `/`: every prefix that ends in a slash, the longest first.
fn prefixes(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let slashes = path.iter().enumerate().rev().filter(|&(_, &byte)| byte == b'/');
    slashes.filter_map(|(at, _)| path.get(..=at))
}

/// `/a/b` → `/a`, ``: the same without the slash, as folded subtrees are kept.
fn ancestors(folded: &[u8]) -> impl Iterator<Item = &[u8]> {
    prefixes(folded).map(|prefix| prefix.strip_suffix(b"/").unwrap_or(prefix))
}
