//! The network: the API's name, its certificate, and one harmless read.

use std::time::{Duration, SystemTime};

use tokio::runtime::Runtime;

use super::report::About;
use crate::agent::Agent;
use crate::catalog::Catalog;
use crate::catalog::operation::Operation;
use crate::cli::call::Call;
use crate::cli::load::Loaded;
use crate::clock::{Clock, SystemClock};
use crate::config::Environment;
use crate::gateway::Pipeline;
use crate::gateway::probe::{Probed, Reached};
use crate::policy::{Effect, Policy, Verdict};
use crate::request::Request;
use crate::request::method::Method;
use crate::upstream::source::Surroundings;
use crate::upstream::way::{self, Handshake};

/// A certificate that ends sooner than this is worth a word.
const SOON: Duration = Duration::from_secs(14 * 86_400);

/// How far two clocks may be apart before a person is told, and before it is a fault.
const APART: Duration = Duration::from_secs(30);
const FAR_APART: Duration = Duration::from_secs(300);

/// Whether the API can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// As far as it was looked at.
    Open,
    /// Some step failed.
    Closed,
}

/// Name, addresses, connection, handshake.
pub(super) fn way(runtime: &Runtime, loaded: &Loaded, about: &mut About<'_>) -> Way {
    let spec = loaded.policy.upstream();
    if let Some(proxy) = &spec.proxy {
        let message = format!("the way leads through {proxy}, which looks up the API's name by itself");
        about.good("name", &message);
        return Way::Open;
    }
    let host = spec.base_url.host_str().unwrap_or_default();
    let found = match runtime.block_on(way::addresses(spec)) {
        Ok(found) => found,
        Err(error) => {
            about.fail(
                "name",
                &format!("{host}: {error}"),
                "look at `upstream.base_url`, and at this machine's resolver",
            );
            return Way::Closed;
        }
    };
    let addresses: Vec<String> = found.iter().map(ToString::to_string).collect();
    about.good("name", &format!("{host} is {}", addresses.join(", ")));
    let environment = Environment::process();
    let surroundings = Surroundings::collect(spec, loaded.file.directory(), &|name| environment.get(name));
    match runtime.block_on(way::handshake(spec, &surroundings, &found)) {
        Ok(Some(shaken)) => {
            certificate(&shaken, SystemClock::new().wall(), about);
            Way::Open
        }
        Ok(None) => {
            about.good("tls", "none: plain HTTP, on this machine");
            Way::Open
        }
        Err(error) => {
            let help = "look at `ca_file`, a proxy or firewall on the way, and this machine's clock";
            about.fail("tls", &format!("{host}: {error}"), help);
            Way::Closed
        }
    }
}

fn certificate(shaken: &Handshake, now: SystemTime, about: &mut About<'_>) {
    let Some((_, until)) = shaken.good else {
        about.good("tls", &format!("{}; the dates of the certificate cannot be read", shaken.version));
        return;
    };
    let left = until.duration_since(now).unwrap_or_default();
    let date = humantime::format_rfc3339_seconds(until);
    let message = format!("{}, certificate good until {date} ({} days)", shaken.version, left.as_secs() / 86_400);
    if left < SOON {
        about.warn("tls", &message, "whoever runs the API has to renew it");
    } else {
        about.good("tls", &message);
    }
}

/// The request for a path that a person names.
///
/// # Errors
/// It is no request, in a sentence.
pub(super) fn named(path: &str) -> Result<Request, String> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let pairs: Vec<String> = query.split('&').filter(|pair| !pair.is_empty()).map(str::to_owned).collect();
    let call = Call::new("GET", path, &pairs, &[], None).map_err(|error| error.to_string())?;
    call.request().map_err(|error| format!("this is no request: {error}"))
}

/// The shortest GET of the description that takes no argument and that the policy lets through as a read.
///
/// # Errors
/// There is none, in a sentence.
pub(super) fn harmless(policy: &Policy, catalog: Option<&Catalog>) -> Result<Request, String> {
    let operations = catalog.map(Catalog::operations).unwrap_or_default();
    let get = |operation: &&Operation| operation.method() == Method::Get && !operation.template().contains('{');
    let mut plain: Vec<&Operation> = operations.iter().filter(get).collect();
    plain.sort_by_key(|operation| (operation.template().len(), operation.template()));
    let request = |operation: &&Operation| Request::parse(&operation.request("{}").ok()?.raw()).ok();
    let passes = |operation: &&Operation| request(operation).is_some_and(|request| is_read(policy, request));
    let found = plain.iter().find(|operation| passes(operation)).and_then(request);
    found.ok_or_else(|| "nothing was asked: no GET without variables is known that the policy allows".to_owned())
}

fn is_read(policy: &Policy, request: Request) -> bool {
    match policy.authorize(&Agent::doctor(rustix::process::geteuid().as_raw()), request) {
        Verdict::Allow(authorized) => authorized.grant().effect() == Effect::Read,
        Verdict::Hold(_) | Verdict::Deny(_) => false,
    }
}

/// Sends it through the gate, and says what the answer tells.
pub(super) fn request(runtime: &Runtime, gateway: &Pipeline, request: Request, about: &mut About<'_>) {
    let target = request.target().to_owned();
    match runtime.block_on(gateway.probe(request)) {
        Probed::Answered(reached) => {
            answered(&target, &reached, about);
            clock(&reached, about);
        }
        Probed::Unanswered(why) => about.fail("request", &format!("GET {target}: {why}"), "see the lines above"),
        Probed::Refused(why) => {
            about.fail("request", &format!("GET {target} was not sent: {why}"), "name another one with --get PATH");
        }
    }
}

fn answered(target: &str, reached: &Reached, about: &mut About<'_>) {
    let Reached { status, bytes, took, .. } = reached;
    let message = format!("GET {target}: status {status}, {bytes} bytes, {} ms", took.as_millis());
    match status {
        200..=299 | 304 => about.good("request", &message),
        401 | 403 => {
            about.fail("request", &message, "the API refuses the credential: look whether it is the right one")
        }
        300..=399 => about.warn("request", &message, "redirects are not followed: look at `upstream.base_url`"),
        404 | 410 => {
            about.warn("request", &message, "the API answers, and knows no such path: look at `upstream.base_url`")
        }
        429 => about.warn("request", &message, "the API answers, and has had enough calls for now"),
        500..=599 => about.warn("request", &message, "the API answers, and has a fault of its own"),
        _ => about.warn("request", &message, "the API answers, and takes no such request"),
    }
}

/// Holds this machine's clock against the API's.
fn clock(reached: &Reached, about: &mut About<'_>) {
    let Some(date) = reached.date else {
        about.skipped("clock", "the API does not say what its clock shows");
        return;
    };
    let (ahead, apart) = match reached.now.duration_since(date) {
        Ok(apart) => ("ahead of", apart),
        Err(error) => ("behind", error.duration()),
    };
    let message = format!("this machine's is {} s {ahead} the API's", apart.as_secs());
    let help = "one of the two is wrong: look whether this machine's is set by NTP";
    match apart {
        apart if apart > FAR_APART => about.fail("clock", &message, help),
        apart if apart > APART => about.warn("clock", &message, help),
        _ => about.good("clock", &message),
    }
}
