//! What was expected of an argument, where, and what it is.

use serde_json::Value;

use super::excerpt::Excerpt;

/// A value that does not keep its schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}, and is `{found}`", self.cause())]
pub struct Mismatch {
    /// The argument and, below it, a JSON pointer.
    place: Excerpt,
    expected: Expected,
    found: Excerpt,
}

impl Mismatch {
    pub(super) fn new(place: &str, expected: Expected, value: &Value) -> Self {
        let found = match (&expected, value) {
            // Which members there are says more than their values.
            (Expected::Member(_) | Expected::MemberBeside(..) | Expected::NoMember(_), Value::Object(_)) => {
                Excerpt::of("an object")
            }
            _ => Excerpt::of_json(value),
        };
        Self { place: Excerpt::of(place), expected, found }
    }

    /// What was expected where, without what was found.
    pub(super) fn cause(&self) -> String {
        format!("the argument `{}` must {}", self.place, self.expected)
    }

    /// Whether it could not be told.
    pub(super) fn is_about_work(&self) -> bool {
        self.expected == Expected::Less
    }
}

/// What a schema asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Expected {
    #[error("be of type {0}")]
    Type(Excerpt),
    #[error("be one of {0}")]
    OneOf(Excerpt),
    #[error("be {0}")]
    Const(Excerpt),
    #[error("be at least {0}")]
    AtLeast(Excerpt),
    #[error("be at most {0}")]
    AtMost(Excerpt),
    #[error("be more than {0}")]
    MoreThan(Excerpt),
    #[error("be less than {0}")]
    LessThan(Excerpt),
    #[error("be a multiple of {0}")]
    MultipleOf(Excerpt),
    #[error("hold at least {0} characters, elements or members")]
    Longer(u64),
    #[error("hold at most {0} characters, elements or members")]
    Shorter(u64),
    #[error("hold no element twice")]
    Unique,
    #[error("hold at least {0} elements of the form in the schema")]
    Contains(u64),
    #[error("hold at most {0} elements of the form in the schema")]
    ContainsAtMost(u64),
    #[error("match the pattern {0}")]
    Pattern(Excerpt),
    #[error("hold the member {0}")]
    Member(Excerpt),
    #[error("hold the member {0} beside {1}")]
    MemberBeside(Excerpt, Excerpt),
    #[error("hold no member {0}")]
    NoMember(Excerpt),
    #[error("keep one of the forms in the schema")]
    Form,
    #[error("not be of the form that the schema bars")]
    Not,
    #[error("be absent")]
    Absent,
    #[error("be shorter: it takes too much work to check")]
    Less,
}
