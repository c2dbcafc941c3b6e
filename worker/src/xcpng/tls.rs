//! Who a pool's hosts are: by the fingerprint of their certificates, or by a file of certificates that sign them.
//!
//! There is no third way: a host that cannot be told from another is not spoken to.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
    SupportedProtocolVersion,
};
use sha2::{Digest, Sha256};

use super::config::{Trust, shown_fingerprint};

const VERSIONS: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

/// Why a pool's hosts cannot be told from others.
#[derive(Debug, thiserror::Error)]
pub enum BadTrust {
    #[error("ca_file {path} cannot be used ({what}); expected certificates in PEM")]
    CaFile { path: PathBuf, what: String },
    #[error("no TLS: {0}")]
    Tls(#[from] Error),
}

/// The certificate's fingerprint is none of those that are expected.
#[derive(Debug, thiserror::Error)]
#[error("its SHA-256 fingerprint is {presented}")]
pub(crate) struct WrongPin {
    presented: String,
}

pub(crate) fn client_config(trust: &Trust) -> Result<ClientConfig, BadTrust> {
    let provider = Arc::new(ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(VERSIONS)?;
    Ok(match trust {
        Trust::Fingerprints(pins) => {
            let pinned = Pinned { pins: pins.clone(), provider };
            builder.dangerous().with_custom_certificate_verifier(Arc::new(pinned)).with_no_client_auth()
        }
        Trust::CaFile(path) => {
            let wrong = |what: String| BadTrust::CaFile { path: path.clone(), what };
            let mut roots = RootCertStore::empty();
            let certificates =
                CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
                roots.add(certificate).map_err(|error| {
                    wrong(format!("{error}; a host's own certificate is better given as tls_fingerprint"))
                })?;
            }
            if roots.is_empty() {
                return Err(wrong("no certificate in it".to_owned()));
            }
            builder.with_root_certificates(roots).with_no_client_auth()
        }
    })
}

/// Takes exactly the certificates that it was told of, whatever name, date or issuer they carry: hosts sign their own.
/// That the other side holds the certificate's key is proven by the handshake's signature as ever.
#[derive(Debug)]
struct Pinned {
    pins: Vec<[u8; 32]>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let digest = Sha256::digest(end_entity.as_ref());
        if self.pins.iter().any(|pin| pin[..] == digest[..]) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(Error::Other(OtherError(Arc::new(WrongPin { presented: shown_fingerprint(&digest) }))))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
