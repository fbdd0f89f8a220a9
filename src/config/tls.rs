//! Certificates and keys: files in, what rustls runs on out.
//!
//! One provider (ring), TLS 1.3 and 1.2, rustls's own choice of suites: all of them AEAD with
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
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    server::{VerifierBuilderError, WebPkiClientVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
};
use x509_cert::{
    Certificate,
    der::{Decode, SliceReader},
};
use zeroize::Zeroizing;

use crate::routes::ClientTls;

/// A listener's TLS.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Ready for handshakes: HTTP/2 and HTTP/1.1 by ALPN.
    pub server: Arc<ServerConfig>,
    /// From when to when its certificate is good.
    pub validity: Validity,
}

/// From when to when a certificate is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first moment.
    pub from: SystemTime,
    /// The last one.
    pub until: SystemTime,
}

/// A certificate with its chain and its key.
#[derive(Debug)]
pub(super) struct Identity {
    shown: Arc<SingleCertAndKey>,
    pub(super) validity: Validity,
}

/// Why files make no TLS. Each names the file.
#[derive(Debug, thiserror::Error)]
pub enum TlsFault {
    /// Not there, or not for this user.
    #[error("the file {0} cannot be read: {1}")]
    File(PathBuf, io::Error),
    /// No PEM.
    #[error("{0} is no PEM file: {1}")]
    Pem(PathBuf, pem::Error),
    /// PEM without a certificate.
    #[error("there is no certificate in {0}")]
    NoCertificate(PathBuf),
    /// PEM without a private key.
    #[error("there is no private key in {0} (one that asks for a passphrase cannot be used)")]
    NoKey(PathBuf),
    /// A certificate that cannot be understood.
    #[error("the certificate in {0} cannot be understood: {1}")]
    BadCertificate(PathBuf, String),
    /// A key that cannot be used.
    #[error("the private key in {0} cannot be used: {1}")]
    BadKey(PathBuf, rustls::Error),
    /// A key of another certificate.
    #[error("the private key in {0} is not that of the first certificate in {1}")]
    Mismatch(PathBuf, PathBuf),
    /// A system without root certificates, as a container image from scratch.
    #[error("this system has no root certificates to check an https:// upstream with")]
    NoRoots,
    /// What rustls refuses.
    #[error("{0}")]
    Refused(String),
}

impl TlsFault {
    /// What to do about it.
    #[must_use]
    pub const fn cure(&self) -> &'static str {
        match self {
            Self::File(..) => "name a file that this user may read",
            Self::Pem(..) | Self::BadCertificate(..) | Self::NoCertificate(_) => {
                "name a PEM file: -----BEGIN CERTIFICATE-----, the leaf first, then what leads to the root"
            }
            Self::NoKey(_) | Self::BadKey(..) => {
                "name a PEM file with the key alone, in PKCS#8, SEC1 or PKCS#1, without a passphrase"
            }
            Self::Mismatch(..) => "name the pair that was issued together, the leaf first",
            Self::NoRoots => {
                "install ca-certificates, set SSL_CERT_FILE, or name the app's own: [upstream_tls] ca = \"ca.pem\""
            }
            Self::Refused(_) => "see what it says of the file",
        }
    }
}

/// The certificates of a file, and how long the first of them is good.
pub(super) struct Chain {
    file: PathBuf,
    certificates: Vec<CertificateDer<'static>>,
    pub(super) validity: Validity,
}

impl Chain {
    pub(super) fn read(file: &Path) -> Result<Self, TlsFault> {
        let certificates = certificates(file)?;
        let leaf = certificates.first().ok_or_else(|| TlsFault::NoCertificate(file.to_owned()))?;
        let validity = validity(leaf, file)?;
        Ok(Self { file: file.to_owned(), certificates, validity })
    }

    /// With its private key, if that is its own.
    pub(super) fn with_key(self, file: &Path) -> Result<Identity, TlsFault> {
        let Self { file: cert, certificates, validity } = self;
        let signer = ring::sign::any_supported_type(&private_key(file)?)
            .map_err(|error| TlsFault::BadKey(file.to_owned(), error))?;
        let certified = CertifiedKey::new(certificates, signer);
        match certified.keys_match() {
            Ok(()) => Ok(Identity { shown: Arc::new(certified.into()), validity }),
            Err(rustls::Error::InconsistentKeys(_)) => {
                Err(TlsFault::Mismatch(file.to_owned(), cert))
            }
            Err(error) => Err(TlsFault::BadCertificate(cert, error.to_string())),
        }
    }
}

