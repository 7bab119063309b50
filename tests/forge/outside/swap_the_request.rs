// refused: E0616
//! Puts another request under an authorization.

pub fn forge(mut authorized: portcullis::policy::Authorized, other: portcullis::request::Request) -> portcullis::policy::Authorized {
    authorized.request = other;
    authorized
}
