//! From the `tls-*` options to what a connection needs to know.
//!
//! Mirrors: `tlsConfigure` and `createSSLContext` of tls.c. Differs: only TLS 1.2 and 1.3, only ciphers with forward
//! secrecy (rustls has no others); names of ciphers are OpenSSL's.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, StoresServerSessions};
use rustls::server::{WebPkiClientVerifier, danger::ClientCertVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{
    CipherSuite, ClientConfig, DigitallySignedStruct, Error, InconsistentKeys, RootCertStore,
    ServerConfig, SignatureScheme, SupportedCipherSuite, SupportedProtocolVersion,
};

use super::keys;
use crate::config::{Config, TlsAuthClients};
use crate::sys::clock;

/// Errors are a line for the log.
type Result<T> = std::result::Result<T, String>;

/// The settings of those who connect to us.
#[doc(alias = "tlsConfigure")]
pub fn server_settings(config: &Config) -> Result<Arc<ServerConfig>> {
    settings_for(config, config.tls_auth_clients)
}

/// The settings of nodes that connect to our bus: each must show a certificate, whatever `tls-auth-clients` says.
pub fn bus_settings(config: &Config) -> Result<Arc<ServerConfig>> {
    settings_for(config, TlsAuthClients::Yes)
}

fn settings_for(config: &Config, clients: TlsAuthClients) -> Result<Arc<ServerConfig>> {
    let provider = provider(config)?;
    let key = certified_key(config, &provider, false)?;
    let asks = clients != TlsAuthClients::No;
    let needs_roots = asks || config.tls_cluster || config.tls_replication;
    let no_roots = config.tls_ca_cert_file.is_none() && config.tls_ca_cert_dir.is_none();
    if needs_roots && no_roots {
        return Err(
            "Either tls-ca-cert-file or tls-ca-cert-dir must be specified when tls-cluster, \
             tls-replication or tls-auth-clients are enabled!"
                .into(),
        );
    }
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&protocols(config)?)
        .map_err(failed("TLS protocols and ciphers"))?;
    let builder = match asks {
        false => builder.with_no_client_auth(),
        true => builder.with_client_cert_verifier(verifier(config, clients, &provider)?),
    };
    let mut settings = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    settings.ignore_client_order = config.tls_prefer_server_ciphers;
    if config.tls_session_caching {
        settings.send_tls13_tickets = 1;
        settings.session_storage = Arc::new(Sessions::new(
            config.tls_session_cache_size as usize,
            Duration::from_secs(config.tls_session_cache_timeout.into()),
        ));
    } else {
        settings.session_storage = Arc::new(NoServerSessionStorage {});
        settings.send_tls13_tickets = 0;
    }
    Ok(Arc::new(settings))
}

/// The settings of connections we make, with our certificate for clients or the server's.
pub fn client_settings(config: &Config) -> Result<Arc<ClientConfig>> {
    let provider = provider(config)?;
    let key = certified_key(config, &provider, true)?;
    let names = config.tls_expected_peer_name.as_deref().unwrap_or_default();
    let names: std::result::Result<Vec<_>, _> = names
        .split_ascii_whitespace()
        .map(|name| ServerName::try_from(name.to_owned()))
        .collect();
    let verifier = PeerVerifier {
        roots: roots(config)?,
        names: names.map_err(failed("tls-expected-peer-name"))?,
        provider: provider.clone(),
    };
    let settings = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&protocols(config)?)
        .map_err(failed("TLS protocols and ciphers"))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    Ok(Arc::new(settings))
}

fn failed<E: std::fmt::Display>(what: &str) -> impl FnOnce(E) -> String {
    move |error| format!("Failed to configure {what}: {error}")
}

fn path(config: &Config, file: &str) -> PathBuf {
    config.dir.join(file)
}

/// Our certificate with its key.
fn certified_key(
    config: &Config,
    provider: &CryptoProvider,
    as_client: bool,
) -> Result<CertifiedKey> {
    let own = (&config.tls_client_cert_file, &config.tls_client_key_file);
    let (certificate, key, password) = match own {
        (Some(certificate), Some(key)) if as_client => {
            (certificate, key, &config.tls_client_key_file_pass)
        }
        _ => (
            (config.tls_cert_file.as_ref()).ok_or("No tls-cert-file configured!")?,
            (config.tls_key_file.as_ref()).ok_or("No tls-key-file configured!")?,
            &config.tls_key_file_pass,
        ),
    };
    let no_key = |error: String| format!("Failed to load private key: {key}: {error}");
    let chain = keys::certificates(&path(config, certificate))
        .map_err(|error| format!("Failed to load certificate: {certificate}: {error}"))?;
    let der = keys::private_key(&path(config, key), password.as_deref()).map_err(no_key)?;
    let signer = provider.key_provider.load_private_key(der);
    let signer = signer.map_err(|error| no_key(error.to_string()))?;
    let certified = CertifiedKey::new(chain, signer);
    // Certificates of version 1 cannot be compared here, but be shown to others.
    match certified.keys_match() {
        Err(error @ Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Err(no_key(error.to_string()))
        }
        _ => Ok(certified),
    }
}

