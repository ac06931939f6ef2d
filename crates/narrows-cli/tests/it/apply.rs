//! encode, decode, reconstruct, evaluate: what one process writes, another reads, and the numbers are the same.

use super::run::{Place, csv, npy, number};

#[test]
fn encode_then_decode_is_reconstruct_for_a_pca_in_double_precision() {
    let place = Place::new();
    place.fit("pca iris --held-out iris --code-size 2 --out m.narrows --report r");
    place.ok("encode m.narrows iris --out codes.npy");
    place.ok("decode m.narrows codes.npy --out decoded.npy");
    place.ok("reconstruct m.narrows iris --out rebuilt.npy");
    let (dtype, shape, codes) = npy(&place.path("codes.npy"));
    assert_eq!((&*dtype, &*shape), ("<f8", &[150, 2][..]));
    // scikit-learn: PCA(2).fit_transform(iris)[0]
    assert!(
        (codes[0] + 2.684_125_63).abs() < 1e-8 && (codes[1] - 0.319_397_25).abs() < 1e-8,
        "{:?}",
        &codes[..2]
    );
    let decoded = npy(&place.path("decoded.npy"));
    assert_eq!((&*decoded.0, &*decoded.1), ("<f8", &[150, 4][..]));
    assert_eq!(decoded, npy(&place.path("rebuilt.npy")));
    assert_eq!(place.bytes("decoded.npy"), place.bytes("rebuilt.npy"));

    // The same through text: as many digits as it takes.
    place.ok("encode m.narrows iris --out codes.csv");
    place.ok("decode m.narrows codes.csv --out decoded.csv");
    place.ok("reconstruct m.narrows iris --out rebuilt.csv");
    let (header, rows) = csv(&place.path("codes.csv"));
    assert_eq!(header, ["code_1", "code_2", "species"]);
    assert_eq!(rows.concat(), codes);
    let (header, rows) = csv(&place.path("rebuilt.csv"));
    assert_eq!(
        header,
        ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)", "species"]
    );
    assert_eq!(rows.concat(), decoded.2);
    assert_eq!(csv(&place.path("decoded.csv")).1, rows);
}

#[test]
fn encode_then_decode_is_reconstruct_for_images_of_bytes() {
    let place = Place::new();
    place.fit("pca mnist:test --code-size 5 --out pca.narrows --report r");
    place.fit("single mnist:test --code-size 8 --epochs 1 --out net.narrows --report r");
    for (model, k) in [("pca", 5), ("net", 8)] {
        place.ok(&format!("encode {model}.narrows mnist:test --out codes.npy"));
        place.ok(&format!("decode {model}.narrows codes.npy --out decoded.npy"));
        place.ok(&format!("reconstruct {model}.narrows mnist:test --out rebuilt.npy --threads 1"));
        let (dtype, shape, _) = npy(&place.path("codes.npy"));
        assert_eq!((&*dtype, &*shape), ("<f4", &[10_000, k][..]));
        let (_, shape, values) = npy(&place.path("decoded.npy"));
        assert_eq!(shape, [10_000, 28, 28]);
        assert!(place.bytes("decoded.npy") == place.bytes("rebuilt.npy"), "{model}");
        // In the units of the images: bytes, whose mean on the test set is 33.79 (0.1325 x 255). A PCA keeps it; a network
        // after one epoch is somewhere near.
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let tolerance = if model == "pca" { 0.5 } else { 30.0 };
        assert!((mean - 33.79).abs() < tolerance, "{model}: {mean}");
    }
}

#[test]
fn a_network_on_a_table_gives_its_own_units_back() {
    let place = Place::new();
    place.fit("single iris --held-out iris --layers 4-8-2 --set scale=min_max --epochs 200 --batch-size 15 --set train.optimizer=adam --set train.learning_rate=0.01 --out m.narrows --report r");
    place.ok("encode m.narrows iris --out codes.csv");
    place.ok("decode m.narrows codes.csv --out decoded.csv");
    place.ok("reconstruct m.narrows iris --out rebuilt.csv");
    let decoded = csv(&place.path("decoded.csv")).1;
    assert_eq!(decoded, csv(&place.path("rebuilt.csv")).1);
    // Centimetres again: the first flower is 5.1, 3.5, 1.4, 0.2.
    assert_eq!(decoded.len(), 150);
    for (got, want) in decoded[0].iter().zip([5.1, 3.5, 1.4, 0.2]) {
        assert!((got - want).abs() < 0.4, "{:?}", decoded[0]);
    }
}

