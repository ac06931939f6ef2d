//! Every mistake is one line that says where it is and what to do; nothing else is printed, and nothing is written.

use super::run::Place;

/// A folder with a model and some files that are not what they seem.
fn place() -> Place {
    let place = Place::new();
    place.fit("pca iris --code-size 2 --out m.narrows --report r");
    place.write("two.csv", "a,b\n1,2\n3,4\n5,7\n");
    place.write("ragged.csv", "a,b\n1,2\n3\n");
    // One text among numbers is a slip, not a category.
    let numbers: String = (0..20).map(|row| format!("{},{}\n", row * row % 7, row)).collect();
    place.write("words.csv", format!("a,b\n1,2\n3,blue\n{numbers}"));
    place.write("one.csv", "a,b\n1,2\n");
    place.write("empty.csv", "");
    place.write("broken.toml", "method = \"pca\n");
    place.write("later.toml", "# a comment\nmethod = \"pca\"\nscale = = 3\n");
    place.write("misspelt.toml", "method = \"pca\"\ncode_sise = 3\n");
    place.write("layer.toml", "method = \"autoencoder\"\nloss = \"mse\"\nencoder = [{ dense = 2 }, \"rellu\"]\ndecoder = [{ dense = \"input\" }]\n");
    place.write(
        "narrow.toml",
        "method = \"autoencoder\"\nloss = \"mse\"\nencoder = [{ dense = 2 }]\ndecoder = [{ dense = 3 }]\n",
    );
    place.write("picture.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR");
    place.write(
        "cut.npy",
        b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f8', 'fortran_order': False, 'shape': (9, 9), }",
    );
    place.write("cut.narrows", &place.bytes("m.narrows")[..500]);
    let mut flipped = place.bytes("m.narrows");
    let last = flipped.len() - 3;
    flipped[last] ^= 1;
    place.write("flipped.narrows", flipped);
    place
}

