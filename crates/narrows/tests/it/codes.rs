//! A model in parts, and what can be done with its codes.

use crate::common::{fit, open, recipe, some_rows};
use narrows::compute::Compute;
use narrows::data::{Source, Table, Values};
use narrows::model::{Model, Part};

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
    let compute = Compute::new(Some(2));
    for model in models() {
        let (encoder, decoder) = model.split().unwrap();
        let again = |part: &Model| Model::from_bytes(&part.to_bytes().unwrap()).unwrap();
        let (encoder, decoder) = (again(&encoder), again(&decoder));
        assert_eq!((encoder.part, decoder.part), (Part::Encoder, Part::Decoder));
        let codes = encoder.encode(&*rows.rows, compute).unwrap();
        assert_eq!(codes, model.encode(&*rows.rows, compute).unwrap());
        let codes = Table::new(codes, encoder.code_shape()).unwrap();
        let rebuilt = decoder.decode(&codes, compute).unwrap();
        assert_eq!(rebuilt, model.reconstruct(&*rows.rows, compute).unwrap());
        // Each says what it is where it cannot help.
        let refusals = [
            encoder.decode(&codes, compute).unwrap_err(),
            encoder.reconstruct(&*rows.rows, compute).unwrap_err(),
            decoder.encode(&*rows.rows, compute).unwrap_err(),
            narrows::evaluation::reconstruction::evaluate(&decoder, &*rows.rows, compute).unwrap_err(),
            decoder.split().unwrap_err(),
        ];
        for (place, refusal) in refusals.iter().enumerate() {
            let name = if place < 2 { "an encoder" } else { "a decoder" };
            assert!(refusal.to_string().contains(name), "{refusal}");
        }
    }
    // The parts of a network without shared weights have no number twice.
    let single = &models()[0];
    let (encoder, decoder) = single.split().unwrap();
    let len = |model: &Model| model.to_bytes().unwrap().len();
    assert!(len(&encoder) + len(&decoder) < len(single) + 20_000);
}

#[test]
fn the_way_between_two_rows_begins_and_ends_with_them() {
    let rows = some_rows(&open("mnist:test"), 30, 5);
    let compute = Compute::new(Some(2));
    for model in models() {
        let line = model.interpolate(&*rows.rows, 3, 17, 5, compute).unwrap().into_f64();
        let whole = model.reconstruct(&*rows.rows, compute).unwrap().into_f64();
        let near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-3);
        assert_eq!(line.len(), 5 * 784);
        assert!(
            near(&line[..784], &whole[3 * 784..][..784]) && near(&line[4 * 784..], &whole[17 * 784..][..784])
        );
        // A linear decoder walks in a straight line, others do not.
        let middle: Vec<f64> = (0..784).map(|j| 0.5 * (line[j] + line[4 * 784 + j])).collect();
        let is_straight = near(&line[2 * 784..3 * 784], &middle);
        let linear_decoder = model.table().rows.last().unwrap()[1].starts_with("components")
            || model.parameter_count() == 784 * 32 + 32 + 784;
        assert_eq!(is_straight, linear_decoder, "{:?}", model.table().rows);
        for (from, to, steps, part) in
            [(30, 0, 5, "no row 31"), (0, 99, 5, "no row 100"), (0, 1, 1, "at least 2")]
        {
            let error = model.interpolate(&*rows.rows, from, to, steps, compute).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}

#[test]
fn edited_codes_decode() {
    let model = &models()[4];
    let rows = some_rows(&open("mnist:test"), 2, 5);
    let compute = Compute::new(Some(1));
    let mut codes = model.encode(&*rows.rows, compute).unwrap().into_f32();
    // The first component taken away from the first row: what is left differs along that component alone.
    let before = model.reconstruct(&*rows.rows, compute).unwrap().into_f64();
    let taken = f64::from(codes[0]);
    codes[0] = 0.0;
    let codes = Table::new(Values::F32(codes), model.code_shape()).unwrap();
    assert_eq!(codes.rows(), 2);
    let after = model.decode(&codes, compute).unwrap().into_f64();
    let narrows::model::Fitted::Pca(pca) = &model.fitted else { panic!("a PCA") };
    for j in 0..784 {
        let along = 255.0 * taken * pca.components[j];
        assert!((before[j] - after[j] - along).abs() < 1e-3);
        assert!((before[784 + j] - after[784 + j]).abs() < 1e-9);
    }
}
