// refused: E0451
//! Answers the agent without an entry in the log.

pub fn forge(said: portcullis::audit::entry::Said) -> portcullis::audit::entry::Answer {
    portcullis::audit::entry::Answer { said, logged: true }
}
