//! Who is calling. The name comes from the connection (over stdio: the user that runs the gateway), never from
//! anything a client says about itself, and so it may be used as a key for limits and in the log.

use std::fmt;
use std::sync::Arc;

/// The caller of a tool, as the connection identifies it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Agent {
    name: Arc<str>,
}

impl Agent {
    /// The process at the other end of standard input and output; it runs as the user `uid`.
    pub fn stdio(uid: u32) -> Self {
        Self { name: format!("stdio:uid={uid}").into() }
    }

    /// Nobody's client: `portcullis doctor`, run by the user `uid`.
    pub fn doctor(uid: u32) -> Self {
        Self { name: format!("doctor:uid={uid}").into() }
    }

    /// The name under which limits count and the log writes, for example `stdio:uid=1000`.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_on_stdio_is_named_after_the_user_that_runs_it() {
        assert_eq!(Agent::stdio(1000).name(), "stdio:uid=1000");
        assert_eq!(Agent::stdio(0).to_string(), "stdio:uid=0");
    }

    #[test]
    fn two_users_are_two_agents() {
        assert_ne!(Agent::stdio(1), Agent::stdio(2));
        assert_eq!(Agent::stdio(1), Agent::stdio(1));
        assert_ne!(Agent::stdio(1), Agent::doctor(1));
    }
}
