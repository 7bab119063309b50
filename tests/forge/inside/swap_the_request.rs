// refused: E0616
//! Puts another request under an authorization.

pub fn forge(mut authorized: crate::policy::Authorized, other: crate::request::Request) -> crate::policy::Authorized {
    authorized.request = other;
    authorized
}
