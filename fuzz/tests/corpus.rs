//! Every case that was a fault once is none any more.

use narrows_fuzz::campaign::{self, Options};
use narrows_fuzz::{check, targets};

fn passes(target: &str) {
    check::keep_panics();
    let options = Options {
        target: target.to_owned(),
        seed: 0,
        count: 0,
        seconds: None,
        limit: None,
        corpus: concat!(env!("CARGO_MANIFEST_DIR"), "/corpus").into(),
        binary: None,
    };
    let cases = campaign::corpus(&options).unwrap();
    let mut made = targets::make(target, None).unwrap();
    let faults: Vec<String> = cases
        .iter()
        .filter_map(|(path, case)| {
            let fault = campaign::run_one(&mut *made, case, None).err()?;
            Some(format!("{}: {fault}", path.display()))
        })
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// One test for all targets: memory is counted for the whole process.
#[test]
fn every_case_of_the_corpus_passes() {
    for target in ["readers", "models", "recipes", "checkpoints"] {
        passes(target);
    }
}
