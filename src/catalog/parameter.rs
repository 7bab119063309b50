//! One parameter of an operation: what it is called as an argument, and how its value is written into a request.

use super::budget::Work;
use super::document::{Document, Span};
use super::excerpt::Excerpt;
use super::members::Members;
use super::warning::{ParameterFault, Unusable};
use crate::request::query::Query;

/// The longest name of an argument, in bytes.
pub(super) const MAX_ARGUMENT: usize = 64;

/// Longer names than R6 allows are not shown to its judge.
const MAX_WIRE: usize = 1_000;

/// The headers that a call may set (R7).
const HEADERS: [&str; 4] = ["accept", "accept-language", "if-none-match", "if-modified-since"];

/// Header parameters that OpenAPI itself says to pass over (3.1.1 section 4.8.12.2.1), where we cannot send them.
const IGNORED: [&str; 2] = ["authorization", "content-type"];

/// A parameter that a call can fill.
#[derive(Debug)]
pub(super) struct Parameter {
    /// The name in the tool's schema.
    pub(super) argument: String,
    /// The name in the request.
    pub(super) wire: String,
    pub(super) place: Place,
    pub(super) style: Style,
    pub(super) required: bool,
    pub(super) schema: Option<Span>,
    pub(super) description: Option<Span>,
}

/// Where a parameter goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Path,
    Query,
    Header,
}

/// How a value is written (OpenAPI 3.1.1 section 4.8.12.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// One text; an array joined by commas.
    Simple,
    /// `form` exploded: a name for each element.
    Repeat,
    /// `form`, `spaceDelimited`, `pipeDelimited`, not exploded: one text with separators.
    Join(char),
    /// `deepObject`: `name[member]`.
    Deep,
    /// `content: application/json`: the JSON text.
    Json,
}

/// What reading one entry of `parameters` gives.
pub(super) enum Read {
    Parameter(Parameter),
    Skip(Excerpt, ParameterFault),
    Fail(Unusable),
}

/// Reads an entry of `parameters`. The argument's name is not settled yet.
pub(super) fn read(document: &Document, entry: &str, work: &mut Work) -> Read {
    let unknown = |why: ParameterFault| Read::Fail(Unusable::Parameter { name: Excerpt::of("?"), why });
    let mut members = match work.members(entry) {
        Ok(Some(members)) => members,
        Ok(None) => return unknown(ParameterFault::Kind),
        Err(why) => return unknown(why.into()),
    };
    if let Some(reference) = members.text("$ref") {
        let target = document.resolve(&reference, work).and_then(|target| work.members(target));
        members = match target {
            Ok(Some(members)) => members,
            Ok(None) => return unknown(ParameterFault::Kind),
            Err(why) => return Read::Fail(Unusable::Parameter { name: Excerpt::of(&reference), why: why.into() }),
        };
    }
    let (Some(wire), Some(place)) = (members.text("name"), members.text("in")) else {
        return unknown(ParameterFault::Kind);
    };
    let required = place == "path" || members.is_true("required");
    match understood(document, &members, &wire, &place, work) {
        Ok((place, style, schema)) => Read::Parameter(Parameter {
            argument: argument_name(&wire),
            place,
            style,
            required,
            schema,
            description: members.get("description").map(|text| document.span(text)),
            wire: wire.into_owned(),
        }),
        Err(why) if required && !(place == "header" && IGNORED.iter().any(|name| wire.eq_ignore_ascii_case(name))) => {
            Read::Fail(Unusable::Parameter { name: Excerpt::of(&wire), why })
        }
        Err(why) => Read::Skip(Excerpt::of(&wire), why),
    }
}

fn understood(
    document: &Document,
    members: &Members<'_>,
    wire: &str,
    place: &str,
    work: &mut Work,
) -> Result<(Place, Style, Option<Span>), ParameterFault> {
    let style = members.text("style");
    let style = style.as_deref();
    let explode = members.get("explode");
    let (place, style) = match place {
        "path" if matches!(style, None | Some("simple")) => (Place::Path, Style::Simple),
        "path" => return Err(ParameterFault::Style),
        "header" if HEADERS.iter().any(|name| wire.eq_ignore_ascii_case(name)) => (Place::Header, Style::Simple),
        "header" => return Err(ParameterFault::Header),
        "cookie" => return Err(ParameterFault::Cookie),
        "query" => (Place::Query, query_style(style, explode)?),
        _ => return Err(ParameterFault::Place),
    };
    let content = members.get("content").map(|content| work.members(content)).transpose()?.flatten();
    let (style, schema) = match content {
        None => (style, members.get("schema")),
        Some(content) => {
            let json = content.iter().find(|(media, _)| is_json(media));
            let (_, media) = json.filter(|_| content.len() == 1).ok_or(ParameterFault::Content)?;
            let style = if place == Place::Query { Style::Json } else { return Err(ParameterFault::Content) };
            (style, work.members(media)?.and_then(|media| media.get("schema")))
        }
    };
    if place == Place::Query && !can_be_sent(wire, style) {
        return Err(ParameterFault::Name);
    }
    Ok((place, style, schema.map(|schema| document.span(schema))))
}