/// Whom we trust.
fn roots(config: &Config) -> Result<Arc<RootCertStore>> {
    let wrong = |path: &Path, error: &str| {
        let path = path.display();
        format!("Failed to configure CA certificate(s) file/directory: {path}: {error}")
    };
    let mut roots = RootCertStore::empty();
    if let Some(file) = &config.tls_ca_cert_file {
        let file = path(config, file);
        for certificate in keys::certificates(&file).map_err(|error| wrong(&file, &error))? {
            roots
                .add(certificate)
                .map_err(|error| wrong(&file, &error.to_string()))?;
        }
    }
    if let Some(directory) = &config.tls_ca_cert_dir {
        let directory = path(config, directory);
        let found = keys::directory(&directory).map_err(|error| wrong(&directory, &error))?;
        roots.add_parsable_certificates(found);
    }
    Ok(Arc::new(roots))
}

fn verifier(
    config: &Config,
    clients: TlsAuthClients,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>> {
    let roots = roots(config)?;
    let builder = WebPkiClientVerifier::builder_with_provider(roots, provider.clone());
    let builder = match clients {
        TlsAuthClients::Optional => builder.allow_unauthenticated(),
        _ => builder,
    };
    builder.build().map_err(failed("CA certificate(s)"))
}

#[doc(alias = "parseProtocolsConfig")]
fn protocols(config: &Config) -> Result<Vec<&'static SupportedProtocolVersion>> {
    let asked = config.tls_protocols.as_deref().unwrap_or_default();
    if asked.trim().is_empty() {
        return Ok(vec![&TLS13, &TLS12]);
    }
    let mut versions = Vec::new();
    for word in asked.split_ascii_whitespace() {
        match word.to_ascii_lowercase().as_str() {
            "tlsv1.3" => versions.push(&TLS13),
            "tlsv1.2" => versions.push(&TLS12),
            // Known versions that are not safe any more.
            "tlsv1" | "tlsv1.1" => {}
            _ => {
                return Err(
                    "Invalid tls-protocols specified. Use a combination of 'TLSv1.2' and 'TLSv1.3'."
                        .into(),
                );
            }
        }
    }
    match versions.is_empty() {
        true => Err("Of tls-protocols, none is left that is offered: 'TLSv1.2', 'TLSv1.3'.".into()),
        false => Ok(versions),
    }
}

/// The cryptography of ring, cut down to the ciphers asked for.
fn provider(config: &Config) -> Result<Arc<CryptoProvider>> {
    let mut provider = ring::default_provider();
    let all = std::mem::take(&mut provider.cipher_suites);
    let is_13 = |suite: &SupportedCipherSuite| suite.tls13().is_some();
    let (newer, older): (Vec<_>, Vec<_>) = all.into_iter().partition(is_13);
    provider.cipher_suites = match &config.tls_ciphersuites {
        Some(list) => chosen_suites(list, &newer)?,
        None => newer,
    };
    provider.cipher_suites.extend(match &config.tls_ciphers {
        Some(list) => chosen_ciphers(list, &older)?,
        None => older,
    });
    Ok(Arc::new(provider))
}

/// The ciphers of a configuration, those of TLS 1.3 first, by OpenSSL's names.
#[cfg(test)]
pub(super) fn cipher_names(config: &Config) -> Result<Vec<&'static str>> {
    let provider = provider(config)?;
    let names = provider.cipher_suites.iter();
    Ok(names.map(|suite| openssl_name(suite.suite())).collect())
}

/// Suites of TLS 1.3, by their names, in the order given.
fn chosen_suites(list: &str, known: &[SupportedCipherSuite]) -> Result<Vec<SupportedCipherSuite>> {
    let wrong = || format!("Failed to configure ciphersuites: {list}");
    let find = |name: &str| {
        let name = name.trim();
        let same = |suite: &&SupportedCipherSuite| openssl_name(suite.suite()) == name;
        known.iter().find(same).copied().ok_or_else(wrong)
    };
    list.split(':').map(find).collect()
}

