//! compare: its table, its lines of JSON, its page, and what is refused.

use serde_json::Value;

use super::run::{Place, number};

#[test]
fn every_fit_is_a_line_and_the_last_has_it_all() {
    let place = Place::new();
    let lines = place.json("compare single pca conv iris --epochs 2 --seeds 2 --code-sizes 2,1,4 --json");
    let kinds: Vec<&str> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    let mut wanted = vec!["compared"; 3];
    wanted.push("failed");
    wanted.extend(["point"; 6]);
    wanted.push("comparison");
    assert_eq!(kinds, wanted);
    assert_eq!((&lines[0]["recipe"], &lines[0]["seed"]), (&"single".into(), &0.into()));
    assert_eq!(lines[1]["seed"], 1);
    assert_eq!(lines[2]["seed"], Value::Null, "a PCA has no seed");
    for field in ["nearest_neighbour_accuracy", "linear_probe_accuracy", "trustworthiness", "continuity"] {
        let value = number(&lines[2], field);
        assert!(value > 0.5 && value <= 1.0, "{field}: {value}");
    }
    assert_eq!(lines[3]["recipe"], "conv");
    assert!(lines[3]["reason"].as_str().unwrap().contains("image"));

    let done = &lines[10];
    assert_eq!((&done["scale"], &done["code_size"]), (&"min_max".into(), &2.into()));
    let methods = done["recipes"].as_array().unwrap();
    assert_eq!(methods.len(), 3);
    let error = &methods[0]["metrics"]["squared_error_per_row"];
    let mean =
        (number(&lines[0], "squared_error_per_row") + number(&lines[1], "squared_error_per_row")) / 2.0;
    assert!((number(error, "mean") - mean).abs() < 1e-12);
    assert!(
        number(error, "least") <= mean && mean <= number(error, "most") && number(error, "deviation") >= 0.0
    );
    assert_eq!(methods[2]["failure"], lines[3]["reason"]);
    assert_eq!(done["code_size_curves"]["code_sizes"], serde_json::json!([1, 2, 4]));
    assert_eq!(done["code_size_curves"]["curves"][0]["recipe"], "pca");
    assert_eq!(done["ended"], "finished");
    assert_eq!(done["report"], "runs/compare-iris-1/report.html");
    let files = place.list("runs/compare-iris-1");
    for file in ["report.html", "errors.svg", "sweep.png", "loss-bce.svg"] {
        assert!(files.iter().any(|name| name == file), "{file} is not among {files:?}");
    }
    let page = String::from_utf8(place.bytes("runs/compare-iris-1/report.html")).unwrap();
    assert!(page.contains(done["verdict"].as_str().unwrap()));
    assert!(page.contains("min_max") && page.contains("conv does not fit"));
}

#[test]
fn the_table_marks_the_best_and_says_what_was_chosen() {
    let place = Place::new();
    let run = place
        .ok("compare pca single iris --epochs 1 --report r --set train.learning_rate=0.5 --set whiten=true");
    for part in [
        "scaling for all: min_max",
        "squared error",
        "pca",
        "the rows themselves",
        "*",
        "--code-size",
        "pca loses least",
        "r/report.html",
    ] {
        assert!(run.stdout.contains(part), "{part} is not in:\n{}", run.stdout);
    }
    assert_eq!(place.list("."), ["r"]);
    let scaled =
        place.json("compare pca iris --report r --set scale=standard --code-size 3 --json").pop().unwrap();
    assert_eq!((&scaled["scale"], &scaled["scale_reason"]), (&"standard".into(), &"as asked".into()));
    assert_eq!(number(&scaled["recipes"][0]["metrics"]["code_size"], "mean"), 3.0);
    // Alone, without a loss that needs 0..1, iris keeps its centimetres: the deviations of its columns are alike.
    let alone = place.json("compare pca iris --report r --json").pop().unwrap();
    assert_eq!(alone["scale"], "none");
}

#[test]
fn mistakes_are_one_line_before_the_work() {
    let place = Place::new();
    for (line, parts) in [
        ("compare sigle pca iris", &["sigle", "did you mean `single`"][..]),
        ("compare pca irsi", &["irsi", "did you mean `iris`"]),
        ("compare pca single iris --code-sizes 2,x", &["2,x", "expected"]),
        ("compare pca single iris --code-sizes 0", &["--code-sizes 0", "expected"]),
        ("compare pca single iris --set trian.rate=1", &["trian"]),
        ("compare pca iris --set train.learning_rate=1", &["train.learning_rate=1", "none of the recipes"]),
        ("compare single iris --set whiten=true", &["whiten", "none of the recipes"]),
        ("compare single pca iris --set train.epohcs=1", &["epohcs", "did you mean `epochs`"]),
        ("compare single pca iris --epochs 0", &["train.epochs", "at least 1"]),
        ("compare pca iris --epochs 3", &["--epochs", "PCA"]),
        ("compare pca pca iris", &["pca", "already"]),
        ("compare pca iris --code-size 0", &["--code-size", "at least 1"]),
        ("compare conv iris", &["none of the recipes", "image"]),
        ("compare pca iris --held-out 1.5", &["1.5"]),
    ] {
        let run = place.run(line);
        assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{line}\n{}{}", run.stdout, run.stderr);
        assert_eq!(run.stderr.lines().count(), 1, "{line}\n{}", run.stderr);
        for part in parts {
            assert!(run.stderr.contains(part), "{line}: `{part}` is not in: {}", run.stderr);
        }
        assert!(place.list(".").is_empty(), "{line} leaves {:?}", place.list("."));
    }
    assert_eq!(place.run("compare iris").code, 1);
    assert!(place.run("compare iris").stderr.contains("which data?"));
    assert_eq!(place.run("compare").code, 2);
    assert_eq!(place.run("compare pca iris --seeds 0").code, 2);
}
