//! Builds the strings that Twilio may have signed for one message: a bounded number, lazily.
//!
//! A match proves that the holder of the key signed this string for this host and path. No variant
//! changes what the app would read, so a captured signature cannot be given another meaning.

use std::{borrow::Cow, fmt};

use super::{
    form::{Order, Parameters, Tail},
    message::Message,
    origin::{Origin, OriginForm, Port, Scheme},
    reorder::reorderings,
    target::{Spelling, respellings, slash_toggled, with_query},
};

/// Identifies the signed string that matched.
///
/// Any but the plain one means that a Twilio product or a proxy differs from the configuration. A
/// change in its counter deserves a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// The difference in the origin.
    pub origin: OriginForm,
    /// The difference in the target.
    pub spelling: Spelling,
    /// The order of the form's names.
    pub order: Order,
}

impl Candidate {
    /// The name in logs and counters; the usual one is not allocated.
    #[must_use]
    pub fn label(&self) -> Cow<'static, str> {
        let plain = OriginForm { port: Port::Kept, without_userinfo: false };
        if self.origin == plain && self.order == Order::Bytes {
            Cow::Borrowed(self.spelling.label())
        } else {
            Cow::Owned(self.to_string())
        }
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.spelling.label())?;
        f.write_str(match self.origin.port {
            Port::Kept => "",
            Port::Removed => "+port_removed",
            Port::Added => "+port_added",
        })?;
        f.write_str(if self.origin.without_userinfo { "+userinfo_removed" } else { "" })?;
        f.write_str(if self.order == Order::Utf16 { "+utf16_order" } else { "" })
    }
}

/// The bytes that one request may cause to be hashed before the search stops, over all keys. The
/// string that crosses the limit is still tried.
///
/// Bounds forged requests, together with [`MIN_COST`]: hashing this much takes a few milliseconds. A genuine request of
/// ordinary size needs less than a thousandth of it.
const MAX_HASHED: usize = 8 << 20;

/// The bytes that one MAC counts as at least: a short one takes half a microsecond.
const MIN_COST: usize = 512;

/// Tries the candidates in order until `test` accepts one.
///
/// `test` receives the signed string in three parts: origin, target, parameters. `keys` is the
/// number of times that it hashes them; `form` is the decoded form of `message`.
pub(super) fn search(
    message: &Message<'_>,
    form: &Parameters,
    origins: &[&Origin],
    keys: usize,
    test: &mut dyn FnMut([&[u8]; 3]) -> bool,
) -> Option<Found> {
    let mut search = Search { origins, handshake: message.is_handshake(), keys, hashed: 0, test };
    if search.handshake {
        return search
            .over_websocket(message)
            .or_else(|| search.respelled(message, b""))
            .or_else(|| search.reordered(message, b""));
    }
    let mut tail = Tail::new();
    form.sort_into(&mut tail, Order::Bytes);
    search
        .plain(message, &tail, Order::Bytes)
        .or_else(|| search.other_order(message, form, &tail))
        .or_else(|| search.respelled(message, &tail))
        .or_else(|| if message.form_is_hashed() { search.url_only(message) } else { None })
        .or_else(|| search.reordered(message, &tail))
}

/// A signed string, and the scheme of the origin that it begins with.
type Found = (Candidate, Scheme);

struct Search<'s> {
    origins: &'s [&'s Origin],
    handshake: bool,
    keys: usize,
    hashed: usize,
    test: &'s mut dyn FnMut([&[u8]; 3]) -> bool,
}

