//! Random requests as Twilio signs them, and random mistakes on their way.

use gatekeeper::explain::Label;

use crate::support::{
    TOKEN,
    signer::{Mac, Pair, pairs_of, sha256_hex, sign, sign_text, signed_text},
};

const ORIGIN: &str = "https://hooks.example.com";
const HOST: &str = "hooks.example.com";
const FORM: &str = "application/x-www-form-urlencoded; charset=UTF-8";
const ACCOUNT: &str = "AC00000000000000000000000000000001";
const OTHER: &str = "AC00000000000000000000000000000002";

/// Numbers that a seed decides; the seed is printed, and `EXPLAIN_SEED` sets it.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(name: &str) -> Self {
        let clock = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
        let given = std::env::var("EXPLAIN_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| u64::try_from(clock & u128::from(u64::MAX)).unwrap());
        println!("{name}: EXPLAIN_SEED={seed}");
        Self(seed | 1)
    }

    /// xorshift64*.
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(count).unwrap()).unwrap()
    }

    fn pick<'a, T: ?Sized>(&mut self, list: &[&'a T]) -> &'a T {
        list[self.below(list.len())]
    }

    fn word(&mut self) -> String {
        let length = 4 + self.below(8);
        (0..length)
            .map(|_| char::from(b"abcdefghijkmnopqrstuvwxyz23456789"[self.below(33)]))
            .collect()
    }
}

/// A request as it arrives, and the configuration that refuses it.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    pub(super) config: String,
    pub(super) accounts: Option<String>,
    pub(super) method: &'static str,
    pub(super) target: String,
    host: String,
    pub(super) kind: Option<&'static str>,
    fields: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
    signature: Option<String>,
    pub(super) told: Option<String>,
}

fn config(tokens: &str, more: &str) -> String {
    format!(
        "public_url = \"{ORIGIN}\"\nupstream = \"http://127.0.0.1:3030\"\nauth_tokens = {tokens}\n{more}"
    )
}

fn plain() -> String {
    config(&format!("[\"{TOKEN}\"]"), "")
}

const TRUST: &str = "[trust]\nproxies = [\"127.0.0.1/32\"]\nhosts = [\"hooks.example.com\"]\n";

fn trusting() -> String {
    format!("upstream = \"http://127.0.0.1:3030\"\nauth_tokens = [\"{TOKEN}\"]\n{TRUST}")
}

impl Scene {
    /// A form POST, or a GET, as Twilio sends it.
    pub(super) fn genuine(random: &mut Random) -> Self {
        let mut scene = Self::form(random);
        if random.below(4) == 0 {
            scene.target = format!("/{}?{}", random.word(), String::from_utf8(scene.body).unwrap());
            (scene.method, scene.kind, scene.body) = ("GET", None, Vec::new());
        }
        scene.signed()
    }

    fn form(random: &mut Random) -> Self {
        let path = ["/voice", "/sms", "/twilio/status", "/hooks/in"][random.below(4)];
        let target = if random.below(2) == 0 {
            format!("{path}/{}", random.word())
        } else {
            format!("{path}/{}?{}={}&x=1", random.word(), random.word(), random.word())
        };
        let mut body = format!(
            "AccountSid={ACCOUNT}&ApiVersion=2010-04-01&From=%2B1500{}",
            1_000_000 + random.below(1_000_000)
        );
        for _ in 0..3 + random.below(6) {
            body.push_str(&format!(
                "&{}={}+{}",
                capital(&random.word()),
                random.word(),
                random.word()
            ));
        }
        body.push_str("&ToCity=&FromCity=");
        Self {
            config: plain(),
            accounts: None,
            method: "POST",
            target,
            host: HOST.into(),
            kind: Some(FORM),
            fields: Vec::new(),
            body: body.into_bytes(),
            signature: None,
            told: None,
        }
        .signed()
    }

