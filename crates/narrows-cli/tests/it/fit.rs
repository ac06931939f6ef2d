//! fit: the contract of its lines of JSON, where its files go, and every option.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::run::{Place, Run, npy, number};

/// DESIGN.md: the fields of the last line.
const DONE: &str = "event recipe model parameters code_size threads simd epochs ended steps seconds training_rows \
                    train_loss held_out baselines verdict report";

/// The metrics on the held-out rows.
const HELD_OUT: &str = "rows loss bce bce_floor mse squared_error_per_row explained_variance dead_units";

#[test]
fn a_pca_prints_one_line_with_the_published_ratios() {
    let place = Place::new();
    let run = place.ok("fit pca iris --held-out iris --json");
    let lines = run.json();
    assert_eq!(lines.len(), 1);
    let done = &lines[0];
    for field in DONE.split_whitespace() {
        assert!(done.get(field).is_some(), "{field} is missing in {done}");
    }
    for field in HELD_OUT.split_whitespace() {
        assert!(done["held_out"].get(field).is_some(), "held_out.{field} is missing in {done}");
    }
    assert_eq!(done["event"], "fit");
    assert_eq!((&done["recipe"], &done["code_size"]), (&"pca".into(), &4.into()));
    assert_eq!(done["held_out"]["bce"], Value::Null);
    let ratios: Vec<f64> = done["explained_variance_ratio"]
        .as_array()
        .unwrap()
        .iter()
        .map(|ratio| ratio.as_f64().unwrap())
        .collect();
    assert_eq!(ratios.len(), 4);
    for (got, want) in ratios.iter().zip([0.92461872, 0.05306648, 0.01710261, 0.00521218]) {
        assert!((got - want).abs() < 5e-9, "{ratios:?}");
    }
    // 149/150 of the sum of the eigenvalues (METHODS 11).
    let mean = 149.0 / 150.0 * (4.228_241_71 + 0.242_670_75 + 0.078_209_50 + 0.023_835_09);
    assert!((number(&done["baselines"], "mean") - mean).abs() < 1e-7);
    for method in ["pca", "linear"] {
        assert!(number(&done["baselines"], method).abs() < 1e-9, "four components lose nothing");
    }
    assert!((number(&done["held_out"], "explained_variance") - 1.0).abs() < 1e-9);
    assert!(done["verdict"].as_str().unwrap().contains("PCA-4 keeps 100.0 %"));
    assert_eq!(place.list("."), ["runs"]);
}

#[test]
fn runs_are_numbered_and_the_report_lies_beside_the_model() {
    let place = Place::new();
    for number in 1..=3 {
        let done = place.fit("pca iris");
        assert_eq!(done["model"], format!("runs/pca-iris-{number}/model.narrows"));
        assert_eq!(done["report"], format!("runs/pca-iris-{number}/report.html"));
    }
    assert_eq!(place.list("runs"), ["pca-iris-1", "pca-iris-2", "pca-iris-3"]);
    let files = place.list("runs/pca-iris-1");
    for file in ["model.narrows", "report.html", "codes.png", "codes.svg", "comparison.svg", "spectrum.svg"] {
        assert!(files.iter().any(|name| name == file), "{file} is not among {files:?}");
    }
    // The same run is the same bytes, pictures and page included.
    for file in &files {
        assert!(
            place.bytes(&format!("runs/pca-iris-1/{file}"))
                == place.bytes(&format!("runs/pca-iris-3/{file}")),
            "{file}"
        );
    }
    assert!(place.bytes("runs/pca-iris-1/codes.png").starts_with(b"\x89PNG\r\n\x1a\n"));
    let page = String::from_utf8(place.bytes("runs/pca-iris-1/report.html")).unwrap();
    assert!(page.contains("PCA-4 keeps") && page.contains("<html") && page.trim_end().ends_with("</html>"));
    // The page is whole by itself: it fetches nothing.
    assert!(!page.contains("src=\"http") && !page.contains("<script src"));
    // The name of a run has no character that a shell or a file system stumbles over.
    let done = place.fit("pca mnist:test --code-size 2");
    assert_eq!(done["model"], "runs/pca-mnist-test-1/model.narrows");
}

