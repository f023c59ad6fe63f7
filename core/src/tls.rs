//! TLS by rustls: certificates from PEM files, TLS 1.2 and 1.3, HTTP/2 by ALPN.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::pem;
use crate::server::TlsFiles;

/// Reads the files and builds what handshakes are made with.
///
/// # Errors
/// `InvalidInput` naming the file that cannot be read, or what does not fit together.
pub(crate) fn acceptor(files: &TlsFiles) -> io::Result<TlsAcceptor> {
    let chain = read(&files.certificate)?;
    let certificates = CertificateDer::pem_slice_iter(&chain)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unreadable(&files.certificate, &error))?;
    if certificates.is_empty() {
        return Err(unreadable(&files.certificate, &"no certificate in it"));
    }
    let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?)
        .map_err(|error| unreadable(&files.key, &error))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(certificates, key))
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The file's PEM, without what tools write around it.
fn read(file: &Path) -> io::Result<Vec<u8>> {
    let bytes = std::fs::read(file).map_err(|error| unreadable(file, &error))?;
    Ok(pem::clean(&bytes).into_owned())
}

fn unreadable(file: &Path, error: &dyn std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{}: {error}", file.display()))
}
