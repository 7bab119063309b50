//! GitHub's document, where somebody has put it: see the figures with `--nocapture`.

use std::time::Duration;

use super::*;

/// Not part of the repository: 13 MB. `PORTCULLIS_GITHUB_OPENAPI` names the file; without it nothing is measured.
#[test]
fn githubs_document_is_read_and_described() {
    let Some(path) = option_env!("PORTCULLIS_GITHUB_OPENAPI") else { return };
    let text = std::fs::read_to_string(path).unwrap();
    let best = |work: &dyn Fn()| -> Duration {
        (0..5)
            .map(|_| {
                #[expect(clippy::disallowed_methods, reason = "a measurement")]
                let before = std::time::Instant::now();
                work();
                before.elapsed()
            })
            .min()
            .unwrap()
    };
    println!("read: {:?}", best(&|| drop(Catalog::read(text.clone()).unwrap())));
    let (catalog, warnings) = Catalog::read(text.clone()).unwrap();
    let all: usize = catalog
        .operations()
        .iter()
        .map(|operation| {
            serde_json::to_string(operation.input_schema()).unwrap().len()
                + operation.description().len()
                + operation.name().len()
        })
        .sum();
    println!("operations: {}, warnings: {}, tools: {all} bytes", catalog.operations().len(), warnings.len());
    let described = best(&|| {
        let (catalog, _) = Catalog::read(text.clone()).unwrap();
        catalog.operations().iter().for_each(|operation| assert!(!operation.input_schema().is_empty()));
    });
    println!("read and all described: {described:?}");
    for warning in warnings.iter().chain(&notes(&catalog)) {
        println!("{warning}");
    }
    let mut sizes: Vec<_> = catalog
        .operations()
        .iter()
        .map(|operation| (serde_json::to_string(operation.input_schema()).unwrap().len(), operation.name()))
        .collect();
    sizes.sort();
    println!("{:?}", &sizes[sizes.len() - 5..]);
    assert!(catalog.operations().len() > 1_100);
}
