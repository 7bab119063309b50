// refused: E0451
//! Makes an authorization of its own.

use portcullis::policy::{Authorized, Grant};

pub fn forge(request: portcullis::request::Request, grant: Grant) -> Authorized {
    Authorized { request, grant, approved: None }
}
