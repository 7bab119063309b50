//! What each code of a finding means: the page `docs/policy-findings.md`, which is built in.

/// The page.
const PAGE: &str = include_str!("../../../docs/policy-findings.md");

/// One code with its section.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct Explained {
    pub(in crate::cli) code: &'static str,
    /// Markdown: how bad it is, then what it means and what to do.
    pub(in crate::cli) text: &'static str,
}

/// Every code, in the order of the page.
pub(in crate::cli) fn all() -> impl Iterator<Item = Explained> {
    PAGE.split("\n### ").skip(1).filter_map(|section| {
        let (code, text) = section.split_once('\n')?;
        // A heading of the next part ends a section.
        let text = text.split("\n## ").next().unwrap_or(text);
        Some(Explained { code, text: text.trim() })
    })
}

/// The section of one code.
pub(in crate::cli) fn of(code: &str) -> Option<Explained> {
    all().find(|explained| explained.code == code)
}

impl Explained {
    /// As plain text: without the marks of Markdown.
    pub(in crate::cli) fn plain(self) -> String {
        // Between backticks a mark is text.
        let parts = self.text.split('`').enumerate();
        let parts = parts.map(|(at, part)| if at % 2 == 0 { part.replace("**", "") } else { part.to_owned() });
        let text = parts.collect::<Vec<_>>().join("`");
        // Links are named by their text.
        let mut plain = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once("](") {
            plain.push_str(&before.replacen('[', "", 1));
            rest = after.split_once(')').map_or("", |(_, rest)| rest);
        }
        plain.push_str(rest);
        plain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_a_section_that_says_how_bad_it_is() {
        let all: Vec<Explained> = all().collect();
        assert!(all.len() > 50, "{}", all.len());
        for Explained { code, text } in all {
            assert!(code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{code}");
            let bad = ["**error**", "**warning**", "**hint**", "**error or warning**", "**error, exit 2**"];
            assert!(bad.iter().any(|bad| text.starts_with(bad)), "{code}: {text}");
            assert!(!text.contains('#'), "{code}: {text}");
        }
    }

    #[test]
    fn a_section_is_told_without_marks() {
        let linked = Explained { code: "linked", text: "**error** see [the page](page.md#part), twice" };
        assert_eq!(linked.plain(), "error see the page, twice");
        assert!(of("asleep").is_some_and(|it| it.plain().starts_with("warning The rule")));
        assert!(of("shallow-deny").is_some_and(|it| it.plain().ends_with("Write `/**/` where any depth is meant.")));
        assert!(of("no-such-code").is_none());
    }
}
