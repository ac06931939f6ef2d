//! The verbs that tell: help, recipes, data, show.

use super::run::Place;

const VERBS: [&str; 11] = [
    "fit",
    "encode",
    "decode",
    "reconstruct",
    "interpolate",
    "split",
    "evaluate",
    "compare",
    "show",
    "recipes",
    "data",
];

#[test]
fn every_verb_has_its_help() {
    let place = Place::new();
    let help = place.ok("--help").stdout;
    for verb in VERBS {
        assert!(help.lines().any(|line| line.trim_start().starts_with(verb)), "{verb} is not in: {help}");
        let own = place.ok(&format!("{verb} --help"));
        assert!(
            own.stdout.contains(&format!("Usage: narrows {verb}")) && own.stderr.is_empty(),
            "{}",
            own.stdout
        );
        assert!(
            own.stdout.lines().next().is_some_and(|line| line.len() > 10),
            "says what it does: {}",
            own.stdout
        );
        // Each option has a line of help, not only a name; long names have it on the line below.
        let lines: Vec<&str> = own.stdout.lines().collect();
        for pair in lines.windows(2).filter(|pair| pair[0].trim_start().starts_with("--")) {
            let is_option = |line: &str| line.trim_start().starts_with('-') || line.trim().is_empty();
            assert!(pair[0].split_whitespace().count() > 2 || !is_option(pair[1]), "{verb}: {}", pair[0]);
        }
    }
    assert!(place.ok("--version").stdout.starts_with("narrows 0."));
    let fit = place.ok("fit --help").stdout;
    for option in "--out --code-size --layers --pretrain --epochs --batch-size --seed --threads --held-out --shape --label-column --labels-file --report --set --json --start-from --labelled-rows".split(' ') {
        assert!(fit.contains(option), "{option}");
    }
}

#[test]
fn wrong_usage_ends_with_2() {
    let place = Place::new();
    for line in [
        "",
        "fti",
        "fit",
        "fit pca",
        "fit pca iris --epoch 3",
        "fit pca iris --threads 0",
        "fit pca iris --seed -1",
        "fit pca iris --label-column a --labels-file b",
        "fit pca iris --data iris",
        "encode",
        "encode m.narrows iris",
        "data iris iris",
        "recipes all",
    ] {
        let run = place.run(line);
        assert_eq!(run.code, 2, "{line}: {}", run.stderr);
        assert!(run.stdout.is_empty(), "{line}: {}", run.stdout);
        assert!(
            run.stderr.contains("Usage: narrows") || run.stderr.starts_with("error: "),
            "{line}: {}",
            run.stderr
        );
    }
    assert!(place.run("fit pca iris --epoch 3").stderr.contains("--epochs"));
    assert_eq!(place.list("."), [""; 0]);
}

#[test]
fn recipes_are_listed_and_shown() {
    let place = Place::new();
    let list = place.ok("recipes").stdout;
    for recipe in ["pca", "single", "deep", "conv", "denoising"] {
        let line = list.lines().find(|line| line.split_whitespace().next() == Some(recipe));
        assert!(line.is_some_and(|line| line.split_whitespace().count() > 4), "{list}");
        let shown = place.ok(&format!("show {recipe}")).stdout;
        assert!(shown.contains("method = ") && shown.contains("(code)"), "{shown}");
    }
    // Keras' summary of the deep autoencoder: 222,384 parameters.
    let deep = place.ok("show deep").stdout;
    assert!(deep.contains("222384 parameters, for rows of 28x28x1"), "{deep}");
    let json = place.json("show deep --json");
    assert_eq!((json.len(), &json[0]["parameters"]), (1, &222_384.into()));
    let layers = json[0]["layers"].as_array().unwrap();
    let counts: Vec<u64> = layers.iter().map(|layer| layer["parameters"].as_u64().unwrap()).collect();
    assert_eq!(counts.iter().sum::<u64>(), 222_384);
    // JSON has the field names of recipe files, not those of model files.
    let recipe = &json[0]["recipe"];
    assert_eq!((&recipe["train"]["batch_size"], &recipe["weights"]["init"]), (&128.into(), &"glorot".into()));
    assert_eq!(counts[0], 785 * 128);
    assert_eq!(place.json("show single --shape 10 --code-size 3 --json")[0]["parameters"], 11 * 3 + 4 * 10);
    // What `show` prints below the table is a recipe again.
    let text = &deep[deep.find("method = ").unwrap()..];
    place.write("again.toml", text);
    assert_eq!(place.json("show again.toml --json")[0]["recipe"], json[0]["recipe"]);
}

