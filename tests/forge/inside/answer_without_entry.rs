// refused: E0451
//! Answers the agent without an entry in the log.

pub fn forge(said: crate::audit::entry::Said) -> crate::audit::entry::Answer {
    crate::audit::entry::Answer { said, logged: true }
}