#[test]
fn epochs_are_lines_and_threads_change_no_byte() {
    let place = Place::new();
    let mut first: Option<Vec<Value>> = None;
    for threads in [1, 2, 3, 4, 4, 3, 2, 1] {
        let lines = place.json(&format!("fit single mnist:test --epochs 2 --code-size 8 --out {threads}.narrows --report r --json --threads {threads}"));
        let kinds: Vec<&str> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["epoch", "epoch", "fit"]);
        for (at, line) in lines[..2].iter().enumerate() {
            assert_eq!(line["epoch"], at + 1);
            assert!(
                number(line, "train_loss") > 0.0
                    && number(line, "held_out_loss") > 0.0
                    && number(line, "seconds") > 0.0
            );
        }
        let done = &lines[2];
        assert_eq!(done["threads"], threads);
        assert_eq!(done["parameters"], 785 * 8 + 9 * 784);
        let seconds: f64 = lines[..2].iter().map(|line| number(line, "seconds")).sum();
        assert!((number(done, "seconds") - seconds).abs() < 1e-6, "the time is that of the epochs");
        assert_eq!(done["train_loss"], lines[1]["train_loss"]);
        // Judged by two roads, in batches while training and in chunks afterwards.
        let judged = number(&lines[1], "held_out_loss");
        assert!((number(&done["held_out"], "loss") / judged - 1.0).abs() < 1e-5);
        assert!(number(&lines[1], "train_loss") < number(&lines[0], "train_loss"), "it learns");
        assert!(number(&done["held_out"], "bce") > number(&done["held_out"], "bce_floor"));
        assert!(place.bytes(&format!("{threads}.narrows")) == place.bytes("1.narrows"), "{threads} threads");
        let figures = |lines: &[Value]| {
            lines
                .iter()
                .map(|line| {
                    (line["train_loss"].clone(), line["held_out_loss"].clone(), line["held_out"].clone())
                })
                .collect::<Vec<_>>()
        };
        let first = first.get_or_insert_with(|| lines.clone());
        assert_eq!(figures(first), figures(&lines));
    }
}

#[test]
fn without_json_a_table_and_the_paths_are_printed() {
    let place = Place::new();
    let run = place.ok("fit pca iris --code-size 2");
    for part in [
        "135 of iris",
        "15 of iris:held-out",
        "squared error per row",
        "PCA-2 keeps",
        "runs/pca-iris-1/model.narrows",
        "runs/pca-iris-1/report.html",
    ] {
        assert!(run.stdout.contains(part), "{part} is not in: {}", run.stdout);
    }
    assert!(!run.stdout.contains('\u{1b}'), "no colours for a pipe");
    assert!(run.stderr.is_empty(), "no bar for a pipe: {}", run.stderr);
}

#[test]
fn options_change_what_they_name() {
    let place = Place::new();
    let done = place.fit("single --layers 784-64-16 mnist:test --epochs 1 --out m.narrows --report r");
    assert_eq!((&done["code_size"], &done["epochs"]), (&16.into(), &1.into()));
    assert_eq!(done["parameters"], 785 * 64 + 65 * 16 + 17 * 64 + 65 * 784);
    let quick = "iris --set scale=min_max --set loss=mse --epochs 3 --out m.narrows --report r";
    assert_eq!(place.fit(&format!("deep --code-size 5 {quick}"))["code_size"], 5);
    // A seed, a batch and a rate: other numbers; the same ones again: the same.
    let loss = |more: &str| number(&place.fit(&format!("single --code-size 4 {quick} {more}")), "train_loss");
    let plain = loss("");
    assert_eq!(plain, loss("--seed 0 --batch-size 128 --set train.learning_rate=1.0"));
    for other in [
        "--seed 1",
        "--batch-size 32",
        "--set train.learning_rate=0.5",
        "--set train.optimizer=adam --set train.learning_rate=0.01",
    ] {
        assert_ne!(plain, loss(other), "{other}");
    }
    // A field by --set is the option's field.
    assert_eq!(loss("--batch-size 20"), loss("--set train.batch_size=20"));
}

#[test]
fn held_out_rows_are_a_share_or_other_data() {
    let place = Place::new();
    let rows = |more: &str| {
        place.fit(&format!("pca iris --code-size 2 --out m.narrows --report r {more}"));
        let shown = place.json("show m.narrows --json")[0].clone();
        (shown["training_rows"].as_u64().unwrap(), shown["held_out"]["rows"].as_u64().unwrap())
    };
    assert_eq!(rows(""), (135, 15));
    assert_eq!(rows("--held-out 0.25"), (112, 38));
    assert_eq!(rows("--held-out iris"), (150, 150));
    place.write("few.csv", "5.1,3.5,1.4,0.2\n7.0,3.2,4.7,1.4\n");
    assert_eq!(rows("--held-out few.csv"), (150, 2));
    // Which rows are held out is the seed's choice.
    let error = |seed: u64| {
        let done = place.fit(&format!("pca iris --code-size 2 --seed {seed}"));
        number(&done["held_out"], "squared_error_per_row")
    };
    assert_eq!(error(1), error(1));
    assert_ne!(error(1), error(2));
}

