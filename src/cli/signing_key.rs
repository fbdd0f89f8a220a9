//! SendGrid's part in a test: a key pair, and signatures by it.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
};
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject};
use zeroize::Zeroizing;

use super::{error::CliError, print};
use crate::config::Secret;
use crate::signature::PublicKey;

/// The variable with a private key in PEM.
const VARIABLE: &str = "SENDGRID_PRIVATE_KEY";

/// A key pair that signs as SendGrid does.
pub(super) struct SigningKey {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl SigningKey {
    /// Reads a private key in PEM (PKCS#8) from a file, or from the environment without one.
    pub(super) fn load(file: Option<&Path>) -> Result<Self, CliError> {
        let text = match file {
            Some(file) => Secret::from_file(file).map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", file.display()))
            })?,
            None => Secret::from_env(VARIABLE).map_err(|_| {
                CliError::Usage(
                    "name a private key with --sendgrid-key FILE, or put it into SENDGRID_PRIVATE_KEY; \
                     gatekeeper sign --new-sendgrid-key FILE makes one",
                )
            })?,
        };
        let wrong = CliError::Usage("the private key is no P-256 key in PEM (PKCS#8)");
        let Ok(key) = PrivatePkcs8KeyDer::from_pem_slice(text.bytes()) else { return Err(wrong) };
        Self::from_pkcs8(key.secret_pkcs8_der()).ok_or(wrong)
    }

    fn from_pkcs8(der: &[u8]) -> Option<Self> {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der, &random).ok()?;
        Some(Self { pair, random })
    }

    /// Makes a new pair. Returns the private key in PEM, and the public one as SendGrid shows it.
    fn generate() -> io::Result<(Zeroizing<String>, String)> {
        let failed = || io::Error::other("the system has no random numbers");
        let random = SystemRandom::new();
        let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random);
        let der = der.map_err(|_| failed())?;
        let key = Self::from_pkcs8(der.as_ref()).ok_or_else(failed)?;
        let public = PublicKey::from_point(key.pair.public_key().as_ref());
        Ok((to_pem(der.as_ref()), public.map_err(io::Error::other)?.to_base64()))
    }

    /// Returns the header fields of a body that is sent at this time.
    pub(super) fn fields(
        &self,
        time: &str,
        body: &[u8],
    ) -> io::Result<[(&'static str, String); 2]> {
        let text = [time.as_bytes(), body].concat();
        let signature = self.pair.sign(&self.random, &text);
        let signature = signature.map_err(|_| io::Error::other("signing failed"))?;
        Ok([
            ("X-Twilio-Email-Event-Webhook-Signature", STANDARD.encode(signature)),
            ("X-Twilio-Email-Event-Webhook-Timestamp", time.to_owned()),
        ])
    }
}

/// `sign --new-sendgrid-key`: writes a private key into a new file that only this user can read, or
/// to standard output, and prints the line for the configuration.
pub(super) fn write_new(file: &Path) -> Result<(), CliError> {
    let (private, public) = SigningKey::generate()?;
    let line = format!("verification_keys = [\"{public}\"]");
    if file == Path::new("-") {
        print::line(private.trim_end())?;
        print::error(&line);
        return Ok(());
    }
    let mut options = OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(0o600).open(file);
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", file.display()));
    opened.and_then(|mut opened| opened.write_all(private.as_bytes())).map_err(named)?;
    Ok(print::line(&line)?)
}

/// The time as SendGrid writes it.
pub(super) fn now() -> String {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().to_string()
}

fn to_pem(der: &[u8]) -> Zeroizing<String> {
    let text = Zeroizing::new(STANDARD.encode(der));
    let mut pem = Zeroizing::new(String::from("-----BEGIN PRIVATE KEY-----\n"));
    for line in text.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    pem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_key_signs_what_its_public_key_verifies() {
        let (private, public) = SigningKey::generate().unwrap();
        let der = PrivatePkcs8KeyDer::from_pem_slice(private.as_bytes()).unwrap();
        let key = SigningKey::from_pkcs8(der.secret_pkcs8_der()).unwrap();
        let [(_, signature), (_, time)] = key.fields("1", b"body").unwrap();
        assert_eq!(time, "1");
        let point = *PublicKey::parse(&public).unwrap().point();
        let algorithm = &ring::signature::ECDSA_P256_SHA256_ASN1;
        let verifier = ring::signature::UnparsedPublicKey::new(algorithm, point);
        verifier.verify(b"1body", &STANDARD.decode(signature).unwrap()).unwrap();
        assert_ne!(SigningKey::generate().unwrap().1, public);
    }
}