#[test]
fn networks_on_images_are_shown_for_any_size() {
    let place = Place::new();
    // Keras' summary of the convolutional autoencoder: 4,385 parameters.
    let conv = place.ok("show conv").stdout;
    assert!(conv.contains("4385 parameters, for rows of 28x28x1") && conv.contains("MiB"), "{conv}");
    assert!(!conv.contains("does not compress"), "{conv}");
    for (shape, last) in [("27x31x3", [27, 31, 3]), ("73x144x1", [73, 144, 1]), ("28x28", [28, 28, 1])] {
        let layers = &place.json(&format!("show conv --shape {shape} --json"))[0]["layers"];
        let layers = layers.as_array().unwrap();
        assert_eq!(layers.last().unwrap()["output"], serde_json::json!(last));
        assert_eq!(layers.iter().filter(|layer| layer["is_code"] == true).count(), 1);
    }
    let denoising = place.ok("show denoising").stdout;
    assert!(denoising.contains("gaussian noise 0.5, clipped to 0..1"), "{denoising}");
    assert!(denoising.contains("1568 numbers for the 784 of a row: it does not compress"), "{denoising}");
    let shown = &place.json("show denoising --json")[0];
    assert_eq!((&shown["multiply_adds"], &shown["code_size"]), (&4_515_840.into(), &1568.into()));
    let refused = place.run("show conv --shape 784");
    assert_eq!(refused.code, 1);
    assert!(
        refused.stderr.contains("encoder[0]") && refused.stderr.contains("--shape"),
        "{}",
        refused.stderr
    );
}

#[test]
fn models_are_shown() {
    let place = Place::new();
    let done = place.fit("pca iris --code-size 2 --out m.narrows --report r");
    let shown = &place.json("show m.narrows --json")[0];
    for field in
        ["parameters", "code_size", "training_rows", "train_loss", "held_out", "baselines", "verdict"]
    {
        assert_eq!(shown[field], done[field], "{field}");
    }
    assert_eq!(shown["training_rows"], 135);
    let text = place.ok("show m.narrows").stdout;
    assert!(text.contains(done["verdict"].as_str().unwrap()) && text.contains("code_size = 2"), "{text}");
}

#[test]
fn data_is_listed_and_described() {
    let place = Place::new();
    let list = place.ok("data").stdout;
    for name in ["mnist ", "mnist:test ", "iris "] {
        assert!(list.lines().any(|line| line.trim_start().starts_with(name)), "{list}");
    }
    assert!(list.contains("CC BY"), "the licences: {list}");
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ");
    let iris = words(&place.ok("data iris").stdout);
    assert!(iris.contains("rows 150") && iris.contains("4 numbers") && iris.contains("0.1 to 2.5"), "{iris}");
    assert!(iris.contains("(50)") && iris.contains("petal width (cm)"), "{iris}");
    let digits = words(&place.ok("data mnist:test").stdout);
    // The classes of the test images, as counted by their makers.
    assert!(
        digits.contains("rows 10000") && digits.contains("0 (980), 1 (1135)") && digits.contains("9 (1009)"),
        "{digits}"
    );
    place.write("t.csv", "a,b,kind\n1,2,x\n3,4,y\n5,6,x\n");
    let table = words(&place.ok("data t.csv --label-column kind").stdout);
    assert!(
        table.contains("rows 3") && table.contains("x (2), y (1)") && table.contains("b number 2, 4, 6"),
        "{table}"
    );
}
