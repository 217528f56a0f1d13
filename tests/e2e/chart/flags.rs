//! Every flag the chart gives is one that the program takes, with a value it can work with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use smartops_tests::{pki, places};

use super::{file, find, rendered, sets};
use crate::support::folder;

/// A place where no kubeconfig lies: a program that gets so far has understood everything it was told.
const NOWHERE: &str = "/nonexistent/kubeconfig";

/// Where the chart mounts Secrets.
const MOUNTED: &str = "/etc/smartops";

/// A folder with what the Secrets hold that the sets of values name.
fn mounted() -> Result<PathBuf> {
    let folder = folder("mounted");
    fs::create_dir_all(folder.join("api-keys"))?;
    fs::write(folder.join("api-keys/keys.txt"), "# Nobody's.\n")?;
    pki::Authority::create(&folder.join("tls"))?.issue("tls", "api", &[], &["127.0.0.1"])?;
    Ok(folder)
}

fn starts(program: &str, arguments: &[Value], environment: &Value, mounted: &Path) -> Result<()> {
    let arguments = arguments.iter().filter_map(Value::as_str);
    let arguments: Vec<String> =
        arguments.map(|text| text.replace(MOUNTED, &mounted.to_string_lossy())).collect();
    let mut command = Command::new(places::program(program)?);
    command.args(&arguments).stdin(Stdio::null());
    for variable in environment.as_array().into_iter().flatten() {
        if let (Some(name), Some(value)) = (variable["name"].as_str(), variable["value"].as_str()) {
            command.env(name, value);
        }
    }
    let output =
        command.env("SMARTOPS_KUBECONFIG", NOWHERE).output().context(program.to_owned())?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    ensure!(!output.status.success() && told.contains(NOWHERE), "{program} {arguments:?}: {told}");
    Ok(())
}

#[test]
fn the_programs_take_every_flag_they_are_given() -> Result<()> {
    let mounted = mounted()?;
    for (name, path) in sets()? {
        let objects = rendered(&["-f", file(&path)?])?;
        for (deployment, program) in [
            ("smartops-webhook", "smartops-webhook"),
            ("smartops-controller", "smartops-controller"),
        ] {
            let found = find(&objects, "Deployment", deployment).context(deployment.to_owned())?;
            let container = &found["spec"]["template"]["spec"]["containers"][0];
            let arguments = container["args"].as_array().context("no arguments")?;
            starts(program, arguments, &container["env"], &mounted)
                .with_context(|| name.clone())?;
        }
        for object in &objects {
            let pod = match object["kind"].as_str() {
                Some("Job") => &object["spec"]["template"]["spec"],
                Some("Pod") => &object["spec"],
                _ => continue,
            };
            let arguments = pod["containers"][0]["args"].as_array().context("no arguments")?;
            // It tries again for as long as it is given.
            let soon = arguments.iter().map(|argument| match argument.as_str() {
                Some(text) if text.starts_with("--timeout-seconds=") => {
                    "--timeout-seconds=1".into()
                }
                _ => argument.clone(),
            });
            let soon: Vec<Value> = soon.collect();
            starts("smartops-webhook", &soon, &Value::Null, &mounted)
                .with_context(|| name.clone())?;
        }
    }
    Ok(())
}