#[test]
fn a_saved_model_is_worth_the_same_in_another_process() {
    let place = Place::new();
    for (recipe, data) in [
        ("pca --code-size 3", "iris"),
        ("single --epochs 1", "mnist:test"),
        ("deep --epochs 9 --set loss=mse --set scale=standard", "iris"),
    ] {
        let done = place.fit(&format!("{recipe} {data} --held-out {data} --out m.narrows --report r"));
        let found = place.json(&format!("evaluate m.narrows {data} --json --threads 1"));
        assert_eq!(found.len(), 1);
        let found = &found[0];
        assert_eq!(found["event"], "evaluation");
        let evaluation = &found["evaluation"];
        assert_eq!(*evaluation, done["held_out"], "{recipe}: the same metrics under the same names");
        // Two roads to the same number: one sums about the mean in single, one in double precision.
        let (a, b) = (number(evaluation, "mean_squared_error_per_row"), number(&done["baselines"], "mean"));
        assert!((a / b - 1.0).abs() < 1e-6, "{a} {b}");
        let text = place.ok(&format!("evaluate m.narrows {data}")).stdout;
        assert!(text.contains("explained variance"), "{text}");
    }
}

#[test]
fn a_model_in_two_parts_does_what_the_whole_does() {
    let place = Place::new();
    place.fit("tied mnist:test --code-size 6 --epochs 1 --out m.narrows --report r");
    let split = place.ok("split m.narrows");
    assert!(split.stdout.contains("m.encoder.narrows") && split.stdout.contains("m.decoder.narrows"));
    place.ok("encode m.encoder.narrows mnist:test --out codes.csv");
    place.ok("decode m.decoder.narrows codes.csv --out decoded.npy");
    place.ok("reconstruct m.narrows mnist:test --out rebuilt.npy");
    assert!(place.bytes("decoded.npy") == place.bytes("rebuilt.npy"));
    assert!(place.ok("show m.encoder.narrows").stdout.contains("an encoder"));
    for (line, part) in [
        ("encode m.decoder.narrows mnist:test --out x.npy", "the model is a decoder: it cannot encode"),
        ("decode m.encoder.narrows codes.csv --out x.npy", "the model is an encoder: it cannot decode"),
        ("evaluate m.encoder.narrows mnist:test", "the model is an encoder"),
        ("split m.encoder.narrows", "the model is an encoder"),
        ("fit tied mnist:test --start-from m.decoder.narrows", "the model is a decoder"),
    ] {
        let run = place.run(line);
        assert!(run.code == 1 && run.stderr.contains(part), "{line}: {}", run.stderr);
    }
}

#[test]
fn the_way_between_rows_and_pictures_of_rows() {
    let place = Place::new();
    place.fit("pca mnist:test --code-size 6 --out m.narrows --report r");
    place.ok("interpolate m.narrows mnist:test --from-row 1 --to-row 3 --steps 5 --out line.npy");
    place.ok("reconstruct m.narrows mnist:test --out rebuilt.npy");
    let (_, shape, line) = npy(&place.path("line.npy"));
    assert_eq!(shape, [5, 28, 28]);
    let rebuilt = npy(&place.path("rebuilt.npy")).2;
    let near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-2);
    assert!(near(&line[..784], &rebuilt[..784]) && near(&line[4 * 784..], &rebuilt[2 * 784..3 * 784]));
    // Pictures are PNG files, five images wide.
    place.ok("interpolate m.narrows mnist:test --from-row 1 --to-row 3 --steps 5 --out line.png");
    let png = place.bytes("line.png");
    assert_eq!(png[..8], *b"\x89PNG\r\n\x1a\n");
    let side = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    assert!(side(16) > 4 * side(20) && side(16) < 6 * side(20), "{} x {}", side(16), side(20));
    place.fit("pca iris --code-size 2 --out iris.narrows --report r");
    let run = place.run("reconstruct iris.narrows iris --out rows.png");
    assert!(run.code == 1 && run.stderr.contains("no images"), "{}", run.stderr);
    let run = place.run("interpolate m.narrows mnist:test --from-row 1 --to-row 10001 --out line.npy");
    assert!(run.code == 1 && run.stderr.contains("no row 10001"), "{}", run.stderr);
}

#[test]
fn training_goes_on_from_a_pca() {
    let place = Place::new();
    place.fit("pca iris --held-out iris --code-size 2 --out pca.narrows --report r");
    place.write(
        "linear.toml",
        "method='autoencoder'\nloss='mse'\nencoder=[{dense=2}]\ndecoder=[{dense='input'}]\ntrain={rate=1e-5, epochs=1}\n",
    );
    let run =
        place.ok("fit linear.toml iris --held-out iris --start-from pca.narrows --out n.narrows --report r");
    assert!(run.stdout.contains("as good as PCA-2"), "{}", run.stdout);
    let run = place.run("fit tied iris --start-from pca.narrows");
    assert!(run.code == 1 && run.stderr.contains("its layers"), "{}", run.stderr);
}
