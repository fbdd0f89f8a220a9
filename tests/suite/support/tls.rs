//! Certificates for tests, and relays that put TLS or a Unix socket between two plain TCP ends.

use std::{
    future::Future,
    io,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, copy_bidirectional},
    net::{TcpStream, UnixListener},
    runtime::Builder,
    sync::oneshot,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::{HOST, TEST_TIMEOUT, gate::Folder};

/// A certificate authority with a folder for the certificates that it issues.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    pub(crate) folder: Folder,
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, format!("the tests' {name}"));
    params
}

/// A certificate and its key.
pub(crate) struct Pair {
    pub(crate) cert: String,
    pub(crate) key: String,
    chain: Vec<CertificateDer<'static>>,
    private: PrivateKeyDer<'static>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(authority_params("root"), key).unwrap();
        Self { issuer, folder: Folder::new() }
    }

    /// An intermediate authority below this one. A server with its certificates sends no other one.
    pub(crate) fn intermediate(&self) -> Self {
        let (params, key) = (authority_params("intermediate"), KeyPair::generate().unwrap());
        let issuer = CertifiedIssuer::signed_by(params, key, &self.issuer).unwrap();
        Self { issuer, folder: Folder::new() }
    }

    /// The path of `ca.pem`, for clients that trust it.
    pub(crate) fn ca(&self) -> PathBuf {
        self.folder.write("ca.pem", &self.issuer.pem())
    }

    /// A certificate for this name, good until a year from 1970.
    pub(crate) fn issue(&self, name: &str, until: i32) -> Pair {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Pair {
            cert: cert.pem(),
            chain: vec![cert.der().clone()],
            private: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            key: key.serialize_pem(),
        }
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        roots
    }

    /// A client that trusts both of these.
    pub(crate) fn client_of_both(&self, other: &Self) -> ClientConfig {
        let mut roots = self.roots();
        roots.extend(other.roots().roots);
        let builder = ClientConfig::builder_with_provider(provider());
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        builder.with_root_certificates(roots).with_no_client_auth()
    }

    /// A client that trusts this authority and offers these protocols.
    pub(crate) fn client(&self, own: Option<&Pair>, alpn: &[&str]) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots());
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                builder.with_client_auth_cert(pair.chain.clone(), pair.private.clone_key()).unwrap()
            }
        };
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }

    /// A server with this certificate and these protocols that may require a client certificate of
    /// this authority.
    pub(crate) fn server(&self, pair: &Pair, asks: bool, alpn: &[&str]) -> ServerConfig {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if asks {
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()), provider());
            builder.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let chosen = builder.with_single_cert(pair.chain.clone(), pair.private.clone_key());
        let mut config = chosen.unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }
}

impl Pair {
    /// `NAME.pem` and `NAME.key` in a folder.
    pub(crate) fn write(&self, folder: &Folder, name: &str) {
        folder.write(&format!("{name}.pem"), &self.cert);
        folder.write(&format!("{name}.key"), &self.key);
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Stops, with all relayed connections, when dropped.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    _runtime: Background,
}

/// Tasks that end when it is dropped.
pub(crate) struct Background(Option<oneshot::Sender<()>>);

impl Background {
    pub(crate) fn run(future: impl Future<Output = ()> + Send + 'static) -> Self {
        let (end, ended) = oneshot::channel();
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.spawn(future);
            let _dropped = runtime.block_on(ended);
        });
        Self(Some(end))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.0.take());
    }
}

impl Relay {
    /// Accepts TLS and relays the plain bytes.
    pub(crate) fn from_tls(config: ServerConfig, to: SocketAddr) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Self::between(move |stream| {
            let acceptor = acceptor.clone();
            async move { join(acceptor.accept(stream).await?, TcpStream::connect(to).await?).await }
        })
    }

    /// Accepts plain bytes and relays them over TLS.
    pub(crate) fn to_tls(config: ClientConfig, to: SocketAddr) -> Self {
        let connector = TlsConnector::from(Arc::new(config));
        Self::between(move |stream| {
            let connector = connector.clone();
            async move {
                let name = ServerName::try_from(HOST).unwrap();
                join(stream, connector.connect(name, TcpStream::connect(to).await?).await?).await
            }
        })
    }

    fn between<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let background = Background::run(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream));
            }
        });
        Self { address, _runtime: background }
    }
}

/// Performs a TLS handshake with a gate, if one still listens there.
pub(crate) fn shake(
    config: &Arc<ClientConfig>,
    address: SocketAddr,
) -> io::Result<StreamOwned<ClientConnection, std::net::TcpStream>> {
    let mut socket = std::net::TcpStream::connect_timeout(&address, TEST_TIMEOUT)?;
    socket.set_read_timeout(Some(TEST_TIMEOUT))?;
    let name = ServerName::try_from(HOST).unwrap();
    let mut client = ClientConnection::new(Arc::clone(config), name).unwrap();
    while client.is_handshaking() {
        client.complete_io(&mut socket)?;
    }
    Ok(StreamOwned::new(client, socket))
}

/// Accepts connections on a Unix socket and relays them.
pub(crate) fn from_unix(path: &Path, to: SocketAddr) -> Background {
    let listener = std::os::unix::net::UnixListener::bind(path).unwrap();
    listener.set_nonblocking(true).unwrap();
    Background::run(async move {
        let listener = UnixListener::from_std(listener).unwrap();
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move { join(stream, TcpStream::connect(to).await?).await });
        }
    })
}

async fn join(
    mut left: impl AsyncRead + AsyncWrite + Unpin,
    mut right: impl AsyncRead + AsyncWrite + Unpin,
) -> io::Result<()> {
    copy_bidirectional(&mut left, &mut right).await.map(|_| ())
}