/// A listener that shows this certificate and, with roots, asks for one in return.
pub(super) fn listener(
    identity: Identity,
    client_ca: Option<RootCertStore>,
) -> Result<Tls, TlsFault> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(refused)?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(roots) => {
            let roots = Arc::new(roots);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
            let refused = |error: VerifierBuilderError| TlsFault::Refused(error.to_string());
            builder.with_client_cert_verifier(verifier.map_err(refused)?)
        }
    };
    let Identity { shown, validity } = identity;
    let mut server = builder.with_cert_resolver(shown);
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    server.ignore_client_order = true; // the strongest suite that both have
    // Tickets of this configuration only: whom the next one would not let in cannot resume.
    server.ticketer = Ticketer::new().map_err(refused)?;
    Ok(Tls { server: Arc::new(server), validity })
}

/// What an https:// upstream is checked with, and what is shown to it where it asks.
pub(super) fn upstream(
    roots: RootCertStore,
    identity: Option<Identity>,
) -> Result<ClientConfig, TlsFault> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(refused)?
        .with_root_certificates(roots);
    Ok(match identity {
        None => builder.with_no_client_auth(),
        Some(own) => builder.with_client_cert_resolver(own.shown),
    })
}

/// What a client of ours trusts: these roots, or the system's.
///
/// # Errors
/// [`TlsFault`].
pub fn client(roots: Option<&Path>) -> Result<Arc<ClientConfig>, TlsFault> {
    let roots = roots.map_or_else(system_roots, roots_of)?;
    upstream(roots, None).map(|config| Arc::clone(ClientTls::new(config).config()))
}

/// ring. There is no process-wide provider to fall back on, and none is wanted.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err asks for")]
fn refused(error: rustls::Error) -> TlsFault {
    TlsFault::Refused(error.to_string())
}

/// What this system trusts; `SSL_CERT_FILE` is heeded.
pub(super) fn system_roots() -> Result<RootCertStore, TlsFault> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(TlsFault::NoRoots) } else { Ok(roots) }
}

/// The roots in a file.
pub(super) fn roots_of(file: &Path) -> Result<RootCertStore, TlsFault> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots
            .add(certificate)
            .map_err(|error| TlsFault::BadCertificate(file.to_owned(), error.to_string()))?;
    }
    if roots.is_empty() { Err(TlsFault::NoCertificate(file.to_owned())) } else { Ok(roots) }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    CertificateDer::pem_slice_iter(&read(file)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| TlsFault::Pem(file.to_owned(), error))
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsFault> {
    PrivateKeyDer::from_pem_slice(&read(file)?).map_err(|error| match error {
        pem::Error::NoItemsFound => TlsFault::NoKey(file.to_owned()),
        error => TlsFault::Pem(file.to_owned(), error),
    })
}

fn read(file: &Path) -> Result<Zeroizing<Vec<u8>>, TlsFault> {
    let read = fs::read(file).map_err(|error| TlsFault::File(file.to_owned(), error));
    read.map(Zeroizing::new)
}

fn validity(leaf: &CertificateDer<'_>, file: &Path) -> Result<Validity, TlsFault> {
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
    use super::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    /// A folder with a certificate, its key, and another key.
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
    fn a_pair_makes_a_listener() {
        let folder = folder("pair");
        let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        let identity = || Chain::read(&cert).unwrap().with_key(&key).unwrap();
        let tls = listener(identity(), None).unwrap();
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
        listener(identity(), Some(roots_of(&cert).unwrap())).unwrap();
        upstream(roots_of(&cert).unwrap(), Some(identity())).unwrap();
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn every_fault_names_its_file() {
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
            ("broken.pem", "key.pem", "", "broken.pem is no PEM file"),
            ("odd.pem", "key.pem", "the certificate in", "odd.pem"),
            ("cert.pem", "other.pem", "the private key in", "other.pem is not that of"),
        ] {
            let said = fault(cert, key);
            assert!(said.starts_with(begins) && said.contains(names), "{cert} {key}: {said}");
        }
        let roots = roots_of(&folder.join("empty.pem")).unwrap_err().to_string();
        assert!(roots.contains("no certificate"), "{roots}");
        fs::remove_dir_all(folder).unwrap();
    }
}
