//! What a client brings back from the person: an elicitation's result, in either protocol era.

use rmcp::model::{ClientResult, ElicitResult, ElicitationAction};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::confirm::person::{FIELD, Reply, Retry};

/// Said of every state that is not ours, whatever is wrong with it.
pub(super) const BAD_STATE: &str = "requestState failed verification";

/// What a repeated call brings. Responses without a state answer nothing that was asked here: the call counts as a new one.
pub(super) fn retry(state: Option<&str>, responses: Option<&str>) -> Result<Option<Retry>, &'static str> {
    #[derive(serde::Deserialize)]
    struct Responses<'a> {
        #[serde(borrow)]
        confirm: Option<&'a RawValue>,
    }
    let confirm = match responses {
        None => None,
        Some(object) if object.starts_with('{') => {
            serde_json::from_str::<Responses<'_>>(object)
                .map_err(|_| "`params.inputResponses` must be an object")?
                .confirm
        }
        Some(_) => return Err("`params.inputResponses` must be an object"),
    };
    let reply = confirm.map(|confirm| elicited(confirm.get())).transpose()?;
    let Some(state) = state else { return Ok(None) };
    let state = serde_json::from_str::<String>(state).map_err(|_| BAD_STATE)?;
    Ok(Some(Retry { state, reply }))
}

fn elicited(text: &str) -> Result<Reply, &'static str> {
    let wrong = "`params.inputResponses.confirm` must be the result of an elicitation";
    // A list would be read as the members of a result in order.
    if !text.starts_with('{') {
        return Err(wrong);
    }
    serde_json::from_str::<ElicitResult>(text).map_err(|_| wrong).and_then(|result| of(result).ok_or(wrong))
}

/// What came back while the call was open; `None`: something else than an answer.
pub(super) fn replied(result: ClientResult) -> Option<Reply> {
    match result {
        ClientResult::ElicitResult(result) => of(result),
        ClientResult::CreateMessageResult(_)
        | ClientResult::ListRootsResult(_)
        | ClientResult::EmptyResult(_)
        | ClientResult::CustomResult(_)
        | _ => None,
    }
}

fn of(result: ElicitResult) -> Option<Reply> {
    match result.action {
        ElicitationAction::Accept => Some(Reply::Accept(result.content.and_then(field))),
        ElicitationAction::Decline => Some(Reply::Decline),
        ElicitationAction::Cancel => Some(Reply::Dismiss),
        _ => None,
    }
}

fn field(content: Value) -> Option<Value> {
    match content {
        Value::Object(mut members) => members.swap_remove(FIELD),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_call_brings_a_state_and_a_reply_or_is_no_repetition() {
        let state = |reply| Ok(Some(Retry { state: "s".into(), reply }));
        let yes = Some(Reply::Accept(Some(Value::Bool(true))));
        let object = Err("`params.inputResponses` must be an object");
        let elicitation = Err("`params.inputResponses.confirm` must be the result of an elicitation");
        for (given, responses, wanted) in [
            (None, None, Ok(None)),
            (None, Some(r#"{"confirm":{"action":"accept","content":{"confirm":true}}}"#), Ok(None)),
            (Some(r#""s""#), None, state(None)),
            (Some(r#""s""#), Some("{}"), state(None)),
            (Some(r#""s""#), Some(r#"{"other":{"action":"accept"}}"#), state(None)),
            (Some(r#""s""#), Some(r#"{"confirm":{"action":"accept","content":{"confirm":true}}}"#), state(yes)),
            (Some(r#""s""#), Some(r#"{"confirm":{"action":"accept"}}"#), state(Some(Reply::Accept(None)))),
            (
                Some(r#""s""#),
                Some(r#"{"confirm":{"action":"accept","content":[true]}}"#),
                state(Some(Reply::Accept(None))),
            ),
            (Some(r#""s""#), Some(r#"{"confirm":{"action":"decline"}}"#), state(Some(Reply::Decline))),
            (Some(r#""s""#), Some(r#"{"confirm":{"action":"cancel"}}"#), state(Some(Reply::Dismiss))),
            (Some(r#""s""#), Some(r#"{"confirm":[{"action":"accept"}]}"#), elicitation.clone()),
            (Some(r#""s""#), Some(r#"{"confirm":["accept",{"confirm":true}]}"#), elicitation.clone()),
            (Some(r#""s""#), Some(r#"{"confirm":{"action":"Accept"}}"#), elicitation.clone()),
            (Some(r#""s""#), Some(r#"{"confirm":true}"#), elicitation),
            (Some(r#""s""#), Some("[]"), object.clone()),
            (Some(r#""s""#), Some("null"), object),
            (Some("{}"), None, Err(BAD_STATE)),
            (Some("null"), None, Err(BAD_STATE)),
        ] {
            assert_eq!(retry(given, responses), wanted, "{given:?} {responses:?}");
        }
    }
}
