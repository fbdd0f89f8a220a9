//! What one judgement asks of the allocator: nothing for a typical webhook, and for a larger one
//! a number that does not grow with it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed, and says so")]

use allocation_counter::measure;
use gatekeeper::signature::{
    Accounts, Algorithm, BodyKind, Key, Keyring, Message, Order, Origin, Parameters, Selector,
    Signature, verify,
};

const URL: &str = "https://hooks.example.com";
const TARGET: &str = "/voice?tenant=7";

/// A form of parameters as long as Twilio's.
fn form(parameters: usize) -> Vec<u8> {
    let each = |i: usize| format!("CallerField{i}=%2B1415+555{i:04}&");
    (0..parameters).map(each).collect::<String>().into_bytes()
}

/// Allocations of one judgement, of a signature that is right and of one that is not.
fn allocations(body: &[u8]) -> [u64; 2] {
    allocations_with(TARGET, body, |key| Keyring::new(vec![key], None))
}

fn allocations_with(target: &str, body: &[u8], ring: impl Fn(Key) -> Keyring) -> [u64; 2] {
    let key = Key::new("test", b"0123456789abcdef0123456789abcdef", Algorithm::HmacSha1).unwrap();
    let tail = Parameters::parse(body).sorted(Order::Bytes);
    let signed = key.sign(format!("{URL}{target}").as_bytes(), &tail);
    let keyring = ring(key);
    let origin = Origin::parse(URL).unwrap();
    [(&*signed, true), ("RSOYDt4T1cUTdK1PDd93/VVr8B8=", false)].map(|(text, right)| {
        let signature = Signature::parse(text.as_bytes()).unwrap();
        let judge = || {
            let message = Message::bind(BodyKind::Form, target.as_bytes(), body).unwrap();
            let judged = verify(&message, &[&origin], &keyring, Selector::AuthToken, &signature);
            assert_eq!(judged.is_ok(), right);
        };
        measure(judge).count_total
    })
}

#[test]
fn a_typical_webhook_costs_no_allocation() {
    assert_eq!(allocations(&form(25)), [0, 0]);
    assert_eq!(allocations(&form(32)), [0, 0]);
}

#[test]
fn the_look_up_of_an_account_costs_none_either() {
    const SID: &str = "AC1234567890abcdef1234567890abcdef";
    let subaccounts = |key| {
        let mut accounts = Accounts::default();
        accounts.insert(SID, key);
        Keyring::new(Vec::new(), Some(accounts.into()))
    };
    let named = [format!("AccountSid={SID}&").into_bytes(), form(25)].concat();
    assert_eq!(allocations_with(TARGET, &named, subaccounts), [0, 0]);
    let target = format!("/voice?AccountSid={SID}");
    assert_eq!(allocations_with(&target, &form(25), subaccounts), [0, 0]);
    let [escaped, _] = allocations_with(&target.replace("=A", "=%41"), &form(25), subaccounts);
    assert_eq!(escaped, 0);
}

#[test]
fn a_larger_one_costs_as_many_whatever_its_size() {
    let larger = allocations(&form(250));
    assert!(larger.iter().all(|&count| (1..=4).contains(&count)), "{larger:?}");
    assert_eq!(allocations(&form(2500)), larger);
    let long = [b"Body=".to_vec(), vec![b'x'; 100_000]].concat();
    assert!(allocations(&long).iter().all(|count| *count <= 3), "{:?}", allocations(&long));
}
