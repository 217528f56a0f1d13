//! Keys and certificates of a test control plane. They live as long as its folder and guard nothing but loopback.

use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

/// The control plane's certificate authority, and the folder its keys are written to.
pub struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes a new authority: `ca.crt`, `ca.key`, and the ServiceAccount signing pair `sa.key`, `sa.pub`.
    pub fn create(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).context("cannot make the folder for keys")?;
        let mut params = params("smartops-test-ca", &[], &[])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().context("cannot make a key")?;
        let certificate = params.self_signed(&key).context("cannot sign the CA")?;
        write(&folder.join("ca.crt"), &certificate.pem())?;
        write(&folder.join("ca.key"), &key.serialize_pem())?;
        let accounts = KeyPair::generate().context("cannot make a key")?;
        write(&folder.join("sa.key"), &accounts.serialize_pem())?;
        write(&folder.join("sa.pub"), &accounts.public_key_pem())?;
        Ok(Self { folder: folder.to_path_buf(), issuer: Issuer::new(params, key) })
    }

    /// The authority that was made in this folder.
    pub fn open(folder: &Path) -> Result<Self> {
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let key = KeyPair::from_pem(&read("ca.key")?).context("ca.key holds no key")?;
        let issuer = Issuer::from_ca_cert_pem(&read("ca.crt")?, key).context("ca.crt is no CA")?;
        Ok(Self { folder: folder.to_path_buf(), issuer })
    }

    /// Issues `NAME.crt` and `NAME.key` for a user or server.
    pub fn issue(&self, name: &str, user: &str, groups: &[&str], hosts: &[&str]) -> Result<()> {
        let mut params = params(user, groups, hosts)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().context("cannot make a key")?;
        let certificate =
            params.signed_by(&key, &self.issuer).with_context(|| format!("cannot sign {name}"))?;
        write(&self.folder.join(format!("{name}.crt")), &certificate.pem())?;
        write(&self.folder.join(format!("{name}.key")), &key.serialize_pem())
    }
}

/// A key and the request for a client certificate of `user` of these groups, both PEM.
pub fn request(user: &str, groups: &[&str]) -> Result<(String, String)> {
    let key = KeyPair::generate().context("cannot make a key")?;
    let request =
        params(user, groups, &[])?.serialize_request(&key).context("cannot make a CSR")?;
    Ok((key.serialize_pem(), request.pem().context("cannot write a CSR")?))
}

fn params(user: &str, groups: &[&str], hosts: &[&str]) -> Result<CertificateParams> {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut params = CertificateParams::new(hosts).context("a host name is not valid")?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, user);
    for group in groups {
        params.distinguished_name.push(DnType::OrganizationName, *group);
    }
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2049, 1, 1);
    Ok(params)
}

/// Writes a file only its owner may read.
pub fn write(path: &Path, text: &str) -> Result<()> {
    use std::io::Write as _;
    let mut file = fs::File::options()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}
