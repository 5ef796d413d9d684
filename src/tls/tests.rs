use super::keys::{common_name, pem};
use crate::config::Config;

/// Names of the ciphers that are left of a list.
fn ciphers(option: &str, list: &str) -> Result<Vec<&'static str>, String> {
    let mut config = Config::default();
    let set = config.assign(option.as_bytes(), list.as_bytes());
    set.expect("any text will do");
    super::settings::cipher_names(&config)
}

#[test]
fn a_certificate_is_written_as_it_was_read() {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    for len in 0..200u8 {
        let bytes: Vec<u8> = (0..len).map(|n| n.wrapping_mul(37)).collect();
        let text = pem(&CertificateDer::from(bytes.clone())).expect("it is short");
        assert!(text.lines().all(|line| line.len() <= 64));
        let read = CertificateDer::from_pem_slice(text.as_bytes()).expect("it is PEM");
        assert_eq!(&*read, &bytes);
    }
}

#[test]
fn cipher_lists_are_read_as_openssl_does() {
    let older = |list| ciphers("tls-ciphers", list).map(|names| names[3..].to_vec());
    assert_eq!(older("DEFAULT").map(|names| names.len()), Ok(6));
    assert_eq!(
        older("DEFAULT:-AES128-SHA256").map(|names| names.len()),
        Ok(6)
    );
    assert_eq!(
        older("ECDHE-RSA-AES128-GCM-SHA256:nonsense"),
        Ok(vec!["ECDHE-RSA-AES128-GCM-SHA256"])
    );
    assert_eq!(
        older("aRSA+AESGCM:!AES256"),
        Ok(vec!["ECDHE-RSA-AES128-GCM-SHA256"])
    );
    assert_eq!(
        older("CHACHA20:-aECDSA:CHACHA20"),
        Ok(vec![
            "ECDHE-RSA-CHACHA20-POLY1305",
            "ECDHE-ECDSA-CHACHA20-POLY1305"
        ])
    );
    assert_eq!(
        older("!aECDSA:CHACHA20:+AES"),
        Ok(vec!["ECDHE-RSA-CHACHA20-POLY1305"])
    );
    assert!(older("AES128-SHA256").is_err());

    let newer = |list| ciphers("tls-ciphersuites", list).map(|names| names.len());
    let one = ciphers("tls-ciphersuites", "TLS_AES_128_GCM_SHA256");
    assert_eq!(one.map(|names| names[0]), Ok("TLS_AES_128_GCM_SHA256"));
    assert!(newer("TLS_AES_128_GCM_SHA256:nonsense").is_err());
}

#[test]
fn the_name_in_a_certificate() {
    // SEQUENCE { SEQUENCE { 5 elements, SEQUENCE { SET { SEQUENCE { 2.5.4.3, UTF8String "me" } } } } }
    let attribute = [0x30, 9, 6, 3, 0x55, 4, 3, 0x0c, 2, b'm', b'e'];
    let wrap = |tag: u8, content: &[u8]| [&[tag, content.len() as u8], content].concat();
    let subject = wrap(0x30, &wrap(0x31, &attribute));
    let before = [0xa0, 0, 2, 1, 5, 0x30, 0, 0x30, 0, 0x30, 0];
    let whole = wrap(0x30, &wrap(0x30, &[&before[..], &subject].concat()));
    assert_eq!(common_name(&whole), Some(b"me".to_vec()));
    for end in 0..whole.len() {
        assert_eq!(common_name(&whole[..end]), None);
    }
    // Two of them, in one part of the name or in two, or one that is no text: nobody.
    let other = [0x30, 9, 6, 3, 0x55, 4, 3, 0x1e, 2, 0, b'x'];
    let one_part = wrap(0x31, &[attribute, attribute].concat());
    let two_parts = [wrap(0x31, &attribute), wrap(0x31, &other)].concat();
    let turned = [wrap(0x31, &other), wrap(0x31, &attribute)].concat();
    for names in [one_part, two_parts, turned, wrap(0x31, &other)] {
        let subject = wrap(0x30, &names);
        let whole = wrap(0x30, &wrap(0x30, &[&before[..], &subject].concat()));
        assert_eq!(common_name(&whole), None, "{names:x?}");
    }
}
