//! Many subaccounts with tokens of their own, loaded from one file.

use std::{fmt::Write, time::Instant};

use crate::support::{
    ORIGIN,
    gate::{Folder, Gate},
    message::Message,
    upstream::Upstream,
};

const COUNT: usize = 10_000;

fn sid(number: usize) -> String {
    format!("AC{number:032x}")
}

fn token(number: usize) -> String {
    format!("{:032x}", 0x5eed_0000_0000 + number)
}

/// Every account with a primary token; every hundredth with a secondary one too.
fn accounts() -> String {
    let mut text = String::new();
    for number in 0..COUNT {
        let (sid, primary) = (sid(number), token(number));
        if number % 100 == 0 {
            let secondary = token(number + COUNT);
            writeln!(text, "{sid} = [\"{primary}\", {{ value = \"{secondary}\" }}]").unwrap();
        } else {
            writeln!(text, "{sid} = \"{primary}\"").unwrap();
        }
    }
    text
}

/// A gate with all accounts and optionally a token of the main account.
fn gate(folder: &Folder, upstream: &Upstream, main: Option<&str>) -> Gate {
    let file = folder.write("accounts.toml", &accounts());
    let main = main.map(|token| format!("auth_tokens = [\"{token}\"]\n")).unwrap_or_default();
    let began = Instant::now();
    let gate = Gate::start(&format!(
        "public_url = \"{ORIGIN}\"\nupstream = \"{}\"\naccounts_file = \"{}\"\n{main}",
        upstream.url(),
        file.display()
    ));
    println!("{COUNT} accounts: listening after {:?}", began.elapsed());
    gate
}

fn call(number: usize) -> Message {
    Message::form("/voice", &format!("AccountSid={}&From=%2B15550100", sid(number)))
}

#[test]
fn each_of_10000_accounts_verifies_its_own_requests_only() {
    let (folder, upstream) = (Folder::new(), Upstream::start());
    let gate = gate(&folder, &upstream, None);
    for (number, signer, key) in [
        (7, 7, format!("accounts:{}", sid(7))),
        (9_999, 9_999, format!("accounts:{}", sid(9_999))),
        (100, 100, format!("accounts:{}[0]", sid(100))),
        (100, 100 + COUNT, format!("accounts:{}[1]", sid(100))),
    ] {
        let message = call(number).signed_by(&token(signer));
        let response = gate.answer(&message);
        let outcome = gate.outcome_of(&message);
        assert_eq!((response.status, outcome.text("key")), (200, key.as_str()), "{outcome:?}");
    }
    let refused = |message: &Message, reason: &str| {
        assert_eq!(gate.answer(message).status, 403, "{message:?}");
        assert_eq!(gate.outcome_of(message).reason(), reason, "{message:?}");
    };
    refused(&call(7).signed_by(&token(8)), "signature_mismatch");
    refused(&call(COUNT + 1).signed_by(&token(7)), "unknown_account");
    refused(&Message::form("/voice", "From=1").signed_by(&token(7)), "unknown_key");
    let both = format!("AccountSid={}&AccountSid={}", sid(7), sid(8));
    refused(&Message::form("/voice", &both).signed_by(&token(7)), "account_mismatch");
    let both = format!("/voice?AccountSid={}", sid(7));
    let both = Message::form(&both, &format!("AccountSid={}", sid(8)));
    refused(&both.clone().signed_by(&token(7)), "account_mismatch");
    refused(&both.signed_by(&token(8)), "signature_mismatch");
}

/// One series for all of them: 10,000 accounts would be 10,000 series for each route.
#[test]
fn keys_of_accounts_are_one_series_and_the_log_names_them() {
    let (folder, upstream) = (Folder::new(), Upstream::start());
    let file = folder.write("accounts.toml", &accounts());
    let main = "0a1b2c3d4e5f60718293a4b5c6d7e8f9";
    let gate = Gate::start(&format!(
        "public_url = \"{ORIGIN}\"\nupstream = \"{}\"\naccounts_file = \"{}\"\n\
         auth_tokens = [{{ value = \"{main}\", name = \"main\" }}]\n\
         [admin]\nlisten = \"127.0.0.1:0\"\n",
        upstream.url(),
        file.display()
    ));
    for number in [7, 8, 100] {
        let message = call(number).signed_by(&token(number));
        assert_eq!(gate.answer(&message).status, 200);
        assert!(gate.outcome_of(&message).text("key").starts_with("accounts:AC"));
    }
    let message = call(7).signed_by(main);
    assert_eq!(gate.answer(&message).status, 200);
    gate.outcome_of(&message);
    let figure = |key: &str| {
        gate.figure(&format!("gatekeeper_key_matches_total{{key=\"{key}\",route=\"/*\"}}"))
    };
    assert_eq!(figure("accounts"), Some(3.0));
    assert_eq!(figure("main"), Some(1.0));
    assert_eq!(figure(&format!("accounts:{}", sid(7))), None);
}

#[test]
fn main_account_token_verifies_beside_subaccount_tokens() {
    let (folder, upstream) = (Folder::new(), Upstream::start());
    let main = "0a1b2c3d4e5f60718293a4b5c6d7e8f9";
    let gate = gate(&folder, &upstream, Some(main));
    for message in [
        Message::form("/voice", "From=1").signed_by(main),
        call(COUNT + 1).signed_by(main),
        call(7).signed_by(&token(7)),
    ] {
        assert_eq!(gate.answer(&message).status, 200, "{message:?}");
        assert_eq!(gate.outcome_of(&message).verdict(), "admitted");
    }
    let message = call(COUNT + 1).signed_by(&token(7));
    assert_eq!(gate.answer(&message).status, 403);
    assert_eq!(gate.outcome_of(&message).reason(), "signature_mismatch");
}
