//! Which calls of a log are shown, counted or exported.

use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime};

use clap::Args;

use super::record::Record;
use crate::clock::{Clock, SystemClock};
use crate::policy::PathGlob;
use crate::refusal::Code;

/// Only what all of these say; each may be left out.
#[derive(Debug, Clone, Default, Args)]
pub(in crate::cli) struct Select {
    /// Not before this time: RFC 3339, or so long ago (`90min`, `2h`, `7d`).
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<SystemTime>,
    /// Before this time.
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<SystemTime>,
    /// Calls of this agent.
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// Calls that this rule decided.
    #[arg(long, value_name = "ID")]
    rule: Option<String>,
    /// Calls with this verdict, as the log has it: allow, report, hold, deny, refuse.
    #[arg(long, value_name = "VERDICT", value_parser = ["allow", "report", "hold", "deny", "refuse"], hide_possible_values = true)]
    verdict: Option<String>,
    /// Calls with this code, as the agent was told it: denied, throttled, upstream_error and so on.
    #[arg(long, value_name = "CODE", value_parser = Code::ALL.map(Code::as_str), hide_possible_values = true)]
    code: Option<String>,
    /// Requests with this method.
    #[arg(long, value_name = "METHOD")]
    method: Option<String>,
    /// Requests whose canonical path matches: `*` is within one segment, `**` any number of them.
    #[arg(long, value_name = "GLOB", value_parser = PathGlob::parse)]
    path: Option<PathGlob>,
    /// Answers with this status, or of this class: 404, 5xx.
    #[arg(long, value_name = "STATUS")]
    status: Option<Status>,
}

/// A status, or the first digit of some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Is(u16),
    Class(u16),
}

impl std::str::FromStr for Status {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let class = text.strip_suffix("xx").or_else(|| text.strip_suffix("XX"));
        let within = |digits: &str, range: RangeInclusive<u16>| {
            let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
            let number = digits.parse().ok().filter(|number| plain && range.contains(number));
            number.ok_or("write a status as 404 (100 to 599), or a class as 4xx (1xx to 5xx)")
        };
        match class {
            Some(digit) => within(digit, 1..=5).map(Self::Class),
            None => within(text, 100..=599).map(Self::Is),
        }
    }
}

/// A point in time, or how long ago it was.
fn time(text: &str) -> Result<SystemTime, String> {
    if let Ok(time) = humantime::parse_rfc3339_weak(text) {
        return Ok(time);
    }
    let wrong = || format!("`{text}` is neither a time (2026-01-31T08:00:00Z) nor a duration (2h)");
    let ago: Duration = humantime::parse_duration(text).map_err(|_| wrong())?;
    SystemClock::new().wall().checked_sub(ago).ok_or_else(wrong)
}

impl Select {
    /// Whether a call is wanted, by its question and the answer, where it has one.
    pub(super) fn takes_call(&self, question: &Record, answer: Option<&Record>) -> bool {
        let code = answer.and_then(Record::code).or_else(|| question.code());
        let status = answer.and_then(|answer| answer.status);
        self.takes_time(question)
            && is(self.agent.as_deref(), &question.agent)
            && is(self.rule.as_deref(), &question.rule)
            && is(self.verdict.as_deref(), &question.verdict)
            && is(self.code.as_deref(), code.as_deref().unwrap_or_default())
            && self.method.as_deref().is_none_or(|method| method.eq_ignore_ascii_case(&question.method))
            && self.path.as_ref().is_none_or(|glob| !question.path.is_empty() && glob.matches(&question.path))
            && self.status.is_none_or(|wanted| status.is_some_and(|status| wanted.takes(status)))
    }

    /// Whether a record that is no part of a call's question and answer is wanted: by its time and agent, unless calls
    /// of some kind are asked for.
    pub(super) fn takes_event(&self, record: &Record) -> bool {
        let Self { since: _, until: _, agent, rule, verdict, code, method, path, status } = self;
        let calls =
            [rule, verdict, code, method].into_iter().any(Option::is_some) || path.is_some() || status.is_some();
        !calls && self.takes_time(record) && is(agent.as_deref(), &record.agent)
    }

