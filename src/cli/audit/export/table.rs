//! Calls as comma-separated values (RFC 4180).

use std::io::{self, Write};
use std::path::Path;

use super::super::record::Record;

const HEAD: &str = "time,log,seq,call,agent,tool,operation,method,path,effect,verdict,rule,line,code,cause,status,bytes,\
                    duration_us,attempts,said,channel,request_digest";

pub(super) fn head(out: &mut impl Write) -> io::Result<()> {
    write!(out, "{HEAD}\r\n")
}

pub(super) fn row(out: &mut impl Write, log: &Path, question: &Record, answer: Option<&Record>) -> io::Result<()> {
    let file = log.file_name().unwrap_or_default().to_string_lossy();
    let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
    let code = answer.and_then(Record::code).or_else(|| question.code()).unwrap_or_default();
    let cause = answer.map(|answer| answer.cause.as_str()).filter(|cause| !cause.is_empty()).unwrap_or(&question.cause);
    let person = question.person.as_ref();
    let cells = [
        &question.time,
        &*file,
        &question.seq.to_string(),
        &question.call,
        &question.agent,
        &question.tool,
        &question.operation,
        &question.method,
        &question.path,
        &question.effect,
        &question.verdict,
        &question.rule,
        &number(question.line.map(u64::from)),
        &code,
        cause,
        &number(answer.and_then(|answer| answer.status).map(u64::from)),
        &number(answer.and_then(|answer| answer.bytes)),
        &number(answer.and_then(|answer| answer.duration_us)),
        &number(answer.and_then(|answer| answer.attempts).map(u64::from)),
        person.map(|person| person.said.as_str()).unwrap_or_default(),
        person.map(|person| person.channel.as_str()).unwrap_or_default(),
        &question.digest,
    ];
    let cells: Vec<String> = cells.into_iter().map(cell).collect();
    write!(out, "{}\r\n", cells.join(","))
}

/// In quotes where it has to be. What a spreadsheet would take for a formula begins with an apostrophe.
fn cell(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    if guard.is_empty() && !text.contains([',', '"', '\n', '\r']) {
        return text.to_owned();
    }
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_holds_one_value_and_no_formula() {
        for (text, written) in [
            ("GET", "GET"),
            ("", ""),
            ("a,b", "\"a,b\""),
            ("say \"a\"", "\"say \"\"a\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("=1+1", "\"'=1+1\""),
            ("-1", "\"'-1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
        ] {
            assert_eq!(cell(text), written, "{text}");
        }
    }

    #[test]
    fn a_row_has_a_cell_for_each_name_of_the_head() {
        let mut out = Vec::new();
        row(&mut out, Path::new("/x/audit.jsonl"), &Record::default(), None).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.matches(',').count(), HEAD.matches(',').count());
    }
}
