//! Builds rustls configurations from certificate and key files.
//!
//! One provider (ring), TLS 1.3 and 1.2, and rustls' default cipher suites: all are AEAD with
//! forward secrecy.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::{
        CryptoProvider,
        ring::{self, Ticketer},
    },
    pki_types::{CertificateDer, PrivateKeyDer, TrustAnchor, pem, pem::PemObject},
    server::{VerifierBuilderError, WebPkiClientVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
};
use x509_cert::{
    Certificate,
    der::{Decode, SliceReader},
};
use zeroize::Zeroizing;

use super::warning::WarningKind;
use crate::routes::ClientTls;

/// TLS of the listeners.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The rustls configuration; ALPN offers `h2` and `http/1.1`.
    pub server: Arc<ServerConfig>,
    /// Validity of the leaf certificate.
    pub validity: Validity,
    /// The CAs of the certificates that clients must present; none: no certificate is asked for.
    pub client_ca: Arc<[TrustAnchor<'static>]>,
}

/// The validity period of a certificate (RFC 5280, section 4.1.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// `notBefore`
    pub from: SystemTime,
    /// `notAfter`
    pub until: SystemTime,
}

impl Validity {
    /// Returns the warning that is due at `now`: the certificate has expired, has less than a third
    /// of its life left, or is not valid yet. A third, as Let's Encrypt renews: lifetimes shrink, and
    /// a fixed number of days would be too late for some and too early for others.
    #[must_use]
    pub fn warning(self, now: SystemTime) -> Option<WarningKind> {
        if now < self.from {
            return Some(WarningKind::NotYetValid(self.from));
        }
        let life = self.until.duration_since(self.from).unwrap_or_default();
        match self.until.duration_since(now) {
            Err(_) => Some(WarningKind::Expired(self.until)),
            Ok(left) if left.saturating_mul(3) < life => Some(WarningKind::ExpiresSoon(self.until)),
            Ok(_) => None,
        }
    }
}

/// A certificate chain with its private key.
#[derive(Debug)]
pub(super) struct Identity {
    certified_key: Arc<SingleCertAndKey>,
    pub(super) validity: Validity,
}

/// An unusable certificate, key or CA file. Each message names the file.
#[derive(Debug, thiserror::Error)]
pub enum TlsFault {
    /// The file cannot be read.
    #[error("the file {0} cannot be read: {1}")]
    File(PathBuf, io::Error),
    /// Not PEM.
    #[error("{0} is not a PEM file: {1}")]
    Pem(PathBuf, pem::Error),
    /// PEM without a certificate.
    #[error("there is no certificate in {0}")]
    NoCertificate(PathBuf),
    /// PEM without a private key.
    #[error("there is no private key in {0} (one with a passphrase cannot be used)")]
    NoKey(PathBuf),
    /// A certificate that cannot be parsed.
    #[error("the certificate in {0} cannot be parsed: {1}")]
    BadCertificate(PathBuf, String),
    /// A key that cannot be used.
    #[error("the private key in {0} cannot be used: {1}")]
    BadKey(PathBuf, rustls::Error),
    /// The key belongs to another certificate.
    #[error("the private key in {0} does not belong to the first certificate in {1}")]
    Mismatch(PathBuf, PathBuf),
    /// The system has no root certificates, such as in a container image from scratch.
    #[error("this system has no root certificates to check an https:// upstream with")]
    NoRoots,
    /// Rejected by rustls for another reason.
    #[error("{0}")]
    Refused(String),
}

impl TlsFault {
    /// Returns how to fix it, as shown to the user.
    #[must_use]
    pub const fn help(&self) -> &'static str {
        match self {
            Self::File(..) => "name a file that this user may read",
            Self::Pem(..) | Self::BadCertificate(..) | Self::NoCertificate(_) => {
                "name a PEM file: -----BEGIN CERTIFICATE-----, the leaf first, then the intermediates"
            }
            Self::NoKey(_) | Self::BadKey(..) => {
                "name a PEM file with the key alone, in PKCS#8, SEC1 or PKCS#1, without a passphrase"
            }
            Self::Mismatch(..) => "name the pair that was issued together, the leaf first",
            Self::NoRoots => {
                "install ca-certificates, set SSL_CERT_FILE, or name the app's own: [upstream_tls] ca = \"ca.pem\""
            }
            Self::Refused(_) => "see the reason above",
        }
    }
}

/// The certificates of a file, leaf first, and the validity of the leaf.
pub(super) struct Chain {
    file: PathBuf,
    certificates: Vec<CertificateDer<'static>>,
    pub(super) validity: Validity,
}

