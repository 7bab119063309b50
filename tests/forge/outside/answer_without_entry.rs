// refused: E0451
//! Answers the agent without an entry in the log.

pub fn forge(shaped: portcullis::answer::Shaped) -> portcullis::audit::entry::Answer {
    portcullis::audit::entry::Answer { shaped }
}
