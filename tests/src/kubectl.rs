//! Running `kubectl` as somebody, and writing the kubeconfigs that say who.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::pki;

/// `kubectl` with one actor's kubeconfig.
#[derive(Debug, Clone)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    discovery: PathBuf,
}

/// What came back, from `kubectl` or another program.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Whether the exit status was zero.
    pub succeeded: bool,
    /// Standard output.
    pub output: String,
    /// Standard error: the API server's words when it refused.
    pub errors: String,
}

impl Outcome {
    /// The output, or an error with what the program said.
    pub fn ok(self) -> Result<String> {
        if !self.succeeded {
            bail!("it failed: {}{}", self.errors, self.output);
        }
        Ok(self.output)
    }

    /// Both streams, as a person would see them.
    pub fn text(&self) -> String {
        format!("{}{}", self.output, self.errors).trim().to_owned()
    }
}

impl Kubectl {
    /// `program` is kubectl itself; its discovery cache is kept in `dir`, because another cluster may have used the
    /// same port before.
    pub fn new(program: &Path, kubeconfig: &Path, dir: &Path) -> Self {
        Self {
            program: program.to_path_buf(),
            kubeconfig: kubeconfig.to_path_buf(),
            discovery: dir.join("kubectl-cache"),
        }
    }

    /// The kubeconfig in use.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Runs kubectl with these arguments.
    pub fn run(&self, arguments: &[&str]) -> Result<Outcome> {
        self.run_with(arguments, None)
    }

    /// Runs kubectl with these arguments and `input` on its standard input.
    pub fn run_with(&self, arguments: &[&str], input: Option<&str>) -> Result<Outcome> {
        let mut child = Command::new(&self.program)
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .arg("--request-timeout=60s")
            .arg("--cache-dir")
            .arg(&self.discovery)
            .args(arguments)
            .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        if let (Some(text), Some(mut stdin)) = (input, child.stdin.take()) {
            stdin.write_all(text.as_bytes()).context("kubectl does not read its input")?;
        }
        let output = child.wait_with_output().context("cannot wait for kubectl")?;
        Ok(Outcome {
            succeeded: output.status.success(),
            output: String::from_utf8_lossy(&output.stdout).into_owned(),
            errors: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Server-side applies objects: YAML or JSON, one or a stream.
    pub fn apply(&self, objects: &str) -> Result<String> {
        let arguments = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        self.run_with(&arguments, Some(objects))?.ok()
    }

    /// Server-side applies JSON objects.
    pub fn apply_all(&self, objects: &[Value]) -> Result<String> {
        self.apply(&json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string())
    }

    /// Reads something as JSON: `get ARGUMENTS -o json`.
    pub fn get(&self, arguments: &[&str]) -> Result<Value> {
        let all = [&["get"], arguments, &["-o", "json"]].concat();
        let text = self.run(&all)?.ok()?;
        serde_json::from_str(&text).context("kubectl did not answer in JSON")
    }
}

/// How an actor proves who it is.
#[derive(Debug, Clone)]
pub enum Proof {
    /// PEM files: certificate and key.
    Files(PathBuf, PathBuf),
    /// A certificate and its key, PEM, written into the kubeconfig.
    Certificate(String, String),
    /// A bearer token.
    Token(String),
}

/// Writes a kubeconfig for `server`. `cluster` is the cluster entry (server and how to trust it).
pub fn write_kubeconfig(path: &Path, cluster: &Value, name: &str, proof: &Proof) -> Result<()> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let user = match proof {
        Proof::Files(certificate, key) => {
            json!({"client-certificate": certificate, "client-key": key})
        }
        Proof::Certificate(certificate, key) => json!({
            "client-certificate-data": STANDARD.encode(certificate),
            "client-key-data": STANDARD.encode(key),
        }),
        Proof::Token(token) => json!({"token": token}),
    };
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "smartops", "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": "smartops", "context": {"cluster": "smartops", "user": name}}],
        "current-context": "smartops",
    });
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).context("cannot make the folder for kubeconfigs")?;
    }
    // JSON is YAML.
    pki::write(path, &format!("{config:#}\n"))
}