impl Chain {
    pub(super) fn read(file: &Path) -> Result<Self, TlsFault> {
        let certificates = read_certificates(file)?;
        let leaf = certificates.first().ok_or_else(|| TlsFault::NoCertificate(file.to_owned()))?;
        let validity = parse_validity(leaf, file)?;
        Ok(Self { file: file.to_owned(), certificates, validity })
    }

    /// Adds the private key; fails if it belongs to another certificate.
    pub(super) fn with_key(self, file: &Path) -> Result<Identity, TlsFault> {
        let Self { file: cert, certificates, validity } = self;
        let signer = ring::sign::any_supported_type(&read_private_key(file)?)
            .map_err(|error| TlsFault::BadKey(file.to_owned(), error))?;
        let certified = CertifiedKey::new(certificates, signer);
        match certified.keys_match() {
            Ok(()) => Ok(Identity { certified_key: Arc::new(certified.into()), validity }),
            Err(rustls::Error::InconsistentKeys(_)) => {
                Err(TlsFault::Mismatch(file.to_owned(), cert))
            }
            Err(error) => Err(TlsFault::BadCertificate(cert, error.to_string())),
        }
    }
}

/// Builds the listeners' TLS. With `client_ca`, every client must present a certificate.
pub(super) fn server(
    identity: Identity,
    client_ca: Option<RootCertStore>,
) -> Result<Tls, TlsFault> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(refusal)?;
    let anchors = client_ca.iter().flat_map(|roots| roots.roots.iter().cloned()).collect();
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(roots) => {
            let roots = Arc::new(roots);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
            let refusal = |error: VerifierBuilderError| TlsFault::Refused(error.to_string());
            builder.with_client_cert_verifier(verifier.map_err(refusal)?)
        }
    };
    let Identity { certified_key, validity } = identity;
    let mut server = builder.with_cert_resolver(certified_key);
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    server.ignore_client_order = true; // our preference: strongest suite first
    // A new ticket key for each configuration: a client that the next one would not accept cannot
    // resume a session from before the reload.
    server.ticketer = Ticketer::new().map_err(refusal)?;
    Ok(Tls { server: Arc::new(server), validity, client_ca: anchors })
}

/// Builds the client configuration for https upstreams, with a client certificate if given.
pub(super) fn client(
    roots: RootCertStore,
    identity: Option<Identity>,
) -> Result<ClientConfig, TlsFault> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(refusal)?
        .with_root_certificates(roots);
    Ok(match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => builder.with_client_cert_resolver(identity.certified_key),
    })
}

/// Builds the client configuration of a command: trusts the roots in this file, or the system's.
///
/// # Errors
/// [`TlsFault`] when the file is unusable or the system has no roots.
pub fn client_config(roots: Option<&Path>) -> Result<Arc<ClientConfig>, TlsFault> {
    client(self::roots(roots)?, None).map(|config| Arc::clone(ClientTls::new(config).config()))
}

/// Returns the CAs of this PEM file, or the system's.
///
/// # Errors
/// [`TlsFault`] when the file is unusable or the system has no roots.
pub fn roots(file: Option<&Path>) -> Result<RootCertStore, TlsFault> {
    file.map_or_else(load_system_roots, read_roots)
}

/// Returns ring, passed explicitly: no process-wide default provider is installed.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err asks for")]
fn refusal(error: rustls::Error) -> TlsFault {
    TlsFault::Refused(error.to_string())
}

/// Loads the system's root certificates; respects `SSL_CERT_FILE`.
pub(super) fn load_system_roots() -> Result<RootCertStore, TlsFault> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(TlsFault::NoRoots) } else { Ok(roots) }
}

/// Reads CA certificates from a PEM file.
pub(super) fn read_roots(file: &Path) -> Result<RootCertStore, TlsFault> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(file)? {
        roots
            .add(certificate)
            .map_err(|error| TlsFault::BadCertificate(file.to_owned(), error.to_string()))?;
    }
    if roots.is_empty() { Err(TlsFault::NoCertificate(file.to_owned())) } else { Ok(roots) }
}

fn read_certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    CertificateDer::pem_slice_iter(&read_file(file)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| TlsFault::Pem(file.to_owned(), error))
}

fn read_private_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsFault> {
    PrivateKeyDer::from_pem_slice(&read_file(file)?).map_err(|error| match error {
        pem::Error::NoItemsFound => TlsFault::NoKey(file.to_owned()),
        error => TlsFault::Pem(file.to_owned(), error),
    })
}