    fn takes_time(&self, record: &Record) -> bool {
        if self.since.is_none() && self.until.is_none() {
            return true;
        }
        let Ok(time) = humantime::parse_rfc3339(&record.time) else { return false };
        self.since.is_none_or(|since| since <= time) && self.until.is_none_or(|until| time < until)
    }
}

impl Status {
    fn takes(self, status: u16) -> bool {
        match self {
            Self::Is(wanted) => status == wanted,
            Self::Class(class) => status / 100 == class,
        }
    }
}

fn is(wanted: Option<&str>, found: &str) -> bool {
    wanted.is_none_or(|wanted| wanted == found)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        select: Select,
    }

    fn select(arguments: &[&str]) -> Select {
        Line::try_parse_from([&["test"], arguments].concat()).unwrap().select
    }

    fn record(text: &str) -> Record {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_call_is_taken_by_its_question_and_its_answer() {
        let question = record(
            r#"{"time":"2026-01-02T03:04:05.678Z","agent":"stdio:1","rule":"reads","verdict":"allow","method":"GET","path":"/a/7/b"}"#,
        );
        let answer = record(r#"{"code":"upstream_error","status":503}"#);
        for (arguments, taken) in [
            (&[][..], true),
            (&["--agent", "stdio:1", "--rule", "reads", "--verdict", "allow"], true),
            (&["--agent", "stdio:2"], false),
            (&["--rule", "read"], false),
            (&["--method", "get"], true),
            (&["--method", "POST"], false),
            (&["--path", "/a/*/b"], true),
            (&["--path", "/a/**"], true),
            (&["--path", "/a/*"], false),
            (&["--status", "503"], true),
            (&["--status", "5xx"], true),
            (&["--status", "4xx"], false),
            (&["--code", "upstream_error"], true),
            (&["--code", "denied"], false),
            (&["--since", "2026-01-02T03:04:05Z"], true),
            (&["--since", "2026-01-02T03:04:06Z"], false),
            (&["--until", "2026-01-02T03:04:05.678Z"], false),
            (&["--until", "2026-01-03 00:00:00"], true),
            (&["--since", "1min"], false),
        ] {
            assert_eq!(select(arguments).takes_call(&question, Some(&answer)), taken, "{arguments:?}");
        }
        assert!(!select(&["--status", "5xx"]).takes_call(&question, None), "an answer that is not there has no status");
    }

    #[test]
    fn what_is_no_call_is_left_out_where_calls_of_some_kind_are_asked_for() {
        let event = record(r#"{"time":"2026-01-02T03:04:05.678Z","kind":"writes"}"#);
        assert!(select(&[]).takes_event(&event) && select(&["--since", "2026-01-01 00:00:00"]).takes_event(&event));
        assert!(!select(&["--rule", "reads"]).takes_event(&event));
        assert!(!select(&["--until", "2026-01-01 00:00:00"]).takes_event(&event));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for wrong in [["--since", "yesterday"], ["--path", "/a/[b]"], ["--until", "-2h"]] {
            assert!(Line::try_parse_from([&["test"][..], &wrong].concat()).is_err(), "{wrong:?}");
        }
        for (option, wrong, right) in [
            ("--verdict", "foo", "hold"),
            ("--verdict", "Allow", "allow"),
            ("--code", "zz", "upstream_error"),
            ("--status", "4x", "4xx"),
            ("--status", "9xx", "5xx"),
            ("--status", "0xx", "1xx"),
            ("--status", "99", "100"),
            ("--status", "+404", "404"),
        ] {
            let error = Line::try_parse_from(["test", option, wrong]).err().expect(wrong);
            assert_eq!(error.exit_code(), 2, "{option} {wrong}");
            assert!(error.to_string().contains(right), "{option} {wrong} tells no right word: {error}");
        }
        for code in Code::ALL {
            assert!(Line::try_parse_from(["test", "--code", code.as_str()]).is_ok(), "{code:?}");
        }
    }
}