fn query_style(style: Option<&str>, explode: Option<&str>) -> Result<Style, ParameterFault> {
    match (style, explode) {
        (None | Some("form"), Some("false")) => Ok(Style::Join(',')),
        (Some("spaceDelimited"), None | Some("false")) => Ok(Style::Join(' ')),
        (Some("pipeDelimited"), None | Some("false")) => Ok(Style::Join('|')),
        (None | Some("form" | "spaceDelimited" | "pipeDelimited"), _) => Ok(Style::Repeat),
        (Some("deepObject"), _) => Ok(Style::Deep),
        (Some(_), _) => Err(ParameterFault::Style),
    }
}

/// Whether R6 lets a query hold the name. The judge is asked, so that the two never part.
fn can_be_sent(wire: &str, style: Style) -> bool {
    if wire.len() > MAX_WIRE {
        return false;
    }
    let wire = if style == Style::Deep { format!("{wire}[x]") } else { wire.to_owned() };
    Query::parse(Some(&serde_json::json!({ wire: "x" }).to_string())).is_ok()
}

/// Whether a media type is JSON: `application/json` or one with the suffix `+json` (RFC 6839 section 3.1).
pub(super) fn is_json(media: &str) -> bool {
    let kind = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.contains('/') && kind.ends_with("+json"))
}

/// The argument for a name in the request: a trailing `[]` dropped, what clients do not take made an underscore.
fn argument_name(wire: &str) -> String {
    let allowed = |c: char| if is_allowed(c) { c } else { '_' };
    let name: String = wire.strip_suffix("[]").unwrap_or(wire).chars().map(allowed).take(MAX_ARGUMENT).collect();
    let name = if wire.contains('[') { name.trim_end_matches('_') } else { &name };
    if name.is_empty() { "argument".to_owned() } else { name.to_owned() }
}

/// Whether a name can be an argument's as it is.
pub(super) fn is_argument_name(name: &str) -> bool {
    (1..=MAX_ARGUMENT).contains(&name.len()) && name.chars().all(is_allowed)
}

fn is_allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')
}

/// A name that is not among those taken: itself, else with the place behind it, else with a number.
pub(super) fn free_name(name: &str, place: &str, taken: impl Fn(&str) -> bool) -> String {
    if !taken(name) {
        return name.to_owned();
    }
    let cut = |suffix: &str| -> String {
        let kept: String = name.chars().take(MAX_ARGUMENT - suffix.len()).collect();
        kept + suffix
    };
    let numbered = (2_u32..).map(|number| cut(&format!("_{place}{number}")));
    std::iter::once(cut(&format!("_{place}"))).chain(numbered).find(|name| !taken(name)).unwrap_or_default()
}

impl Place {
    /// What is put behind a name that another place has taken.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Header => "header",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arguments_name_is_one_that_every_client_takes() {
        let cases = [
            ("ids[]", "ids"),
            ("filter[name]", "filter_name"),
            ("page.size", "page.size"),
            ("größe", "gr__e"),
            ("$top", "_top"),
            ("[]", "argument"),
        ];
        for (wire, argument) in cases {
            assert_eq!(argument_name(wire), argument);
            assert!(is_argument_name(argument));
        }
        assert!(is_argument_name(&argument_name(&"n".repeat(500))));
    }

    #[test]
    fn a_name_that_is_taken_gets_its_place_and_then_a_number() {
        let taken = |names: &'static [&'static str]| move |name: &str| names.contains(&name);
        assert_eq!(free_name("id", "query", taken(&[])), "id");
        assert_eq!(free_name("id", "query", taken(&["id"])), "id_query");
        assert_eq!(free_name("id", "query", taken(&["id", "id_query"])), "id_query2");
        let long = "n".repeat(64);
        assert!(is_argument_name(&free_name(&long, "query", |name| name == "n".repeat(64))));
    }
}
