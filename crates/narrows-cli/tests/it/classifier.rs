//! fit classifier, predict, evaluate: the same classes in every verb; twins; what is refused.

use super::run::{Place, csv, npy};

const SMALL: &str = "--layers 4-8-3 --epochs 4 --set pretrain.epochs=2";

#[test]
fn what_is_predicted_is_what_is_counted() {
    let place = Place::new();
    place.ok(&format!("fit classifier iris --held-out iris {SMALL} --out m.narrows --report r --json"));
    place.ok("predict m.narrows iris --out told.csv");
    place.ok("predict m.narrows iris --out told.npy --threads 1");
    let (dtype, shape, shares) = npy(&place.path("told.npy"));
    assert_eq!((&*dtype, &*shape), ("<f4", &[150, 3][..]));
    let text = String::from_utf8(place.bytes("told.csv")).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("class,share of setosa,share of versicolor,share of virginica"));
    let names = ["setosa", "versicolor", "virginica"];
    // Iris has fifty flowers of each species, one after the other.
    let mut wrong = 0;
    for (row, line) in lines.enumerate() {
        let cells: Vec<&str> = line.split(',').collect();
        let own = &shares[row * 3..row * 3 + 3];
        let best = (0..3).max_by(|&a, &b| own[a].total_cmp(&own[b])).unwrap();
        assert_eq!(cells[0], names[best]);
        for (cell, share) in cells[1..].iter().zip(own) {
            assert!((cell.parse::<f64>().unwrap() - share).abs() < 1e-7);
        }
        wrong += usize::from(best != row / 50);
    }
    let found = place.json("evaluate m.narrows iris --report judged --json").pop().unwrap();
    let evaluation = &found["evaluation"];
    assert_eq!((&evaluation["misclassified"], &evaluation["rows"]), (&wrong.into(), &150.into()));
    assert_eq!(found["classes"][2], "virginica");
    // Rows are the species, columns the predictions.
    let confusion = &evaluation["confusion"];
    let setosa: u64 = (0..3).map(|told| confusion[0][told].as_u64().unwrap()).sum();
    assert_eq!(setosa, 50);
    let page = String::from_utf8(place.bytes("judged/report.html")).unwrap();
    assert!(page.contains("Confusions"), "the page shows the confusions");
    let text = place.ok("evaluate m.narrows iris").stdout;
    assert!(text.contains("accuracy") && text.contains("versicolor"), "{text}");
    let shown = place.ok("show m.narrows").stdout;
    assert!(shown.contains("classes: setosa, versicolor, virginica"), "{shown}");
    // What it tells classes by: one number for each unit of its last layer.
    place.ok("encode m.narrows iris --out features.csv");
    assert_eq!(csv(&place.path("features.csv")).0.len(), 8 + 1);
}

#[test]
fn twins_are_set_beside_and_answered() {
    let place = Place::new();
    let line = format!("fit classifier iris {SMALL} --random-baseline --seeds 2 --out m.narrows --report r");
    let done = place.json(&format!("{line} --json")).pop().unwrap();
    let random = &done["random_baseline"];
    for kind in ["pretrained", "random"] {
        assert_eq!(random[kind]["runs"].as_array().unwrap().len(), 2, "{random}");
    }
    // Nothing of the layers is left out: the twin has at least as many updates.
    let steps = |kind: &str| {
        let steps = &random[kind]["runs"][0]["steps"];
        steps["training"].as_u64().unwrap() + steps["pretraining"].as_u64().unwrap()
    };
    assert!(steps("random") >= steps("pretrained") && steps("random") < steps("pretrained") + 150);
    assert!(random["verdict"].as_str().unwrap().contains("over 2 seeds"), "{random}");
    assert!(place.list("r").contains(&"starts.png".to_owned()), "{:?}", place.list("r"));
    let page = String::from_utf8(place.bytes("r/report.html")).unwrap();
    assert!(page.contains("Was pre-training worth it?"));
    assert!(place.ok(&line).stdout.contains("from a random start"));
}

#[test]
fn an_encoder_comes_from_a_model_and_what_contradicts_it_is_refused() {
    let place = Place::new();
    place.fit("pca iris --code-size 2 --out pca.narrows --report r");
    place.ok(
        "fit classifier iris --start-from pca.narrows --frozen --epochs 3 --out c.narrows --report r --json",
    );
    let classes = place.ok("show c.narrows").stdout;
    assert!(classes.contains("dense 2") && !classes.contains("about"), "{classes}");
    std::fs::write(place.path("plain.csv"), "5.1,3.5,1.4,0.2\n7.0,3.2,4.7,1.4\n").unwrap();
    for (line, parts) in [
        ("fit classifier iris --held-out plain.csv", ["these have none", "labels"]),
        ("fit classifier iris --start-from pca.narrows --layers 4-8-3", ["--layers", "the model's"]),
        ("fit classifier iris --start-from pca.narrows --pretrain relu", ["--pretrain", "the model's"]),
        (
            "fit classifier iris --start-from pca.narrows --random-baseline",
            ["--random-baseline", "from the model"],
        ),
        ("fit classifier iris --frozen --random-baseline", ["--random-baseline", "not frozen"]),
        ("fit single iris --labelled-rows 20", ["--labelled-rows", "classifier"]),
        ("fit classifier iris --layers 4-8-2", ["3 classes", "not 2"]),
        ("reconstruct c.narrows iris --out x.csv", ["classifier", "predict"]),
        ("predict pca.narrows iris --out x.csv", ["no classifier", "starts from it"]),
        ("predict c.narrows iris --out x.png", [".csv", ".npy"]),
        ("compare classifier iris", ["classifier", "fit"]),
        ("split c.narrows", ["classifier", "split"]),
    ] {
        let run = place.run(line);
        assert_eq!(run.code, 1, "{line}: {}", run.stderr);
        for part in parts {
            assert!(run.stderr.contains(part), "{line}: `{part}` is not in: {}", run.stderr);
        }
    }
    assert!(!place.path("runs").exists(), "what is refused leaves nothing behind");
}

#[test]
fn papers_are_listed_and_an_unknown_one_named() {
    let place = Place::new();
    let list = place.ok("reproduce").stdout;
    assert!(list.contains("hinton2006") && list.contains("vincent2010"), "{list}");
    let run = place.run("reproduce hinton2007");
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("did you mean `hinton2006`"), "{}", run.stderr);
}
