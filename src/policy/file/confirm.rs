//! `[confirm]`, and what an allow rule says of how a person is asked about its writes.

use std::time::Duration;

use super::credential::read_secret;
use super::section::{Section, suggest};
use crate::policy::finding::{Findings, quoted};
use crate::policy::spec::{ConfirmSpec, Source};
use crate::policy::verdict::{Channel, Confirm, Preview};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

pub(super) fn read(root: &Section<'_>, sources: &mut Vec<Source>, findings: &mut Findings<'_>) -> ConfirmSpec {
    let mut spec = ConfirmSpec {
        ttl: 120 * SECOND,
        desk_ttl: 10 * MINUTE,
        wait: 25 * SECOND,
        // Clients built on the TypeScript SDK give a call up after 60 s, and its question with it.
        client_wait: 55 * SECOND,
        cooldown: 10 * MINUTE,
        key: None,
    };
    let keys = ["ttl", "desk_ttl", "wait", "client_wait", "cooldown", "key"];
    let Some(section) = root.section("confirm", &keys, findings) else { return spec };
    spec.ttl = section.number("ttl", spec.ttl, 5 * SECOND..=HOUR, findings);
    spec.desk_ttl = section.number("desk_ttl", spec.desk_ttl, 10 * SECOND..=24 * HOUR, findings);
    spec.wait = section.number("wait", spec.wait, Duration::ZERO..=10 * MINUTE, findings);
    spec.client_wait = section.number("client_wait", spec.client_wait, SECOND..=HOUR, findings);
    spec.cooldown = section.number("cooldown", spec.cooldown, SECOND..=24 * HOUR, findings);
    spec.key = section.get("key").and_then(|value| read_secret(&value, sources, findings));
    spec
}

pub(super) fn read_confirm(section: &Section<'_>, findings: &mut Findings<'_>) -> Confirm {
    let words = [("never", Confirm::Never), ("each", Confirm::Each), ("typed", Confirm::Typed)];
    section.word("confirm", &words, findings).unwrap_or(Confirm::Each)
}

pub(super) fn read_channel(section: &Section<'_>, findings: &mut Findings<'_>) -> Channel {
    let words = [("any", Channel::Any), ("client", Channel::Client), ("desk", Channel::Desk)];
    section.word("channel", &words, findings).unwrap_or(Channel::Any)
}

/// `true`, `false`, or the word for what lies between them.
pub(super) fn read_preview(section: &Section<'_>, findings: &mut Findings<'_>) -> Preview {
    const SPELLINGS: &str = "true, false or \"if-possible\"";
    let Some(value) = section.get("preview") else { return Preview::No };
    if value.is_flag() {
        return if section.flag("preview", findings) { Preview::Yes } else { Preview::No };
    }
    match value.text_as(SPELLINGS, findings) {
        Some("if-possible") => Preview::IfPossible,
        Some(text) => {
            let message = format!("{} must be {SPELLINGS}, got the string {}", quoted(value.name()), quoted(text));
            let help = match text {
                "true" | "false" => Some(format!("write `preview = {text}`, without quotes")),
                _ => suggest(text, ["true", "false", "if-possible"]),
            };
            findings.error("bad-value", value.span(), message, help.as_deref());
            Preview::Yes
        }
        None => Preview::Yes,
    }
}
