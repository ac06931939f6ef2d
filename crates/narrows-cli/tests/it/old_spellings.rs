//! The spellings of older scripts: hidden, and the same as the new ones.

use super::run::Place;

#[test]
fn every_older_spelling_does_what_the_new_one_does() {
    let place = Place::new();
    place.write("t.csv", "a,b,kind\n1,2,x\n3,5,y\n5,6,x\n2,2,y\n");
    place.write("plain.csv", "a,b\n1,2\n3,5\n5,6\n2,2\n");
    place.write("l.txt", "x\ny\nx\ny\n");
    for (old, new) in [
        ("pca --data iris --validation 0.2", "pca iris --held-out 0.2"),
        ("pca --data t.csv --label kind", "pca t.csv --label-column kind"),
        ("pca --data plain.csv --labels l.txt", "pca plain.csv --labels-file l.txt"),
        (
            "single --data iris --set scale=min_max --set train.rate=0.5 --set train.batch=20 --set weights.start=he --epochs 2",
            "single iris --set scale=min_max --set train.learning_rate=0.5 --set train.batch_size=20 --set weights.init=he --epochs 2",
        ),
        (
            "classifier --data iris --labelled 30 --layers 4-6-3 --epochs 2 --validation iris --validation-labels l150.txt --batch 50",
            "classifier iris --labelled-rows 30 --layers 4-6-3 --epochs 2 --held-out iris --held-out-labels l150.txt --batch-size 50",
        ),
    ] {
        let labels: Vec<&str> = (0..150).map(|row| ["setosa", "versicolor", "virginica"][row / 50]).collect();
        place.write("l150.txt", labels.join("\n"));
        let done = |line: &str, out: &str| {
            let mut done = place.fit(&format!("{line} --out {out}.narrows --report r"));
            for field in ["model", "seconds"] {
                done.as_object_mut().unwrap().remove(field);
            }
            for layer in done["pretraining"].as_array_mut().unwrap() {
                layer.as_object_mut().unwrap().remove("seconds");
            }
            done
        };
        assert_eq!(done(old, "old"), done(new, "new"), "{old}");
        assert!(place.bytes("old.narrows") == place.bytes("new.narrows"), "{old}");
    }
    place.fit("pca iris --code-size 2 --out m.narrows --report r");
    place.ok("encode m.narrows --data iris --out a.npy");
    place.ok("encode m.narrows iris --out b.npy");
    assert_eq!(place.bytes("a.npy"), place.bytes("b.npy"));
    place.ok("interpolate m.narrows iris --from 1 --to 3 --out a.npy");
    place.ok("interpolate m.narrows iris --from-row 1 --to-row 3 --out b.npy");
    assert_eq!(place.bytes("a.npy"), place.bytes("b.npy"));
    let curves = |line: &str| {
        place.json(&format!("{line} --report c --json")).pop().unwrap()["code_size_curves"].clone()
    };
    assert_eq!(
        curves("compare pca --data iris --sweep code_size=1,2"),
        curves("compare pca iris --code-sizes 1,2")
    );
    place.ok("split m.narrows --out .");
    let help = place.ok("fit --help").stdout;
    for old in ["--data", "--validation", "--twin", "--labelled "] {
        assert!(!help.contains(old), "{old} is hidden: {help}");
    }
}

#[test]
fn every_verb_answers_in_json() {
    let place = Place::new();
    place.fit("pca iris --code-size 2 --out m.narrows --report r");
    place.fit("classifier iris --layers 4-6-3 --epochs 2 --out c.narrows --report r");
    for (line, event) in [
        ("encode m.narrows iris --out codes.npy", "encoded"),
        ("decode m.narrows codes.npy --out rows.npy", "decoded"),
        ("reconstruct m.narrows iris --out rows.npy", "reconstructed"),
        ("interpolate m.narrows iris --from-row 1 --to-row 9 --out line.npy", "interpolated"),
        ("predict c.narrows iris --out classes.csv", "predicted"),
        ("split m.narrows", "split"),
        ("evaluate m.narrows iris", "evaluation"),
        ("show m.narrows", "model"),
        ("show pca", "recipe"),
        ("recipes", "recipe"),
        ("data", "data"),
        ("data iris", "data"),
        ("reproduce", "paper"),
        ("compare pca iris", "comparison"),
    ] {
        let last = place.json(&format!("{line} --json")).pop().unwrap();
        assert_eq!(last["event"], event, "{line}");
    }
}
