//! An image reference in its parts, with what container runtimes fill in where a part is absent.

/// The registry of names that give none.
const DEFAULT_REGISTRY: &str = "docker.io";
/// Other names of that registry.
const ALIASES: [&str; 2] = ["index.docker.io", "registry-1.docker.io"];
/// The folder of names without one in that registry.
const DEFAULT_FOLDER: &str = "library/";
/// The tag of references that give neither tag nor digest.
const DEFAULT_TAG: &str = "latest";

/// The first part of a name, where it is a host and no folder, as a pattern of RE2.
pub(super) const HOST: &str = "(?:localhost|[A-Za-z0-9.-]*[A-Z.][A-Za-z0-9.-]*|[A-Za-z0-9.-]+:[0-9]+|[A-Za-z0-9.-]*[A-Z.][A-Za-z0-9.-]*:[0-9]+)";
const PATH: &str = "[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?(?:/[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?)*";

/// What [`Reference::parse`] takes, as a pattern of RE2.
pub(super) fn pattern() -> String {
    format!(
        "^(?:{HOST}/)?{PATH}(?::[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?(?:@sha256:[0-9a-f]{{64}})?$"
    )
}

/// An image reference, as in `registry:5000/team/app:1.2@sha256:…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    /// Host, with its port where one is given, and path.
    name: String,
    /// Absent only where there is a digest.
    tag: Option<String>,
    has_digest: bool,
}

impl Reference {
    /// Reads a reference; `None` where it is none that a runtime would take.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        if digest.is_some_and(|digest| !is_sha256(digest)) {
            return None;
        }
        let last = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match rest.get(last..)?.split_once(':') {
            // A port, where there is no path at all, reads as a tag, as runtimes read it.
            Some((end, tag)) => (rest.get(..last + end.len())?, Some(tag)),
            None => (rest, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return None;
        }
        let tag = match (tag, digest) {
            (None, Some(_)) => None,
            (tag, _) => Some(tag.unwrap_or(DEFAULT_TAG).to_owned()),
        };
        Some(Self { name: qualified(name)?, tag, has_digest: digest.is_some() })
    }

    /// Whether it is pinned by a digest.
    pub(super) fn has_digest(&self) -> bool {
        self.has_digest
    }

    /// Its tag: `latest` where neither tag nor digest is given.
    pub(super) fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// Whether it lies in a registry, or under a path of one.
    pub(super) fn is_in(&self, place: &Place) -> bool {
        self.name
            .strip_prefix(place.0.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// A registry, or a path of one: `ghcr.io`, `registry:5000/team`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place(String);

impl Place {
    /// Reads `host[:port][/path]`. The error says what is allowed.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (host, path) = match text.split_once('/') {
            Some((host, path)) => (host, Some(path)),
            None => (text, None),
        };
        let name = host_name(host).filter(|_| is_host(host));
        let path =
            path.map_or(Some(String::new()), |path| is_path(path).then(|| format!("/{path}")));
        match (name, path) {
            (Some(host), Some(path)) => Ok(Self(host + &path)),
            _ => Err(format!(
                "{text:?} is no registry; write a host with its port and a path where they are meant, and no scheme, tag or slash at the end, as in ghcr.io/team"
            )),
        }
    }
}

impl Place {
    /// What [`Reference::is_in`] finds in it, as a pattern of RE2 over references that have a registry, written or
    /// filled in.
    pub(super) fn pattern(&self) -> String {
        let (host, path) = self.0.split_once('/').unwrap_or((&self.0, ""));
        let hosts: Vec<String> = if host == DEFAULT_REGISTRY {
            ALIASES.iter().chain([&DEFAULT_REGISTRY]).map(|host| host.replace('.', r"\.")).collect()
        } else {
            vec![host.replace('.', r"\.")]
        };
        let host = format!("^(?i:{})/", hosts.join("|"));
        let path = path.replace('.', r"\.");
        let ends = "(?:[/:@]|$)";
        if path.is_empty() {
            return host;
        }
        if hosts.len() == 1 {
            return format!("{host}{path}{ends}");
        }
        // Where a name without a folder has one filled in.
        match path.strip_prefix(DEFAULT_FOLDER) {
            _ if path == DEFAULT_FOLDER.trim_end_matches('/') => {
                format!("{host}(?:{DEFAULT_FOLDER}.*|[^/]*)$")
            }
            Some(name) if !name.contains('/') => {
                format!("{host}(?:{DEFAULT_FOLDER}{name}{ends}|{name}(?:[:@]|$))")
            }
            None if !path.contains('/') => format!("{host}{path}/"),
            _ => format!("{host}{path}{ends}"),
        }
    }
}

