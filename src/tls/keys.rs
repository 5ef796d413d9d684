//! Certificates and private keys in PEM files, and the name in a certificate.
//!
//! Mirrors: the loading of files in `createSSLContext()` and the names of certificates in tls.c; OpenSSL does the rest
//! there.

use std::path::Path;

use pkcs8::LineEnding;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::config::disk;
use crate::sys::files::Disk;

/// Largest file of certificates or keys that is read.
const MAX_FILE_BYTES: u64 = 16 << 20;
/// Files of a directory of certificates that are read.
const MAX_FILES: usize = 10_000;

/// All certificates of a file, in order; the error says what is wrong with it.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = disk::read(path, MAX_FILE_BYTES).map_err(|error| disk::reason(&error))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|error| error.to_string())?;
    match found.is_empty() {
        true => Err("no certificate in PEM form".into()),
        false => Ok(found),
    }
}

/// The certificates of all files of a directory; what is no certificate is passed over.
pub(super) fn directory(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let names = Disk::machine().list(path);
    let names = names.map_err(|error| disk::reason(&error))?;
    let files = names
        .into_iter()
        .take(MAX_FILES)
        .map(|name| path.join(name));
    let found = files
        .filter(|file| file.is_file())
        .map(|file| certificates(&file));
    Ok(found.flatten().flatten().collect())
}

/// A certificate in PEM form; `None` if it is too long for one.
#[doc(alias = "PEM_write_bio_X509")]
pub fn pem(certificate: &CertificateDer<'_>) -> Option<String> {
    pkcs8::der::pem::encode_string("CERTIFICATE", LineEnding::LF, certificate).ok()
}

/// The private key of a file, decrypted if it is encrypted; the error says what is wrong with it.
pub(super) fn private_key(
    path: &Path,
    password: Option<&str>,
) -> Result<PrivateKeyDer<'static>, String> {
    const ENCRYPTED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
    let text = disk::read(path, MAX_FILE_BYTES).map_err(|error| disk::reason(&error))?;
    let encrypted = str::from_utf8(&text)
        .ok()
        .and_then(|text| text.find(ENCRYPTED).map(|begin| &text[begin..]));
    if let Some(pem) = encrypted {
        let password = password.ok_or("the key is encrypted, and there is no password for it")?;
        return decrypted(pem, password);
    }
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| error.to_string())
}

fn decrypted(pem: &str, password: &str) -> Result<PrivateKeyDer<'static>, String> {
    use pkcs8::{EncryptedPrivateKeyInfoRef, SecretDocument};
    const END: &str = "-----END ENCRYPTED PRIVATE KEY-----";
    let end = pem.find(END).ok_or("the key does not end")? + END.len();
    let (_, document) = SecretDocument::from_pem(&pem[..end]).map_err(|error| error.to_string())?;
    let key = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes())
        .map_err(|error| error.to_string())?;
    let key = key.decrypt(password).map_err(|error| error.to_string())?;
    Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
}

/// The common name of a certificate's subject; `None` where there are several. Which of them signs in would be a matter
/// of the order in which the authority wrote them, and a requester may have chosen one of them.
pub fn common_name(certificate: &[u8]) -> Option<Vec<u8>> {
    // Certificate ─ TBSCertificate ─ [0] version, serial, algorithm, issuer, validity, subject, …
    let (_, certificate, _) = element(certificate)?;
    let (_, mut rest, _) = element(certificate)?;
    if rest.first() == Some(&EXPLICIT_0) {
        rest = element(rest)?.2;
    }
    for _ in ["serial number", "algorithm", "issuer", "validity"] {
        rest = element(rest)?.2;
    }
    let (_, mut names, _) = element(rest)?;
    let (mut found, mut names_seen) = (None, 0);
    while !names.is_empty() {
        let (_, mut set, next) = element(names)?;
        names = next;
        while !set.is_empty() {
            let (_, attribute, next) = element(set)?;
            set = next;
            let (_, object, value) = element(attribute)?;
            if object == COMMON_NAME {
                let (kind, value, _) = element(value)?;
                found = TEXT.contains(&kind).then(|| value.to_vec());
                names_seen += 1;
            }
        }
    }
    found.filter(|_| names_seen == 1)
}

/// The tag of a TBSCertificate's version.
const EXPLICIT_0: u8 = 0xa0;
/// 2.5.4.3 in DER.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// UTF8String, PrintableString, T61String, IA5String: bytes that are the text.
const TEXT: [u8; 4] = [0x0c, 0x13, 0x14, 0x16];

/// The first DER element: its tag, its content, and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
            let len = digits.iter().fold(0, |len, b| len << 8 | usize::from(*b));
            (len, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(len)?;
    Some((*tag, content, rest))
}