    fn json(random: &mut Random) -> Self {
        let body = format!(
            "{{\"specversion\":\"1.0\",\"id\":\"{}\",\"data\":{{\"{}\":[1,2,\"a b\"]}}}}",
            random.word(),
            random.word()
        );
        let target =
            format!("/events/{}?bodySHA256={}", random.word(), sha256_hex(body.as_bytes()));
        let scene = Self {
            target,
            kind: Some("application/json"),
            body: body.into_bytes(),
            ..Self::form(random)
        };
        scene.signed()
    }

    fn get(random: &mut Random) -> Self {
        let mut scene = Self::form(random);
        scene.target = format!("/{}?{}", random.word(), String::from_utf8(scene.body).unwrap());
        Self { method: "GET", kind: None, body: Vec::new(), ..scene }.signed()
    }

    fn pairs(&self) -> Vec<Pair> {
        if self.kind == Some(FORM) { pairs_of(&self.body) } else { Vec::new() }
    }

    fn url(&self) -> String {
        format!("{ORIGIN}{}", self.target)
    }

    /// Signs what it is now; what changes after this changes on its way.
    fn signed(self) -> Self {
        let url = self.url();
        self.signed_as(&url)
    }

    fn signed_as(self, url: &str) -> Self {
        let pairs = self.pairs();
        self.signed_over(url, &pairs)
    }

    fn signed_over(mut self, url: &str, pairs: &[Pair]) -> Self {
        self.signature = Some(sign(Mac::Sha1, TOKEN, url.as_bytes(), pairs));
        self
    }

    pub(super) fn signed_with(mut self, token: &str) -> Self {
        self.signature = Some(sign(Mac::Sha1, token, self.url().as_bytes(), &self.pairs()));
        self
    }

    fn told(mut self, url: &str) -> Self {
        self.told = Some(url.to_owned());
        self
    }

