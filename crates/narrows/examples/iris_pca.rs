//! Principal components of Fisher's iris flowers: four lengths of each flower in two numbers.

use narrows::Pca;
use ndarray::Axis;

fn main() -> narrows::Result<()> {
    let iris = narrows_datasets::iris();
    let pca = Pca::fit(&iris, 2)?;

    let ratios = pca.explained_variance_ratio();
    println!("share of the variance of each component: {ratios:.4?}");
    assert!((ratios[0] - 0.924_618_72).abs() < 1e-8);
    assert!((ratios[1] - 0.053_066_48).abs() < 1e-8);

    // One row of two numbers for each flower.
    let codes = pca.encode(&iris)?.to_array_f64();
    assert_eq!(codes.dim(), (150, 2));
    let labels = iris.labels.expect("iris has classes");
    for (class, name) in labels.names.iter().enumerate() {
        let rows: Vec<usize> = (0..150).filter(|&row| labels.classes[row] as usize == class).collect();
        let mean = codes.select(Axis(0), &rows).column(0).sum() / rows.len() as f64;
        println!("{name:>10}: first component {mean:+.2} on average");
    }

    // Codes of different components are uncorrelated, and each has the variance of its component.
    let covariance = codes.t().dot(&codes) / 149.0;
    assert!(covariance[(0, 1)].abs() < 1e-12);
    assert!((covariance[(0, 0)] - pca.explained_variance[0]).abs() < 1e-12);
    Ok(())
}
