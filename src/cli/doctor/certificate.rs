//! The certificate chain of the public URL, as a client that knows the public CAs sees it.

use std::{
    io,
    net::TcpStream,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, InvalidMessage,
    SignatureScheme, StreamOwned,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::ring,
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use x509_cert::{Certificate, der::Decode};

use super::finding::Finding;
use crate::cli::{connect::ReadWrite, error::describe};
use crate::config::{self, Validity};

const CERTIFICATE: &str = "certificate";

/// Delegates every decision to rustls' verifier, and keeps the chain that the server sent.
#[derive(Debug)]
struct Recorder {
    inner: Arc<WebPkiServerVerifier>,
    chain: Mutex<Vec<CertificateDer<'static>>>,
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let sent = std::iter::once(leaf).chain(intermediates);
        let chain = sent.map(|certificate| certificate.clone().into_owned()).collect();
        *self.chain.lock().unwrap_or_else(PoisonError::into_inner) = chain;
        self.inner.verify_server_cert(leaf, intermediates, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// A server whose certificate is to be examined.
pub(super) struct Server<'a> {
    /// The host of the URL; an IPv6 address is in brackets.
    pub(super) host: &'a str,
    pub(super) port: u16,
    /// The CAs to trust instead of the system's.
    pub(super) cacert: Option<&'a Path>,
}

impl Server<'_> {
    /// Performs the handshake. Returns the stream if the certificate is accepted.
    pub(super) fn shake(
        &self,
        mut socket: TcpStream,
    ) -> (Vec<Finding>, Option<Box<dyn ReadWrite>>) {
        let (recorder, mut client) = match self.client() {
            Ok(client) => client,
            Err(error) => {
                let cure = "see the reason, or name the CAs with --cacert";
                return (vec![Finding::fail(CERTIFICATE, error.to_string(), cure)], None);
            }
        };
        let shaken = loop {
            if !client.is_handshaking() {
                break Ok(());
            }
            if let Err(error) = client.complete_io(&mut socket) {
                break Err(error);
            }
        };
        let sent = recorder.chain.lock().unwrap_or_else(PoisonError::into_inner);
        let chain: Vec<Certificate> =
            sent.iter().filter_map(|der| Certificate::from_der(der).ok()).collect();
        match shaken {
            Ok(()) => {
                let findings = self.accepted(&chain, SystemTime::now());
                (findings, Some(Box::new(StreamOwned::new(client, socket))))
            }
            Err(error) => (vec![self.refused(&error, &chain)], None),
        }
    }

    fn client(&self) -> io::Result<(Arc<Recorder>, ClientConnection)> {
        let roots = Arc::new(config::roots(self.cacert).map_err(io::Error::other)?);
        let provider = Arc::new(ring::default_provider());
        let inner = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider));
        let inner = inner.build().map_err(io::Error::other)?;
        let recorder = Arc::new(Recorder { inner, chain: Mutex::default() });
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .dangerous() // only by its name: the recorder decides nothing itself
            .with_custom_certificate_verifier(Arc::clone(&recorder) as Arc<dyn ServerCertVerifier>)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let bare = self.host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let name = ServerName::try_from(bare.unwrap_or(self.host).to_owned());
        let name = name.map_err(io::Error::other)?;
        let client = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
        Ok((recorder, client))
    }

    fn accepted(&self, chain: &[Certificate], now: SystemTime) -> Vec<Finding> {
        let Some(leaf) = chain.first() else { return Vec::new() };
        let until = not_after(leaf);
        let trusted = match self.cacert {
            Some(file) => format!("{}; Twilio trusts public CAs only", file.display()),
            None => "the CAs of this system".to_owned(),
        };
        let says = format!(
            "{} until {}, {} sent, trusted by {trusted}",
            self.host,
            date(until),
            certificates(chain.len()),
        );
        let mut findings = vec![Finding::ok(CERTIFICATE, says)];
        let out_of_order = chain.windows(2).any(|pair| match pair {
            [one, next] => issuer(one) != subject(next),
            _ => false,
        });
        if out_of_order {
            let says = "the certificates are not sent in order, which some clients refuse";
            let cure = "write the leaf first, then the certificate of its issuer, and so on";
            findings.push(Finding::warn(CERTIFICATE, says, cure));
        }
        if let Some(warning) = validity(leaf).warning(now) {
            let says = format!("{warning}, and less than a third of its life is left");
            findings.push(Finding::warn(CERTIFICATE, says, "look whether its renewal works"));
        }
        findings
    }

    fn refused(&self, error: &io::Error, chain: &[Certificate]) -> Finding {
        let Self { host, port, .. } = self;
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        let (says, cure) = match inner {
            Some(Error::InvalidCertificate(fault)) => self.fault(fault, chain),
            Some(Error::InvalidMessage(InvalidMessage::InvalidContentType)) => (
                format!("{host}:{port} does not speak TLS"),
                "end TLS there, or correct the scheme or the port of public_url, here and at Twilio"
                    .to_owned(),
            ),
            _ => (
                format!("the TLS handshake with {host}:{port} fails: {}", describe(error, "")),
                "look into the log of the server that ends TLS".to_owned(),
            ),
        };
        Finding::fail(CERTIFICATE, says, cure)
    }

    fn fault(&self, fault: &CertificateError, chain: &[Certificate]) -> (String, String) {
        let host = self.host;
        match fault {
            CertificateError::UnknownIssuer => self.unknown_issuer(chain),
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                let ends = chain.iter().map(not_after).min();
                let ends = ends.map(|end| format!(" on {}", date(end))).unwrap_or_default();
                (format!("the certificate expired{ends}"), "renew it".to_owned())
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => (
                "the certificate is not valid yet".to_owned(),
                "correct the clock of this machine, or wait".to_owned(),
            ),
            CertificateError::NotValidForNameContext { presented, .. } => {
                let names = presented.iter().map(|name| shown(name)).collect::<Vec<_>>().join(", ");
                let cure = format!(
                    "obtain a certificate for {host}, or correct the host of public_url, here and at Twilio"
                );
                (format!("the certificate is for {names}, not for {host}"), cure)
            }
            CertificateError::BadSignature => (
                "the certificate is not accepted: it is not signed by the CA that it names"
                    .to_owned(),
                "obtain one from a public CA, or name the right CA with --cacert".to_owned(),
            ),
            other => {
                let says = format!("the certificate is not accepted: {other}");
                (says, "obtain one for this host from a public CA".to_owned())
            }
        }
    }

    /// Tells a self-signed certificate from a missing intermediate one and from a private CA.
    fn unknown_issuer(&self, chain: &[Certificate]) -> (String, String) {
        let private = "for a CA of your own, name it with --cacert; Twilio trusts public CAs only";
        let Some(last) = chain.last() else {
            return ("the server sends no readable certificate".to_owned(), private.to_owned());
        };
        let sent = certificates(chain.len());
        if issuer(last) != subject(last) {
            let issuer = shown(&issuer(last).to_string());
            let says = if chain.len() == 1 {
                format!(
                    "an intermediate certificate is missing: {sent} sent, and not that of {issuer}"
                )
            } else {
                format!("the chain leads to no trusted CA: {sent} sent, and not that of {issuer}")
            };
            let cure = format!("let the server send the whole chain (fullchain.pem); {private}");
            return (says, cure);
        }
        let says = match chain.len() {
            1 => "the certificate is self-signed".to_owned(),
            _ => format!("the chain of {sent} ends at a CA that is not trusted here"),
        };
        (says, format!("obtain one from a public CA; {private}"))
    }
}

fn issuer(certificate: &Certificate) -> &x509_cert::name::Name {
    certificate.tbs_certificate().issuer()
}

fn subject(certificate: &Certificate) -> &x509_cert::name::Name {
    certificate.tbs_certificate().subject()
}

fn not_after(certificate: &Certificate) -> SystemTime {
    validity(certificate).until
}

fn validity(certificate: &Certificate) -> Validity {
    let validity = certificate.tbs_certificate().validity();
    Validity {
        from: validity.not_before.to_system_time(),
        until: validity.not_after.to_system_time(),
    }
}

fn certificates(count: usize) -> String {
    if count == 1 { "1 certificate is".to_owned() } else { format!("{count} certificates are") }
}

fn date(moment: SystemTime) -> String {
    humantime::format_rfc3339_seconds(moment).to_string()
}

/// A text from the network, cut.
fn shown(text: &str) -> String {
    text.chars().take(100).collect()
}
