// refused: E0277
//! Serializes a secret.

pub fn forge(secret: &crate::secret::Secret) -> serde_json::Result<String> {
    serde_json::to_string(secret)
}
