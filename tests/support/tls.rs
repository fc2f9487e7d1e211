//! TLS as clients need it: an authority with certificates in files, foreign clients, and a bridge
//! through which everything that speaks over a plain connection speaks over TLS.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, SignatureAlgorithm,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use super::Proxy;

/// An authority that clients trust, and a folder for what it signs.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

/// The files of a certificate and its key.
#[derive(Debug, Clone)]
pub struct Files {
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Files {
    /// As keys of a table.
    pub fn toml(&self) -> String {
        let (cert, key) = (self.cert.display(), self.key.display());
        format!("cert = \"{cert}\"\nkey = \"{key}\"\n")
    }
}

impl Authority {
    pub fn new() -> Authority {
        let folder = tempfile::tempdir().expect("a folder");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
            .distinguished_name
            .push(DnType::CommonName, "test authority");
        let key = KeyPair::generate().expect("a key");
        let cert = params.self_signed(&key).expect("a certificate");
        std::fs::write(folder.path().join("ca.pem"), cert.pem()).expect("a file");
        Authority {
            issuer: Issuer::new(params, key),
            folder,
        }
    }

    /// The file with its certificate.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A proxy before this backend whose one listener has a certificate for `a.test`; `more` are
    /// further keys of the route and tables.
    pub fn proxy(&self, backend: SocketAddr, more: &str) -> Proxy {
        let files = self.pair(&["a.test"]);
        Proxy::start(&format!(
            "[[listen]]\naddress = \"127.0.0.1:0\"\n[listen.tls]\n{}\
             [[route]]\nto = \"{backend}\"\n{more}",
            files.toml()
        ))
    }

    /// Another file in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A certificate for servers of these names, with an EC key.
    pub fn pair(&self, names: &[&str]) -> Files {
        self.sign(names, &PKCS_ECDSA_P256_SHA256, |_| {})
    }

    /// The same with an RSA key.
    pub fn rsa_pair(&self, names: &[&str]) -> Files {
        self.sign(names, &PKCS_RSA_SHA256, |_| {})
    }

    /// A certificate that is changed before it is signed.
    pub fn sign(
        &self,
        names: &[&str],
        algorithm: &'static SignatureAlgorithm,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Files {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names.clone()).expect("names");
        let first = names.first().map_or("nameless", String::as_str);
        params.distinguished_name.push(DnType::CommonName, first);
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.use_authority_key_identifier_extension = true;
        change(&mut params);
        let key = KeyPair::generate_for(algorithm).expect("a key");
        let cert = params.signed_by(&key, &self.issuer).expect("signed");
        let stem = format!("{:016x}", fastrand::u64(..));
        let files = Files {
            cert: self.path(&format!("{stem}.pem")),
            key: self.path(&format!("{stem}.key")),
        };
        std::fs::write(&files.cert, cert.pem()).expect("a file");
        std::fs::write(&files.key, key.serialize_pem()).expect("a file");
        private(&files.key);
        files
    }

    /// What a client that trusts it is given.
    pub fn client(&self) -> ClientConfig {
        self.client_of(rustls::DEFAULT_VERSIONS)
    }

    /// The same of a client that speaks these versions.
    pub fn client_of(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_file(self.file()).expect("a certificate");
        roots.add(root).expect("an authority");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth()
    }

    /// curl, which trusts it, at a proxy that is called by this name.
    pub fn curl(&self, name: &str, address: SocketAddr, arguments: &[&str]) -> Output {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--max-time", "15", "--cacert"]);
        command.arg(self.file()).arg("--connect-to");
        command.arg(format!("{name}:443:{address}")).args(arguments);
        command.output().expect("curl runs")
    }

    /// `openssl s_client`, which trusts it; `input` is what it sends.
    pub fn s_client(&self, address: SocketAddr, arguments: &[&str], input: &str) -> Output {
        use std::io::Write;
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", &address.to_string(), "-CAfile"]);
        command.arg(self.file()).args(arguments);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("openssl runs");
        let mut stdin = child.stdin.take().expect("a pipe");
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        child.wait_with_output().expect("its end")
    }
}

/// Only the owner may read it.
pub fn private(file: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(file, mode).expect("permission bits");
}

/// Both streams of a command as text.
pub fn text(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    format!("{out}{err}")
}

/// A listener whose connections go on over TLS. Ends pass both ways, each direction for itself;
/// where the TLS side breaks, the plain side is reset.
pub struct Bridge {
    address: SocketAddr,
}

impl Bridge {
    /// To a proxy that is called by this name.
    pub fn start(to: SocketAddr, name: &str, config: ClientConfig) -> Bridge {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        listener.set_nonblocking(true).expect("a socket option");
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(serve(listener, to, name, Arc::new(config)));
        });
        Bridge { address }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn reset(stream: &TcpStream) {
    let _ = socket2::SockRef::from(stream).set_linger(Some(std::time::Duration::ZERO));
}

async fn serve(
    listener: std::net::TcpListener,
    to: SocketAddr,
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
) {
    let listener = TcpListener::from_std(listener).expect("a listener");
    while let Ok((mut plain, _)) = listener.accept().await {
        let (name, connector) = (name.clone(), TlsConnector::from(config.clone()));
        tokio::spawn(async move {
            let relayed = async {
                let stream = TcpStream::connect(to).await?;
                stream.set_nodelay(true)?;
                plain.set_nodelay(true)?;
                let mut secure = connector.connect(name, stream).await?;
                let relayed = tokio::io::copy_bidirectional(&mut plain, &mut secure).await;
                if relayed.is_err() {
                    reset(secure.get_ref().0);
                }
                relayed
            };
            if relayed.await.is_err() {
                reset(&plain);
            }
        });
    }
}
