//! A model on its way through a file: fit, save, open, encode, decode.

use narrows::{Autoencoder, Function, Model, Scale, Train};

fn main() -> narrows::Result<()> {
    let iris = narrows_datasets::iris();
    let fit = Autoencoder::dense(&[4, 8, 2])
        .activation(Function::Tanh)
        .scale(Scale::Standard)
        .train(Train { learning_rate: Some(0.01), epochs: 100, batch_size: 16, ..Train::default() })
        .fit(&iris)?;
    println!("{}", fit.verdict());
    let summary =
        fit.summary().and_then(|summary| summary.reconstruction()).expect("an autoencoder reconstructs");
    assert!(summary.evaluation.explained_variance > 0.9);

    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("flowers.narrows");
    fit.model.save(&path)?;
    let model = Model::open(&path)?;
    assert!(model == fit.model, "a model comes back from its file as it was");

    // Two numbers for each flower, and back to four lengths in centimetres.
    let codes = model.encode(&iris)?;
    assert_eq!(codes.to_array_f32().dim(), (150, 2));
    let decoded = model.decode(&codes)?.to_array_f32();
    let mut flower = vec![0.0; 4];
    iris.rows.read_f32(0, &mut flower)?;
    println!("a flower {flower:.2?}, decoded {:.2}", decoded.row(0));
    assert!(flower.iter().zip(decoded.row(0)).all(|(a, b)| (a - b).abs() < 1.0));
    Ok(())
}
