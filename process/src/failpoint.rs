//! Places where a debug build can be told to die, to prove that a process killed there picks up again. Release
//! builds contain none of it.

#[cfg(debug_assertions)]
static CONFIGURED: std::sync::OnceLock<String> = std::sync::OnceLock::new();

/// Chooses the failpoint to die at; once, at start. Release builds ignore it.
pub fn configure(name: Option<&str>) {
    #[cfg(debug_assertions)]
    if let Some(name) = name.filter(|n| !n.is_empty()) {
        CONFIGURED.get_or_init(|| name.to_owned());
    }
    #[cfg(not(debug_assertions))]
    let _ = name;
}

/// Dies at once, without unwinding or flushing, when this is the configured failpoint.
pub fn hit(name: &str) {
    #[cfg(debug_assertions)]
    if CONFIGURED.get().is_some_and(|configured| configured == name) {
        std::process::abort();
    }
    #[cfg(not(debug_assertions))]
    let _ = name;
}
