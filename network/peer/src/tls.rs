//! Mutual TLS 1.3 with certificates of the network (8.1), and with nothing else: no older version, no resumption, since
//! a resumed session would show no certificate.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, Signer, SigningKey, SingleCertAndKey};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, OtherError,
    ServerConfig, SignatureAlgorithm, SignatureScheme,
};
use stateset_ledger_types::ids::EntityId;
use stateset_ledger_types::keys::Signature;

use crate::members::{MemberError, Members, member_of};

/// Name of the protocol in the handshake.
const ALPN: &[u8] = b"stateset-peer/1";

/// Signs with the node's key, where that key lies: a key store or a token.
pub type Sign = Arc<dyn Fn(&[u8]) -> Result<Signature, String> + Send + Sync>;

/// This node before its peers.
#[derive(Clone)]
pub struct Identity {
    /// DER: the node's certificate, its entity's, an intermediate authority's if there is one.
    pub chain: Vec<Vec<u8>>,
    /// Signs by Ed25519 with the key of the first certificate.
    pub sign: Sign,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("certificates", &self.chain.len()).finish_non_exhaustive()
    }
}

#[derive(Clone)]
struct NodeKey(Sign);

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeKey")
    }
}

impl SigningKey for NodeKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&SignatureScheme::ED25519).then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }
    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ED25519
    }
}

impl Signer for NodeKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.0(message).map(|signature| signature.0.to_vec()).map_err(Error::General)
    }
    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

/// Judges the other side's certificates by the state.
struct Verifier {
    members: Arc<dyn Members>,
    provider: Arc<CryptoProvider>,
    /// Whom this side dials.
    expected: Option<EntityId>,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("expected", &self.expected).finish_non_exhaustive()
    }
}

impl Verifier {
    fn verify(&self, first: &CertificateDer<'_>, rest: &[CertificateDer<'_>]) -> Result<(), Error> {
        let chain: Vec<&[u8]> = std::iter::once(first).chain(rest).map(AsRef::as_ref).collect();
        let checked = member_of(&*self.members, &chain).and_then(|node| match self.expected {
            Some(expected) if expected != node.entity().entity_id() => {
                Err(MemberError::OtherEntity { expected, found: node.entity().entity_id() })
            }
            _ => Ok(()),
        });
        checked
            .map_err(|error| Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error)))))
    }

    fn verify_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }
}

/// The schemes of 1.1.
fn schemes() -> Vec<SignatureScheme> {
    vec![SignatureScheme::ED25519, SignatureScheme::ECDSA_NISTP256_SHA256]
}

fn no_tls12() -> Result<HandshakeSignatureValid, Error> {
    Err(Error::General("only TLS 1.3 is spoken here".to_owned()))
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify(end_entity, intermediates).map(|()| ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_signature(message, cert, dss)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        schemes()
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verify(end_entity, intermediates).map(|()| ClientCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_signature(message, cert, dss)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        schemes()
    }
}

/// Both sides' configurations of one identity.
pub(crate) struct Tls {
    provider: Arc<CryptoProvider>,
    members: Arc<dyn Members>,
    key: Arc<SingleCertAndKey>,
    server: Arc<ServerConfig>,
}

impl Tls {
    pub(crate) fn new(identity: &Identity, members: Arc<dyn Members>) -> Result<Self, Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let chain = identity.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
        let certified = CertifiedKey::new(chain, Arc::new(NodeKey(identity.sign.clone())));
        let key = Arc::new(SingleCertAndKey::from(certified));
        let verifier = Verifier { members: members.clone(), provider: provider.clone(), expected: None };
        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_cert_resolver(key.clone());
        server.alpn_protocols = vec![ALPN.to_vec()];
        server.send_tls13_tickets = 0;
        server.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        Ok(Self { provider, members, key, server: Arc::new(server) })
    }

    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        self.server.clone()
    }

    /// For dialling `expected`.
    pub(crate) fn client(&self, expected: EntityId) -> Result<Arc<ClientConfig>, Error> {
        let (members, provider) = (self.members.clone(), self.provider.clone());
        let verifier = Verifier { members, provider, expected: Some(expected) };
        let mut client = ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(self.key.clone());
        client.alpn_protocols = vec![ALPN.to_vec()];
        client.resumption = rustls::client::Resumption::disabled();
        client.enable_sni = false;
        Ok(Arc::new(client))
    }
}

/// The name that a client has to give; it is not sent, and says nothing: the certificate does.
pub(crate) fn any_name() -> ServerName<'static> {
    ServerName::try_from("member.invalid").expect("a name")
}

/// Why the certificates of the other side were refused, where that is why a handshake failed.
pub(crate) fn refusal(error: &std::io::Error) -> Option<MemberError> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    let Error::InvalidCertificate(CertificateError::Other(OtherError(source))) = error else { return None };
    source.downcast_ref::<MemberError>().cloned()
}
