// refused: E0451
//! Answers the agent without an entry in the log.

pub fn forge(shaped: crate::answer::Shaped) -> crate::audit::entry::Answer {
    crate::audit::entry::Answer { shaped }
}