/// The name with its registry and folder.
fn qualified(name: &str) -> Option<String> {
    let (host, path) = match name.split_once('/') {
        Some((host, path)) if is_host(host) => (host_name(host)?, path),
        _ => (DEFAULT_REGISTRY.to_owned(), name),
    };
    let folder = if host == DEFAULT_REGISTRY && !path.contains('/') { DEFAULT_FOLDER } else { "" };
    is_path(path).then(|| format!("{host}/{folder}{path}"))
}

/// Whether the first part of a name is a host and no folder.
fn is_host(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost" || first.contains(|c: char| c.is_uppercase())
}

fn host_name(host: &str) -> Option<String> {
    let (name, port) = match host.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (host, None),
    };
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-.".contains(&b);
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    if name.is_empty() || !name.bytes().all(fits) || !port.is_none_or(is_port) {
        return None;
    }
    let host = host.to_ascii_lowercase();
    Some(if ALIASES.contains(&host.as_str()) { DEFAULT_REGISTRY.to_owned() } else { host })
}

fn is_path(path: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    path.split('/').all(|part| {
        let (first, last) = (part.bytes().next(), part.bytes().last());
        first.is_some_and(alphanumeric)
            && last.is_some_and(alphanumeric)
            && part.bytes().all(|b| alphanumeric(b) || b"._-".contains(&b))
    })
}

/// Whether a word can be a tag.
pub(super) fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=128).contains(&tag.len())
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || b".-".contains(&b))
}

