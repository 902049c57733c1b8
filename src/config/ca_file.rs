//! Certificates of those who sign a server's certificate.

use std::{
    io,
    path::{Path, PathBuf},
};

use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use super::secret_file::about;

/// A PEM file with certificates, in place of the system's. It is read at each connection, so that it may be replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaFile(PathBuf);

impl CaFile {
    /// The file, if certificates can be read from it.
    pub(super) fn parse(path: &str) -> Result<Self, String> {
        let file = Self(PathBuf::from(path));
        file.certificates().map(|_| file).map_err(|error| error.to_string())
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The certificates in it.
    ///
    /// # Errors
    /// A file that cannot be read, is damaged or holds none; the message names it.
    pub fn certificates(&self) -> io::Result<Vec<CertificateDer<'static>>> {
        let read = CertificateDer::pem_file_iter(&self.0).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        match read {
            Ok(certificates) if !certificates.is_empty() => Ok(certificates),
            Ok(_) => Err(about(&self.0, "holds no certificate in the form of PEM")),
            Err(error) => Err(about(&self.0, &error.to_string())),
        }
    }
}
