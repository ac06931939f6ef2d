//! Several recipes on the same rows: figures by other roads, what does not fit, sweeps, stopping, and published numbers of
//! what codes are worth.

use std::ops::ControlFlow;
use std::path::Path;

use crate::common::{evaluate, fit, fit_on, labelled, made, open, recipe};
use narrows::data;
use narrows::evaluation::codes::{Classified, linear_probe_accuracy, nearest_neighbour_accuracy};
use narrows::experiments::compare::{
    Candidate, CompareOptions, Comparison, ComparisonEvent, Measure, compare,
};
use narrows::{Compute, Dataset, Event, Recipe, Scale, Shape};

fn candidates(names: &[&str]) -> Vec<Candidate> {
    let candidate = |name: &&str| {
        let mut recipe = Recipe::open(name).unwrap();
        recipe.train_mut().into_iter().for_each(|train| train.epochs = 3);
        Candidate { name: (*name).to_owned(), recipe }
    };
    names.iter().map(candidate).collect()
}

fn iris() -> (Dataset<'static>, Dataset<'static>) {
    data::hold_out(&open("iris"), 0.2, 0).unwrap()
}

fn run(
    names: &[&str],
    (training, held_out): &(Dataset, Dataset),
    options: &CompareOptions,
    threads: usize,
) -> Comparison {
    let compute = Compute::with_threads(threads);
    compare(&candidates(names), training, held_out, options, compute, &mut |_| ControlFlow::Continue(()))
        .unwrap()
}

#[test]
fn figures_are_those_of_the_fits_and_of_every_number_of_threads() {
    let rows = iris();
    let options = CompareOptions { seeds: 2, code_sizes: vec![1, 2, 4, 9], ..CompareOptions::default() };
    let found = run(&["single", "pca", "deep"], &rows, &options, 1);
    assert_eq!((found.scale.scale, found.code_size), (Scale::MinMax, Some(2)));
    assert_eq!(found.methods.iter().map(|method| method.fits.len()).collect::<Vec<_>>(), [2, 1, 2]);

    // One fit by hand: the same scale, code size and seed.
    let mut alone = candidates(&["single"])[0].recipe.with("code_size", 2).unwrap();
    alone.set_scale(Scale::MinMax);
    alone.set_seed(1);
    let alone = fit_on(1, &alone, &rows.0, &rows.1);
    let (second, wanted) = (&found.methods[0].fits[1], evaluate(&alone.model, &rows.1));
    assert_eq!(second.seed, Some(1));
    assert_eq!(second.squared_error_per_row, wanted.squared_error_per_row);
    assert_eq!(second.bce, wanted.bce);
    // PCA beside a network is PCA.
    let pca = &found.methods[1].fits[0];
    assert!((second.pca_squared_error_per_row / pca.squared_error_per_row - 1.0).abs() < 1e-9);
    let spread = found.methods[0].spread(Measure::SquaredError).unwrap();
    let errors: Vec<f64> = found.methods[0].fits.iter().map(|fit| fit.squared_error_per_row).collect();
    assert!((spread.mean - (errors[0] + errors[1]) / 2.0).abs() < 1e-12);
    assert!((spread.deviation.unwrap() - (errors[0] - errors[1]).abs() / 2f64.sqrt()).abs() < 1e-12);

    // Iris is told apart by its codes; four numbers of four lose nothing, more are not to be had of PCA.
    assert!(pca.nearest_neighbour_accuracy.unwrap() > 0.85 && pca.linear_probe_accuracy.unwrap() > 0.85);
    assert!(pca.trustworthiness.unwrap() > 0.95 && pca.continuity.unwrap() > 0.95);
    assert!(found.rows.unwrap().linear_probe_accuracy.unwrap() > 0.85);
    let sweep = found.code_size_curves.as_ref().unwrap();
    let names: Vec<&str> = sweep.curves.iter().map(|curve| &*curve.recipe).collect();
    assert_eq!(names, ["pca", "single", "deep"]);
    let sizes = |at: usize| sweep.curves[at].points.iter().map(|point| point.code_size).collect::<Vec<_>>();
    assert_eq!((sizes(0), sizes(1)), (vec![1, 2, 4], vec![1, 2, 4, 9]));
    let pca_points = &sweep.curves[0].points;
    assert!((pca_points[1].squared_error_per_row / pca.squared_error_per_row - 1.0).abs() < 1e-9);
    assert!(pca_points[2].squared_error_per_row < 1e-12);
    // What was fitted already is not fitted again.
    assert_eq!(sweep.curves[1].points[1].squared_error_per_row, errors[0]);
    assert!(
        found.verdict.contains("pca loses least") && found.verdict.contains("no network reaches"),
        "{}",
        found.verdict
    );

    let again = run(&["single", "pca", "deep"], &rows, &options, 3);
    for (method, again) in found.methods.iter().zip(&again.methods) {
        for measure in Measure::ALL.into_iter().filter(|measure| *measure != Measure::Seconds) {
            assert_eq!(method.spread(measure), again.spread(measure), "{measure:?}");
        }
    }
    assert_eq!(found.code_size_curves, again.code_size_curves);
    assert_eq!((found.rows, found.verdict), (again.rows, again.verdict));
}

