//! `gatekeeper explain`: every collected failure is named, through the binary; and random ones,
//! through the library, with the independent signer.

mod scenes;

use std::{fs, path::Path};

use gatekeeper::{
    config,
    explain::{self, Case, Explanation, Label, MAX_HASHED, MAX_MACS},
    http1::{HeadScanner, RequestHead},
};
use serde::Deserialize;
use serde_json::Value;

use crate::support::{
    TOKEN,
    gate::{CommandOutput, Folder, run},
    signer::{Mac, bytes_of_base64, pairs_of, sign, values_of},
};
use scenes::{Random, Scene};

/// A collected failure.
#[derive(Debug, Deserialize)]
struct Collected {
    id: String,
    mistake: String,
    config: String,
    #[serde(default)]
    accounts: Option<String>,
    told: String,
    logged: String,
    request_b64: String,
}

/// The collection lies beside the checkout, where it is there at all.
#[test]
fn every_collected_failure_is_named_first() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/explain-cases.json");
    let Ok(text) = fs::read(file) else { return };
    let cases: Vec<Collected> = serde_json::from_slice(&text).unwrap();
    assert!(cases.len() >= 46, "only {} cases", cases.len());
    let faults: Vec<String> = cases.iter().filter_map(Collected::fault).collect();
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), cases.len(), faults.join("\n"));
}

impl Collected {
    fn fault(&self) -> Option<String> {
        let folder = Folder::new();
        let config = folder.write("gatekeeper.toml", &self.config).display().to_string();
        if let Some(accounts) = &self.accounts {
            folder.write("accounts.toml", accounts);
        }
        let request = bytes_of_base64(&self.request_b64);
        let file = folder.path().join("request");
        fs::write(&file, &request).unwrap();
        let file = file.display().to_string();
        let arguments = ["explain", "-c", &config, "--request", &file, "--told", &self.told];
        let said = run(&[&arguments[..], &["--json"]].concat());
        let value: Value = serde_json::from_str(&said.stdout).unwrap_or_default();
        let named = value["mistakes"][0]["mistake"].as_str().unwrap_or_default();
        assert!(value["macs"].as_u64().unwrap() <= MAX_MACS as u64, "{said:?}");
        let text = run(&arguments);
        for said in [&said, &text] {
            assert_reveals_nothing(said, &request, "0f1e2d3c4b5a69788796a5b4c3d2e1f0");
        }
        let right = named == self.mistake
            && value["reason"] == self.logged.as_str()
            && said.code == Some(0)
            && text.stdout.contains(&format!("1. {named} "));
        (!right).then(|| format!("{}: {} is not {said:?}", self.id, self.mistake))
    }
}

/// No token, no signature and no value of query or body.
fn assert_reveals_nothing(said: &CommandOutput, request: &[u8], token: &str) {
    let all = said.all();
    assert!(!all.contains(token), "the token is shown: {all}");
    for secret in values_of(request) {
        assert!(!all.contains(&secret), "{secret:?} is shown: {all}");
    }
}

fn with_told(arguments: &[&str], folder: &Folder) -> CommandOutput {
    let config = folder.path().join("gatekeeper.toml").display().to_string();
    run(&[&["explain", "-c", &config, "--json"], arguments].concat())
}

const CONFIG: &str = "public_url = \"https://hooks.example.com\"\n\
    upstream = \"http://127.0.0.1:3030\"\nauth_tokens = [{ env = \"TWILIO_AUTH_TOKEN\" }]\n";

#[test]
fn a_url_with_its_signature_is_explained_without_a_file() {
    let folder = Folder::new();
    folder.write("gatekeeper.toml", CONFIG);
    let url = "https://hooks.example.com/sms?secret=value1234";
    let form = b"Body=Hello+there&From=%2B15005550001";
    let signature = sign(Mac::Sha1, TOKEN, url.as_bytes(), &pairs_of(form));
    let data = ["-d", "Body=Hello there", "-d", "From=+15005550001"];
    let said = with_told(&[&[url, "--signature", &signature], &data[..]].concat(), &folder);
    let value: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((&value["verdict"], said.code), (&Value::from("admitted"), Some(0)), "{said:?}");
    let moved = "https://hooks.example.com/prod/sms?secret=value1234";
    let signature = sign(Mac::Sha1, TOKEN, moved.as_bytes(), &pairs_of(form));
    let said = with_told(&[&[url, "--signature", &signature], &data[..]].concat(), &folder);
    let value: Value = serde_json::from_str(&said.stdout).unwrap();
    let mistake = &value["mistakes"][0];
    assert_eq!(mistake["mistake"], "prefix_stripped", "{said:?}");
    assert_eq!((&mistake["proven"], &mistake["where"]["line"]), (&true.into(), &1.into()));
    assert_eq!(mistake["signed"], "https://hooks.example.com/prod/sms?secret=… Body=… From=…");
    for secret in ["value1234", "Hello", "15005550001", &signature, TOKEN] {
        assert!(!said.all().contains(secret), "{said:?}");
    }
}