/// Ciphers up to TLS 1.2, from a list as OpenSSL reads it: names and properties, `-` and `!` take out, `+` puts last.
/// Names that do not exist here are passed over, as OpenSSL does.
#[doc(alias = "SSL_CTX_set_cipher_list")]
fn chosen_ciphers(list: &str, known: &[SupportedCipherSuite]) -> Result<Vec<SupportedCipherSuite>> {
    let mut chosen: Vec<SupportedCipherSuite> = Vec::new();
    let mut banned: Vec<CipherSuite> = Vec::new();
    for word in list
        .split([':', ',', ' ', ';'])
        .filter(|word| !word.is_empty())
    {
        let (sign, what) = match word.as_bytes()[0] {
            sign @ (b'-' | b'!' | b'+') => (sign, &word[1..]),
            _ => (b' ', word),
        };
        let named = known.iter().filter(|suite| is_named(suite.suite(), what));
        for suite in named {
            let before = chosen.iter().position(|s| s.suite() == suite.suite());
            let taken_out = before.filter(|_| sign != b' ').map(|at| chosen.remove(at));
            match sign {
                b' ' if before.is_none() && !banned.contains(&suite.suite()) => {
                    chosen.push(*suite);
                }
                b'+' => chosen.extend(taken_out),
                b'!' => banned.push(suite.suite()),
                _ => {}
            }
        }
    }
    match chosen.is_empty() {
        true => Err(format!(
            "Failed to configure ciphers: {list}: none of them is offered"
        )),
        false => Ok(chosen),
    }
}

/// Whether a word of a cipher list means a suite: its name, or properties joined by `+`, all of which it has.
fn is_named(suite: CipherSuite, word: &str) -> bool {
    let name = openssl_name(suite);
    let has = |property: &str| {
        name == property
            || match property {
                "DEFAULT" | "ALL" | "HIGH" | "AEAD" | "TLSv1.2" => true,
                "kECDHE" | "kEECDH" | "ECDHE" | "EECDH" => true,
                "aRSA" => name.contains("-RSA-"),
                "aECDSA" | "ECDSA" => name.contains("-ECDSA-"),
                "AES" | "AESGCM" => name.contains("-GCM-"),
                "AES128" | "AES256" | "SHA256" | "SHA384" | "CHACHA20" => name.contains(property),
                _ => false,
            }
    };
    word.split('+').all(has)
}

/// OpenSSL's name of a suite.
fn openssl_name(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => "ECDHE-ECDSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => "ECDHE-ECDSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => {
            "ECDHE-ECDSA-CHACHA20-POLY1305"
        }
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => "ECDHE-RSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => "ECDHE-RSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-RSA-CHACHA20-POLY1305",
        _ => "",
    }
}

/// Sessions that clients may take up again: as many as configured, for as long as configured.
#[derive(Debug)]
struct Sessions {
    kept: Mutex<Kept>,
    /// 0: no bound but time.
    size: usize,
    timeout: Duration,
}

#[derive(Debug, Default)]
struct Kept {
    by_key: HashMap<Vec<u8>, (Instant, Vec<u8>)>,
    /// Keys by age, some of them gone.
    ages: VecDeque<(Instant, Vec<u8>)>,
}

impl Sessions {
    fn new(size: usize, timeout: Duration) -> Sessions {
        Sessions {
            kept: Mutex::default(),
            size,
            timeout,
        }
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StoresServerSessions for Sessions {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        let (now, mut kept) = (clock::instant(), self.kept());
        let Kept { by_key, ages } = &mut *kept;
        ages.push_back((now, key.clone()));
        by_key.insert(key, (now, value));
        while let Some((since, oldest)) = ages.front() {
            let over = self.size > 0 && ages.len() > self.size;
            if !over && now.duration_since(*since) < self.timeout {
                break;
            }
            if by_key.get(oldest).is_some_and(|(put, _)| put == since) {
                by_key.remove(oldest);
            }
            ages.pop_front();
        }
        true
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let kept = self.kept();
        let (since, value) = kept.by_key.get(key)?;
        (clock::since(*since) < self.timeout).then(|| value.clone())
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        let (since, value) = self.kept().by_key.remove(key)?;
        (clock::since(since) < self.timeout).then_some(value)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

/// Trusts a server whose certificate a trusted authority signed; its name counts only where names are expected
/// (`tls-expected-peer-name`), for nodes are known by their addresses.
#[derive(Debug)]
struct PeerVerifier {
    roots: Arc<RootCertStore>,
    names: Vec<ServerName<'static>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PeerVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(certificate)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        let roots = &self.roots;
        verify_server_cert_signed_by_trust_anchor(
            &certificate,
            roots,
            intermediates,
            now,
            algorithms,
        )?;
        let mut names = self.names.iter();
        let mut named = Ok(());
        if names.len() > 0
            && !names.any(|name| {
                named = verify_server_name(&certificate, name);
                named.is_ok()
            })
        {
            named?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
