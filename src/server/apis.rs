//! The APIs behind one connection: a gateway each, and nothing shared between them but the client.
//!
//! Promises that with one API a tool has its own name, and with several `NAME_tool`, NAME being the policy's name, which
//! holds no `_`; and that what is no call of a tool, since nobody can say whose it is, is counted and logged by each.

use std::sync::Arc;

use crate::catalog::Tool;
use crate::gateway::Gateway;

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

    /// What the names of a gateway's tools begin with.
    pub(super) fn prefix(&self, gateway: &Gateway) -> String {
        match self.gateways.len() {
            1 => String::new(),
            _ => format!("{}_", gateway.policy().name()),
        }
    }

    /// The tool of that name, listed or not, and whose it is.
    pub(super) fn find(&self, name: &str) -> Option<(&Gateway, Tool)> {
        let (gateway, name) = match &*self.gateways {
            [gateway] => (gateway, name),
            gateways => {
                let (api, name) = name.split_once('_')?;
                (gateways.iter().find(|gateway| gateway.policy().name() == api)?, name)
            }
        };
        Tool::named(name).map(|tool| (gateway, tool))
    }

    /// Records a message that never became a call.
    pub(super) fn refused_frame(&self, code: i32, cause: &str, name: Option<&str>) {
        self.iter().for_each(|gateway| gateway.refused_frame(code, cause, name));
    }

    /// Resolves once no call is running; no new one may begin by then.
    pub(super) async fn idle(&self) {
        for gateway in self.iter() {
            gateway.idle().await;
        }
    }
}
