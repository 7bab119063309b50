// refused: E0624
//! Makes an authorization of its own.

use crate::policy::{Authorized, Grant};

pub fn forge(request: crate::request::Request, grant: Grant) -> Authorized {
    Authorized::new(request, grant)
}