#[test]
fn tables_images_and_labels_come_from_files() {
    let place = Place::new();
    let mut table = "a,b,c,d,kind\n".to_owned();
    let mut labels = String::new();
    for i in 0..40u32 {
        let x = |j: u32| f64::from((i * 37 + j * 101 + i * i * j) % 97) / 97.0;
        table +=
            &format!("{},{},{},{},{}\n", x(1), x(2), x(3), x(4), if i % 3 == 0 { "red" } else { "blue" });
        labels += if i % 3 == 0 { "red\n" } else { "blue\n" };
    }
    place.write("t.csv", &table);
    let plain: String =
        table.lines().map(|line| line.rsplit_once(',').unwrap().0.to_owned() + "\n").collect();
    place.write("plain.csv", plain);
    place.write("labels.txt", labels);
    let by_column = place.fit("pca t.csv --label-column kind --out a.narrows --report a");
    place.fit("pca t.csv --label-column 5 --out b.narrows --report b");
    place.fit("pca plain.csv --labels-file labels.txt --out c.narrows --report c");
    assert_eq!(by_column["code_size"], 4);
    assert_eq!(place.bytes("a.narrows"), place.bytes("b.narrows"));
    // The label is a column of the table in one model, and not there in the other.
    place.ok("encode a.narrows plain.csv --out a.npy");
    place.ok("encode c.narrows plain.csv --out c.npy");
    assert_eq!(place.bytes("a.npy"), place.bytes("c.npy"));
    // The classes colour the map, from either source alike.
    let map = String::from_utf8(place.bytes("a/codes.svg")).unwrap();
    assert!(map.contains("red") && map.contains("blue"));
    assert_eq!(place.bytes("a/codes.svg"), place.bytes("c/codes.svg"));

    // A flat row that is said to be an image is drawn, and written, as one.
    place.fit("pca plain.csv --shape 2x2 --code-size 2 --out d.narrows --report d");
    assert!(
        place.list("d").contains(&"weights.png".to_owned())
            && !place.list("a").contains(&"weights.png".to_owned())
    );
    place.ok("reconstruct d.narrows plain.csv --out y.npy");
    assert_eq!(npy(&place.path("y.npy")).1, [40, 2, 2]);
    // What the program wrote itself it can read: .npy as data.
    place.ok("encode a.narrows plain.csv --out codes.npy");
    assert_eq!(place.fit("pca codes.npy --held-out codes.npy")["code_size"], 4);
}

#[test]
fn a_recipe_of_ones_own_is_a_file() {
    let place = Place::new();
    place.write(
        "mine.toml",
        "method = \"autoencoder\"\nabout = \"mine\"\nscale = \"standard\"\nencoder = [{ dense = 6 }, \"tanh\", { dense = 2 }]\n\
         decoder = [{ dense = 6 }, \"tanh\", { dense = \"input\" }]\nloss = \"mse\"\n[train]\noptimizer = \"adam\"\nrate = 0.01\nepochs = 150\nbatch = 15\n",
    );
    let done = place.fit("mine.toml iris --held-out iris");
    assert_eq!(
        (&done["recipe"], &done["code_size"], &done["epochs"]),
        (&"mine".into(), &2.into(), &150.into())
    );
    assert_eq!(done["model"], "runs/mine-iris-1/model.narrows");
    assert!(number(&done["held_out"], "explained_variance") > 0.9, "{done}");
    // What was asked for is in the model, word for word.
    let recipe = place.json("show runs/mine-iris-1/model.narrows --json")[0]["recipe"].clone();
    assert_eq!(recipe, place.json("show mine.toml --shape 4 --json")[0]["recipe"]);
    assert_eq!(recipe["about"], "mine");
}

#[test]
fn plain_arithmetic_learns_nearly_the_same() {
    let place = Place::new();
    let line = "fit single mnist:test --epochs 1 --code-size 8 --out m.narrows --report r --json";
    let fast = place.json(line).pop().unwrap();
    let slow = Run::of(place.command(line).env("NARROWS_SIMD", "plain").output().unwrap());
    assert_eq!(slow.code, 0);
    let slow = slow.json().pop().unwrap();
    assert_eq!(slow["simd"], "plain");
    let (a, b) = (number(&fast["held_out"], "loss"), number(&slow["held_out"], "loss"));
    assert!((a / b - 1.0).abs() < 0.01, "{a} {b}");
}

