//! Lists of certificates as PEM, and as what they encode: two texts may say the same.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// Characters in a line, as every tool writes them.
const LINE: usize = 64;

/// Every certificate of a text, in its order. What is no certificate is passed over; a damaged one is an error.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("not PEM: {error}"))
}

/// The first certificate of a text.
pub fn first(pem: &[u8]) -> Result<CertificateDer<'static>, String> {
    CertificateDer::from_pem_slice(pem).map_err(|error| format!("not PEM: {error}"))
}

/// One certificate as text.
pub fn encode(certificate: &CertificateDer<'_>) -> String {
    let body = STANDARD.encode(certificate);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in body.as_bytes().chunks(LINE) {
        pem.extend(line.iter().copied().map(char::from));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

/// Whether a bundle holds the current CA, which is the first certificate, of another one. False where either cannot be
/// read.
pub fn holds_current(bundle: &[u8], other: &[u8]) -> bool {
    first(other).is_ok_and(|current| holds(bundle, &current))
}

/// Whether a bundle holds this certificate; false where it cannot be read.
pub fn holds(bundle: &[u8], certificate: &CertificateDer<'_>) -> bool {
    certificates(bundle).is_ok_and(|all| all.contains(certificate))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(byte: u8) -> CertificateDer<'static> {
        CertificateDer::from(vec![byte; 100])
    }

    #[test]
    fn what_is_encoded_reads_back_in_its_order_whatever_stands_between() {
        let (one, two) = (certificate(1), certificate(2));
        let text = format!("# a note\r\n{}\n\n{}", encode(&one), encode(&two));
        assert_eq!(certificates(text.as_bytes()).unwrap(), [one.clone(), two]);
        assert_eq!(first(text.as_bytes()).unwrap(), one);
        assert!(certificates(b"").unwrap().is_empty());
        assert!(first(b"").is_err());
        assert!(certificates(b"-----BEGIN CERTIFICATE-----\n!\n").is_err());
    }

    #[test]
    fn certificates_are_compared_and_not_their_spelling() {
        let (one, two) = (encode(&certificate(1)), encode(&certificate(2)));
        let both = format!("{two}{one}");
        let table = [
            (both.as_str(), one.replace('\n', "\r\n"), true),
            (&both, two.clone(), true),
            (&one, two.clone(), false),
            (&one, format!("{two}{one}"), false),
            ("", one.clone(), false),
            (&one, String::new(), false),
        ];
        for (bundle, other, expected) in table {
            assert_eq!(holds_current(bundle.as_bytes(), other.as_bytes()), expected, "{other}");
        }
    }
}