fn is_sha256(digest: &str) -> bool {
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    digest.strip_prefix("sha256:").is_some_and(|hash| hash.len() == 64 && hash.bytes().all(hex))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest() -> String {
        format!("sha256:{}", "0a".repeat(32))
    }

    #[test]
    fn what_a_reference_leaves_out_is_filled_in() {
        let pinned = format!("ghcr.io/a/b@{}", digest());
        let both = format!("nginx:1@{}", digest());
        for (text, name, tag, has_digest) in [
            ("nginx", "docker.io/library/nginx", Some("latest"), false),
            ("nginx:1.2", "docker.io/library/nginx", Some("1.2"), false),
            ("team/app", "docker.io/team/app", Some("latest"), false),
            ("docker.io/nginx", "docker.io/library/nginx", Some("latest"), false),
            ("index.docker.io/team/app", "docker.io/team/app", Some("latest"), false),
            ("ghcr.io/a/b/c:x", "ghcr.io/a/b/c", Some("x"), false),
            ("registry:5000/app", "registry:5000/app", Some("latest"), false),
            ("localhost/app:2", "localhost/app", Some("2"), false),
            ("GHCR.io/a", "ghcr.io/a", Some("latest"), false),
            ("registry:5000", "docker.io/library/registry", Some("5000"), false),
            (&pinned, "ghcr.io/a/b", None, true),
            (&both, "docker.io/library/nginx", Some("1"), true),
        ] {
            let expected =
                Reference { name: name.to_owned(), tag: tag.map(str::to_owned), has_digest };
            assert_eq!(Reference::parse(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_reference_is_none() {
        for text in [
            "",
            " nginx",
            "nginx:",
            "nginx:a b",
            "https://ghcr.io/a",
            "ghcr.io/../evil/a",
            "ghcr.io//a",
            "ghcr.io/A",
            "ghcr.io/a/",
            "ghcr.io:port/a",
            "nginx@sha256:abc",
            "nginx@md5:0a",
            "a@b@c",
            "ghcr.io/a\u{200b}",
        ] {
            assert_eq!(Reference::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_place_ends_at_the_borders_of_segments() {
        for (place, image, expected) in [
            ("ghcr.io", "ghcr.io/a", true),
            ("ghcr.io", "ghcr.io.evil.com/a", false),
            ("ghcr.io", "evil.com/ghcr.io/a", false),
            ("ghcr.io/team", "ghcr.io/team/app", true),
            ("ghcr.io/team", "ghcr.io/team", true),
            ("ghcr.io/team", "ghcr.io/team2/app", false),
            ("docker.io", "nginx", true),
            ("docker.io/library", "nginx", true),
            ("docker.io/library", "team/nginx", false),
            ("registry:5000", "registry:5000/a", true),
            ("registry:5000", "registry:5001/a", false),
            ("GHCR.io", "ghcr.io/a", true),
        ] {
            let place = Place::parse(place).unwrap();
            assert_eq!(Reference::parse(image).unwrap().is_in(&place), expected, "{image}");
        }
        for text in ["", "team", "ghcr.io/", "https://ghcr.io", "ghcr.io/a:1", "ghcr.io/*", "a.b/C"]
        {
            assert!(Place::parse(text).unwrap_err().contains("is no registry"), "{text}");
        }
    }

    #[test]
    #[cfg(feature = "cel")]
    fn the_patterns_find_what_the_parser_finds() {
        use regex::Regex;
        let digest = digest();
        let tails =
            ["", ":1.2", ":latest", &format!("@{digest}"), &format!(":1@{digest}"), ":", "@x"];
        let names = [
            "app",
            "team/app",
            "library/app",
            "library/app/x",
            "docker.io/app",
            "docker.io/team/app",
            "docker.io/library/app",
            "index.docker.io/app",
            "Registry-1.Docker.io/team/app",
            "ghcr.io/team/app",
            "GHCR.io/team/app",
            "ghcr.io/team",
            "ghcr.io/teams/app",
            "ghcr.iox/team",
            "localhost/app",
            "localhost:5000/app",
            "Host/app",
            "a_b/app",
            "a-/app",
            "a.b/app",
            "a.b",
            "host:5000/team/app",
            "host:x/app",
            "ghcr.io//app",
            "ghcr.io/App",
            "App",
            "",
            "/app",
            "app/",
            "evil.io/ghcr.io/team/app",
            "ghcr.io.evil/team/app",
            "team",
            "a/../b",
            "a b",
            "app:1/x",
        ];
        let places = [
            "docker.io",
            "docker.io/library",
            "docker.io/library/app",
            "docker.io/team",
            "docker.io/team/app",
            "ghcr.io",
            "ghcr.io/team",
            "ghcr.io/team/app",
            "localhost",
            "localhost:5000",
            "host:5000/team",
        ];
        let (reference, host) = (Regex::new(&pattern()).unwrap(), format!("^{HOST}/"));
        let host = Regex::new(&host).unwrap();
        for image in names.iter().flat_map(|name| tails.map(|tail| format!("{name}{tail}"))) {
            let parsed = Reference::parse(&image);
            assert_eq!(reference.is_match(&image), parsed.is_some(), "{image}");
            let Some(parsed) = parsed else { continue };
            let hosted = match (host.is_match(&image), image.contains('/')) {
                (true, _) => image.clone(),
                (false, true) => format!("docker.io/{image}"),
                (false, false) => format!("docker.io/library/{image}"),
            };
            for text in places {
                let place = Place::parse(text).unwrap();
                let pattern = Regex::new(&place.pattern()).unwrap();
                assert_eq!(pattern.is_match(&hosted), parsed.is_in(&place), "{image} in {text}");
            }
        }
    }
}