#[test]
fn each_mistake_is_one_line_that_says_where_and_what() {
    let place = place();
    let before = place.list(".");
    // What is typed; what the line must say.
    let cases: &[(&str, &[&str])] = &[
        // Recipes.
        (
            "fit sigle iris",
            &[
                "sigle",
                "did you mean `single`",
                "pca, linear, tied, single, sparse, deep, conv, denoising, wide, stacked, vae",
            ],
        ),
        ("fit absent.toml iris", &["absent.toml", "path of a TOML file"]),
        ("fit broken.toml iris", &["broken.toml", "line 1"]),
        ("fit later.toml iris", &["later.toml", "line 3, column 9"]),
        ("fit misspelt.toml iris", &["misspelt.toml", "code_sise", "did you mean `code_size`"]),
        ("fit layer.toml iris", &["layer.toml", "encoder[1]", "did you mean `relu`"]),
        ("fit narrow.toml iris", &["decoder", "3", "4", "{ dense = \"input\" }"]),
        ("fit picture.png iris", &["picture.png"]),
        ("fit single iris --set train.epoch=3", &["train", "epoch", "did you mean `epochs`"]),
        ("fit single iris --set train.learning_rate=fast", &["train.learning_rate", "fast"]),
        ("fit single iris --set train.learning_rate=-1", &["train.learning_rate", "-1"]),
        ("fit single iris --set train.rho=2", &["train.rho", "2"]),
        ("fit single iris --set train.epochs", &["train.epochs", "FIELD=VALUE"]),
        ("fit single iris --set loss=hubert", &["loss", "did you mean `huber`"]),
        ("fit single iris --set loss=mse --set encoder=[]", &["encoder", "at least one layer"]),
        ("fit linear iris", &["weights.init", "32 code units", "--code-size"]),
        ("fit single iris --epochs 0", &["train.epochs", "at least 1"]),
        ("fit single iris --batch-size 0", &["train.batch_size", "at least 1"]),
        ("fit single iris --layers 5-3", &["5-3", "4 numbers"]),
        ("fit single iris --layers 4", &["expected widths", "4-128-32"]),
        ("fit single iris --layers 4-x", &["4-x", "expected widths"]),
        ("fit single iris --code-size 0", &["code_size", "at least 1"]),
        (
            "fit stacked mnist:test --pretrain rellu",
            &["pretrain: ", "rellu", "did you mean `relu`", "denoising"],
        ),
        ("fit stacked mnist:test --pretrain tanh,relu", &["pretrain: ", "tanh and relu"]),
        ("fit stacked mnist:test --layers 784-9 --pretrain relu", &["pretrain: ", "no layer is hidden"]),
        (
            "fit stacked iris --layers 4-3-2 --set pretrain.noise={masking_nois=0.5}",
            &["pretrain.noise", "did you mean `masking_noise`"],
        ),
        (
            "fit stacked iris --layers 4-3-2 --set pretrain.noise={masking_noise=1.5}",
            &["pretrain.noise", "masking_noise", "1.5"],
        ),
        ("fit conv mnist:test --pretrain denoising", &["pretrain", "encoder[0]", "dense layers"]),
        ("fit pca iris --pretrain relu", &["pretrain: ", "PCA", "stacked"]),
        ("fit pca iris --layers 4-2", &["layers: ", "--code-size"]),
        ("fit pca iris --code-size 5", &["code size 5", "1 to 4"]),
        ("fit pca iris --code-size 0", &["code_size", "at least one"]),
        // Data.
        ("fit pca irsi", &["irsi", "did you mean `iris`"]),
        ("fit pca absent.csv", &["absent.csv", "no such file"]),
        ("fit pca .", &["folders"]),
        ("fit pca picture.png", &["picture.png", "damaged"]),
        ("fit pca broken.toml", &["broken.toml", "these are read"]),
        ("fit pca empty.csv", &["empty.csv"]),
        ("fit pca ragged.csv", &["ragged.csv", "3"]),
        ("fit pca words.csv", &["words.csv", "line 3", "blue", "column `b`"]),
        ("fit pca one.csv", &["one.csv", "one row"]),
        ("fit pca cut.npy", &["cut.npy"]),
        ("fit pca iris --label-column species", &["--label", "--labels"]),
        ("fit pca two.csv --label-column kind", &["two.csv", "kind"]),
        ("fit pca two.csv --labels-file absent.txt", &["absent.txt"]),
        ("fit pca iris --labels-file two.csv", &["two.csv"]),
        ("fit pca iris --shape 3x3", &["3x3", "4 numbers"]),
        ("fit pca iris --shape 2xtwo", &["2xtwo", "HEIGHTxWIDTH"]),
        ("fit pca iris --held-out 1.5", &["--held-out", "1.5", "below 1"]),
        ("fit pca iris --held-out 0", &["--held-out", "above 0"]),
        ("fit pca iris --held-out two.csv", &["two.csv", "are missing"]),
        ("fit pca iris --held-out absent.npy", &["absent.npy"]),
        // BCE on numbers that are no shares: the first flower is 5.1 cm long.
        ("fit single iris --set scale=unit", &["iris", "row 1, column 1", "5.1", "min_max", "mse"]),
        (
            "fit deep two.csv --held-out 0.4 --set scale=unit",
            &["two.csv", "row 1, column ", "outside 0..1", "min_max"],
        ),
        // Where nothing can be written.
        ("fit pca iris --out two.csv/m.narrows", &["two.csv/m.narrows", "cannot write"]),
        ("fit pca iris --out new.narrows --report two.csv", &["two.csv", "cannot write"]),
        ("fit pca iris --out r", &["r: cannot write"]),
        ("encode m.narrows iris --out two.csv/x.npy", &["two.csv/x.npy", "cannot write"]),
        // Models, and what they are applied to.
        ("encode absent.narrows iris --out x.npy", &["absent.narrows", "cannot read"]),
        ("encode two.csv iris --out x.npy", &["two.csv"]),
        ("encode cut.narrows iris --out x.npy", &["cut.narrows", "damaged", "use a copy"]),
        ("evaluate flipped.narrows iris", &["flipped.narrows", "damaged", "use a copy"]),
        ("show flipped.narrows", &["flipped.narrows", "damaged"]),
        ("encode m.narrows two.csv --out x.npy", &["two.csv", "are missing"]),
        ("decode m.narrows iris --out x.npy", &["iris", "4 numbers", "codes have 2"]),
        ("reconstruct m.narrows two.csv --out x.npy", &["two.csv", "are missing"]),
        ("evaluate m.narrows mnist:test", &["mnist:test", "784 numbers", "rows of 4"]),
        ("encode m.narrows iris --out x.txt", &["x.txt", ".csv, .tsv, .npy"]),
        ("encode m.narrows iris --out x", &["x", ".csv, .tsv, .npy"]),
        ("show absent", &["absent", "recipes: pca"]),
        ("show deep --shape 0x3", &["0x3"]),
        ("data absent.csv", &["absent.csv", "built in are"]),
        ("data mnsit", &["mnsit", "did you mean `mnist`?", "`iris`"]),
    ];
    for (line, parts) in cases {
        for json in [false, true] {
            let has_json = ["fit", "evaluate", "show"].iter().any(|verb| line.starts_with(verb));
            if json && !has_json {
                continue;
            }
            let run = place.run(&format!("{line}{}", if json { " --json" } else { "" }));
            assert_eq!(run.code, 1, "{line}: {}{}", run.stdout, run.stderr);
            assert!(run.stdout.is_empty(), "{line}: {}", run.stdout);
            assert!(run.stderr.starts_with("error: "), "{line}: {}", run.stderr);
            assert_eq!(run.stderr.lines().count(), 1, "{line}: {}", run.stderr);
            for part in *parts {
                assert!(run.stderr.contains(part), "{line}: `{part}` is not in: {}", run.stderr);
            }
            assert!(run.stderr.matches("os error").count() <= 1, "the reason is said once: {}", run.stderr);
        }
    }
    assert_eq!(place.list("."), before, "a refused run leaves nothing");
}