#[cfg(unix)]
#[test]
fn an_interrupted_fit_keeps_its_best_model_ends_with_the_code_of_its_signal_and_can_be_resumed() {
    for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let place = Place::new();
        let fit = "fit single mnist:test --held-out mnist:test --code-size 4 --out m.narrows --json --epochs";
        let mut child = place
            .command(&format!("{fit} 100000"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        assert!(first.contains("\"event\":\"epoch\""), "{first}");
        // To this child alone.
        let sent = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status();
        assert!(sent.unwrap().success());
        let mut printed = vec![serde_json::from_str::<Value>(&first).unwrap()];
        printed.extend(lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap()));
        assert_eq!(child.wait().unwrap().code(), Some(code));
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        for part in ["interrupted", "m.narrows", "--resume"] {
            assert!(stderr.contains(part), "`{part}` is not in: {stderr}");
        }
        let done = printed.pop().unwrap();
        assert_eq!((&done["event"], &done["ended"]), (&"fit".into(), &"interrupted".into()));
        assert_eq!(done["epochs"], printed.len());
        assert!(done["held_out"].is_null() && printed.len() < 10_000);
        // The model and the state to go on from; no report, nothing half-written, no lock.
        assert_eq!(place.list("."), ["m.narrows", "m.narrows.checkpoint"]);
        // The best of the finished epochs was kept: its loss is the least of those printed.
        let found = &place.json("evaluate m.narrows mnist:test --json")[0];
        let best = printed.iter().map(|line| number(line, "held_out_loss")).fold(f64::INFINITY, f64::min);
        assert!((number(&found["evaluation"], "loss") / best - 1.0).abs() < 1e-5);

        let more = printed.len() + 1;
        let resumed = place.json(&format!("{fit} {more} --resume"));
        assert_eq!(
            (resumed.len(), &resumed[0]["epoch"], &resumed[1]["epochs"]),
            (2, &more.into(), &more.into())
        );
        assert!(!place.path("m.narrows.checkpoint").exists(), "the model is saved");
    }
}

#[test]
fn a_diverging_fit_fails_and_leaves_a_model_that_works() {
    let place = Place::new();
    for rate in ["1000.0", "1e10", "1e30", "1e38"] {
        let line = format!(
            "fit single iris --set loss=mse --set scale=none --set decoder=[{{dense=\"input\"}}] --set train.optimizer=sgd \
             --set train.learning_rate={rate} --epochs 5 --out m.narrows --report r --json"
        );
        let run = place.run(&line);
        assert_eq!(run.code, 1, "{line}");
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
        for part in
            ["error: training diverged", "epoch ", "step ", "coder.1", "train.learning_rate", "m.narrows"]
        {
            assert!(run.stderr.contains(part), "`{part}` is not in: {}", run.stderr);
        }
        let done = run.json().pop().unwrap();
        assert_eq!(done["ended"], "diverged");
        let found = &place.json("evaluate m.narrows iris --json")[0];
        assert!(found["evaluation"]["squared_error_per_row"].is_number(), "{found}");
        place.ok("encode m.narrows iris --out codes.npy");
        assert!(npy(&place.path("codes.npy")).2.iter().all(|code| code.is_finite()));
    }
}

#[test]
fn layers_that_were_trained_alone_are_told_one_by_one() {
    let place = Place::new();
    let fit = "fit stacked mnist:test --layers 784-30-8 --epochs 1 --set pretrain.epochs=1 --pretrain relu,denoising --out m.narrows --report";
    let done = place.json(&format!("{fit} r --json")).pop().unwrap();
    let layers = done["pretraining"].as_array().unwrap();
    // The first gives back the rows; the second what a layer of ReLU gives.
    let told: Vec<_> =
        layers.iter().map(|layer| (&layer["inputs"], &layer["units"], &layer["loss_name"])).collect();
    assert_eq!(told, [(&784.into(), &30.into(), &"BCE".into()), (&30.into(), &8.into(), &"MSE".into())]);
    let files = place.list("r");
    let page = String::from_utf8(place.bytes("r/report.html")).unwrap();
    for (at, layer) in layers.iter().enumerate() {
        for end in ["loss.svg", "loss.png", "weights.png"] {
            let file = format!("layer-{}-{end}", at + 1);
            assert!(files.contains(&file), "{file} is not among {files:?}");
        }
        let dead = format!("{} of {}", layer["dead_units"].as_u64().unwrap(), layer["units"]);
        let section = page.split("<h2>").find(|part| part.starts_with(&format!("Layer {} alone", at + 1)));
        let section = section.unwrap_or_else(|| panic!("no section for layer {}", at + 1));
        assert!(section.contains(&format!("<dd>{dead}</dd>")) && section.contains("masking noise 0.25"));
        assert!(section.contains(&format!("<dd>{:.5}</dd>", number(layer, "held_out_loss"))));
    }
    // Time is not among what a page depends on.
    let run = place.ok(&format!("{fit} again"));
    assert!(run.stdout.contains("of 30 units dead"), "{}", run.stdout);
    for file in files {
        assert!(place.bytes(&format!("r/{file}")) == place.bytes(&format!("again/{file}")), "{file}");
    }
    let shown = place.ok("show stacked --layers 784-30-8 --pretrain tanh,sparse").stdout;
    for part in ["dense 30, tanh", "[pretrain.sparsity]", "l1 = "] {
        assert!(shown.contains(part), "{part} is not in: {shown}");
    }
    assert!(!place.ok("show stacked --pretrain none").stdout.contains("pretrain"));
}
