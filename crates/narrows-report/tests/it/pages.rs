//! Pages stand alone, have their sections in order, and are the same bytes for the same fit.

use std::ops::ControlFlow;

use narrows::experiments::compare::{Candidate, CompareOptions, compare};
use narrows::experiments::random_baseline::random_baseline;
use narrows::model::metrics::Evaluation;
use narrows::{Compute, Dataset, Fit, FitOptions, HeldOut, Recipe, data};
use narrows_report::{Page, comparison_page, evaluation_page, fit_page};

/// Some rows as training and held-out rows.
type Rows = (Dataset<'static>, Dataset<'static>);

fn iris() -> Rows {
    data::hold_out(&narrows_datasets::iris(), 0.2, 0).unwrap()
}

fn digits() -> Rows {
    data::hold_out(&narrows_datasets::mnist_test().select((0..500).collect()), 0.2, 0).unwrap()
}

fn recipe(name: &str, epochs: usize) -> Recipe {
    Recipe::open(name).unwrap().with("train.epochs", epochs).unwrap()
}

fn fit(recipe: &Recipe, (training, held_out): &Rows) -> Fit {
    let options = FitOptions {
        held_out: HeldOut::Rows(held_out),
        compute: Compute::with_threads(2),
        ..FitOptions::default()
    };
    narrows::fit(recipe, training, options).unwrap()
}

/// The page of a fit, after the checks that hold for every page.
fn page(name: &str, fit: &Fit, (training, held_out): &Rows) -> Page {
    let page = fit_page(name, fit, training, held_out, None).unwrap();
    check(&page);
    assert!(page == fit_page(name, fit, training, held_out, None).unwrap(), "the same bytes twice");
    page
}

fn check(page: &Page) {
    let html = page.html.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
    let html = html.replace("src=\"data:image/png;base64,", "");
    for outside in ["http", "src=", "href", "@import", "<script", "<link"] {
        assert!(!html.contains(outside), "{outside}");
    }
    // Every clip area of a chart has a name of its own on the page.
    for used in page.html.split("url(#").skip(1).map(|rest| rest.split(')').next().unwrap()) {
        assert_eq!(page.html.matches(&format!("id=\"{used}\"")).count(), 1, "{used}");
    }
    for file in page.files.iter().filter(|file| file.name.ends_with(".png")) {
        let mut picture = png::Decoder::new(std::io::Cursor::new(&file.bytes)).read_info().unwrap();
        while picture.next_row().unwrap().is_some() {}
    }
}

fn files(page: &Page) -> Vec<&str> {
    let mut names: Vec<&str> = page.files.iter().map(|file| &*file.name).collect();
    names.sort_unstable();
    names
}

/// The headings of the sections, in order.
fn headings(page: &Page) -> Vec<&str> {
    page.html.split("<h2>").skip(1).map(|rest| rest.split("</h2>").next().unwrap()).collect()
}

#[test]
fn a_pca_has_a_spectrum_and_no_losses() {
    let rows = iris();
    let fit = fit(&Recipe::pca(2), &rows);
    let page = page("pca", &fit, &rows);
    assert!(page.html.contains("<title>pca on iris</title>") && page.html.contains(fit.verdict()));
    let wanted = ["Reconstructions", "Numbers", "Comparison", "Spectrum", "Codes", "Layers", "Recipe"];
    assert_eq!(headings(&page), wanted);
    let wanted = ["codes", "comparison", "reconstructions", "spectrum"];
    let wanted: Vec<String> =
        wanted.iter().flat_map(|name| ["png", "svg"].map(|kind| format!("{name}.{kind}"))).collect();
    assert_eq!(files(&page), wanted);
    assert!(page.html.contains("sepal length (cm)") && page.html.contains("setosa"));
}

#[test]
fn a_network_on_images_shows_pictures() {
    let rows = digits();
    let recipe = recipe("vae", 1).with("code_size", 2).unwrap();
    let page = page("vae", &fit(&recipe, &rows), &rows);
    let wanted = [
        "Reconstructions",
        "Numbers",
        "Comparison",
        "Loss",
        "Codes",
        "Weights",
        "Decoded codes",
        "Layers",
        "Recipe",
    ];
    assert_eq!(headings(&page), wanted);
    for name in ["decoded.png", "reconstructions.png", "weights.png"] {
        assert!(files(&page).contains(&name), "{name}");
    }
    assert!(page.html.contains("Evidence lower bound"));
}

#[test]
fn noise_is_shown_and_eliminated_weights_are_listed() {
    let rows = digits();
    let page_of = |recipe: &Recipe| page("test", &fit(recipe, &rows), &rows);
    let denoising = page_of(&recipe("denoising", 1));
    assert!(denoising.html.contains("Middle: what the model was given."));
    assert!(denoising.html.contains("errors are those against the clean rows"));
    let eliminated = page_of(&recipe("single", 1).with("weights.elimination", 0.01).unwrap());
    let csv = eliminated.files.iter().find(|file| file.name == "eliminated.csv").unwrap();
    assert!(csv.bytes.starts_with(b"weights,place\n"));
}

