// refused: E0277
//! Prints a secret.

pub fn forge(secret: &portcullis::secret::Secret) -> String {
    format!("{secret}")
}
