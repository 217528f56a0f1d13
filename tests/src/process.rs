//! Processes of a cluster: started in their own process group with a log file each, and found again by a mark in their
//! environment. The mark is what makes `down` safe: whatever was killed in between, nothing is missed and no reused
//! process id is ever mistaken for one of ours. Reads `/proc`, so Linux only.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::places;
use crate::wait::{Seen, eventually};

/// Environment variable that carries the cluster's folder.
const MARK_CLUSTER: &str = "SMARTOPS_CLUSTER_DIR";
/// Environment variable that carries the process' name within the cluster.
const MARK_NAME: &str = "SMARTOPS_CLUSTER_PROCESS";

/// The processes of a cluster in the order in which they end, after all others: whoever calls the programs goes before
/// them. An API server whose etcd went first hangs on.
const ENDING: [&str; 7] = [
    "controller",
    "webhook",
    "kwok",
    "kube-scheduler",
    "kube-controller-manager",
    "kube-apiserver",
    "etcd",
];

/// A process to start.
#[derive(Debug, Clone)]
pub struct Launch<'a> {
    /// Its name among the cluster's processes; also the log file's.
    pub name: &'a str,
    /// The executable.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Environment variables for it.
    pub environment: Vec<(String, String)>,
}

/// A process of a cluster that runs now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// Its name within the cluster.
    pub name: String,
    /// Its process id.
    pub pid: u32,
}

/// How to end a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Ask: SIGTERM.
    Terminate,
    /// Force: SIGKILL.
    Kill,
    /// Freeze: SIGSTOP.
    Stop,
    /// Let a frozen one go on: SIGCONT.
    Continue,
}

/// The log file of a process.
pub fn log(dir: &Path, name: &str) -> PathBuf {
    dir.join("logs").join(format!("{name}.log"))
}

/// Where the id of the process last started under a name stands.
fn pid_file(dir: &Path, name: &str) -> PathBuf {
    dir.join("logs").join(format!("{name}.pid"))
}

/// Starts a process of the cluster in `dir`; its output is appended to its log. Returns the process id.
pub fn start(dir: &Path, launch: &Launch<'_>) -> Result<u32> {
    let path = log(dir, launch.name);
    fs::create_dir_all(dir.join("logs")).context("cannot make the folder for logs")?;
    let out = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    let errors = out.try_clone().context("cannot share a log file")?;
    let mut command = Command::new(&launch.program);
    // Our own variables speak to the harness; the programs under test get what the harness gives them.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("SMARTOPS_")) {
            command.env_remove(name);
        }
    }
    let mut child = command
        .args(&launch.arguments)
        .envs(launch.environment.iter().map(|(name, value)| (name, value)))
        .current_dir(dir)
        .env(MARK_CLUSTER, dir)
        .env(MARK_NAME, launch.name)
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(errors)
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {}", launch.program.display()))?;
    let pid = child.id();
    fs::write(pid_file(dir, launch.name), pid.to_string()).context("cannot write a process id")?;
    // Somebody must take the exit status, or the ended process stays as a zombie for as long as we live.
    std::thread::spawn(move || child.wait());
    // For a moment after exec the kernel shows no environment yet, and with it no mark.
    eventually(Duration::from_secs(10), &format!("{} carries its mark", launch.name), || {
        let ended = !Path::new("/proc").join(pid.to_string()).exists();
        Ok(Seen::when(ended || marked(dir, pid).is_some(), "its environment is empty"))
    })?;
    Ok(pid)
}

/// Takes the mark from a command: what it starts ends with somebody else.
pub(crate) fn unmark(command: &mut Command) {
    command.env_remove(MARK_CLUSTER).env_remove(MARK_NAME);
}

/// The processes of the cluster in `dir`, in the order in which they end.
pub fn running(dir: &Path) -> Result<Vec<Running>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").context("cannot read /proc: the harness needs Linux")? {
        let Ok(entry) = entry else { continue };
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if let Some(name) = marked(dir, pid) {
            found.push(Running { name, pid });
        }
    }
    let order = |process: &Running| ENDING.iter().position(|name| *name == process.name);
    found.sort_by_key(|process| (order(process), process.pid));
    Ok(found)
}

/// The name of process `pid`, when it belongs to the cluster in `dir` and has not ended.
fn marked(dir: &Path, pid: u32) -> Option<String> {
    // Gone, ended (a zombie's environment is empty) or somebody else's: not ours in each case.
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let value = |key: &str| {
        environment.split(|byte| *byte == 0).find_map(|entry| {
            let entry = std::str::from_utf8(entry).ok()?;
            entry.strip_prefix(key)?.strip_prefix('=').map(str::to_owned)
        })
    };
    (value(MARK_CLUSTER)? == dir.to_str()?).then_some(())?;
    value(MARK_NAME)
}

/// The process id of `name` in the cluster in `dir`, when it runs.
pub fn pid(dir: &Path, name: &str) -> Result<Option<u32>> {
    Ok(running(dir)?.into_iter().find(|process| process.name == name).map(|process| process.pid))
}

/// Sends a signal to `name`; nothing when it does not run.
pub fn signal(dir: &Path, name: &str, signal: Signal) -> Result<()> {
    for process in running(dir)?.into_iter().filter(|process| process.name == name) {
        send(process.pid, signal)?;
    }
    Ok(())
}