#[test]
fn pretrained_layers_and_random_starts_have_sections() {
    let rows = digits();
    let recipe = recipe("stacked", 1).with("pretrain.epochs", 1).unwrap();
    let fit = fit(&recipe, &rows);
    let mut watch = |_: &_| ControlFlow::Continue(());
    let baseline = random_baseline(&recipe, &fit, 1, &rows.0, &rows.1, None, &mut watch).unwrap();
    let page = fit_page("stacked", &fit, &rows.0, &rows.1, Some(&baseline)).unwrap();
    check(&page);
    assert!(page.html.contains(&baseline.verdict()));
    let headings = headings(&page);
    let at = |heading: &str| headings.iter().position(|other| other.starts_with(heading)).unwrap();
    let order =
        ["Was pre-training", "Pre-trained and from random", "Layers", "Layer 1 alone: 784-", "Recipe"];
    assert!(order.map(at).is_sorted(), "{headings:?}");
    for name in ["starts.svg", "layer-1-loss.svg", "layer-1-weights.png", "layer-2-weights.png"] {
        assert!(files(&page).contains(&name), "{name}");
    }
    assert!(page.html.contains("the images of layer 1, weighted") && page.html.contains("Lee et al."));
}

#[test]
fn a_classifier_shows_its_confusions_and_worst_rows() {
    for (rows, is_image) in [(digits(), true), (iris(), false)] {
        let recipe = recipe("classifier", 1).with("pretrain.epochs", 1).unwrap();
        let fit = fit(&recipe, &rows);
        let page = page("classifier", &fit, &rows);
        assert_eq!(headings(&page)[..3], ["Numbers", "Confusions", "Errors"]);
        assert_eq!(files(&page).contains(&"worst.png"), is_image);
        assert!(headings(&page).contains(&"Told worst") && files(&page).contains(&"error-by-epoch.svg"));

        let Evaluation::Classification(found) = fit.model.evaluate(&rows.1).unwrap() else {
            panic!("a classifier is evaluated by its classes")
        };
        let page = evaluation_page(&fit.model, &rows.1, &found).unwrap();
        check(&page);
        assert_eq!(headings(&page), ["Numbers", "Confusions", "Told worst"]);
        assert!(page.html.contains(&format!("{} of {} rows", found.misclassified, found.rows)));
    }
}

#[test]
fn a_comparison_shows_what_fits_and_says_what_does_not() {
    let compared = |rows: &Rows, names: &[&str], code_sizes: Vec<usize>| {
        let candidate = |name: &&str| {
            let recipe = if *name == "pca" { Recipe::open("pca").unwrap() } else { recipe(name, 2) };
            Candidate { name: (*name).to_owned(), recipe }
        };
        let candidates: Vec<Candidate> = names.iter().map(candidate).collect();
        let options = CompareOptions { code_sizes, ..CompareOptions::default() };
        let compute = Compute::with_threads(2);
        let found =
            compare(&candidates, &rows.0, &rows.1, &options, compute, &mut |_| ControlFlow::Continue(()));
        let page = comparison_page(&found.unwrap(), &rows.0, &rows.1);
        check(&page);
        page
    };
    let page = compared(&iris(), &["conv", "pca", "single"], vec![1, 2]);
    assert!(page.html.contains("conv does not fit these rows"));
    let wanted = ["Errors", "Codes", "Notes", "Squared errors", "Error by code size", "Losses", "Numbers"];
    assert_eq!(headings(&page), [&wanted[..], &["pca", "single"]].concat());
    let page = compared(&digits(), &["single", "pca"], vec![]);
    assert!(headings(&page).contains(&"Reconstructions") && files(&page).contains(&"reconstructions.png"));
    assert_eq!(page.html.matches("<span>").count(), 3, "the originals, and a strip for each recipe");
    assert!(page.html.contains("class=\"number best\""));
}

#[test]
fn a_page_is_written_with_its_files() {
    let rows = iris();
    let page = page("pca", &fit(&Recipe::pca(1), &rows), &rows);
    assert!(!headings(&page).contains(&"Codes"), "codes of one number have no plane");
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("runs/1");
    let paths = page.write(&run).unwrap();
    assert_eq!(paths[0], run.join("report.html"));
    assert_eq!(std::fs::read_to_string(&paths[0]).unwrap(), page.html);
    for (path, file) in paths[1..].iter().zip(&page.files) {
        assert_eq!(std::fs::read(path).unwrap(), file.bytes, "{}", file.name);
    }
    assert_eq!(std::fs::read_dir(&run).unwrap().count(), paths.len());

    let file = folder.path().join("a-file");
    std::fs::write(&file, "").unwrap();
    let error = page.write(&file).unwrap_err();
    assert!(error.to_string().contains("a-file"), "{error}");
}