#[test]
fn an_old_model_survives_a_refused_run() {
    let place = place();
    let before = place.bytes("m.narrows");
    for line in [
        "fit single iris --set scale=unit --out m.narrows --report r",
        "fit pca iris --code-size 9 --out m.narrows --report r",
    ] {
        assert_eq!(place.run(line).code, 1);
        assert_eq!(place.bytes("m.narrows"), before);
    }
}

#[test]
fn held_out_rows_may_reach_beyond_a_range_learned_from_the_training_rows() {
    let place = Place::new();
    let mut table = "a,b\n".to_owned();
    for i in 1..=20 {
        table += &format!("{},{}\n", i * 7 % 20 + 1, i % 7);
    }
    place.write("t.csv", table);
    place.write("v.csv", "a,b\n5,5\n25,3\n");
    let run = place
        .run("fit single t.csv --held-out v.csv --epochs 1 --set scale=min_max --out m.narrows --report r");
    assert_eq!(run.code, 0, "{}", run.stderr);
    // With no range learned they are refused, as training rows are.
    let run = place.run("fit single t.csv --held-out v.csv --epochs 1 --set scale=unit");
    assert_eq!(run.code, 1);
    assert!(
        run.stderr.contains("t.csv: row 1, column 1: 8") && run.stderr.contains("min_max"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_pca_has_no_epochs_and_labels_belong_to_the_training_rows() {
    let place = Place::new();
    let run = place.run("fit pca iris --epochs 3");
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("without epochs"), "{}", run.stderr);
    place.write("t.csv", "a,b\n1,2\n3,5\n4,1\n");
    place.write("l.csv", "class\nx\ny\nx\n");
    place.write("v.csv", "a,b\n2,2\n");
    let run = place.run("fit pca t.csv --labels-file l.csv --held-out v.csv --out m.narrows --report r");
    assert_eq!(run.code, 0, "{}", run.stderr);
}
