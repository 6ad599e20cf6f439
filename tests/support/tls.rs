//! Certificate authorities made for one test, and the server side of TLS with what they certify.
//! The good, the expired and the misnamed differ in nothing else, so that a test proves its point.

use std::io;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::crypto::ring;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::coze::{Acceptor, Wire};

/// What a server answers a TLS handshake with.
pub type Identity = Arc<ServerConfig>;

/// An authority that nobody trusts but who was given its `pem`.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "an authority for tests");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a root");
        Self {
            issuer: Issuer::new(params, key),
            pem: certificate.pem(),
        }
    }

    /// For `--cacert`.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Valid for where the servers of the tests are.
    pub fn local(&self) -> Identity {
        self.certify(&leaf(&["127.0.0.1", "localhost"]))
    }

    /// The same, for the stand-in Coze.
    pub fn acceptor(&self) -> Acceptor {
        let identity = self.local();
        Arc::new(move |stream| {
            let connection =
                ServerConnection::new(Arc::clone(&identity)).map_err(io::Error::other)?;
            Ok(Box::new(StreamOwned::new(connection, stream)) as Box<dyn Wire>)
        })
    }

    /// Valid for these names only.
    pub fn named(&self, names: &[&str]) -> Identity {
        self.certify(&leaf(names))
    }

    /// Was valid until 2020.
    pub fn expired(&self) -> Identity {
        let mut params = leaf(&["127.0.0.1", "localhost"]);
        params.not_after = date_time_ymd(2020, 1, 1);
        self.certify(&params)
    }

    /// Will be valid from 4000 on.
    pub fn not_yet_valid(&self) -> Identity {
        let mut params = leaf(&["127.0.0.1", "localhost"]);
        params.not_before = date_time_ymd(4000, 1, 1);
        self.certify(&params)
    }

    /// The authority's own kind of certificate, as a server's.
    pub fn as_server(&self) -> Identity {
        let mut params = leaf(&["127.0.0.1", "localhost"]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        self.certify(&params)
    }

    fn certify(&self, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a leaf");
        let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring knows the default versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key.expect("a PKCS#8 key"));
        Arc::new(config.expect("a key that fits its certificate"))
    }
}

fn leaf(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    CertificateParams::new(names).expect("names that a certificate can hold")
}