    fn field(mut self, name: &'static str, value: &str) -> Self {
        self.fields.push((name, value.to_owned()));
        self
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub(super) fn head(&self) -> String {
        let mut head =
            format!("{} {} HTTP/1.1\r\nHost: {}\r\n", self.method, self.target, self.host);
        let mut fields: Vec<(&str, &str)> = Vec::new();
        fields.extend(self.kind.map(|kind| ("Content-Type", kind)));
        fields.extend(self.fields.iter().map(|(name, value)| (*name, value.as_str())));
        fields.extend(self.signature.as_deref().map(|value| ("X-Twilio-Signature", value)));
        for (name, value) in fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head + "\r\n"
    }
}

fn capital(word: &str) -> String {
    word[..1].to_uppercase() + &word[1..]
}

type Make = fn(&mut Random) -> Scene;

/// Each label that can be proven (or hinted at surely), with a random mistake.
pub(super) const MISTAKES: [(Label, Make); 36] = [
    (Label::WrongScheme, |r| {
        let scene = Scene::genuine(r);
        let url = scene.url().replace("https", "http");
        scene.signed_as(&url)
    }),
    (Label::WrongHost, |r| {
        let scene = Scene::genuine(r);
        let host =
            r.pick(&["www.hooks.example.com", "old.example.org", "a1b2.ngrok.app"]).to_owned();
        let url = scene.url().replace(HOST, &host);
        scene.signed_as(&url).with(|s| s.host = host)
    }),
    (Label::HostRewritten, |r| {
        let host = r.pick(&[
            "127.0.0.1:8080",
            "app",
            "hooks.example.com.",
            "hooks.example.com:8080",
            "[::1]:80",
            "internal.lan",
        ]);
        Scene::genuine(r).with(|s| s.host = host.to_owned())
    }),
    (Label::WrongPort, |r| {
        let scene = Scene::genuine(r);
        let port = r.pick(&["8443", "8080", "80", "3000"]);
        let url = scene.url().replace(HOST, &format!("{HOST}:{port}"));
        scene.signed_as(&url)
    }),
    (Label::PrefixStripped, |r| {
        let scene = Scene::genuine(r);
        let prefix = format!("/{}", r.word());
        let url = format!("{ORIGIN}{prefix}{}", scene.target);
        let scene = scene.signed_as(&url);
        if r.below(2) == 0 { scene.told(&url) } else { scene.field("X-Forwarded-Prefix", &prefix) }
    }),
    (Label::PrefixAdded, |r| {
        let prefix = format!("/{}", r.word());
        Scene::genuine(r).with(|s| s.target = format!("{prefix}{}", s.target))
    }),
    (Label::PathInPublicUrl, |r| {
        let path = format!("/{}", r.word());
        let scene = Scene::genuine(r);
        scene.with(|s| s.config = s.config.replace(ORIGIN, &format!("{ORIGIN}{path}")))
    }),
    (Label::TrailingSlash, |r| {
        Scene::form(r).with(|s| {
            let (path, query) =
                s.target.split_once('?').map_or((&s.target[..], None), |(p, q)| (p, Some(q)));
            s.target = format!("{path}/{}", query.map(|q| format!("?{q}")).unwrap_or_default());
        })
    }),
    (Label::PathNormalised, |r| {
        let (from, to) =
            [("%7Eb", "~b"), ("a%3ab", "a%3Ab"), ("x//y", "x/y"), ("a:b", "a%3Ab")][r.below(4)];
        let scene = Scene::form(r).with(|s| s.target = format!("/{from}{}", s.target));
        let scene = scene.signed();
        scene.with(|s| s.target = s.target.replacen(from, to, 1))
    }),
    (Label::DoubleEncoded, |r| {
        let escape = r.pick(&["%20", "%2F", "%3A"]);
        let word = r.word();
        let in_path = r.below(2) == 0;
        let target =
            if in_path { format!("/{word}{escape}x") } else { format!("/cb?u={word}{escape}x") };
        let scene = Scene::form(r).with(|s| s.target = target).signed();
        scene.with(|s| s.target = s.target.replace('%', "%25"))
    }),
    (Label::QueryDecoded, |r| {
        let (from, to) = [("%2520", "%20"), ("%2Fa", "/a"), ("%253A", "%3A")][r.below(3)];
        let target = format!("/cb?u={}{from}{}", r.word(), r.word());
        Scene::form(r)
            .with(|s| s.target = target)
            .signed()
            .with(|s| s.target = s.target.replace(from, to))
    }),
    (Label::QueryReencoded, |r| {
        let (from, to) = [
            (",", "%2C"),
            ("$", "%24"),
            ("/x", "%2Fx"),
            ("%2f", "%2F"),
            ("(1)", "%281%29"),
            ("!", "%21"),
        ][r.below(6)];
        let target = format!("/cb?u={}{from}{}&b={}", r.word(), r.word(), r.word());
        Scene::form(r)
            .with(|s| s.target = target)
            .signed()
            .with(|s| s.target = s.target.replace(from, to))
    }),
    (Label::QueryReordered, |r| {
        let mut parts: Vec<String> =
            (0..2 + r.below(4)).map(|n| format!("{}{n}={}", r.word(), r.word())).collect();
        let target = format!("/cb?{}", parts.join("&"));
        let scene = Scene::form(r).with(|s| s.target = target).signed();
        let by = 1 + r.below(parts.len() - 1);
        parts.rotate_left(by);
        scene.with(|s| s.target = format!("/cb?{}", parts.join("&")))
    }),
    (Label::QueryDropped, |r| {
        let scene = Scene::json(r);
        if r.below(2) == 0 {
            return scene.with(|s| s.target = s.target.split('?').next().unwrap().to_owned());
        }
        let target = format!("/cb?a={}&b={}", r.word(), r.word());
        let scene = Scene::form(r).with(|s| s.target = target).signed();
        let url = scene.url();
        scene.told(&url).with(|s| s.target = s.target.split('&').next().unwrap().to_owned())
    }),
    (Label::QueryAdded, |r| {
        let added = format!("{}={}", r.word(), r.word());
        Scene::form(r).with(|s| {
            let and = if s.target.contains('?') { '&' } else { '?' };
            s.target = format!("{}{and}{added}", s.target);
        })
    }),
    (Label::QueryAsParameters, |r| {
        let scene = Scene::form(r).with(|s| s.target = "/sms?a=1&b=x+y".into());
        let mut pairs = scene.pairs();
        pairs.extend(pairs_of(b"a=1&b=x+y"));
        scene.signed_over(&format!("{ORIGIN}/sms"), &pairs)
    }),
    (Label::PlusNotEscaped, |r| {
        let scene =
            Scene::form(r).with(|s| s.body = b"From=%2B15005550001&Body=hi".to_vec()).signed();
        scene.with(|s| s.body = b"From=+15005550001&Body=hi".to_vec())
    }),
    (Label::WrongPath, |r| {
        Scene::genuine(r).with(|s| s.config.push_str("[[route]]\npath = \"/twiml\"\n"))
    }),
    (Label::Method, |r| match r.below(3) {
        0 => Scene::get(r)
            .with(|s| s.config = config(&format!("[\"{TOKEN}\"]"), "methods = [\"POST\"]\n")),
        1 => Scene::form(r)
            .with(|s| s.config = config(&format!("[\"{TOKEN}\"]"), "methods = [\"GET\"]\n")),
        _ => Scene::form(r).with(|s| s.method = "PUT"),
    }),
    (Label::OtherToken, |r| {
        let other = "00000000000000000000000000000000";
        let more = format!(
            "[[route]]\npath = \"/*\"\n[[route]]\npath = \"/elsewhere\"\nauth_tokens = [\"{TOKEN}\"]\n"
        );
        Scene::genuine(r).with(|s| s.config = config(&format!("[\"{other}\"]"), &more))
    }),
    (Label::TokenShape, |r| {
        let token = match r.below(3) {
            0 => TOKEN.to_uppercase(),
            1 => format!("'{TOKEN}'"),
            _ => format!("TWILIO_AUTH_TOKEN={TOKEN}"),
        };
        Scene::genuine(r).with(|s| s.config = config(&format!("[\"{token}\"]"), ""))
    }),
    (Label::NoAccountNamed, |r| {
        let scene =
            Scene::json(r).with(|s| s.accounts = Some(format!("{ACCOUNT} = \"{TOKEN}\"\n")));
        scene.with(|s| {
            s.config = plain().replace(
                &format!("auth_tokens = [\"{TOKEN}\"]"),
                "accounts_file = \"accounts.toml\"",
            );
        })
    }),
    (Label::AccountBinding, |r| {
        let tokens = format!("[{{ value = \"{TOKEN}\", account_sid = \"{OTHER}\" }}]");
        Scene::genuine(r).with(|s| s.config = config(&tokens, ""))
    }),
    (Label::BodyAltered, |r| match r.below(4) {
        0 => altered(r, "&Body=+hi+", "&Body=hi"),
        1 => altered(r, "&Body=hi", "&Body=hi&slug=x"),
        2 => altered(r, "&Body=a%0D%0Ab", "&Body=a%0Ab"),
        _ => altered(r, "&FromZip=", ""),
    }),
    (Label::BodyTrimmed, |r| {
        let mut scene = Scene::json(r);
        scene.body.extend_from_slice(b"\r\n");
        scene.target = format!("/e?bodySHA256={}", sha256_hex(&scene.body));
        scene.signed().with(|s| s.body.truncate(s.body.len() - 2))
    }),
    (Label::BodyReencoded, |r| {
        if r.below(2) == 0 {
            return altered(r, "&Body=M%C3%BCller", "&Body=M%C3%83%C2%BCller");
        }
        let scene = Scene::form(r);
        let object: serde_json::Map<String, serde_json::Value> = scene
            .pairs()
            .into_iter()
            .map(|(n, v)| (String::from_utf8(n).unwrap(), String::from_utf8(v).unwrap().into()))
            .collect();
        scene.with(|s| {
            (s.kind, s.body) = (Some("application/json"), serde_json::to_vec(&object).unwrap());
        })
    }),
    (Label::BodyLost, |r| {
        let scene = if r.below(2) == 0 { Scene::json(r) } else { Scene::form(r) };
        scene.with(|s| s.body.clear())
    }),
    (Label::JsonReserialised, |r| {
        let scene = Scene::json(r);
        scene.with(|s| {
            s.body = String::from_utf8(s.body.clone()).unwrap().replace(':', ": ").into_bytes();
        })
    }),
    (Label::JsonWithoutHash, |r| {
        Scene::json(r).with(|s| s.target = format!("/x/{}", s.target.len())).signed()
    }),
    (Label::ContentTypeChanged, |r| {
        let kind = [
            None,
            Some("text/plain"),
            Some("multipart/form-data; boundary=x"),
            Some("application/x-www-form-urlencoded; charset=iso-8859-1"),
            Some("application/json"),
        ][r.below(5)];
        Scene::form(r).with(|s| s.kind = kind)
    }),
    (Label::UpgradeLost, |r| {
        let scene =
            Scene::get(r).with(|s| s.target = s.target.split('?').next().unwrap().to_owned());
        let url = scene.url().replace("https", "wss");
        scene.signed_as(&url).field("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
    }),
    (Label::SignatureHeaderLost, |r| {
        let scene = Scene::genuine(r);
        let signature = scene.signature.clone().unwrap();
        let scene = scene.with(|s| s.signature = None);
        if r.below(2) == 0 { scene } else { scene.field("X_Twilio_Signature", &signature) }
    }),
    (Label::SignatureHeaderAltered, |r| {
        let scene = Scene::genuine(r);
        let signature = scene.signature.clone().unwrap();
        let text = match r.below(5) {
            0 => format!("\"{signature}\""),
            1 => signature.trim_end_matches('=').to_owned(),
            2 => format!("{signature}, {signature}"),
            3 => signature.replace('=', "%3D"),
            _ => return scene.field("X-Twilio-Signature", &signature),
        };
        scene.with(|s| s.signature = Some(text))
    }),
    (Label::SignedWrongly, |r| {
        let scene = Scene::form(r);
        let (url, pairs) = (scene.url(), scene.pairs());
        let text = signed_text(url.as_bytes(), &pairs);
        let signature = match r.below(5) {
            0 => sign_text(Mac::Sha256, TOKEN, &text),
            1 => hex_of(&sign_text(Mac::Sha1, TOKEN, &text)),
            2 => sign(Mac::Sha1, TOKEN, scene.target.as_bytes(), &pairs),
            3 => sign_text(Mac::Sha1, TOKEN, &[url.as_bytes(), &scene.body].concat()),
            _ => sign_text(Mac::Sha1, TOKEN, &scene.body),
        };
        scene.with(|s| s.signature = Some(signature))
    }),
    (Label::ForwardedProtoHttp, |r| {
        let scene =
            Scene::genuine(r).field("X-Forwarded-Proto", "http").field("X-Forwarded-Host", HOST);
        scene.with(|s| s.config = trusting())
    }),
    (Label::NothingTold, |r| {
        let scene = Scene::genuine(r).with(|s| s.config = trusting());
        if r.below(2) == 0 {
            scene
        } else {
            scene.field("X-Forwarded-Host", HOST).field("X-Forwarded-Host", "x.example")
        }
    }),
];

/// Signed with `before` in its body, which becomes `after` on its way.
fn altered(random: &mut Random, before: &str, after: &str) -> Scene {
    let mut scene = Scene::form(random);
    scene.body.extend_from_slice(before.as_bytes());
    scene.signed().with(|s| {
        let body = String::from_utf8(s.body.clone()).unwrap();
        s.body = body.replace(before, after).into_bytes();
    })
}

fn hex_of(signature: &str) -> String {
    crate::support::signer::bytes_of_base64(signature)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
