//! What each allow path opens of the operations that an API is known to have. Pure, like the decision beside it.

use std::ops::ControlFlow;

use super::Rules;
use super::passage::{Passage, Template};
use crate::request::method::Method;

impl Rules {
    /// For each allow path, by its number, the places of the operations that share a request with it, by path and method, each
    /// with how it could pass.
    pub(in crate::policy) fn opened(&self, operations: &[(Method, &str)]) -> Vec<Vec<(usize, Passage)>> {
        let mut opened = vec![Vec::new(); self.allow_paths.len()];
        for (place, (method, text)) in operations.iter().enumerate() {
            let Some(template) = Template::parse(text) else { continue };
            let passage = self.passage(*method, text);
            let mut visit = |number: u32| {
                let target = self.allow_paths.get(number as usize);
                let rule = target.and_then(|target| self.allows.get(target.rule));
                let lists = rule.is_some_and(|rule| rule.methods.contains(*method));
                if let Some(found) = opened.get_mut(number as usize)
                    && lists
                    && found.last().is_none_or(|(last, _)| *last != place)
                {
                    found.push((place, passage));
                }
                ControlFlow::Continue(())
            };
            match self.canonical.meeting(&template.written, &self.symbols, &mut visit) {
                ControlFlow::Continue(()) | ControlFlow::Break(()) => {}
            }
        }
        opened
    }
}
