//! The order in which hypotheses are tested.

use super::{
    facts::Facts,
    header, origins, parameters, path, query,
    search::{Attempt, Rank, Search, Trial},
    texts,
    url::Url,
};
use crate::routes::Access;
use crate::signature::ProbeKey;

/// Most keys of one search.
const MAX_KEYS: usize = 64;

/// Tests the plain request, then each single change, then the likeliest pairs.
pub(super) fn search<'a>(facts: &Facts<'a>) -> Search<'a> {
    let mut search = Search::new(header::signatures(facts), keys(facts));
    if search.signatures.is_empty() || search.keys.is_empty() {
        return search;
    }
    let base = Attempt::new(facts.expected.clone(), facts.tail.clone());
    let _over = search.test_under_all(&base)
        || told(facts, &base, &mut search)
        || quick(facts, &base, &mut search)
        || urls(facts, &base, &mut search)
        || details(facts, &base, &mut search)
        || pairs(facts, &base, &mut search);
    search
}

/// The keys: those that the gate tries, then given ones, then the rest.
fn keys<'a>(facts: &Facts<'a>) -> Vec<Trial<'a>> {
    let (configured, given) = (facts.case.keys, facts.case.given);
    let named = facts.accounts();
    let of_account =
        |key: &ProbeKey| key.account().is_some_and(|sid| named.iter().any(|n| n == sid));
    let is_own = |key: &&ProbeKey| facts.is_own(key) || (of_account(key) && has_accounts(facts));
    let trial = |rank| move |key: &'a ProbeKey| Trial { key, rank };
    let own = || configured.iter().filter(is_own);
    let mut keys: Vec<Trial<'a>> = own().map(trial(Rank::Own)).collect();
    keys.extend(given.iter().map(trial(Rank::Given)));
    keys.extend(own().flat_map(ProbeKey::repaired).map(trial(Rank::Repaired)));
    let others = || configured.iter().filter(|key| !is_own(key));
    keys.extend(others().take(MAX_KEYS).map(trial(Rank::Elsewhere)));
    keys.truncate(MAX_KEYS);
    keys
}

/// Whether the route looks tokens up by account.
fn has_accounts(facts: &Facts<'_>) -> bool {
    facts.route.is_none_or(|route| match &route.access {
        Access::Twilio(keyring) => keyring.accounts() > 0,
        Access::Body(_) | Access::Public => false,
    })
}

/// The URL that Twilio has on file, with every reading of the body.
fn told<'a>(facts: &Facts<'a>, base: &Attempt, search: &mut Search<'a>) -> bool {
    let Some(text) = facts.case.told else { return false };
    let Some(url) = Url::parse(text) else {
        let raw =
            base.wrongly(text.as_bytes().to_vec(), base.tail.clone(), "another text than the URL");
        return search.test_under_all(&raw);
    };
    let port = |port| Url { port, ..url.clone() };
    let spellings = [url.clone(), port(None), port(Some(443)), port(Some(80))];
    if spellings.iter().any(|url| search.test_under_all(&base.with_url(url.clone()))) {
        return true;
    }
    let base = base.with_url(url);
    quick(facts, &base, search) || details(facts, &base, search)
}

fn quick<'a>(facts: &Facts<'a>, base: &Attempt, search: &mut Search<'a>) -> bool {
    parameters::quick(facts, base).iter().any(|attempt| search.test(attempt))
}

/// Each change of the URL alone.
fn urls<'a>(facts: &Facts<'a>, base: &Attempt, search: &mut Search<'a>) -> bool {
    let url = &base.url;
    for target in path::original_targets(facts) {
        let other = Url::new(&url.scheme, &url.host, url.port, &target);
        if search.test(&base.with_url(other)) {
            return true;
        }
    }
    let likely = path::likely(facts).into_iter();
    origins::likely(facts, url).into_iter().any(|url| search.test(&base.with_url(url)))
        || likely.map(|path| url.with_path(path)).any(|url| search.test(&base.with_url(url)))
        || query::all(facts, &mut |query| search.test(&base.with_url(url.with_query(query))))
        || path::all(facts).into_iter().any(|path| search.test(&base.with_url(url.with_path(path))))
        || origins::all(facts, url).into_iter().any(|url| search.test(&base.with_url(url)))
}

/// Each other reading of the body, and other texts.
fn details<'a>(facts: &Facts<'a>, base: &Attempt, search: &mut Search<'a>) -> bool {
    texts::all(facts, base).iter().any(|attempt| search.test(attempt))
        || parameters::all(facts, base, &mut |attempt| search.test(&attempt))
}

/// Two changes of different kinds.
fn pairs<'a>(facts: &Facts<'a>, base: &Attempt, search: &mut Search<'a>) -> bool {
    let url = &base.url;
    let paths: Vec<Url> = path::likely(facts).into_iter().map(|path| url.with_path(path)).collect();
    let queries: Vec<Url> = query::likely(facts).into_iter().map(|q| url.with_query(q)).collect();
    for origin in origins::likely(facts, url) {
        let moved = |other: &Url| Url {
            path: other.path.clone(),
            query: other.query.clone(),
            ..origin.clone()
        };
        let changed = base.with_url(origin.clone());
        if quick(facts, &changed, search)
            || paths.iter().chain(&queries).any(|other| search.test(&base.with_url(moved(other))))
        {
            return true;
        }
    }
    for path in &paths {
        let changed = base.with_url(path.clone());
        let both = |query: &Url| path.with_query(query.query.clone());
        if quick(facts, &changed, search)
            || queries.iter().any(|query| search.test(&base.with_url(both(query))))
        {
            return true;
        }
    }
    queries.iter().any(|query| quick(facts, &base.with_url(query.clone()), search))
        || origins::likely(facts, url).into_iter().any(|origin| {
            texts::all(facts, &base.with_url(origin)).iter().any(|attempt| search.test(attempt))
        })
}
