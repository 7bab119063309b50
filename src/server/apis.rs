//! The APIs behind one connection: a gateway each, and nothing shared between them but the client.
//!
//! Promises that with one API a tool has its own name, and with several `NAME_tool`, NAME being the policy's name, which
//! holds no `_`; and that what is no call of a tool, since nobody can say whose it is, is counted and logged by each.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::audit::hex;
use crate::gateway::{Gateway, Pipeline};
use crate::tools::Tool;

/// The longest name of a tool.
const MAX_NAME: usize = 64;
/// Hexadecimal digits of the digest of a name that was cut.
const DIGITS: usize = 8;

/// The gateways that one client reaches. Their policies have different names.
#[derive(Debug, Clone)]
pub(super) struct Apis {
    gateways: Arc<[Gateway]>,
}

impl Apis {
    pub(super) fn new(gateways: Arc<[Gateway]>) -> Self {
        Self { gateways }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Gateway> {
        self.gateways.iter()
    }

    /// What a gateway's tool is called here. Too long with its API's name, it is cut and keeps a digest of the whole.
    pub(super) fn name(&self, gateway: &Gateway, tool: &str) -> String {
        match self.gateways.len() {
            1 => tool.to_owned(),
            _ => shortened(format!("{}_{tool}", gateway.name())),
        }
    }

    /// The tool of that name, listed or not, and whose it is, under the policy that the call ends under.
    pub(super) fn find(&self, name: &str) -> Option<(Arc<Pipeline>, Tool)> {
        let (api, own) = match &*self.gateways {
            [gateway] => {
                let pipeline = gateway.now();
                return pipeline.toolbox().named(name).map(|tool| (pipeline, tool));
            }
            _ => name.split_once('_')?,
        };
        let gateway = self.iter().find(|gateway| gateway.name() == api)?;
        let pipeline = gateway.now();
        let toolbox = pipeline.toolbox();
        let found = toolbox.named(own).or_else(|| {
            // Only a name that was cut is of this length and unknown.
            let mut names =
                toolbox.operations().map(|(operation, _)| operation.name()).filter(|_| name.len() == MAX_NAME);
            toolbox.named(names.find(|own| self.name(gateway, own) == name)?)
        });
        found.map(|tool| (pipeline, tool))
    }

    /// The resource of that URI, and whose it is.
    pub(super) fn resource(&self, uri: &str) -> Option<(Arc<Pipeline>, Tool)> {
        self.iter().map(Gateway::now).find_map(|pipeline| {
            let tool = pipeline.toolbox().resource(uri)?;
            Some((pipeline, tool))
        })
    }

    /// How often the policies were exchanged, all together.
    pub(super) fn exchanges(&self) -> u64 {
        self.iter().map(|gateway| *gateway.exchanges().borrow()).sum()
    }

    /// Resolves once a policy was exchanged after it was so often.
    pub(super) async fn exchanged(&self, seen: u64) {
        let mut each: Vec<_> = self.iter().map(Gateway::exchanges).collect();
        while self.exchanges() == seen {
            let changes = each.iter_mut().map(|changes| Box::pin(changes.changed()));
            // A gateway lives as long as this does.
            futures_util::future::select_all(changes).await.0.ok();
        }
    }

    /// Records a message that never became a call.
    pub(super) fn refused_frame(&self, code: i32, cause: &str, name: Option<&str>) {
        self.iter().for_each(|gateway| gateway.now().refused_frame(code, cause, name));
    }

    /// Resolves once no call is running; no new one may begin by then.
    pub(super) async fn idle(&self) {
        for gateway in self.iter() {
            gateway.now().idle().await;
        }
    }
}

fn shortened(name: String) -> String {
    if name.len() <= MAX_NAME {
        return name;
    }
    let digest = hex(&Sha256::digest(name.as_bytes()));
    let kept = name.get(..name.floor_char_boundary(MAX_NAME - DIGITS - 1)).unwrap_or_default();
    format!("{kept}-{}", digest.get(..DIGITS).unwrap_or_default())
}
