//! Imports go one way: each module uses only those above it in `lib.rs`, and the crates point at the library, not from it.

use std::path::{Path, PathBuf};

/// The files of a module or crate, folders included.
fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the project") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// The module of the library that a file of `src` belongs to.
fn module_of(file: &Path, source: &Path) -> String {
    let inside = file.strip_prefix(source).expect("a file of the library");
    let first = inside.iter().next().expect("a name").to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// The lines of a file that are neither comments nor tests.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .take_while(|line| line.trim() != "#[cfg(test)]" || line.starts_with(' '))
        .filter(|line| !line.trim_start().starts_with("//"))
}

#[test]
fn each_module_uses_only_those_above_it() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let read = |path: &Path| std::fs::read_to_string(path).expect("a source file");
    let list = read(&source.join("lib.rs"));
    let order: Vec<&str> = list
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ").or(line.strip_prefix("mod ")))
        .map(|name| name.trim_end_matches(';'))
        .collect();
    assert!(order.contains(&"fit") && order.contains(&"error"), "{order:?}");

    let mut all = Vec::new();
    files(&source, &mut all);
    let mut wrong = Vec::new();
    for file in all {
        let stem = file.file_stem().expect("a name").to_string_lossy();
        let module = module_of(&file, &source);
        if module == "lib" || ["tests", "looks"].contains(&&*stem) {
            continue;
        }
        let place = order.iter().position(|name| *name == module).expect("a module of lib.rs");
        for line in code(&read(&file)) {
            for used in line.split("crate::").skip(1) {
                let used: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let used_place = order.iter().position(|name| *name == used);
                if used_place.is_some_and(|used_place| used_place > place) {
                    wrong.push(format!("{}: {module} uses {used}, which stands below it", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
