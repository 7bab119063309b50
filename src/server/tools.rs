//! What `tools/list` and `resources/list` say, in rmcp's words.

use rmcp::model::{Resource, Tool as ToolEntry, ToolAnnotations};

use super::apis::Apis;
use crate::gateway::Gateway;
use crate::tools::Face;

/// The tools of every gateway, sorted by name.
pub(super) fn list(apis: &Apis) -> Vec<ToolEntry> {
    let of = |gateway: &Gateway| -> Vec<ToolEntry> {
        let faces = gateway.now().toolbox().faces().into_iter();
        faces.map(|face| entry(Face { name: apis.name(gateway, &face.name), ..face })).collect()
    };
    let mut entries: Vec<_> = apis.iter().flat_map(of).collect();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    entries
}

/// One tool in rmcp's words.
#[must_use]
pub fn entry(face: Face) -> ToolEntry {
    let Face { name, description, schema, hints } = face;
    let annotations = ToolAnnotations::new()
        .read_only(hints.read_only)
        .destructive(hints.destructive)
        .idempotent(hints.idempotent)
        .open_world(true);
    ToolEntry::new(name, description, schema).with_annotations(annotations)
}

/// The resources of every gateway.
pub(super) fn resources(apis: &Apis) -> Vec<Resource> {
    apis.iter()
        .flat_map(|gateway| gateway.now().toolbox().resources())
        .map(|shown| {
            Resource::new(shown.uri, shown.name).with_description(shown.description).with_mime_type("text/plain")
        })
        .collect()
}