impl Search<'_> {
    /// The target as received.
    fn plain(&mut self, message: &Message<'_>, tail: &[u8], order: Order) -> Option<Found> {
        self.target(Spelling::Received, message.target().whole, tail, order)
    }

    fn other_order(
        &mut self,
        message: &Message<'_>,
        form: &Parameters,
        tail: &Tail,
    ) -> Option<Found> {
        if !form.has_astral() {
            return None;
        }
        let other = form.sorted(Order::Utf16);
        if other[..] == **tail { None } else { self.plain(message, &other, Order::Utf16) }
    }

    fn respelled(&mut self, message: &Message<'_>, tail: &[u8]) -> Option<Found> {
        respellings(message.target())
            .find_map(|(spelling, target)| self.target(spelling, &target, tail, Order::Bytes))
    }

    /// The query in every other order, where the route accepts that.
    fn reordered(&mut self, message: &Message<'_>, tail: &[u8]) -> Option<Found> {
        if !message.takes_any_query_order() {
            return None;
        }
        reorderings(message.target())
            .find_map(|target| self.target(Spelling::Reordered, &target, tail, Order::Bytes))
    }

    fn url_only(&mut self, message: &Message<'_>) -> Option<Found> {
        self.plain(message, b"", Order::Bytes).or_else(|| self.respelled(message, b""))
    }

    /// The strings of a WebSocket handshake: the path with and without a trailing slash, the query
    /// in the URL or as parameters.
    ///
    /// Twilio's documentation says to append a `/` if a handshake does not verify
    /// (<https://www.twilio.com/docs/usage/security>), and Twilio's agent-connect servers append the
    /// query like form parameters. The query is never left out, or anybody could change it.
    fn over_websocket(&mut self, message: &Message<'_>) -> Option<Found> {
        let target = message.target();
        let toggled = slash_toggled(target.path);
        let toggled_whole = with_query(&toggled, target.query);
        let tail = Parameters::parse(target.query.unwrap_or_default()).sorted(Order::Bytes);
        let urls: [(Spelling, &[u8], &[u8]); 4] = [
            (Spelling::Received, target.whole, b""),
            (Spelling::SlashToggled, &toggled_whole, b""),
            (Spelling::QueryAsParameters, target.path, &tail),
            (Spelling::SlashToggledQueryAsParameters, &toggled, &tail),
        ];
        let count = if target.query.is_some() { urls.len() } else { 2 };
        urls.into_iter()
            .take(count)
            .find_map(|(spelling, url, tail)| self.target(spelling, url, tail, Order::Bytes))
    }

    /// Tries one target with every form of each origin.
    fn target(
        &mut self,
        spelling: Spelling,
        target: &[u8],
        tail: &[u8],
        order: Order,
    ) -> Option<Found> {
        let handshake = self.handshake;
        self.origins.iter().find_map(|origin| {
            let mut forms = origin.forms(handshake).iter();
            let &(form, _) = forms.find(|(_, origin)| self.matches([origin, target, tail]))?;
            Some((Candidate { origin: form, spelling, order }, origin.scheme()))
        })
    }

    /// Tests one string, unless [`MAX_HASHED`] is used up. The first one is always tested.
    fn matches(&mut self, parts: [&[u8]; 3]) -> bool {
        if self.hashed > MAX_HASHED {
            return false;
        }
        let length =
            parts.iter().map(|part| part.len()).fold(0, usize::saturating_add).max(MIN_COST);
        self.hashed = self.hashed.saturating_add(length.saturating_mul(self.keys));
        (self.test)(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::{QueryOrder, message::BodyKind};

    fn signed_strings(kind: BodyKind, target: &str, body: &str) -> Vec<String> {
        let origin = Origin::parse("https://h").unwrap();
        let message = Message::bind(kind, target.as_bytes(), body.as_bytes()).unwrap();
        let mut seen = Vec::new();
        let form = Parameters::parse(message.form());
        search(&message, &form, &[&origin], 1, &mut |parts| {
            seen.push(String::from_utf8(parts.concat()).unwrap());
            false
        });
        seen
    }

    #[test]
    fn ordinary_request_has_two_candidates_received_first() {
        assert_eq!(
            signed_strings(BodyKind::Form, "/p?q=1", "b=2&a=1"),
            ["https://h/p?q=1a1b2", "https://h:443/p?q=1a1b2"]
        );
    }

    #[test]
    fn handshake_is_signed_with_wss_and_its_query_is_never_left_out() {
        assert_eq!(
            signed_strings(BodyKind::Handshake, "/r?b=2&a=1", ""),
            [
                "wss://h/r?b=2&a=1",
                "wss://h:443/r?b=2&a=1",
                "wss://h/r/?b=2&a=1",
                "wss://h:443/r/?b=2&a=1",
                "wss://h/ra1b2",
                "wss://h:443/ra1b2",
                "wss://h/r/a1b2",
                "wss://h:443/r/a1b2",
            ]
        );
        assert_eq!(signed_strings(BodyKind::Handshake, "/r", "").len(), 4);
    }

    #[test]
    fn handshake_query_is_respelled_last() {
        let seen = signed_strings(BodyKind::Handshake, "/r?n=O%27Neil", "");
        let (first, last) = seen.split_at(8);
        assert!(first.contains(&"wss://h:443/r/nO'Neil".into()), "{first:?}");
        assert!(last.contains(&"wss://h/r?n=O'Neil".into()), "{last:?}");
        assert!(last.iter().all(|url| url.contains("/r?n=O")), "{last:?}");
    }

    #[test]
    fn macs_of_one_request_are_bounded() {
        let origins = ["https://a", "https://b", "https://c", "https://d", "https://e"];
        let origins = origins.map(|text| Origin::parse(text).unwrap());
        let origins: Vec<&Origin> = origins.iter().collect();
        let macs = |origins: &[&Origin], keys: usize| {
            let message = Message::bind(BodyKind::Get, b"/v?a=1&b=2&c=3&d=4&e=5", b"").unwrap();
            let message = message.with_query_order(QueryOrder::Any);
            let mut macs = 0;
            search(&message, &Parameters::default(), origins, keys, &mut |_| {
                macs += keys;
                false
            });
            macs
        };
        assert_eq!(macs(&origins[..1], 1), 240);
        assert_eq!(macs(&origins[..2], 16), 2 * 240 * 16);
        let most = macs(&origins, 16);
        assert!(most < MAX_HASHED / MIN_COST + 32, "{most}");
    }

    #[test]
    fn bytes_hashed_for_one_request_are_bounded() {
        let origin = Origin::parse("https://h").unwrap();
        let body = format!("a={}&b=%F0%9F%98%80", "x".repeat(1 << 20));
        let target = "/v?a=O%27h+x%20y&b=sip%3Ax%40y'";
        let message = Message::bind(BodyKind::Form, target.as_bytes(), body.as_bytes()).unwrap();
        let mut hashed = 0;
        let form = Parameters::parse(message.form());
        search(&message, &form, &[&origin], 4, &mut |parts| {
            hashed += 4 * parts.concat().len();
            false
        });
        assert!(hashed > MAX_HASHED && hashed < MAX_HASHED + 4 * (body.len() + 100), "{hashed}");
    }
}
