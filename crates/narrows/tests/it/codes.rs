//! A model in parts, and what can be done with its codes.

use crate::common::{fit, made, open, pca, recipe, some_rows, wide};
use narrows::model::{Decoder, Encoder, ModelFile};
use narrows::{Model, Source};

fn models() -> Vec<Model> {
    let (training, held_out) = (some_rows(&open("mnist"), 200, 17), some_rows(&open("mnist:test"), 40, 9));
    let quick: [(&str, &[&str]); 5] = [
        ("single", &["train.epochs=1"]),
        ("tied", &["train.epochs=1"]),
        ("conv", &["train.epochs=1"]),
        ("vae", &["train.epochs=1"]),
        ("pca", &["code_size=5"]),
    ];
    quick.map(|(name, settings)| fit(&recipe(name, settings), &training, &held_out).model).into()
}

#[test]
fn encoder_and_decoder_apart_give_the_bits_of_the_whole() {
    let rows = some_rows(&open("mnist:test"), 30, 5);
    for model in models() {
        let (encoder, decoder) = model.split().unwrap();
        let files = [encoder.to_bytes().unwrap(), decoder.to_bytes().unwrap()];
        let (encoder, decoder) =
            (Encoder::from_bytes(&files[0]).unwrap(), Decoder::from_bytes(&files[1]).unwrap());
        let codes = encoder.encode(&rows).unwrap();
        assert_eq!(codes, model.encode(&rows).unwrap());
        assert_eq!(codes.shape(), encoder.code_shape());
        let rebuilt = decoder.decode(&codes).unwrap();
        assert_eq!(rebuilt, model.reconstruct(&rows).unwrap());
        // Each says what it is where it cannot help: the file of a part, and the model it is a part of.
        let kinds = files.each_ref().map(|bytes| ModelFile::from_bytes(bytes).unwrap().title());
        assert_eq!(kinds, ["an encoder", "a decoder"]);
        let (of_encoder, of_decoder) = (encoder.of_model(), decoder.of_model());
        let refusals = [
            Decoder::from_bytes(&files[0]).unwrap_err(),
            Model::from_bytes(&files[0]).unwrap_err(),
            of_encoder.decode(&codes).unwrap_err(),
            of_encoder.reconstruct(&rows).unwrap_err(),
            Encoder::from_bytes(&files[1]).unwrap_err(),
            Model::from_bytes(&files[1]).unwrap_err(),
            of_decoder.encode(&rows).unwrap_err(),
            of_decoder.evaluate(&rows).unwrap_err(),
            of_decoder.split().unwrap_err(),
        ];
        for (place, refusal) in refusals.iter().enumerate() {
            let name = if place < 4 { "an encoder" } else { "a decoder" };
            assert!(refusal.to_string().contains(name), "{refusal}");
        }
        // A whole model has both.
        let whole = model.to_bytes().unwrap();
        assert_eq!(Encoder::from_bytes(&whole).unwrap().encode(&rows).unwrap(), codes);
        assert_eq!(Decoder::from_bytes(&whole).unwrap().decode(&codes).unwrap(), rebuilt);
    }
    // The parts of a network without shared weights have no number twice.
    let single = &models()[0];
    let (encoder, decoder) = single.split().unwrap();
    let parts = encoder.to_bytes().unwrap().len() + decoder.to_bytes().unwrap().len();
    assert!(parts < single.to_bytes().unwrap().len() + 20_000);
}

#[test]
fn the_way_between_two_rows_begins_and_ends_with_them() {
    let rows = some_rows(&open("mnist:test"), 30, 5);
    for model in models() {
        let line = wide(model.interpolate(&rows, 3, 17, 5).unwrap());
        let whole = wide(model.reconstruct(&rows).unwrap());
        let near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-3);
        assert_eq!(line.len(), 5 * 784);
        assert!(
            near(&line[..784], &whole[3 * 784..][..784]) && near(&line[4 * 784..], &whole[17 * 784..][..784])
        );
        // A linear decoder walks in a straight line, others do not.
        let middle: Vec<f64> = (0..784).map(|j| 0.5 * (line[j] + line[4 * 784 + j])).collect();
        let is_straight = near(&line[2 * 784..3 * 784], &middle);
        let linear_decoder = model.table().rows.last().unwrap().operation.starts_with("components")
            || model.parameter_count() == 784 * 32 + 32 + 784;
        assert_eq!(is_straight, linear_decoder, "{:?}", model.table().rows);
        for (from, to, steps, part) in
            [(30, 0, 5, "no row 31"), (0, 99, 5, "no row 100"), (0, 1, 1, "at least 2")]
        {
            let error = model.interpolate(&rows, from, to, steps).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}

#[test]
fn edited_codes_decode() {
    let model = &models()[4];
    let rows = some_rows(&open("mnist:test"), 2, 5);
    let mut codes = model.encode(&rows).unwrap().into_values().into_f32();
    // The first component taken away from the first row: what is left differs along that component alone.
    let before = wide(model.reconstruct(&rows).unwrap());
    let taken = f64::from(codes[0]);
    codes[0] = 0.0;
    let codes = made(codes, model.code_shape());
    assert_eq!(codes.rows.rows(), 2);
    let after = wide(model.decode(&codes).unwrap());
    for j in 0..784 {
        let along = 255.0 * taken * pca(model).components[j];
        assert!((before[j] - after[j] - along).abs() < 1e-3);
        assert!((before[784 + j] - after[784 + j]).abs() < 1e-9);
    }
}
