//! Path templates, as the descriptions of APIs write them (OpenAPI 3.1 section 4.8.2): `/a/{b}`.

/// The template as a pattern: a `*` for each variable, and one for variables side by side.
pub fn globbed(template: &str) -> String {
    let mut glob = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((text, (_, after))) = rest.split_once('{').and_then(|(text, of)| Some((text, of.split_once('}')?))) {
        glob.push_str(text);
        if !glob.ends_with('*') {
            glob.push('*');
        }
        rest = after;
    }
    glob.push_str(rest);
    glob
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_a_star() {
        for (template, glob) in [
            ("/a/b", "/a/b"),
            ("/a/{b}/c/{d}/", "/a/*/c/*/"),
            ("/a/x{b}.json", "/a/x*.json"),
            ("/a/{b}{c}", "/a/*"),
            ("/a/{b}:{c}", "/a/*:*"),
            ("/a/{b", "/a/{b"),
            ("/a/**", "/a/**"),
        ] {
            assert_eq!(globbed(template), glob, "{template}");
        }
    }
}