#[test]
fn what_does_not_fit_says_why_and_the_others_go_on() {
    let rows = iris();
    let found = run(&["conv", "pca"], &rows, &CompareOptions::default(), 1);
    assert!(found.methods[0].failure.as_ref().unwrap().contains("image"), "{:?}", found.methods[0].failure);
    assert!(found.methods[1].failure.is_none());
    assert!(found.remarks().iter().any(|remark| remark.starts_with("conv does not fit these rows")));

    // Unscaled, the loss of `single` has no sense on centimetres; alone it is an error.
    let options = CompareOptions { scale: Some(Scale::None), ..CompareOptions::default() };
    let found = run(&["single", "pca"], &rows, &options, 1);
    assert!(found.methods[0].failure.as_ref().unwrap().contains("outside 0..1"));
    let compute = Compute::with_threads(1);
    let error = compare(&candidates(&["single"]), &rows.0, &rows.1, &options, compute, &mut |_| {
        ControlFlow::Continue(())
    })
    .unwrap_err()
    .to_string();
    assert!(error.contains("none of the recipes") && error.contains("outside 0..1"), "{error}");

    // A code larger than the rows allow, and held-out rows of another length.
    let options = CompareOptions { code_size: Some(5), ..CompareOptions::default() };
    assert!(
        run(&["single", "pca"], &rows, &options, 1).methods[1].failure.as_ref().unwrap().contains("1 to 4")
    );
    let other = Dataset { name: "three".into(), ..made(vec![1.0f64; 6], Shape::flat(3)) };
    let error =
        compare(&candidates(&["pca"]), &rows.0, &other, &CompareOptions::default(), compute, &mut |_| {
            ControlFlow::Continue(())
        });
    assert!(error.unwrap_err().to_string().contains("three: its rows have 3 numbers"));
}

#[test]
fn without_classes_there_are_no_accuracies() {
    let (training, held_out) = iris();
    let found = run(&["pca"], &(labelled(&training, None), held_out), &CompareOptions::default(), 1);
    assert_eq!(found.methods[0].fits[0].nearest_neighbour_accuracy, None);
    assert_eq!(found.rows, None);
    let (header, rows) = found.table(&Measure::ALL);
    assert!(!header.contains(&Measure::LinearProbe.title().to_owned()));
    assert!(rows.iter().all(|row| row.len() == header.len()));
}

#[test]
fn a_comparison_can_be_stopped_and_keeps_what_it_has() {
    let (training, held_out) = iris();
    let mut epochs = 0;
    let options = CompareOptions { seeds: 2, code_sizes: vec![1, 2], ..CompareOptions::default() };
    let found = compare(
        &candidates(&["pca", "single", "deep"]),
        &training,
        &held_out,
        &options,
        Compute::with_threads(1),
        &mut |progress| {
            let ComparisonEvent::Fit { event: Event::Epoch(_), of, .. } = progress else {
                return ControlFlow::Continue(());
            };
            assert_eq!(*of, 1 + 2 + 2 + 2 * 2);
            epochs += 1;
            if epochs == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        },
    )
    .unwrap();
    assert!(found.interrupted && found.code_size_curves.is_none());
    assert_eq!(found.methods.iter().map(|method| method.fits.len()).collect::<Vec<_>>(), [1, 1]);
}

/// METHODS 11: the error of the nearest neighbour on PCA-50 codes is 2.66 % on MNIST and 15.79 % on Fashion-MNIST. A linear
/// classifier of MNIST's codes finds about 91 %.
#[test]
fn codes_of_pictures_are_worth_what_was_published() {
    let check = |training: &str, test: &str, wrong: f64, linear: f64| {
        let (training, test) = (open(training), open(test));
        let fit = fit(&recipe("pca", &["code_size=50"]), &training, &test);
        let compute = fit.model.compute();
        let codes = |data: &Dataset<'_>| fit.model.encode(data).unwrap().into_values().into_f32();
        let (known, asked) = (codes(&training), codes(&test));
        let classes = |data: &Dataset<'_>| data.labels.as_ref().unwrap().classes.clone();
        let (known_classes, asked_classes) = (classes(&training), classes(&test));
        let known = Classified { codes: &known, classes: &known_classes };
        let asked = Classified { codes: &asked, classes: &asked_classes };
        let found = 1.0 - nearest_neighbour_accuracy(known, asked, 50, compute).unwrap();
        println!("{}: nearest neighbour wrong {found:.4}", training.name);
        assert!((found - wrong).abs() < 1e-9, "{}: {found}", training.name);
        let found = linear_probe_accuracy(known, asked, 50, compute).unwrap();
        println!("{}: linear probe {found:.4}", training.name);
        assert!((found - linear).abs() < 0.01, "{}: {found}", training.name);
    };
    check("mnist", "mnist:test", 0.0266, 0.91);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/fashion-mnist");
    let file = |name: &str| folder.join(name).display().to_string();
    if folder.is_dir() {
        check(&file("train-images-idx3-ubyte.gz"), &file("t10k-images-idx3-ubyte.gz"), 0.1579, 0.825);
    } else {
        println!("skipped: no Fashion-MNIST at {}", folder.display());
    }
}