#[test]
fn a_token_to_try_is_given_by_a_variable_only() {
    let folder = Folder::new();
    folder.write("gatekeeper.toml", "public_url = \"https://hooks.example.com\"\n\
        upstream = \"http://127.0.0.1:3030\"\nauth_tokens = [\"00000000000000000000000000000000\"]\n");
    let url = "https://hooks.example.com/sms?a=1";
    let signature = sign(Mac::Sha1, TOKEN, url.as_bytes(), &[]);
    let said = with_told(&[url, "--signature", &signature], &folder);
    assert!(
        said.stdout.contains("\"wrong_token\"") && said.stdout.contains("\"proven\": false"),
        "{said:?}"
    );
    let said =
        with_told(&[url, "--signature", &signature, "--token-env", "TWILIO_AUTH_TOKEN"], &folder);
    assert!(
        said.stdout.contains("\"wrong_token\"") && said.stdout.contains("\"proven\": true"),
        "{said:?}"
    );
    assert!(!said.all().contains(TOKEN), "{said:?}");
}

#[test]
fn wrong_usage_and_a_faulty_configuration_have_their_exit_codes() {
    let folder = Folder::new();
    folder.write("gatekeeper.toml", CONFIG);
    let nonsense = folder.write("nonsense", "no HTTP\n").display().to_string();
    assert_eq!(with_told(&["--request", &nonsense], &folder).code, Some(64));
    assert_eq!(with_told(&[], &folder).code, Some(64));
    let url = "https://hooks.example.com/";
    assert_eq!(with_told(&[url, "--token-env", "EMPTY_TOKEN"], &folder).code, Some(64));
    folder.write("gatekeeper.toml", "upstream = 1\n");
    assert_eq!(with_told(&[url], &folder).code, Some(78));
}

#[test]
fn a_request_signed_with_an_unknown_key_is_never_proven() {
    let mut random = Random::new("unknown key");
    let mut most = 0;
    for number in 0..1000 {
        let scene = Scene::genuine(&mut random).signed_with("another token");
        let found = scene.explain();
        let proven = found.mistakes.iter().any(|mistake| mistake.proven);
        assert!(!proven && !found.mistakes.is_empty(), "{number}: {scene:?} {found:?}");
        most = most.max(found.macs);
    }
    println!("at most {most} MACs");
    assert!(most <= MAX_MACS);
}

#[test]
fn a_random_mistake_is_named_first_and_never_proven_as_another() {
    let mut random = Random::new("one mistake");
    let (mut right, mut all, mut faults) = (0, 0, Vec::new());
    for _ in 0..1000_usize.div_ceil(scenes::MISTAKES.len()) {
        for (label, make) in scenes::MISTAKES {
            let scene = make(&mut random);
            let found = scene.explain();
            let named = found.mistakes.first().map(|mistake| mistake.label);
            let misled = found.mistakes.iter().any(|m| m.proven && m.label != label);
            all += 1;
            right += usize::from(named == Some(label));
            if named != Some(label) || misled {
                let all: Vec<&str> = found.mistakes.iter().map(|m| m.label.name()).collect();
                faults.push((misled, format!("{} is {all:?}: {}", label.name(), scene.head())));
            }
        }
    }
    println!("{right} of {all} named first");
    let shown: Vec<&String> = faults.iter().map(|(_, text)| text).take(5).collect();
    assert!(right * 100 >= all * 99, "{right} of {all}:\n{shown:#?}");
    assert!(faults.iter().all(|(misled, _)| !misled), "{shown:#?}");
}

/// Every label has a mistake that it names, or is a hint by nature.
#[test]
fn every_label_is_covered_by_a_random_mistake() {
    let hints = [Label::WrongToken, Label::SubaccountToken];
    for label in Label::all().filter(|label| !hints.contains(label)) {
        assert!(scenes::MISTAKES.iter().any(|(own, _)| *own == label), "{}", label.name());
    }
}

#[test]
fn the_largest_body_and_the_longest_query_stay_within_the_budget() {
    let mut random = Random::new("budget");
    let mut scene = Scene::genuine(&mut random);
    scene.method = "POST";
    let query: String = (0..3000).map(|n| format!("&n{n}=%20{n}")).collect();
    scene.target = format!("/sms?{}", &query[1..]);
    scene.kind = Some("application/x-www-form-urlencoded");
    scene.body = format!("Body={}", "x+y%2B".repeat(43_690)).into_bytes();
    let found = scene.signed_with("another token").explain();
    println!("{} MACs over {} bytes", found.macs, found.hashed);
    assert!(found.macs <= MAX_MACS && found.hashed <= MAX_HASHED, "{found:?}");
}

impl Scene {
    fn explain(&self) -> Explanation {
        let folder = Folder::new();
        if let Some(accounts) = &self.accounts {
            folder.write("accounts.toml", accounts);
        }
        let config = config::parse_to_explain(&self.config, "gatekeeper.toml", folder.path());
        let config = config.unwrap();
        let bytes = self.head();
        let mut buffer = bytes.as_bytes().into();
        let mut scanner = HeadScanner::default();
        let head = RequestHead::parse(&mut buffer, &mut scanner, 1 << 20, 1000).unwrap().unwrap();
        explain::explain(Case {
            head: &head,
            body: &self.body,
            peer: Some("127.0.0.1".parse().unwrap()),
            table: &config.table,
            keys: &config.probes,
            given: &[],
            told: self.told.as_deref(),
            listen_ports: &[8080],
        })
    }
}
