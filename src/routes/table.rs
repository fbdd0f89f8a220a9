//! The route table, and the look-up of a path in it.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    Access, Pattern, Route, Statuses, Trust, Upstream,
    path::{folded, is_unsafe},
};

/// The routes of one configuration.
///
/// Finding one costs at most one hash look-up for each distinct length of a configured path,
/// independent of the path of the request.
#[derive(Debug)]
pub struct Table {
    routes: Vec<Arc<Route>>,
    exact: HashMap<Box<[u8]>, Arc<Route>>,
    subtrees: Index<Arc<Route>>,
    /// The routes by the loosest reading of their paths.
    folded: Index<Vec<Arc<Route>>>,
    /// The statuses of refusals before a route is known.
    statuses: Statuses,
    /// The proxies trusted with the public URL.
    trust: Option<Trust>,
}

impl Table {
    /// Indexes the routes. Paths must differ, which the configuration checks: of two equal ones the
    /// later would win.
    #[must_use]
    pub fn new(routes: Vec<Route>, statuses: Statuses) -> Self {
        let routes = with_shared_upstreams(routes);
        let mut table = Self {
            routes: Vec::new(),
            exact: HashMap::new(),
            subtrees: Index::default(),
            folded: Index::default(),
            statuses,
            trust: None,
        };
        for route in &routes {
            let (Pattern::Exact(path) | Pattern::Subtree(path)) = &route.path;
            let path = path.as_bytes();
            match &route.path {
                Pattern::Exact(_) => {
                    table.exact.insert(path.into(), Arc::clone(route));
                }
                Pattern::Subtree(_) => {
                    *table.subtrees.entry(path.into(), || Arc::clone(route)) = Arc::clone(route);
                }
            }
            table.folded.entry(folded(path).into(), Vec::new).push(Arc::clone(route));
        }
        table.routes = routes;
        table
    }

    /// Adds the proxies trusted with the public URL.
    #[must_use]
    pub fn with_trust(self, trust: Option<Trust>) -> Self {
        Self { trust, ..self }
    }

    /// The proxies trusted with the public URL.
    #[must_use]
    pub const fn trust(&self) -> Option<&Trust> {
        self.trust.as_ref()
    }

    /// All routes in the configured order.
    #[must_use]
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// The statuses of refusals before a route is known.
    #[must_use]
    pub const fn statuses(&self) -> Statuses {
        self.statuses
    }

    /// The route whose pattern matches this path byte for byte: an exact one first, else the longest
    /// subtree. Check [`Self::is_ambiguous`] before using it.
    #[must_use]
    pub fn find(&self, path: &[u8]) -> Option<&Arc<Route>> {
        self.exact
            .get(path)
            .or_else(|| self.subtrees.longest(path, |prefix, _| prefix.ends_with(b"/")))
    }

    /// Whether some app might read this path, found on `route`, as one of another route.
    ///
    /// Never on an exact route, which matches byte for byte. A subtree refuses ambiguous spellings,
    /// and paths whose looser reading belongs to a route with other keys. A sole route has no other
    /// one to be confused with, if the path is signed.
    #[must_use]
    pub fn is_ambiguous(&self, path: &[u8], route: &Route) -> bool {
        let sole = self.routes.len() == 1 && matches!(route.access, Access::Twilio(_));
        let exact = matches!(route.path, Pattern::Exact(_));
        !exact && !sole && (is_unsafe(path) || self.folds_to_another(path, route))
    }

    fn folds_to_another(&self, path: &[u8], route: &Route) -> bool {
        let folded = folded(path);
        let nearest = self.folded.longest(&folded, |_, behind| matches!(behind, [] | [b'/', ..]));
        nearest.is_some_and(|others| others.iter().any(|other| !same_access(other, route)))
    }
}

/// Numbers the routes and makes equal upstreams one `Arc`, so that their routes share connections.
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
    // An unproven request on a route that does not enforce must not be taken for one on another.
    if left.enforced != right.enforced {
        return false;
    }
    match (&left.access, &right.access) {
        (Access::Public, Access::Public) => true,
        (Access::Twilio(left), Access::Twilio(right)) => Arc::ptr_eq(left, right),
        (Access::Body(left), Access::Body(right)) => Arc::ptr_eq(left, right),
        _ => false,
    }
}

/// Values by path, looked up by the longest stored path that is a prefix.
///
/// A look-up hashes one prefix for each distinct length of the stored paths, so the configuration
/// bounds its cost. Hashing every prefix that ends in a slash is quadratic in the length of an
/// unsigned path (32,000 slashes took 78 ms).
#[derive(Debug)]
struct Index<T> {
    by_path: HashMap<Box<[u8]>, T>,
    /// The distinct lengths of the stored paths, longest first.
    lengths: Vec<usize>,
}

impl<T> Default for Index<T> {
    fn default() -> Self {
        Self { by_path: HashMap::new(), lengths: Vec::new() }
    }
}

impl<T> Index<T> {
    fn entry(&mut self, path: Box<[u8]>, new: impl FnOnce() -> T) -> &mut T {
        if let Err(at) = self.lengths.binary_search_by(|length| path.len().cmp(length)) {
            self.lengths.insert(at, path.len());
        }
        self.by_path.entry(path).or_insert_with(new)
    }

    /// The value of the longest stored prefix of `path` that `may_end` accepts, given the prefix and
    /// the remainder.
    fn longest(&self, path: &[u8], may_end: impl Fn(&[u8], &[u8]) -> bool) -> Option<&T> {
        let prefixes = self.lengths.iter().filter_map(|length| path.split_at_checked(*length));
        let mut prefixes = prefixes.filter(|(prefix, behind)| may_end(prefix, behind));
        prefixes.find_map(|(prefix, _)| self.by_path.get(prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn index(paths: &[&'static str]) -> Index<&'static str> {
        let mut index = Index::default();
        for path in paths {
            index.entry(path.as_bytes().into(), || *path);
        }
        index
    }

    #[test]
    fn longest_accepted_prefix_is_found() {
        let subtrees = index(&["/", "/sms/", "/sms/in/", "/voice/"]);
        let find = |path: &str| {
            subtrees.longest(path.as_bytes(), |prefix, _| prefix.ends_with(b"/")).copied()
        };
        assert_eq!(find("/sms/in/x/y"), Some("/sms/in/"));
        assert_eq!(find("/sms/in"), Some("/sms/"));
        assert_eq!(find("/sms"), Some("/"));
        assert_eq!(find("sms"), None);
        let folded = index(&["", "/sms", "/voice"]);
        let find = |path: &str| {
            let ends = |_: &[u8], behind: &[u8]| matches!(behind, [] | [b'/', ..]);
            folded.longest(path.as_bytes(), ends).copied()
        };
        assert_eq!(find("/sms"), Some("/sms"));
        assert_eq!(find("/sms/x"), Some("/sms"));
        assert_eq!(find("/smsx"), Some(""));
    }

    #[test]
    fn look_up_cost_is_bounded_by_the_configured_paths() {
        let subtrees = index(&["/", "/sms/", "/sms/in/", "/abc/"]);
        for slashes in [16, 32_000] {
            let asked = Cell::new(0);
            let found = subtrees.longest("/".repeat(slashes).as_bytes(), |_, _| {
                asked.set(asked.get() + 1);
                true
            });
            assert_eq!((found, asked.get()), (Some(&"/"), 3), "{slashes}");
        }
    }
}
