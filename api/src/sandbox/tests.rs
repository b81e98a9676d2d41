//! The sandbox as a whole.

use std::path::Path;

#[test]
fn the_sandbox_knows_daybook_through_public_doors_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = vec![root.join("sandbox.rs")];
    let mut folders = vec![root.join("sandbox")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|name| name != "tests.rs") {
                sources.push(path);
            }
        }
    }
    assert!(sources.len() > 8, "the sources are where they are looked for");
    for path in sources {
        let text = std::fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let own = code.replace("crate::sandbox", "");
            let foreign =
                ["ledger::", "projections::", "replay::", "daybook::", "crate::", "super::super::super"];
            let found = foreign.iter().find(|name| own.contains(**name));
            assert_eq!(found, None, "{}:{}: {line}", path.display(), number + 1);
        }
    }
}
