//! Places where a debug build can be told to die or to freeze, to prove that whatever happens to a process there, its
//! work is picked up again. Release builds contain none of it.
//!
//! Which: `NAME` dies at the first hit of that place, `NAME@3` at the third, `NAME=stop` freezes the process (SIGSTOP)
//! until somebody lets it go on.

#[cfg(debug_assertions)]
static CONFIGURED: std::sync::OnceLock<armed::Failpoint> = std::sync::OnceLock::new();

/// Arms a failpoint; once, at start. Release builds ignore it.
pub fn configure(which: Option<&str>) {
    #[cfg(debug_assertions)]
    if let Some(which) = which.filter(|which| !which.is_empty()) {
        CONFIGURED.get_or_init(|| armed::Failpoint::of(which));
    }
    #[cfg(not(debug_assertions))]
    let _ = which;
}

/// Dies at once, without unwinding or flushing, or freezes, when this is the armed failpoint and its time has come.
pub fn hit(name: &str) {
    #[cfg(debug_assertions)]
    if let Some(what) = CONFIGURED.get().and_then(|configured| configured.hit(name)) {
        what.happen();
    }
    #[cfg(not(debug_assertions))]
    let _ = name;
}

#[cfg(debug_assertions)]
mod armed {
    use std::process::{Command, Stdio};
    use std::sync::atomic::{AtomicU32, Ordering};

    /// What happens at a failpoint.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(super) enum What {
        Die,
        Stop,
    }

    impl What {
        pub(super) fn happen(self) {
            match self {
                Self::Die => std::process::abort(),
                Self::Stop => freeze(),
            }
        }
    }

    /// Somebody else has to send the signal: std has no safe call for it. It is waited for until every thread has stopped,
    /// or this one might go on for a moment.
    fn freeze() {
        let id = std::process::id();
        let kill = format!(
            "kill -s STOP {id} && until grep -q '^State:[[:space:]]*T' /proc/{id}/status; do sleep 0.01; done"
        );
        let shell = Command::new("/bin/sh").args(["-c", &kill]).stdin(Stdio::null()).status();
        if !shell.is_ok_and(|status| status.success()) {
            // Whoever armed it must not take what follows for what follows a freeze.
            std::process::abort();
        }
    }

    /// An armed failpoint. It goes off once.
    #[derive(Debug)]
    pub(super) struct Failpoint {
        name: String,
        what: What,
        /// At which hit.
        at: u32,
        hits: AtomicU32,
    }

    impl Failpoint {
        pub(super) fn of(which: &str) -> Self {
            let (which, what) = match which.strip_suffix("=stop") {
                Some(which) => (which, What::Stop),
                None => (which, What::Die),
            };
            let counted = which.rsplit_once('@');
            let (name, at) =
                counted.and_then(|(name, at)| Some((name, at.parse().ok()?))).unwrap_or((which, 1));
            Self { name: name.to_owned(), what, at, hits: AtomicU32::new(0) }
        }

        pub(super) fn hit(&self, name: &str) -> Option<What> {
            let is_it =
                name == self.name && self.hits.fetch_add(1, Ordering::Relaxed) + 1 == self.at;
            is_it.then_some(self.what)
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_failpoint_goes_off_once_at_the_hit_and_in_the_way_it_was_armed_for() {
            let table: [(&str, [Option<What>; 3]); 5] = [
                ("here", [Some(What::Die), None, None]),
                ("here@2", [None, Some(What::Die), None]),
                ("here=stop", [Some(What::Stop), None, None]),
                ("here@3=stop", [None, None, Some(What::Stop)]),
                ("there", [None, None, None]),
            ];
            for (which, expected) in table {
                let failpoint = Failpoint::of(which);
                assert_eq!([(); 3].map(|()| failpoint.hit("here")), expected, "{which}");
            }
        }
    }
}
