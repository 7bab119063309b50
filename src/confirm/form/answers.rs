//! What a person says without looking, or to be rid of a question: never the word that sends a request.

/// In lower case, letters alone. Sorted.
const ANSWERS: [&str; 92] = [
    "abort",
    "aborted",
    "absolutely",
    "accept",
    "accepted",
    "affirmative",
    "agree",
    "agreed",
    "allow",
    "allowed",
    "approve",
    "approved",
    "avoid",
    "back",
    "block",
    "blocked",
    "bye",
    "cancel",
    "canceled",
    "cancelled",
    "close",
    "confirm",
    "confirmed",
    "continue",
    "correct",
    "da",
    "decline",
    "declined",
    "denied",
    "deny",
    "disagree",
    "disallow",
    "dismiss",
    "dont",
    "end",
    "escape",
    "exit",
    "f",
    "false",
    "fine",
    "forbid",
    "go",
    "halt",
    "hold",
    "ignore",
    "ja",
    "k",
    "later",
    "leave",
    "n",
    "nah",
    "nay",
    "negative",
    "nein",
    "never",
    "nil",
    "no",
    "non",
    "none",
    "nope",
    "nothanks",
    "nothing",
    "notnow",
    "null",
    "off",
    "ok",
    "okay",
    "on",
    "oui",
    "please",
    "proceed",
    "quit",
    "refuse",
    "refused",
    "reject",
    "rejected",
    "revoke",
    "right",
    "send",
    "si",
    "skip",
    "stop",
    "submit",
    "sure",
    "t",
    "true",
    "undo",
    "wait",
    "y",
    "yeah",
    "yep",
    "yes",
];

/// Whether a word of printable ASCII says yes, no or nothing: it is such an answer or begins with one, whatever its case
/// and whatever signs and digits stand between its letters; or it is 0, 1 or signs alone.
pub(super) fn is_answer(word: &str) -> bool {
    let letters = |text: &str| -> String {
        text.chars().filter(char::is_ascii_alphabetic).map(|letter| letter.to_ascii_lowercase()).collect()
    };
    let all = letters(word);
    if all.is_empty() {
        let digits: String = word.chars().filter(char::is_ascii_digit).collect();
        return matches!(digits.trim_start_matches('0'), "" | "1");
    }
    let first = word.split(|c: char| !c.is_ascii_alphabetic()).find(|part| !part.is_empty()).map(letters);
    [Some(all), first].iter().flatten().any(|word| ANSWERS.binary_search(&word.as_str()).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_can_be_searched() {
        assert!(ANSWERS.is_sorted());
        assert!(ANSWERS.iter().all(|answer| answer.bytes().all(|byte| byte.is_ascii_lowercase())));
    }

    #[test]
    fn what_means_yes_or_no_is_an_answer_however_it_is_written() {
        for word in [
            "cancel",
            "decline",
            "stop",
            "abort",
            "deny",
            "reject",
            "quit",
            "exit",
            "nope",
            "never",
            "none",
            "no.",
            "0",
            "NO",
            "n.o",
            "\"no\"",
            "no1",
            "no-thanks",
            "stop!",
            "y",
            "Yes,",
            "ok",
            "1",
            "00",
            "-",
            "...",
            "ca-ncel",
            "null",
            "01",
            "yes-send-it",
        ] {
            assert!(is_answer(word), "{word}");
        }
        for word in ["31", "10", "not", "note", "prod", "nonexistent", "stopwatch", "a[b]", "v1", "x0", "order-cancel"]
        {
            assert!(!is_answer(word), "{word}");
        }
    }
}