fn read_file(file: &Path) -> Result<Zeroizing<Vec<u8>>, TlsFault> {
    let read = fs::read(file).map_err(|error| TlsFault::File(file.to_owned(), error));
    read.map(Zeroizing::new)
}

fn parse_validity(leaf: &CertificateDer<'_>, file: &Path) -> Result<Validity, TlsFault> {
    let parsed = SliceReader::new(leaf).and_then(|mut reader| Certificate::decode(&mut reader));
    let parsed =
        parsed.map_err(|error| TlsFault::BadCertificate(file.to_owned(), error.to_string()))?;
    let validity = parsed.tbs_certificate().validity();
    Ok(Validity {
        from: validity.not_before.to_system_time(),
        until: validity.not_after.to_system_time(),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    /// Creates a folder with a certificate, its key, another key and broken files.
    fn folder(name: &str) -> PathBuf {
        let folder =
            std::env::temp_dir().join(format!("gatekeeper-tls-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["hooks.example.com".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2040, 2, 3);
        let cert = params.self_signed(&key).unwrap();
        fs::write(folder.join("cert.pem"), cert.pem()).unwrap();
        fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
        fs::write(folder.join("other.pem"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
        fs::write(folder.join("empty.pem"), "").unwrap();
        fs::write(folder.join("broken.pem"), "-----BEGIN CERTIFICATE-----\n!\n").unwrap();
        fs::write(
            folder.join("odd.pem"),
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        )
        .unwrap();
        folder
    }

    #[test]
    fn matching_certificate_and_key_build_a_server_config() {
        let folder = folder("pair");
        let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        let identity = || Chain::read(&cert).unwrap().with_key(&key).unwrap();
        let tls = server(identity(), None).unwrap();
        assert_eq!(tls.server.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
        assert_eq!(tls.server.max_early_data_size, 0, "early data can be replayed");
        assert_eq!(
            humantime::format_rfc3339(tls.validity.from).to_string(),
            "2020-01-01T00:00:00Z"
        );
        assert_eq!(
            humantime::format_rfc3339(tls.validity.until).to_string(),
            "2040-02-03T00:00:00Z"
        );
        server(identity(), Some(read_roots(&cert).unwrap())).unwrap();
        client(read_roots(&cert).unwrap(), Some(identity())).unwrap();
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn warning_is_due_in_the_last_third_of_a_certificate_s_life() {
        let day = |number: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(number * 86_400);
        let validity = Validity { from: day(100), until: day(190) };
        let due = |number| validity.warning(day(number)).map(|warning| warning.to_string());
        for (number, text) in [
            (99, Some("not valid")),
            (100, None),
            (160, None),
            (161, Some("the certificate expires on 1970-07-10")),
            (191, Some("the certificate expired on 1970-07-10")),
        ] {
            let warning = due(number);
            let is_due =
                text.is_none_or(|text| warning.as_ref().is_some_and(|all| all.contains(text)));
            assert!(is_due && warning.is_some() == text.is_some(), "{number}: {warning:?}");
        }
    }

    #[test]
    fn each_fault_names_its_file() {
        let folder = folder("faults");
        let fault = |cert: &str, key: &str| {
            let made = Chain::read(&folder.join(cert));
            let made = made.and_then(|chain| chain.with_key(&folder.join(key)));
            made.err().map(|fault| fault.to_string()).unwrap_or_default()
        };
        for (cert, key, begins, names) in [
            ("none.pem", "key.pem", "the file", "none.pem"),
            ("cert.pem", "none.pem", "the file", "none.pem"),
            ("empty.pem", "key.pem", "there is no certificate", "empty.pem"),
            ("key.pem", "key.pem", "there is no certificate", "key.pem"),
            ("cert.pem", "cert.pem", "there is no private key", "cert.pem"),
            ("broken.pem", "key.pem", "", "broken.pem is not a PEM file"),
            ("odd.pem", "key.pem", "the certificate in", "odd.pem"),
            ("cert.pem", "other.pem", "the private key in", "other.pem does not belong to"),
        ] {
            let message = fault(cert, key);
            assert!(
                message.starts_with(begins) && message.contains(names),
                "{cert} {key}: {message}"
            );
        }
        let roots = read_roots(&folder.join("empty.pem")).unwrap_err().to_string();
        assert!(roots.contains("no certificate"), "{roots}");
        fs::remove_dir_all(folder).unwrap();
    }
}
