//! Principal components of Fisher's iris flowers: four lengths of each flower in two numbers.

use narrows::compute::Compute;
use narrows::data::Values;
use narrows::fit::fit;
use narrows::model::Fitted;
use narrows::progress::Flow;
use narrows::recipe::file::Recipe;

fn main() -> narrows::Result<()> {
    let iris = narrows_datasets::iris();
    let mut recipe = Recipe::open("pca")?;
    recipe.set("code_size=2")?;

    // All 150 flowers are fitted, and judged, so that the numbers are those of the textbooks.
    let compute = Compute::new(None);
    let fit = fit(&recipe.spec()?, &iris, &iris, compute, &mut |_| Flow::Continue)?;
    println!("{}", fit.summary().verdict);

    let Fitted::Pca(pca) = &fit.model.fitted else { unreachable!("the recipe is a PCA") };
    let ratios = pca.explained_variance_ratio();
    println!("share of the variance of each component: {ratios:.4?}");
    assert!((ratios[0] - 0.924_618_72).abs() < 1e-8);
    assert!((ratios[1] - 0.053_066_48).abs() < 1e-8);

    // Iris is read as f64, so the codes are f64 too: one row of two numbers for each flower.
    let Values::F64(codes) = fit.model.encode(&*iris.rows, compute)? else { unreachable!("f64 in, f64 out") };
    assert_eq!(codes.len(), 150 * 2);
    let labels = iris.labels.expect("iris has classes");
    for (class, name) in labels.names.iter().enumerate() {
        let first = codes.chunks_exact(2).zip(&labels.classes).filter(|(_, own)| **own == class as u32);
        let mean = first.map(|(code, _)| code[0]).sum::<f64>() / 50.0;
        println!("{name:>10}: first component {mean:+.2} on average");
    }

    // Codes of different components are uncorrelated, and each has the variance of its component.
    let product =
        |a: usize, b: usize| codes.chunks_exact(2).map(|code| code[a] * code[b]).sum::<f64>() / 149.0;
    assert!(product(0, 1).abs() < 1e-12);
    assert!((product(0, 0) - pca.explained_variance[0]).abs() < 1e-12);
    Ok(())
}