/// Waits until `name` has ended, and its ports with it.
pub fn wait_ended(dir: &Path, name: &str, limit: Duration) -> Result<()> {
    // A process that is ending loses its mark before it closes its files: it is known by its id.
    let last = fs::read_to_string(pid_file(dir, name)).ok().and_then(|id| id.trim().parse().ok());
    eventually(limit, &format!("{name} ends"), || {
        let over = pid(dir, name)?.is_none() && last.is_none_or(is_over);
        Ok(Seen::when(over, "it still runs"))
    })
}

/// Waits until `name` is frozen.
pub fn wait_frozen(dir: &Path, name: &str, limit: Duration) -> Result<()> {
    eventually(limit, &format!("{name} is frozen"), || {
        let state = pid(dir, name)?.and_then(state);
        Ok(Seen::when(state == Some('T'), format!("its state is {state:?}")))
    })
}

/// The state of a process, as the kernel tells it; none when it is gone.
fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The state follows the command, which stands in parentheses and may hold any character.
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

/// Whether nothing of a process is left but its exit status. Its first thread may have ended before the others, which
/// hold its files open.
fn is_over(pid: u32) -> bool {
    let Some(state) = state(pid) else { return true };
    let threads = fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    matches!(state, 'Z' | 'X') && threads <= 1
}

/// Ends every process of the cluster in `dir`, the programs first and etcd last, and waits for each. One that does not
/// end by itself is killed.
pub fn end_all(dir: &Path) -> Result<()> {
    // A second look: a process may have been between fork and exec during the first.
    let mut outcomes = Vec::new();
    for _ in 0..2 {
        outcomes.clear();
        for process in running(dir)? {
            outcomes.push(end(dir, &process));
        }
    }
    together(outcomes)
}

/// What became of several things that were all tried, whatever became of the others: every error, in one.
pub(crate) fn together(outcomes: impl IntoIterator<Item = Result<()>>) -> Result<()> {
    let errors: Vec<String> =
        outcomes.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")).collect();
    if !errors.is_empty() {
        bail!("{}", errors.join("; besides: "));
    }
    Ok(())
}

fn end(dir: &Path, process: &Running) -> Result<()> {
    let what = format!("{} (process {}) ends", process.name, process.pid);
    let gone = || {
        let over = marked(dir, process.pid).is_none() && is_over(process.pid);
        Ok(Seen::when(over, "it still runs"))
    };
    send(process.pid, Signal::Continue)?;
    send(process.pid, Signal::Terminate)?;
    if eventually(Duration::from_secs(10), &what, gone).is_err() {
        send(process.pid, Signal::Kill)?;
        eventually(Duration::from_secs(10), &what, gone)
            .with_context(|| format!("see {}", log(dir, &process.name).display()))?;
    }
    Ok(())
}

/// Sends a signal through the shell's own `kill`: std has no safe call for it. A process that is gone is no error.
pub(crate) fn send(pid: u32, signal: Signal) -> Result<()> {
    let name = match signal {
        Signal::Terminate => "TERM",
        Signal::Kill => "KILL",
        Signal::Stop => "STOP",
        Signal::Continue => "CONT",
    };
    Command::new("/bin/sh")
        .args(["-c", &format!("kill -s {name} {pid}")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .context("cannot run /bin/sh to send a signal")?;
    Ok(())
}

/// Fails with the end of its log when `name` no longer runs.
pub fn check_runs(dir: &Path, name: &str) -> Result<()> {
    if pid(dir, name)?.is_none() {
        let path = log(dir, name);
        bail!("{name} ended early; the end of {}:\n{}", path.display(), places::tail(&path, 15));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(name: &str) -> Launch<'_> {
        let arguments = vec!["600".into()];
        Launch { name, program: "/bin/sleep".into(), arguments, environment: Vec::new() }
    }

    fn folder(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("smartops-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    #[test]
    fn processes_are_found_by_their_mark_and_end_in_order() {
        let dir = folder("ending");
        start(&dir, &sleeper("etcd")).unwrap();
        start(&dir, &sleeper("controller")).unwrap();
        start(&dir, &sleeper("prometheus")).unwrap();
        let found = eventually(Duration::from_secs(5), "all run", || {
            let found = running(&dir)?;
            Ok(if found.len() == 3 { Seen::Done(found) } else { Seen::NotYet(String::new()) })
        })
        .unwrap();
        let names: Vec<&str> = found.iter().map(|process| process.name.as_str()).collect();
        assert_eq!(names, ["prometheus", "controller", "etcd"]);
        end_all(&dir).unwrap();
        assert_eq!(running(&dir).unwrap(), []);
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_frozen_process_ends_too_and_one_of_another_folder_stays() {
        let (dir, other) = (folder("frozen"), folder("other"));
        start(&dir, &sleeper("webhook")).unwrap();
        start(&other, &sleeper("webhook")).unwrap();
        for folder in [&dir, &other] {
            eventually(Duration::from_secs(5), "it runs", || {
                Ok(Seen::when(pid(folder, "webhook")?.is_some(), ""))
            })
            .unwrap();
        }
        signal(&dir, "webhook", Signal::Stop).unwrap();
        end_all(&dir).unwrap();
        assert!(pid(&dir, "webhook").unwrap().is_none());
        assert!(pid(&other, "webhook").unwrap().is_some());
        end_all(&other).unwrap();
        fs::remove_dir_all(&dir).unwrap();
        fs::remove_dir_all(&other).unwrap();
    }
}
