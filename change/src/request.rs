//! What a review asks for: operation, resource and the two texts, all borrowed. What they mean is `review`'s.

/// What a request does to the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// It comes into being.
    Create,
    /// It changes, whether by PUT, patch or apply.
    Update,
    /// It goes.
    Delete,
    /// A stream is opened to it (exec, attach, port-forward, proxy).
    Connect,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 4] = [Self::Create, Self::Update, Self::Delete, Self::Connect];

    /// The name reviews and policies use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }

    /// The operation of that name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.as_str() == name)
    }
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which resource is written, as the review's `resource` and `subResource` name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resource<'a> {
    /// Empty for the core group.
    pub group: &'a str,
    /// `v1` and the like; no judgement depends on it.
    pub version: &'a str,
    /// Plural, lower case.
    pub resource: &'a str,
    /// Empty for the object itself.
    pub subresource: &'a str,
}

impl std::fmt::Display for Resource<'_> {
    /// `deployments.apps/scale`, `pods/exec`, `configmaps`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        if !self.subresource.is_empty() {
            write!(f, "/{}", self.subresource)?;
        }
        Ok(())
    }
}

/// The parts of a review a change is read from, all borrowed. The two texts are cut from a review that was parsed: a
/// change checks again only the parts it looks into.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// What is done.
    pub operation: Operation,
    /// To which resource.
    pub resource: Resource<'a>,
    /// Where; `None` for cluster-scoped kinds.
    pub namespace: Option<&'a str>,
    /// Its name; empty where the server will generate one.
    pub name: &'a str,
    /// The JSON text of `oldObject`; `null` counts as none.
    pub old: Option<&'a str>,
    /// The JSON text of `object`; `null` counts as none.
    pub new: Option<&'a str>,
}
