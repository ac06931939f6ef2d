//! A model on its way through a file: fit, save, open, encode, decode.

use narrows::compute::Compute;
use narrows::data::{self, Shape, Table, Values};
use narrows::fit::fit;
use narrows::model::Model;
use narrows::recipe::RecipeFile;
use std::ops::ControlFlow;

fn main() -> narrows::Result<()> {
    let iris = narrows_datasets::iris();
    let (training, held_out) = data::hold_out(&iris, 0.2, 1)?;
    let recipe = RecipeFile::parse(
        "flowers",
        "flowers",
        r#"
            method = "autoencoder"
            scale = "standard"
            encoder = [{ dense = 8 }, "tanh", { dense = 2 }]
            decoder = [{ dense = 8 }, "tanh", { dense = "input" }]
            loss = "mse"
            train = { optimizer = "adam", rate = 0.01, epochs = 100, batch = 16 }
        "#,
    )?;
    let compute = Compute::new(None);
    let fit = fit(&recipe.recipe()?, &training, &held_out, compute, &mut |_| ControlFlow::Continue(()))?;
    println!("{}", fit.summary().verdict);
    assert!(fit.summary().evaluation.explained_variance > 0.9);

    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("flowers.narrows");
    fit.model.save(&path)?;
    let model = Model::open(&path)?;
    assert!(model == fit.model, "a model comes back from its file as it was");
    assert_eq!(model.to_bytes()?, std::fs::read(&path).expect("the file is there"));

    // Two numbers for each flower, and back to four lengths in centimetres.
    let codes = model.encode(&*held_out.rows, compute)?;
    assert_eq!(codes.len(), held_out.rows.rows() * 2);
    let codes = Table::new(codes, Shape::flat(2))?;
    let rows = model.decode(&codes, compute)?;
    let (Values::F32(rows), mut originals) = (rows, vec![0.0; 4]) else {
        unreachable!("networks answer in f32")
    };
    held_out.rows.read_f32(0, &mut originals).unwrap();
    println!("a flower {originals:.2?}, decoded {:.2?}", &rows[..4]);
    assert!(originals.iter().zip(&rows).all(|(a, b)| (a - b).abs() < 1.0));
    Ok(())
}
